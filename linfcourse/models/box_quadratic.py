"""Quadratics in a box, with their solution: what constrained optimizers are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class BoxQuadratic:
    """L(x) = ½ (x − c)ᵀH(x − c), to be minimised over the box ‖x‖∞ ≤ r.

    Args:
        hessian: H, (d, d), symmetric and positive definite.
        center: c, (d,), where L is 0, inside the box or not.
        radius: r, half the side of the box; 1/λ for an optimizer with weight decay λ.
    """

    hessian: Tensor
    center: Tensor
    radius: float = 1.0

    def loss(self, x: Tensor) -> Tensor:
        """L at x, (d,) or a batch (..., d)."""
        away = x - self.center
        return 0.5 * (away * (away @ self.hessian)).sum(-1)

    def gradient(self, x: Tensor) -> Tensor:
        """∇L = H(x − c), of x's shape."""
        return (x - self.center) @ self.hessian

    def minimiser(self) -> Tensor:
        """The point of the box where L is least, by ``box_minimiser``."""
        return box_minimiser(self.hessian, self.center, self.radius)

    def ridge(self, penalty: float) -> Tensor:
        """The minimiser of L(x) + ½ λ‖x‖₂², (H + λI)⁻¹Hc, where Adam with an ℓ2 penalty λ goes."""
        eye = torch.eye(len(self.center), dtype=self.hessian.dtype, device=self.hessian.device)
        return torch.linalg.solve(self.hessian + penalty * eye, self.hessian @ self.center)


def box_quadratic(
    d: int = 20, rows: int = 40, radius: float = 1.0, spread: float = 1.5, seed: int = 0
) -> BoxQuadratic:
    """A random least-squares problem, H = 16 AᵀA/rows with A of standard normal numbers (rows, d).

    Args:
        d: dimension.
        rows: of A, at least d; the more, the better conditioned.
        radius: of the box.
        spread: c = spread·radius times standard normal numbers, partly outside the box.
        seed: of A and c.

    >>> problem = box_quadratic(d=3, seed=1)
    >>> problem.center.abs().max() > 1, problem.minimiser().abs().max()
    (tensor(True), tensor(1., dtype=torch.float64))
    """
    if not 1 <= d <= rows:
        raise ValueError(f"rows must be at least d = {d} and d at least 1, got rows = {rows}")
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rows, d, generator=generator, dtype=torch.float64) * 4 / math.sqrt(rows)
    center = spread * radius * torch.randn(d, generator=generator, dtype=torch.float64)
    H = A.T @ A
    return BoxQuadratic((H + H.T) / 2, center, radius)


def box_minimiser(hessian: Tensor, center: Tensor, radius: float, sweeps: int = 10_000) -> Tensor:
    """Minimise ½ (x − c)ᵀH(x − c) over ‖x‖∞ ≤ r, one coordinate after the other.

    Each coordinate in turn goes to its best place in [−r, r] with the others held,
    x_i ← clip(x_i − g_i/H_ii). For a positive definite H this converges to the one minimiser,
    linearly (Luo and Tseng, 1992); whether it has arrived ``kkt_residual`` can say.

    Args:
        hessian: H, (d, d), symmetric and positive definite.
        center: c, (d,).
        radius: r > 0.
        sweeps: at most so many rounds through the coordinates.

    Raises:
        ValueError: no positive definite H of c's size, no positive radius; or not settled after
            that many rounds.

    >>> H, c = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double(), torch.tensor([3.0, 0.5]).double()
    >>> box_minimiser(H, c, 1.0)  # not the nearest point of the box, which is (1, 0.5)
    tensor([1., 1.], dtype=torch.float64)
    """
    d = len(center)
    if hessian.shape != (d, d) or not torch.equal(hessian, hessian.T):
        raise ValueError(
            f"hessian must be a symmetric matrix of shape {(d, d)}, not {tuple(hessian.shape)}: "
            "pass (H + H.T) / 2"
        )
    if torch.linalg.eigvalsh(hessian)[0] <= 0:
        raise ValueError("hessian must be positive definite: add a multiple of the identity")
    if not 0 < radius < math.inf:
        raise ValueError(f"radius must be a positive, finite number, not {radius!r}")
    rows, x = hessian.unbind(), center.clamp(-radius, radius)
    for _ in range(sweeps):
        before = x.clone()
        for i in range(d):
            x[i] = (x[i] - rows[i].dot(x - center) / rows[i][i]).clamp(-radius, radius)
        if (x - before).abs().max() <= 1e-14 * radius:
            return x
    raise ValueError(f"not settled after {sweeps} sweeps: hessian is close to singular")
