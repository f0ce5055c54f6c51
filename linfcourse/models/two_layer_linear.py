"""A two-layer linear network: the smallest model whose Hessian depends on the optimizer's path.

Paper: Jiang, Malik, Li 2022, arXiv 2211.02254.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TwoLayerLinear(nn.Module):
    r"""Fit a matrix by a product of two: L(W₁, W₂) = ½ ‖W₂ W₁ − A‖².

    The diagonal of its Hessian is known in closed form. Row i of W₁ and column i of W₂ belong to
    hidden unit i:

        ∂²L / ∂W₁[i, j]² = Σₘ W₂[m, i]²,        ∂²L / ∂W₂[m, i]² = Σⱼ W₁[i, j]².

    Both say how large unit i has grown. Gradient descent from a small start grows the units
    in proportion to Gaussian numbers; Adam's first, sign-like steps grow all of them alike.

    Args:
        target: A, (m, n), floating point; the parameters take its dtype and device.
        hidden: number h of hidden units (default n).
        init_std: standard deviation of all weights at the start (default h^-1.5, small enough for
            the two layers to align before the loss falls).
        seed: of the weights at the start.

    Raises:
        TypeError, ValueError: the target is not such a matrix, or a size is not positive.

    >>> model = TwoLayerLinear(torch.ones(1, 4), seed=0)
    >>> model.first.shape, model.second.shape
    (torch.Size([4, 4]), torch.Size([1, 4]))
    >>> model.loss().requires_grad
    True
    """

    target: Tensor

    def __init__(
        self,
        target: Tensor,
        hidden: int | None = None,
        init_std: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(target, Tensor) or not target.is_floating_point():
            raise TypeError("target must be a floating-point tensor, the matrix A to fit")
        if target.dim() != 2 or target.numel() == 0:
            raise ValueError(f"target must be a matrix (m, n), got shape {tuple(target.shape)}")
        m, n = target.shape
        hidden = n if hidden is None else hidden
        if isinstance(hidden, bool) or not isinstance(hidden, int):
            raise TypeError(f"hidden must be an integer, got {hidden!r}")
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        std = hidden**-1.5 if init_std is None else init_std
        if not 0.0 <= std < float("inf"):
            raise ValueError(f"init_std must be a finite number >= 0, got {init_std!r}")
        generator = torch.Generator().manual_seed(seed)
        # Drawn in float64 on the CPU, so that every dtype and device starts at the same point.
        first = torch.randn(hidden, n, generator=generator, dtype=torch.float64)
        second = torch.randn(m, hidden, generator=generator, dtype=torch.float64)
        self.register_buffer("target", target.detach().clone())
        self.first = nn.Parameter((std * first).to(target))  # W₁, (h, n)
        self.second = nn.Parameter((std * second).to(target))  # W₂, (m, h)

    def forward(self) -> Tensor:
        """The product W₂ W₁, (m, n)."""
        return self.second @ self.first

    def loss(self) -> Tensor:
        """½ ‖W₂ W₁ − A‖², a scalar."""
        return 0.5 * (self() - self.target).square().sum()

    @torch.no_grad()
    def hessian_diagonal(self) -> dict[str, Tensor]:
        """The exact diagonal of the Hessian at the current weights, by the formula above.

        Returns:
            {"first": (h, n), "second": (m, h)}, in the shapes of the parameters.
        """
        of_first = self.second.square().sum(dim=0)  # (h,)
        of_second = self.first.square().sum(dim=1)  # (h,)
        return {
            "first": of_first[:, None].expand_as(self.first).clone(),
            "second": of_second.expand_as(self.second).clone(),
        }


def two_layer_linear_problem(
    d: int, seed: int = 0, dtype: torch.dtype = torch.float64
) -> TwoLayerLinear:
    """The problem of the local-geometry chapter: one output, d inputs, d hidden units.

    A is a row of standard normal numbers and the weights start with standard deviation d^-1.5.

    Args:
        d: number of inputs and of hidden units.
        seed: of A and of the start, which are independent.
        dtype: of A and of the weights.

    >>> round(two_layer_linear_problem(50, seed=1).loss().item(), 1)  # ½‖A‖², about d/2
    22.7
    """
    if isinstance(d, bool) or not isinstance(d, int):
        raise TypeError(f"d must be an integer, got {d!r}")
    if d < 1:
        raise ValueError(f"d must be at least 1, got {d}")
    # A stream of its own: seeding A like the weights would make A a copy of one of their rows.
    generator = torch.Generator().manual_seed(seed + 2**31)
    target = torch.randn(1, d, generator=generator, dtype=torch.float64).to(dtype)
    return TwoLayerLinear(target, seed=seed)
