"""Row sums Σⱼ|Hᵢⱼ| from Cauchy probes: draws, and the three estimators that use nothing else.

The sum Σⱼ aⱼ vⱼ of independent standard Cauchy vⱼ is Cauchy with scale Σⱼ|aⱼ| (1-stability). So
with v ~ Cauchy, each entry (Hv)ᵢ is Cauchy with scale rᵢ = Σⱼ|Hᵢⱼ|, and ‖H‖₁,₁ = Σᵢ rᵢ is a sum of
scales. The rows share the probes, so their errors do not average out over rows: all uncertainty
comes from the spread over probes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from linfcourse.hessian.estimate import Estimate, spread, t_quantile
from linfcourse.hessian.symmetric import SymmetricOperator, finite

ROWS = 2**20  # rows sorted at a time
DOUBLES = 2**22  # numbers in float64 at a time


def check_generator(generator: torch.Generator | None) -> None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(
            "generator must be a torch.Generator, not "
            f"{type(generator).__name__}: torch.Generator().manual_seed(0)"
        )


def drawing_device(op: SymmetricOperator, generator: torch.Generator | None) -> torch.device:
    """Where random numbers are drawn: by the generator, else beside the operator."""
    if generator is not None:
        return generator.device
    # Metal has no float64, in which the draws are made.
    return torch.device("cpu") if op.device.type == "mps" else op.device


def cauchy(
    rows: int, columns: int, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Independent standard Cauchy numbers tan(π(u − ½)), (rows, columns), in float64.

    In float32 u has 24 bits, and the tail that makes a Cauchy would be cut.
    """
    u = torch.rand(rows, columns, dtype=torch.float64, device=device, generator=generator)
    return u.sub_(0.5).mul_(math.pi).tan_()


def cauchy_products(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None
) -> Iterator[Tensor]:
    """Hv for `probes` Cauchy probes v, as blocks (d, k) with k ≤ op.block."""
    for start in range(0, probes, op.block):
        # No name is kept for the probes or the products: each is as large as the model.
        yield finite(op.matmat(_probes(op, min(op.block, probes - start), generator).T))


def _probes(op: SymmetricOperator, count: int, generator: torch.Generator | None) -> Tensor:
    """`count` Cauchy probes, (count, d), drawn a piece at a time."""
    device = drawing_device(op, generator)
    vectors = torch.empty(count, op.dim, dtype=op.dtype, device=op.device)
    for rows in vectors.split(_chunks(count, op.dim)):
        for part in rows.split(DOUBLES, dim=1):  # several parts only where there is a single row
            part.copy_(cauchy(*part.shape, device, generator))
    return vectors


