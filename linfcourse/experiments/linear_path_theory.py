"""What theory says of the unevenness that gradient descent leaves behind: max u² / median u²."""

from __future__ import annotations

import math

import numpy
import torch
from torch import Tensor

from linfcourse.hessian import r_med
from linfcourse.models import TwoLayerLinear

# Median of u² for one standard normal u.
MEDIAN_SQUARE = 0.4549364231195724


def leading_ratio(d: float) -> float:
    """2 ln d / median(u²), what the ratio tends to as d grows. Too large by a sixth at d = 400.

    >>> round(leading_ratio(100), 1)
    20.2
    """
    return 2 * math.log(d) / MEDIAN_SQUARE


def expected_ratio(d: int, points: int = 4000) -> float:
    """E[max u² / median u²] of d independent standard normal numbers, for this d.

    The median of an even number is the mean of the two middle ones. Given the upper middle one m,
    the larger values are independent draws above m and the smaller ones independent draws below
    it, so the expectation is one integral over m of two others: the mean of the largest of the
    draws above, and the mean of 1/median over the largest of the draws below.

    Args:
        d: how many, at least 4 (for 3 the mean is infinite).
        points: of the grid of |u|.

    Raises:
        ValueError: d < 4.

    >>> round(expected_ratio(100), 1)
    17.4
    """
    if d < 4:
        raise ValueError(f"d must be at least 4, got {d}")
    above = d // 2 - 1 if d % 2 == 0 else d // 2  # order statistics above the upper middle one
    below = d // 2
    x = numpy.linspace(0.0, math.sqrt(2 * math.log(d)) + 6.0, points + 1)[1:]  # |u|
    F = torch.erf(torch.from_numpy(x) / math.sqrt(2)).numpy()
    tail = torch.erfc(torch.from_numpy(x) / math.sqrt(2)).numpy()
    density = math.sqrt(2 / math.pi) * numpy.exp(-(x**2) / 2)
    dx = x[1] - x[0]
    # Density of the upper middle one: C F^below tail^above f, normalised on the grid.
    log_weight = below * numpy.log(F) + above * numpy.log(tail) + numpy.log(density)
    weight = numpy.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # The largest of `below` draws below m has P(≤ x) = (F(x)/F(m))^below: F = F(m) U^(1/below).
    shares = ((numpy.arange(200) + 0.5) / 200) ** (1 / below)
    total = 0.0
    for k in numpy.flatnonzero(weight > 1e-12):
        m = x[k]
        # E[max²| m] = m² + ∫ 2x P(max > x) over x > m.
        inside = 1.0 - (1.0 - tail[k:] / tail[k]) ** above
        largest = m**2 + numpy.trapezoid(2 * x[k:] * inside, dx=dx)
        if d % 2:
            inverse = 1 / m**2
        else:  # the median is the mean of m² and of the lower middle one
            lower = numpy.interp(F[k] * shares, F, x)
            inverse = float(numpy.mean(2 / (m**2 + lower**2)))
        total += weight[k] * largest * inverse
    return float(total)


def ratio_from_start(model: TwoLayerLinear) -> float:
    """R_med of the first layer that gradient descent will reach, read off the initial weights.

    max u² / median u² of u = W₂ᵀ + W₁a, with a = A/‖A‖; for a target A with one row.

    Raises:
        ValueError: the target has several rows.
    """
    return r_med(growing_mode(model.first, model.second, model.target).square()).item()


def growing_mode(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    """u = W₂ᵀ + W₁a, (h,): the combination of the weights that gradient descent lets grow.

    Args:
        first: W₁, (h, n).
        second: W₂, (1, h).
        target: A, (1, n); a = A/‖A‖.

    >>> growing_mode(torch.eye(2), torch.tensor([[1.0, 1.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([1.6000, 1.8000])
    """
    if target.shape[0] != 1:
        raise ValueError(f"target must have one row, got shape {tuple(target.shape)}")
    a = target[0] / target[0].norm()
    return (second[0] + first @ a).detach()
