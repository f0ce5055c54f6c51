"""The two passes of a blockwise Adam step over one tensor, in pieces that fit in the cache.

A tensor is seen as a matrix whose rows each lie in one block (``partitions.Blocks``). The first
pass reads the gradient once: it moves the momentum and takes each row's sum of squares. The second
divides the momentum by the denominator of its row's block. Between the two, the second moments are
a handful of numbers, whatever the tensor's size. Where a row is a block of its own, both passes are
done piece by piece while the piece is in the cache.

Half-precision tensors are computed in float32 and rounded once when stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.optim._chunks import same_dense_layout

CHUNK = 131_072
"""Elements in a piece; bigger than elementwise code needs, as each piece has per-row arithmetic."""


@dataclass
class Decay:
    """How weight decay enters: as a factor on x, or as a penalty's gradient added to g."""

    factor: float = 1.0
    penalty: float = 0.0


class Matrices:
    """Parameter x, gradient g and momentum m of one tensor as matrices of ``rows`` rows.

    They are views where the three lie in memory in an order that keeps rows together, else
    contiguous copies, which ``write_back`` returns to their places.
    """

    def __init__(self, rows: int, x: Tensor, g: Tensor, m: Tensor) -> None:
        self.rows = rows
        self._targets: list[tuple[Tensor, Tensor]] = []
        if _rows_lie_together(x, rows) and same_dense_layout(x, m):
            if not same_dense_layout(x, g):
                g = torch.empty_like(x).copy_(g)
            self.x, self.g, self.m = (
                t.as_strided((rows, t.numel() // rows), (t.numel() // rows, 1), t.storage_offset())
                for t in (x, g, m)
            )
        else:
            self.x, self.g, self.m = (
                t.clone(memory_format=torch.contiguous_format).view(rows, -1) for t in (x, g, m)
            )
            self._targets = [(x, self.x), (m, self.m)]

    @property
    def columns(self) -> int:
        return self.x.shape[1]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the arithmetic."""
        return working_dtype(self.x.dtype)

    def write_back(self) -> None:
        for target, copy in self._targets:
            target.copy_(copy.view(target.shape))

    def pieces(self) -> Iterator[tuple[int, int, tuple[Tensor, Tensor, Tensor]]]:
        """Yield (first row, row after the last, (x, g, m)): whole rows, or parts of a long row."""
        tensors = (self.x, self.g, self.m)
        if self.x.device.type != "cpu" or self.x.numel() <= CHUNK:
            yield 0, self.rows, tensors
        elif self.columns <= CHUNK:
            height = CHUNK // self.columns
            split = zip(*(t.split(height) for t in tensors), strict=True)
            for k, part in enumerate(split):
                yield k * height, min((k + 1) * height, self.rows), part
        else:
            for row in range(self.rows):
                split = zip(*(t[row : row + 1].split(CHUNK, 1) for t in tensors), strict=True)
                yield from ((row, row + 1, part) for part in split)


def _rows_lie_together(t: Tensor, rows: int) -> bool:
    """Whether a dense tensor's memory lists its rows one after the other, in order."""
    if t.is_contiguous() or rows == 1:
        return same_dense_layout(t)
    axes = [axis for axis, size in enumerate(t.shape) if size > 1]
    leading = [axis for axis in axes if math.prod(t.shape[: axis + 1]) <= rows]
    outermost = sorted(axes, key=lambda axis: -t.stride(axis))[: len(leading)]
    return outermost == leading and same_dense_layout(t)


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """The precision of the arithmetic: float32 for half-precision tensors, else their own."""
    return torch.promote_types(dtype, torch.float32)


def _momentum(
    x: Tensor, g: Tensor, m: Tensor, beta1: float, sign: int, decay: Decay
) -> tuple[Tensor, Tensor]:
    """m ← β₁ m + (1 − β₁) g on one piece; returns g (signed, with penalty) and m as computed."""
    dtype = working_dtype(x.dtype)
    gradient, momentum = g.to(dtype), m.to(dtype)
    if sign < 0:
        gradient = -gradient
    if decay.penalty:
        gradient = gradient.add(x.to(dtype), alpha=decay.penalty)
    momentum.lerp_(gradient, 1 - beta1)
    if momentum is not m:
        m.copy_(momentum)
    return gradient, momentum


def _row_norms(g: Tensor) -> Tensor:
    """ℓ2 norm of each row of one piece."""
    return g.flatten().abs() if g.shape[1] == 1 else torch.linalg.vector_norm(g, dim=1)


def _descend(x: Tensor, m: Tensor, denominator: Tensor, lr: float, decay: Decay) -> None:
    """x ← factor · x − lr · m / denominator on one piece."""
    value = x.to(m.dtype)
    if decay.factor != 1.0:
        value.mul_(decay.factor)
    value.addcdiv_(m, denominator.to(m.dtype).unsqueeze(1), value=-lr)
    if value is not x:
        x.copy_(value)


def moment_sweep(
    matrices: Matrices, beta1: float, sign: int, decay: Decay, dtype: torch.dtype
) -> Iterator[tuple[int, int, Tensor]]:
    """First pass: move the momentum; yield (first row, row after the last, sums of squares).

    The sums come in ``dtype``. A row longer than a piece comes in several parts.
    """
    for start, stop, (x, g, m) in matrices.pieces():
        gradient, _ = _momentum(x, g, m, beta1, sign, decay)
        yield start, stop, _row_norms(gradient).to(dtype).square_()


def descent_sweep(
    matrices: Matrices, denominator: Callable[[int, int], Tensor], lr: float, decay: Decay
) -> None:
    """Second pass: ``denominator(first row, row after the last)`` gives each row's."""
    for start, stop, (x, _, m) in matrices.pieces():
        _descend(x, m.to(matrices.dtype), denominator(start, stop), lr, decay)


def joint_sweep(
    matrices: Matrices,
    beta1: float,
    sign: int,
    decay: Decay,
    lr: float,
    denominator: Callable[[int, int, Tensor], Tensor],
) -> None:
    """Both passes at once, for rows that fit in a piece and whose blocks need no other row.

    ``denominator(first row, row after the last, ℓ2 norms of g's rows)`` gives each row's.
    """
    for start, stop, (x, g, m) in matrices.pieces():
        gradient, momentum = _momentum(x, g, m, beta1, sign, decay)
        _descend(x, momentum, denominator(start, stop, _row_norms(gradient)), lr, decay)
