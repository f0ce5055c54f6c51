"""R_med of a Hessian too large for its exact diagonal: screen by random signs, confirm exactly."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linfcourse.hessian.cauchy import check_generator, drawing_device
from linfcourse.hessian.diagonal import diagonal
from linfcourse.hessian.estimate import check_probes
from linfcourse.hessian.r_med import _median, _size
from linfcourse.hessian.symmetric import as_operator, finite


class ScreenedRatio(NamedTuple):
    """What `screened_r_med` found, a value a tensor, in float64, and the products it took."""

    ratio: Tensor
    largest: Tensor
    median: Tensor
    products: int


def screened_r_med(
    op: Any,
    params: Iterable[Any] | None = None,
    probes: int = 64,
    candidates: int = 12,
    sample: int = 40,
    generator: torch.Generator | None = None,
) -> ScreenedRatio:
    """maxᵢ|Hᵢᵢ| / medianᵢ|Hᵢᵢ| of each tensor, from entries that are all exact.

    Noise in a diagonal makes its maximum too large, and its median far too large where most entries
    are small. So the noisy estimate is only used to choose: Hutchinson's `probes` pick in each
    tensor the `candidates` that look largest, and a uniform `sample` is drawn besides. Both are
    then computed exactly, by a product each. The maximum is over all of them (never above the true
    one, and below it only if the largest entry was passed over), the median over the sample alone.
    A tensor of no more than `candidates` + `sample` entries is computed in full.

    Args:
        op: a HessianOperator, anything with `dim` and `matmat`, or a matrix.
        params: the tensors that the coordinates belong to, or their shapes or sizes. Default: the
            operator's own; an operator without any counts as one tensor.
        probes: products of the screening, for all tensors together.
        candidates, sample: exact entries in each tensor; one product each.
        generator: for the signs and the sample.

    Returns:
        `ratio`, `largest` and `median`, (number of tensors,) each, and `products`.

    Raises:
        TypeError, ValueError: bad `op`, counts below 1, sizes that do not add up to d.

    Example:
        >>> H = torch.diag(torch.arange(1.0, 202.0))
        >>> found = screened_r_med(H, probes=2, candidates=3, sample=150)
        >>> found.largest.item(), found.products <= 155
        (201.0, True)
    """
    op = as_operator(op)
    for count, name in ((probes, "probes"), (candidates, "candidates"), (sample, "sample")):
        check_probes(count, name=name)
    check_generator(generator)
    params = op.params if params is None else params
    sizes = [op.dim] if params is None else [_size(p) for p in params]
    if sum(sizes) != op.dim or min(sizes, default=0) < 1:
        raise ValueError(
            f"params have sizes {sizes}, which must be positive and add up to d = {op.dim}"
        )
    screen = diagonal(op, "hutchinson", probes, generator).abs()
    device = drawing_device(op, generator)
    largest, median, products, start = [], [], probes, 0
    for size in sizes:
        if size <= candidates + sample:
            drawn = chosen = torch.arange(size)
        else:
            drawn = torch.randperm(size, generator=generator, device=device)[:sample].cpu()
            top = screen[start : start + size].topk(candidates).indices.cpu()
            chosen = torch.cat([drawn, top[~torch.isin(top, drawn)]])
        values = exact_entries(op, start + chosen).abs().double().cpu()
        largest.append(values.max())
        median.append(_median(values[: len(drawn)]))
        products += len(chosen)
        start += size
    top, middle = torch.stack(largest), torch.stack(median)
    return ScreenedRatio(top / middle, top, middle, products)


def exact_entries(op: Any, indices: Tensor) -> Tensor:
    """Hᵢᵢ for each i in `indices`, by a product each.

    Example:
        >>> exact_entries(torch.tensor([[2.0, 1.0], [1.0, -3.0]]), torch.tensor([1]))
        tensor([-3.])
    """
    op = as_operator(op)
    parts = []
    for piece in indices.to(op.device).split(op.block):
        columns = finite(op.columns(piece))
        parts.append(columns[piece, torch.arange(len(piece), device=op.device)])
    return torch.cat(parts)
