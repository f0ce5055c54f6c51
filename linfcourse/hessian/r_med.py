"""R_med: how uneven the diagonal of the Hessian is within each tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.diagonal import diagonal


def r_med(op_or_diagonal: Any, params: Iterable[Any] | None = None) -> Tensor:
    """maxᵢ|Hᵢᵢ| / medianᵢ|Hᵢᵢ| of each tensor.

    1 where all coordinates of a tensor are alike. The median of an even number is the mean of the
    two middle ones. It is infinite where the median is zero and the maximum is not (more than half
    of the units are dead), and NaN where the whole diagonal of a tensor is zero.

    Args:
        op_or_diagonal: a HessianOperator (its exact diagonal is computed, by d products) or a
            diagonal (d,) as `diagonal` returns it.
        params: the tensors that the coordinates belong to, in order, or their shapes or sizes.
            Default: the operator's own; a bare diagonal counts as one tensor.

    Returns:
        (number of tensors,) in float64.

    Raises:
        TypeError, ValueError: sizes that do not add up to d, empty tensors, a diagonal that is not
            a finite vector.

    Source: arXiv 2211.02254.

    Example:
        >>> r_med(torch.tensor([1.0, -1.0, 4.0, 2.0, 2.0]), [3, 2])
        tensor([4., 1.], dtype=torch.float64)
    """
    if isinstance(op_or_diagonal, Tensor) and op_or_diagonal.ndim == 1:
        values = op_or_diagonal.detach()
    elif isinstance(op_or_diagonal, Tensor) and op_or_diagonal.ndim != 2:
        raise ValueError(
            f"a diagonal has shape (d,), not {tuple(op_or_diagonal.shape)}; flatten it first"
        )
    else:
        values = diagonal(op_or_diagonal)
        params = params if params is not None else getattr(op_or_diagonal, "params", None)
    if values.numel() == 0 or not values.dtype.is_floating_point:
        raise ValueError("the diagonal must hold at least one real number")
    if not bool(torch.isfinite(values).all()):
        raise ValueError("the diagonal holds NaN or infinity")
    sizes = [len(values)] if params is None else [_size(p) for p in params]
    if sum(sizes) != len(values) or min(sizes, default=0) < 1:
        raise ValueError(
            f"params have sizes {sizes}, which must be positive and add up to d = {len(values)}"
        )
    parts = values.abs().cpu().double().split(sizes)
    return torch.stack([part.max() / _median(part) for part in parts])


def _size(entry: Any) -> int:
    """Entries of a tensor, a (name, tensor) pair, a shape or a size."""
    if isinstance(entry, Tensor):
        return entry.numel()
    if isinstance(entry, int) and not isinstance(entry, bool):
        return entry
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[1], Tensor):
        return entry[1].numel()
    if isinstance(entry, Sequence) and all(isinstance(n, int) for n in entry):
        return torch.Size(entry).numel()
    raise TypeError(f"params must hold tensors, shapes or sizes, not {type(entry).__name__}")


def _median(values: Tensor) -> Tensor:
    n = len(values)
    upper = values.kthvalue(n // 2 + 1).values
    return upper if n % 2 else (values.kthvalue(n // 2).values + upper) / 2
