"""Estimating a sum of unknown positive terms from a few of them, drawn by what a sketch expects.

Shared by the two-stage estimators of the (1,1)-norm (terms: rows) and of the blockwise smoothness
(terms: blocks). See two_stage.py for why this is unbiased and for the choices below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.hessian.estimate import Estimate, log_interval

TAKEN = 2.0  # expected draws from which a term is taken for certain
PRIOR_DEGREES = 4.0  # what the predicted variance is worth, in degrees of freedom
EFFECTIVE_TERMS = 10.0  # terms that the sketch must spread over before its noise can be judged
PIECE = 2**22  # terms at a time, where there are more
RESOLUTION = 1e-3  # relative standard error below which nothing is claimed


@dataclass(frozen=True)
class Shares:
    """What a sketch says of the terms.

    Attributes:
        weights: (n,) float64, the terms up to a common factor.
        variance: predicted relative variance of term/weight among terms.
        degrees: how far that prediction is trusted, in degrees of freedom.
    """

    weights: Tensor
    variance: float
    degrees: float


def shares(sums: Tensor, sizes: list[int]) -> Shares:
    """Shares from a sketch in two halves, shrunk towards their mean where it is mostly noise.

    With y the mean log over both halves and D the difference of the halves' means, weighted over
    terms, σ² = Var D/(1/a + 1/b)/(a + b) is the variance of y's noise, less what all terms share,
    and Var y − σ² that of the terms themselves. Best linear prediction multiplies y's deviations
    by ω = 1 − σ²/Var y. With fewer than about ten effective terms the variances mean nothing, and
    ω stays 1.

    Args:
        sums: (2, n) sums of log-magnitudes; sizes: how many in each half, (a, b).
    """
    a, b = sizes
    if a + b == 0:
        return Shares(torch.ones_like(sums[0]), 0.0, 0.0)
    y = sums.sum(0).div_(a + b)
    top = y.max()
    plain = (y - top).exp_()  # largest weight 1, so nothing overflows
    if b == 0:
        return Shares(plain, 0.0, 0.0)
    whole = plain.sum()
    center = _sum(lambda p, y: p / whole * y, plain, y)
    total = float(_sum(lambda p, y: p / whole * (y - center) ** 2, plain, y))
    shift = _sum(lambda p, s, t: p / whole * (s / a - t / b), plain, *sums)
    squares = _sum(lambda p, s, t: p / whole * (s / a - t / b - shift) ** 2, plain, *sums)
    noise = float(squares) / (1 / a + 1 / b) / (a + b)
    effective = 1 / float(_sum(lambda p: (p / whole) ** 2, plain))
    trust = max(0.0, 1 - EFFECTIVE_TERMS / effective)
    omega = max(0.0, 1 - trust * noise / total) if total > 0 else 0.0
    # A term that is zero in the sketch stays (next to) zero: it is not noise.
    least = top + math.log(torch.finfo(torch.float32).tiny)
    for p, part in zip(plain.split(PIECE), y.split(PIECE), strict=True):
        p.copy_(torch.where(part > least, (omega * (part - top)).exp(), p))
    weights = plain
    degrees = PRIOR_DEGREES * omega * effective / (effective + EFFECTIVE_TERMS)
    return Shares(weights, math.expm1(omega * noise), degrees)


def _sum(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The sum of a function of vectors, entry by entry, without a vector of its values."""
    pieces = zip(*(tensor.split(PIECE) for tensor in tensors), strict=True)
    return sum(function(*parts).sum() for parts in pieces)


def certain(weights: Tensor, budget: int) -> Tensor:
    """Indices of the terms to take for certain: those that `budget` draws would meet twice or more.

    Taken largest first, and at most half of the budget, so that enough draws remain.
    """
    largest, order = weights.topk(min(budget // 2, len(weights)))
    rest, count = float(weights.sum()), 0
    for weight in largest.tolist():
        if weight <= 0 or weight * (budget - count) < TAKEN * rest:
            break
        rest -= weight
        count += 1
    return order[:count]


def probabilities(weights: Tensor, taken: Tensor, uniform: float) -> Tensor:
    """Chances of the terms not taken: in proportion to `weights`, mixed with a share `uniform`."""
    rest = torch.ones_like(weights)
    rest[taken] = 0
    proportional = weights * rest
    if not bool(proportional.sum() > 0):
        return rest / rest.sum()
    whole, count = proportional.sum(), rest.sum()
    proportional.mul_(1 - uniform).div_(whole)  # in place: at GPT-2's size a vector is a gigabyte
    return proportional.add_(rest.mul_(uniform).div_(count))


def draw(chances: Tensor, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` independent indices with the given chances, of which there may be any number.

    (torch.multinomial stops at 2²⁴.)
    """
    device = generator.device if generator is not None else chances.device
    u = torch.rand(count, dtype=torch.float64, device=device, generator=generator)
    edges = chances.cumsum(0)
    index = torch.searchsorted(edges, u.to(chances.device) * edges[-1], right=True)
    return index.clamp_(max=len(chances) - 1)


def summary(
    draws: Tensor, known: float, sketch: Shares, floor: float = RESOLUTION
) -> tuple[float, float, tuple[float, float]]:
    """(value, stderr, interval) of known + mean(draws), each draw being term/chance.

    The sample variance is pooled with the sketch's prediction as in a moderated t-test.
    """
    count = len(draws)
    mean = float(draws.mean())
    value = known + mean
    if count < 2:
        return value, math.inf, (known, math.inf)
    if mean == 0:
        return value, 0.0, (known, known)
    degrees = count - 1 + sketch.degrees
    pooled = float(draws.var()) * (count - 1) + sketch.variance * mean**2 * sketch.degrees
    stderr = math.sqrt(pooled / degrees / count) + floor * mean
    low, high = log_interval(mean, stderr, degrees)
    return value, stderr, (known + low, known + high)


def combined(strata: list[Tensor], known: float, probes: int, name: str) -> Estimate:
    """known + the sum over strata of the mean of each one's draws.

    The degrees of freedom are Welch and Satterthwaite's.
    """
    total = sum(float(draws.mean()) for draws in strata)
    if total == 0 or not strata:
        return Estimate(known, 0.0, (known, known), probes, name)
    if min(map(len, strata)) < 2:
        return Estimate(known + total, math.inf, (known, math.inf), probes, name)
    variances = [float(draws.var()) / len(draws) for draws in strata]
    variance = sum(variances)
    parts = sum(v**2 / (len(draws) - 1) for v, draws in zip(variances, strata, strict=True))
    degrees = variance**2 / parts if parts > 0 else math.inf
    stderr = math.sqrt(variance) + RESOLUTION * total
    low, high = log_interval(total, stderr, degrees)
    return Estimate(known + total, stderr, (known + low, known + high), probes, name)
