"""Lion: sign descent along a look-ahead of the average gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from linfcourse.norms.base import as_real
from linfcourse.optim._chunks import chunks
from linfcourse.optim._compiled import LION_STEP, as_vectors, numbers, worth_compiling
from linfcourse.optim._validation import (
    check_betas,
    check_flag,
    check_number,
    check_parameters,
    dense_gradients,
    same_shapes,
)


def lion_update(
    x: Tensor,
    g: Tensor,
    m: Tensor,
    u: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    """One step of Lion on one tensor, changing x and m in place; u is room for the update.

    u = sign(β₁ m + (1 − β₁) g);  x ← (1 − λη) x − η u;  m ← β₂ m + (1 − β₂) g
    """
    beta1, beta2 = betas
    sign = -1.0 if maximize else 1.0
    torch.mul(m, beta1, out=u).add_(g, alpha=sign * (1.0 - beta1)).sign_()
    if weight_decay:
        x.mul_(1.0 - lr * weight_decay)
    x.add_(u, alpha=-lr)
    m.mul_(beta2).add_(g, alpha=sign * (1.0 - beta2))
    x.add_(m, alpha=0.0)  # torch.sign(NaN) is 0 and would hide it: 0·m is NaN where m is not finite


class Lion(Optimizer):
    r"""Lion, evolved sign momentum (arXiv 2302.06675).

    .. math::
        x \leftarrow (1 - \lambda\eta)\,x - \eta\,\operatorname{sign}(\beta_1 m + (1-\beta_1)\,g),
        \qquad m \leftarrow \beta_2 m + (1-\beta_2)\,g

    The sign is of an average that sees the newest gradient with weight 1 − β₁, while the average
    that is kept forgets slowly, with β₂. With β₁ = β₂ it is ``Signum``. With weight decay it solves
    min L on the box ‖x‖∞ ≤ 1/λ (arXiv 2310.05898).

    Args:
        params: parameters, named parameters, or groups of them.
        lr: η, how far each weight moves in a step; best 3 to 10 times below Adam's.
        betas: (β₁, β₂), both in [0, 1).
        weight_decay: λ ≥ 0, decoupled; weights shrink by λη a step, so λ is as much above AdamW's.
        maximize: ascend.
        compiled: make one loop of each tensor's step with ``torch.compile``; see
            ``BlockwiseAdam``. Where the look-ahead is zero but for rounding, its sign may differ.

    Notes:
        Complex parameters are pairs of reals. A NaN in a gradient becomes NaN in the weights, as in
        torch's optimizers. The state has the key and the meaning of lion-pytorch's: ``exp_avg``.

    Raises:
        TypeError, ValueError: for arguments out of range, and by ``step`` for sparse gradients,
            before anything has changed.

    >>> x = torch.nn.Parameter(torch.tensor([1.0, -0.2, 0.0]))
    >>> optimizer = Lion([x], lr=0.5)
    >>> x.square().sum().backward()
    >>> optimizer.step()
    >>> x.data
    tensor([0.5000, 0.3000, 0.0000])
    """

    compiled = False  # for one that was pickled without

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
        compiled: bool = False,
    ) -> None:
        check_flag("compiled", compiled)
        self.compiled = compiled
        defaults = {"lr": lr, "betas": betas, "weight_decay": weight_decay, "maximize": maximize}
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters, with options of its own where it names them."""
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, not {type(param_group).__name__}")
        _check_options({**self.defaults, **param_group})
        super().add_param_group(param_group)
        try:
            check_parameters(self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a saved state; one of parameters of other shapes is refused and changes nothing."""
        with same_shapes(self, "exp_avg"):
            super().load_state_dict(state_dict)

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"compiled": self.compiled}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; returns the closure's loss, if there is a closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group, p, g in dense_gradients(self):
            state = self.state[p]
            if "exp_avg" not in state:
                state["exp_avg"] = torch.zeros_like(p, memory_format=torch.preserve_format)
            options = {
                "lr": float(group["lr"]),
                "betas": (float(group["betas"][0]), float(group["betas"][1])),
                "weight_decay": float(group["weight_decay"]),
                "maximize": group["maximize"],
            }
            tensors = as_real(p), as_real(g), as_real(state["exp_avg"])
            if self.compiled and worth_compiling(LION_STEP, p):
                _compiled_step(*tensors, **options)
                continue
            for pieces in chunks(*tensors, scratch=1):
                lion_update(*pieces, **options)
        return loss


def _compiled_step(
    x: Tensor,
    g: Tensor,
    m: Tensor,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    maximize: bool,
) -> None:
    LION_STEP(
        *as_vectors(x, g, m),
        *numbers(lr, betas[0], 1 - betas[0], betas[1], 1 - betas[1], 1 - lr * weight_decay),
        *numbers(-1 if maximize else 1),
    )


def _check_options(options: dict[str, Any]) -> None:
    check_number("lr", options["lr"])
    check_betas(options["betas"])
    check_number("weight_decay", options["weight_decay"])
    check_flag("maximize", options["maximize"])
