"""Chapter 17: Adam of a matrix in two bases, given or learned from its gradients (as in SOAP)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer


def basis_update(
    W: Tensor,
    G: Tensor,
    M: Tensor,
    V: Tensor,
    t: int,
    Q_L: Tensor,
    Q_R: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """One step of Adam in the bases Q_L and Q_R, changing W, M and V in place; t = 1, 2, …

    M ← β₁M + (1−β₁)G;  G' = Q_LᵀG Q_R;  V ← β₂V + (1−β₂)G'²;
    W ← W − η Q_L [Q_LᵀM̂Q_R / (√V̂ + ε)] Q_Rᵀ

    V is of the turned gradient, M of the gradient itself: a mean may be turned later, a mean of
    squares may not.
    """
    beta1, beta2 = betas
    M.mul_(beta1).add_(G, alpha=1 - beta1)
    turned = Q_L.T @ G @ Q_R
    V.mul_(beta2).addcmul_(turned, turned, value=1 - beta2)
    step = (Q_L.T @ M @ Q_R / (1 - beta1**t)) / ((V / (1 - beta2**t)).sqrt() + eps)
    W.sub_(lr * (Q_L @ step @ Q_R.T))


class AdamInBasis(Optimizer):
    """Adam whose coordinates are W' = Q_LᵀWQ_R, one pair of bases for each matrix.

    With `every` the bases are learned as in SOAP (arXiv 2409.11321): the eigenvectors, by rising
    eigenvalue, of L ← β₂L + (1−β₂)GGᵀ and R ← β₂R + (1−β₂)GᵀG, computed at the first step and
    after every so many. SOAP itself follows them by a cheaper iteration and skips the first step.

    Args:
        params: matrices.
        lr, betas, eps: as in Adam.
        bases: (Q_L, Q_R) for each matrix, which then stay; None for the axes as they are.
        every: learn the bases, and compute them anew after so many steps.

    Raises:
        ValueError: a parameter is no matrix; both or too few bases are given.

    >>> W = torch.nn.Parameter(torch.tensor([[3.0, 0.0], [4.0, 0.0]]))
    >>> optimizer = AdamInBasis([W], lr=0.5, every=1)
    >>> W.square().sum().backward()
    >>> optimizer.step()  # along W/‖W‖, of which both entries are made: not sign(W)
    >>> W.data
    tensor([[2.7000, 0.0000],
            [3.6000, 0.0000]])
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.99),
        eps: float = 1e-8,
        *,
        bases: Sequence[tuple[Tensor, Tensor]] | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        matrices = [p for group in self.param_groups for p in group["params"]]
        if any(p.dim() != 2 for p in matrices):
            raise ValueError("params must be matrices: a vector has one side only")
        if bases is not None and (every is not None or len(bases) != len(matrices)):
            raise ValueError("bases must be one pair for each matrix, or be learned with every")
        self.every = every
        for k, p in enumerate(matrices):
            Q_L, Q_R = bases[k] if bases is not None else map(torch.eye, p.shape)
            self.state[p] = {
                "step": 0,
                "M": torch.zeros_like(p),
                "V": torch.zeros_like(p),
                "bases": (Q_L.to(p), Q_R.to(p)),
                "covariances": [p.new_zeros(n, n) for n in p.shape],
            }

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for W in group["params"]:
                state, G = self.state[W], W.grad
                if self.every is not None:
                    beta2 = group["betas"][1]
                    for C, square in zip(state["covariances"], (G @ G.T, G.T @ G), strict=True):
                        C.mul_(beta2).add_(square, alpha=1 - beta2)
                    if state["step"] % self.every == 0:
                        state["bases"] = tuple(
                            torch.linalg.eigh(C).eigenvectors for C in state["covariances"]
                        )
                state["step"] += 1
                basis_update(
                    W, G, state["M"], state["V"], state["step"], *state["bases"],
                    lr=group["lr"], betas=group["betas"], eps=group["eps"],
                )  # fmt: skip
