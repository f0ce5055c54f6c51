"""The spectral norm of matrices, whose steepest descent is Muon."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linfcourse.norms.base import (
    Norm,
    in_working_precision,
    largest_entry,
    like,
    require_floating,
    safe_scale,
)
from linfcourse.norms.vector import L2

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Keller Jordan's quintic p(σ) = aσ + bσ³ + cσ⁵: small σ grow fastest, none settles at 1."""


class Spectral(Norm):
    """The spectral norm σ_max(X) of a matrix, dual to the nuclear norm Σσ; the LMO is −U Vᵀ.

    Steepest descent in this norm is what Muon and Scion do. A vector or a scalar is a matrix of
    one column, for which it is the ℓ2 norm; a tensor of three or more dimensions, such as a
    convolution's kernel, is flattened to (first, all the rest).

    Args:
        method: how lmo finds U Vᵀ. ``"svd"``: exactly, by a singular value decomposition, in
            float32 or better. Directions with σ ≤ max(m, n)·eps·σ_max are rounding noise and left
            out, so a gradient of low rank moves nothing outside its row and column space.
            ``"newton_schulz"``: Muon's polynomial iteration, matrix products only, in float32 or
            better. It is quick and rough: 5 steps leave the singular values of the result between
            0.68 and 1.21 instead of at 1, for those above 0.002 ‖g‖_F, and smaller ones below.
        steps: number of Newton–Schulz steps.

    Raises:
        ValueError: by lmo, for an entry that is not finite.
        TypeError: for a complex tensor; see its real matrix in the way you mean first.

    Source: Carlson et al., 2015 (steepest descent in Schatten-∞); arXiv 2502.07529 (Scion).

    >>> g = torch.tensor([[0.0, 3.0], [-4.0, 0.0]])
    >>> Spectral()(g), Spectral().dual(g)
    (tensor(4.), tensor(7.))
    >>> Spectral().lmo(g).round() + 0.0
    tensor([[ 0., -1.],
            [ 1.,  0.]])
    """

    def __init__(self, method: str = "svd", steps: int = 5) -> None:
        if method not in ("svd", "newton_schulz"):
            raise ValueError(f"method must be 'svd' or 'newton_schulz', not {method!r}")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"steps must be a positive integer, not {steps!r}")
        self.method = method
        self.steps = steps

    def _key(self) -> tuple[Any, ...]:
        return (self.method, self.steps)

    def __call__(self, x: Tensor) -> Tensor:
        return self._singular_values(x).amax()

    def dual(self, g: Tensor) -> Tensor:
        return self._singular_values(g).sum()

    @torch.no_grad()
    def lmo(self, g: Tensor) -> Tensor:
        self.check(g, "the gradient")
        matrix = _matrix(g)
        if matrix.numel() == 0:
            return torch.zeros_like(g)
        matrix = matrix / safe_scale(largest_entry(matrix))
        if min(matrix.shape) == 1:
            s = L2().lmo(matrix)
        elif self.method == "svd":
            s = -_polar_factor(matrix)
        else:
            s = -_newton_schulz(matrix, self.steps)
        return like(s.reshape(g.shape), g)

    def check(self, g: Tensor, name: str) -> None:
        if not torch.isfinite(_matrix(g)).all():
            raise ValueError(
                f"{name} has NaN or infinite entries, so it has no singular vectors: skip this "
                "step, or find where the loss overflows"
            )

    def _singular_values(self, x: Tensor) -> Tensor:
        matrix = _matrix(x)
        if matrix.numel() == 0 or not torch.isfinite(matrix).all():
            return matrix.abs().sum().reshape(1)
        if min(matrix.shape) == 1:
            return L2()(matrix).reshape(1)
        scale = safe_scale(largest_entry(matrix))
        return scale * torch.linalg.svdvals(matrix / scale)


def _polar_factor(matrix: Tensor) -> Tensor:
    """U Vᵀ of the singular value decomposition U Σ Vᵀ, without the directions of zero σ."""
    u, sigma, vh = torch.linalg.svd(matrix, full_matrices=False)
    noise = max(matrix.shape) * torch.finfo(sigma.dtype).eps * sigma[0]
    return (u * (sigma > noise)) @ vh


def _newton_schulz(matrix: Tensor, steps: int) -> Tensor:
    """U Vᵀ roughly, by iterating X ← aX + (bA + cA²)X with A = XXᵀ on the smaller side."""
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] <= matrix.shape[1]
    x = -L2().lmo(matrix if wide else matrix.T)  # all singular values at most 1
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.T


def _matrix(x: Tensor) -> Tensor:
    require_floating(x)
    if x.is_complex():
        raise TypeError(
            "Spectral takes real tensors: give it the real matrix that you mean, such as "
            "torch.view_as_real(x).flatten(1)"
        )
    x = in_working_precision(x)
    return x.reshape(-1, 1) if x.ndim < 2 else x.flatten(1)
