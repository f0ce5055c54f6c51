"""Separable data for `margins`, and the largest margin in a norm, found by another way.

Every sample i of class y and every other class j give one margin ⟨W, Z⟩ with Z = (e_y − e_j) xᵢᵀ:
by how much the right class is ahead. The largest margin of a norm is

    γ = max_{‖W‖ ≤ 1} min_i ⟨W, Zᵢ⟩ = min_p ‖Σ pᵢ Zᵢ‖_*     (p: probabilities; minimax theorem),

so any W bounds it from below and any p from above. The primal-dual iteration of Chambolle and Pock
makes both bounds meet. It takes no steepest step: what it finds is independent of the optimizers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from linfcourse.norms import L2, LInf, Norm, Spectral


class Bracket(NamedTuple):
    """Lower and upper bound of the largest margin, both proved by a point; and the lower's W."""

    low: float
    high: float
    W: Tensor


def make_margins(classes: int, d: int, samples: int, decades: float, seed: int) -> Tensor:
    """Z (samples · (classes − 1), classes, d) in float64.

    Normal features, whose scales fall from 1 over so many powers of ten; classes in turn. With no
    more samples than features the data are separable (with probability one).
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(samples, d, generator=generator, dtype=torch.float64)
    x = x * torch.logspace(0, -decades, d, dtype=torch.float64)
    Z = []
    for i in range(samples):
        for j in range(classes):
            if j != i % classes:
                z = torch.zeros(classes, d, dtype=torch.float64)
                z[i % classes], z[j] = x[i], -x[i]
                Z.append(z)
    return torch.stack(Z)


def margin(W: Tensor, Z: Tensor, norm: Norm) -> float:
    """The normalised margin min_i ⟨W, Zᵢ⟩ / ‖W‖.

    >>> margin(torch.tensor([[2.0, 0.0]]), torch.tensor([[[3.0, 1.0]], [[1.0, 5.0]]]), LInf())
    1.0
    """
    return (torch.einsum("ikd,kd->i", Z, W).min() / norm(W)).item()


def project(W: Tensor, norm: Norm) -> Tensor:
    """The point of the unit ball of ℓ∞, ℓ2 or the spectral norm that is nearest to W."""
    if isinstance(norm, LInf):
        return W.clamp(-1.0, 1.0)
    if isinstance(norm, L2):
        return W / torch.linalg.vector_norm(W).clamp(min=1.0)
    if isinstance(norm, Spectral):
        u, sigma, vh = torch.linalg.svd(W, full_matrices=False)
        return (u * sigma.clamp(max=1.0)) @ vh
    raise TypeError(f"norm must be LInf, L2 or Spectral, got {norm!r}")


def project_to_probabilities(p: Tensor) -> Tensor:
    """The nearest vector of nonnegative numbers with sum one.

    >>> project_to_probabilities(torch.tensor([0.9, 0.9, -3.0]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    ordered = p.sort(descending=True).values
    excess = (ordered.cumsum(0) - 1.0) / torch.arange(1, len(p) + 1)
    last = int((ordered > excess).nonzero()[-1])
    return (p - excess[last]).clamp(min=0.0)


def largest_margin(Z: Tensor, norm: Norm, gap: float = 1e-3, iterations: int = 50_000) -> Bracket:
    """A bracket of γ, `gap` · γ wide or less.

    Args:
        Z: (n, classes, d).
        norm: ℓ∞, ℓ2 or spectral.
        gap: relative width asked for.
        iterations: at most.

    Raises:
        ValueError: the bounds did not meet, as they cannot where the data are not separable.

    Source: Chambolle and Pock, 2011, for the saddle point min_p max_W Σ pᵢ⟨W, Zᵢ⟩.
    """
    A = Z.flatten(1)
    step = 0.95 / torch.linalg.matrix_norm(A, 2)
    W, p = torch.zeros_like(Z[0]), torch.full((len(Z),), 1.0 / len(Z), dtype=Z.dtype)
    sums = torch.zeros_like(W), torch.zeros_like(p)
    best = Bracket(-torch.inf, torch.inf, W)
    for k in range(1, iterations + 1):
        new = project(W + step * (p @ A).view_as(W), norm)
        p = project_to_probabilities(p - step * (A @ (2 * new - W).flatten()))
        W = new
        sums[0].add_(W)
        sums[1].add_(p)
        if k % 100 == 0:
            for w, q in ((W, p), (sums[0] / k, sums[1] / k)):
                low, high = margin(w, Z, norm), norm.dual((q @ A).view_as(W)).item()
                if low > best.low:
                    best = best._replace(low=low, W=w.clone())
                best = best._replace(high=min(best.high, high))
            if best.low > 0 and best.high - best.low <= gap * best.high:
                return best
    raise ValueError(
        f"the bounds {best.low:.4g} and {best.high:.4g} of the largest margin did not meet: are "
        "the data separable? If so, allow more iterations"
    )