def _chunks(probes: int, dim: int) -> list[int]:
    """`probes` cut so that a chunk's temporaries in float64 stay small beside the products."""
    size = max(1, DOUBLES // dim)
    return [min(size, probes - start) for start in range(0, probes, size)]


def log_sums(
    op: SymmetricOperator, probes: int, groups: int, generator: torch.Generator | None
) -> tuple[Tensor, list[int]]:
    """Σ log|(Hv)ᵢ| over each group's probes, (groups, d) in float64, and the groups' sizes.

    Probe l goes to group l mod `groups`. A zero counts as the smallest float, so that a row of
    zeros gets a scale that is zero for every purpose.
    """
    sums = torch.zeros(groups, op.dim, dtype=torch.float64, device=double_device(op))
    tiny = torch.finfo(op.dtype).tiny
    done = 0
    for products in cauchy_products(op, probes, generator):
        for columns in products.split(_chunks(products.shape[1], op.dim), dim=1):
            for start in range(0, op.dim, DOUBLES):
                part = columns[start : start + DOUBLES]
                logs = part.abs().to(sums.device, torch.float64).clamp_min_(tiny).log_()
                for group in range(min(groups, logs.shape[1])):
                    into = sums[(done + group) % groups, start : start + DOUBLES]
                    into += logs[:, group::groups].sum(1)
            done += columns.shape[1]
        del products, columns, part  # before the next block is computed
    return sums, [len(range(g, probes, groups)) for g in range(groups)]


def double_device(op: SymmetricOperator) -> torch.device:
    return torch.device("cpu") if op.device.type == "mps" else op.device


def _group_count(probes: int) -> int:
    """Groups for the interval: 8, with fewer than 32 probes 4, and at least two probes in each."""
    return max(1, min(8 if probes >= 32 else 4, probes // 2)) if probes >= 4 else probes


def geometric(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None = None
) -> Estimate:
    """‖H‖₁,₁ by corrected geometric means: Σᵢ cos(π/2k)ᵏ · Πₗ|(Hvₗ)ᵢ|^{1/k}. Unbiased.

    For a standard Cauchy C and |s| < 1, E|C|ˢ = 1/cos(πs/2). So the geometric mean of k independent
    magnitudes of scale r has mean r/cos(π/2k)ᵏ; the factor undoes it for every row, whatever the
    rows have in common. (For k = 1 the mean is infinite, so k ≥ 2.) Memory: 8 vectors.

    The interval is a t-interval of S^(-1/2), its spread taken from 8 groups of probes (4 groups
    below 32 probes), centred at the pooled estimate. On the plain scale low estimates come with
    narrow intervals, and on the log scale still a little: there it misses on one side. Below 32
    probes it is widened by a tenth, which 10 to 20 probes were measured to need on networks.

    Args:
        op: the Hessian.
        probes: k ≥ 2 products.
        generator: for the probes.
    """
    sums, sizes = log_sums(op, probes, _group_count(probes), generator)
    value = float((sums.sum(0) / probes).exp().sum()) * math.cos(math.pi / (2 * probes)) ** probes
    groups = [float((s / n).exp().sum()) for s, n in zip(sums, sizes, strict=True)]
    return _from_groups(op, value, groups, probes, "geometric")


def median(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None = None
) -> Estimate:
    """‖H‖₁,₁ by medians: Σᵢ medianₗ|(Hvₗ)ᵢ|. Biased upward at few probes.

    For an even number of probes the two middle values are averaged, as numpy does (torch.median
    takes the lower one). Mean over truth: 1.31, 1.16, 1.07, 1.03 at 5, 10, 20, 50 probes. All
    samples are kept: d × probes numbers.

    Args:
        op: the Hessian.
        probes: k ≥ 1 products.
        generator: for the probes.
    """
    return _by_quantiles(op, probes, generator, "median")


def iqr(op: SymmetricOperator, probes: int, generator: torch.Generator | None = None) -> Estimate:
    """‖H‖₁,₁ by half the inter-quartile range of each row's (Hvₗ)ᵢ. Biased upward at few probes.

    The quartiles of a Cauchy of scale r are ±r. Quantiles are interpolated as numpy does. All
    samples are kept: d × probes numbers.

    Args:
        op: the Hessian.
        probes: k ≥ 2 products.
        generator: for the probes.
    """
    return _by_quantiles(op, probes, generator, "iqr")


def _by_quantiles(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None, kind: str
) -> Estimate:
    samples = torch.empty(probes, op.dim, dtype=op.dtype, device=op.device)
    done = 0
    for products in cauchy_products(op, probes, generator):
        samples[done : done + products.shape[1]] = products.T
        done += products.shape[1]
    least = 2 if kind == "iqr" else 1
    count = _group_count(probes) if probes >= 2 * least else 1
    groups = [_scale_sum(samples[g::count], kind) for g in range(count)]
    return _from_groups(op, _scale_sum(samples, kind), groups, probes, kind)


def _scale_sum(samples: Tensor, kind: str) -> float:
    """Sum over rows of the scale of `samples` (probes, d)."""
    total = 0.0
    for part in samples.split(ROWS, dim=1):
        ordered = (part if kind == "iqr" else part.abs()).sort(dim=0).values
        if kind == "iqr":
            scale = (_quantile(ordered, 0.75) - _quantile(ordered, 0.25)) / 2
        else:
            scale = _quantile(ordered, 0.5)
        total += float(scale.sum(dtype=torch.float64 if part.device.type != "mps" else None))
    return total


def _quantile(ordered: Tensor, q: float) -> Tensor:
    """Linear interpolation between the neighbours of rank q(k − 1), numpy's default."""
    rank = q * (len(ordered) - 1)
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return torch.lerp(ordered[below], ordered[above], rank - below)


def _from_groups(
    op: SymmetricOperator, value: float, groups: list[float], probes: int, name: str
) -> Estimate:
    # Rows of zeros were counted as the smallest float each.
    if value <= 2 * op.dim * torch.finfo(op.dtype).tiny:
        return Estimate(0.0, 0.0, (0.0, 0.0), probes, name)
    if len(groups) < 2 or min(groups) <= 0:
        return Estimate(value, math.inf, (0.0, math.inf), probes, name)
    relative = spread([math.log(g) for g in groups])
    # Few probes: the groups' logs have longer tails than a t-interval allows for.
    margin = 1.1 if probes < 32 else 1.0
    half = margin * t_quantile(len(groups) - 1) * relative / 2
    high = value / (1 - half) ** 2 if half < 1 else math.inf
    return Estimate(value, value * relative, (value / (1 + half) ** 2, high), probes, name)
