"""The ℓ∞, ℓ2 and ℓ1 norms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from linfcourse.norms.base import (
    Norm,
    as_real,
    as_vector,
    in_working_precision,
    largest_entry,
    like,
    require_floating,
    safe_scale,
)


class LInf(Norm):
    """The ℓ∞ norm max|x_i|, dual to ℓ1; its LMO is −sign(g): sign descent, and Adam's geometry.

    >>> g = torch.tensor([3.0, -4.0, 0.0])
    >>> LInf()(g), LInf().dual(g), LInf().lmo(g)
    (tensor(4.), tensor(7.), tensor([-1.,  1.,  0.]))
    """

    elementwise = True

    def __call__(self, x: Tensor) -> Tensor:
        return largest_entry(as_vector(x))

    def dual(self, g: Tensor) -> Tensor:
        return as_vector(g).abs().sum()

    @torch.no_grad()
    def lmo(self, g: Tensor) -> Tensor:
        require_floating(g)
        g_real = as_real(g)
        # 0·g is nothing, except where g is not finite: there torch.sign would hide a NaN as 0
        return like(torch.sign(g_real).neg_().add_(g_real, alpha=0.0), g)


class L2(Norm):
    """The Euclidean norm (of all entries: Frobenius), its own dual; the LMO is −g/‖g‖.

    >>> g = torch.tensor([3.0, -4.0])
    >>> L2()(g), L2().dual(g), L2().lmo(g)
    (tensor(5.), tensor(5.), tensor([-0.6000,  0.8000]))
    """

    def __call__(self, x: Tensor) -> Tensor:
        x = as_vector(x)
        scale = safe_scale(largest_entry(x))
        return scale * (x / scale).square_().sum().sqrt()

    def dual(self, g: Tensor) -> Tensor:
        return self(g)

    def lmo(self, g: Tensor) -> Tensor:
        return self.lmo_joint([g])[0]

    @torch.no_grad()
    def lmo_joint(self, gs: Sequence[Tensor]) -> list[Tensor]:
        for g in gs:
            require_floating(g)
        device = gs[0].device
        scale = safe_scale(torch.stack([largest_entry(as_vector(g)).to(device) for g in gs]).amax())
        scaled = [in_working_precision(as_real(g)) / scale.to(g.device) for g in gs]
        norm = torch.stack([s.square().sum().to(device) for s in scaled]).sum().sqrt()
        # the only norm below 1 is 0: the largest scaled entry is 1
        norm = norm.clamp(min=1.0).neg_()
        return [like(s.div_(norm.to(s.device)), g) for s, g in zip(scaled, gs, strict=True)]


class L1(Norm):
    """The ℓ1 norm Σ|x_i|, dual to ℓ∞; its LMO is −sign(g_i) e_i at the largest |g_i|.

    Ties go to the first of the largest, in row-major order: greedy coordinate descent.

    >>> g = torch.tensor([3.0, -4.0, 4.0])
    >>> L1()(g), L1().dual(g), L1().lmo(g)
    (tensor(11.), tensor(4.), tensor([0., 1., 0.]))
    """

    def __call__(self, x: Tensor) -> Tensor:
        return as_vector(x).abs().sum()

    def dual(self, g: Tensor) -> Tensor:
        return largest_entry(as_vector(g))

    @torch.no_grad()
    def lmo(self, g: Tensor) -> Tensor:
        flat = as_vector(g)
        s = torch.zeros_like(flat)
        if flat.numel():
            largest = flat.abs().argmax().reshape(1)
            s[largest] = LInf().lmo(flat[largest])
        return like(s.reshape(as_real(g).shape), g)
