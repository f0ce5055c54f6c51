"""The two passes of a blockwise Adam step over one tensor, in pieces that fit in the cache.

A tensor is seen as a matrix whose rows each lie in one block (``partitions.Blocks``). The first
pass reads the gradient and takes each row's sum of squares. The second moves the momentum, and the
parameter by the momentum over the denominator of its row's block. Between the two, the second
moments are a handful of numbers, whatever the tensor's size. Where each row is a block, both are
done piece by piece, and the gradient is read from main memory once.

Half-precision tensors are computed in float32 and rounded once when stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.optim._chunks import same_dense_layout
from linfcourse.optim._compiled import DESCEND, numbers

CHUNK = 524_288
"""Elements in a piece. Measured: smaller ones cost more in calls than they save in the cache."""

SCATTERED_CHUNK = 65_536
"""The same where every coordinate looks its block up: there are more and wider temporaries."""

_LONG_ROW = 16_384
"""Numbers that ``vector_norm`` sums on the CPU with an error below 3e-7 in float32; with a million
it is 2e-5, as it keeps few partial sums."""


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

    def pieces(
        self, uncut: bool = False
    ) -> Iterator[tuple[int, int, tuple[Tensor, Tensor, Tensor]]]:
        """Yield (first row, row after the last, (x, g, m)): whole rows, or parts of a long row.

        Args:
            uncut: all rows at once.
        """
        tensors = (self.x, self.g, self.m)
        chunk = SCATTERED_CHUNK if self.columns == 1 else CHUNK
        if uncut or self.x.device.type != "cpu" or self.x.numel() <= chunk:
            yield 0, self.rows, tensors
        elif self.columns <= chunk:
            height = chunk // self.columns
            split = zip(*(t.split(height) for t in tensors), strict=True)
            for k, part in enumerate(split):
                yield k * height, min((k + 1) * height, self.rows), part
        else:
            for row in range(self.rows):
                split = zip(*(t[row : row + 1].split(chunk, 1) for t in tensors), strict=True)
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


@dataclass
class Sweep:
    """The arithmetic of both passes, for one tensor of one step.

    Attributes:
        beta1: decay of the momentum.
        lr: factor of the momentum in the parameter's move, first bias correction included.
        factor: what decoupled weight decay leaves of x.
        penalty: coupled weight decay, whose gradient penalty · x joins g.
        sign: −1 to ascend.
        compiled: whether the second pass is one compiled loop over all of the tensor.
    """

    beta1: float
    lr: float
    factor: float = 1.0
    penalty: float = 0.0
    sign: int = 1
    compiled: bool = False

    def squares(self, matrices: Matrices, dtype: torch.dtype) -> Iterator[tuple[int, int, Tensor]]:
        """First pass: yield (first row, row after the last, sum of squared gradients of each).

        The sums come in ``dtype``. A row longer than a piece comes in several parts.
        """
        for start, stop, (x, g, _) in matrices.pieces():
            norms = _row_norms(self._gradient(x, g))
            yield start, stop, norms.flatten().to(dtype).square_()

    def move(self, matrices: Matrices, denominator: Callable[[int, int], Tensor]) -> None:
        """Second pass: momentum and parameter.

        ``denominator(first row, row after the last)`` gives those rows' denominators as a column.
        """
        for start, stop, (x, g, m) in matrices.pieces(uncut=self.compiled):
            self._move(x, self._gradient(x, g), m, denominator(start, stop))

    def both(self, matrices: Matrices, denominator: Callable[[int, int, Tensor], Tensor]) -> None:
        """Both passes piece by piece, for rows that fit in one and whose blocks are themselves.

        ``denominator`` is given the ℓ2 norms of the rows' gradients too, as a column.
        """
        for start, stop, (x, g, m) in matrices.pieces(uncut=self.compiled):
            g = self._gradient(x, g)
            self._move(x, g, m, denominator(start, stop, _row_norms(g)))

    def _move(self, x: Tensor, g: Tensor, m: Tensor, denominator: Tensor) -> None:
        """m ← β₁ m + (1 − β₁) g, then x ← factor · x − lr · m / denominator."""
        if self.compiled:
            rate = self.lr / denominator
            DESCEND(x.detach(), g, m, rate, *numbers(1 - self.beta1, self.factor))
            return
        value, momentum = x.to(g.dtype), m.to(g.dtype)
        momentum.lerp_(g, 1 - self.beta1)
        if self.factor != 1.0:
            value.mul_(self.factor)
        value.addcdiv_(momentum, denominator, value=-self.lr)
        if value is not x:
            x.copy_(value)
            m.copy_(momentum)

    def _gradient(self, x: Tensor, g: Tensor) -> Tensor:
        """The gradient that enters both moments, never written to."""
        g = g.to(working_dtype(x.dtype))
        if self.sign < 0:
            g = -g
        return g.add(x, alpha=self.penalty) if self.penalty else g


def _row_norms(g: Tensor) -> Tensor:
    """ℓ2 norm of each row of one piece, as a column."""
    if g.shape[1] == 1:
        return g.abs()
    if g.shape[1] > _LONG_ROW and g.device.type == "cpu":
        return torch.stack([_long_norm(row) for row in g]).unsqueeze(1)
    return torch.linalg.vector_norm(g, dim=1, keepdim=True)


def _long_norm(row: Tensor) -> Tensor:
    parts = [torch.dot(part, part) for part in row.split(65_536)]
    return torch.stack(parts).double().sum().sqrt_().to(row.dtype)
