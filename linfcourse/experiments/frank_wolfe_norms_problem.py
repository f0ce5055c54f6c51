"""The quadratics of `frank_wolfe_norms`, each with the ball of a norm around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Problem:
    """½ Σ hᵢ(xᵢ − x*ᵢ)², its start, the radius of the ball, and its smoothness in that norm."""

    curvature: Tensor
    minimum: Tensor
    start: Tensor
    radius: float
    smoothness: float

    def gradient(self, x: Tensor) -> Tensor:
        return self.curvature * (x - self.minimum)

    def loss(self, x: Tensor) -> float:
        return 0.5 * float((self.curvature * (x - self.minimum).square()).sum())


def make_problem(
    d: int, landscape: str, norm: str, seed: int, device: torch.device | str = "cpu"
) -> Problem:
    """The problem of one seed, with the ball of one norm.

    Raises:
        ValueError: no landscape of that name.
    """
    generator = torch.Generator().manual_seed(seed)
    signs = (torch.rand(d, generator=generator, dtype=torch.float64) - 0.5).sign()
    start = 2 * torch.rand(d, generator=generator, dtype=torch.float64) - 1
    if landscape == "dense":
        curvature = 2 / torch.arange(1, d + 1, dtype=torch.float64) ** 2
        minimum, radius = 0.9 * signs, 1.0 if norm == "linf" else math.sqrt(d)
    elif landscape == "sparse":
        curvature = torch.full((d,), 2.0, dtype=torch.float64)
        place = torch.arange(d) == torch.randint(d, (), generator=generator)
        minimum, radius = 0.9 * signs * place, 1.0
        start = start / math.sqrt(d)
    else:
        raise ValueError(f"landscape must be 'dense' or 'sparse', got {landscape!r}")
    # The Hessian is diagonal, so its norm in ℓ∞ is the sum and in ℓ2 (and spectral) the largest.
    smoothness = float(curvature.sum() if norm == "linf" else curvature.max())
    parts = (part.to(device) for part in (curvature, minimum, start))
    return Problem(*parts, radius=radius, smoothness=smoothness)
