"""A fast random rotation for any dimension: signs, Hadamard transforms and riffles."""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

import torch
from numpy.random import PCG64
from torch import Tensor

from linfcourse.rotations.base import Rotation
from linfcourse.rotations.native import native_transform, transform_columns, transform_rows
from linfcourse.rotations.randomness import (
    checked_seed,
    child_seed,
    random_integer,
    random_order,
    random_signs,
    stream,
)
from linfcourse.rotations.transform import hadamard_transform

LARGEST_WHOLE = 1 << 16  # up to here a vector is transformed whole: 256 kB of float32 stay in cache
_SIGNS = 1 << 18  # random signs of one layer; a longer vector reads overlapping stretches of them
_CPU_CHUNK, _GPU_CHUNK = 1 << 18, 1 << 25  # elements worked on at a time


class Hadamard(Rotation):
    """A structured random rotation in O(d log d) time that any dimension d can have.

    Up to d = 65,536 a round is: random signs, the orthogonal Hadamard transform of the first n
    coordinates (n the largest power of two ≤ d), random signs, the same on the last n. Between
    rounds a riffle moves what the overlap would leave unmixed: the vector is read as rows of a
    random width near √d and written by columns.

    Beyond, the riffle is not carried out: the vector is read in place as an array of about √d/4
    rows. A sweep of three sign layers puts the rows in a random order and transforms down the
    columns (a full transform, then one over each 16 rows), then in blocks of consecutive
    coordinates, four or more rows long. It takes two passes over memory, the least that lets every
    coordinate meet every other. There `rounds` counts sign layers, rounded up to a multiple of 3.
    On a CPU the package fht-cpu (the extra `fast`) does these transforms where it is installed,
    and torch otherwise, in about twice the time; the map is the same to rounding. Up to 65,536
    coordinates torch does them always, so that no bit depends on what is installed.

    Args:
        seed: non-negative integer; all that distinguishes one rotation from another.
        rounds: with 3, ‖R H Rᵀ‖₁,₁ is Haar's to 1 % for d ≤ 65,536, to 4 % beyond. One case is
            known to be worse: beyond 65,536, an H whose diagonal repeats with very nearly the
            width of the array, as can happen where d is a power of two; take rounds=6 for that.

    Memory: O(d) beside the input for d ≤ 65,536, less than 4 MB beyond.

    Source: products of sign flips and Hadamard transforms as random rotations: Ailon and Chazelle
    2009 (SIAM J. Comput. 39); rotating the parameters of a training run: arXiv 2410.08198.

    >>> R = Hadamard(seed=0)
    >>> x = torch.arange(7.0)
    >>> torch.allclose(R.inverse(R(x)), x, atol=1e-5)
    True
    >>> round(float(R(x).norm() / x.norm()), 4)
    1.0
    >>> R == Hadamard(seed=0), R == Hadamard(seed=1)
    (True, False)
    """

    def __init__(self, seed: int = 0, rounds: int = 3) -> None:
        super().__init__()
        self.seed = checked_seed(seed)
        self.rounds = checked_rounds(rounds)

    def child(self, index: int) -> Hadamard:
        return Hadamard(child_seed(self.seed, index), self.rounds)

    def _arguments(self) -> dict[str, Any]:
        return {"seed": self.seed, "rounds": self.rounds}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        d = rows.shape[1]
        kind = _Riffled if d <= LARGEST_WHOLE else _Swept
        plan = self._cached(
            (d, rows.dtype, rows.device),
            lambda: kind(d, self.seed, self.rounds, rows.dtype, rows.device),
        )
        return plan.rotate(rows, inverse)


def checked_rounds(rounds: int) -> int:
    """Return `rounds` as a plain int ≥ 1, or say what is wrong with it."""
    if isinstance(rounds, bool):
        raise TypeError(f"rounds must be a positive integer, got {rounds!r}")
    try:
        rounds = operator.index(rounds)
    except TypeError:
        raise TypeError(f"rounds must be a positive integer, got {rounds!r}") from None
    if rounds < 1:
        raise ValueError(f"rounds must be a positive integer, got {rounds}")
    return rounds


class _Riffled:
    """Rounds of two overlapping transforms, with a riffle between them (d ≤ 65,536)."""

    def __init__(
        self, d: int, seed: int, rounds: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.n = 1 << (d.bit_length() - 1)
        self.signs, self.widths = [], []
        root = math.isqrt(d)
        for t in range(rounds):
            bits = stream(seed, d, t)
            self.widths.append(random_integer(bits, max(1, root * 3 // 4), max(1, root * 4 // 3)))
            # The factor 1/√n that makes the transform orthogonal travels with the signs.
            pair = random_signs(bits, 2 * self.n).to(torch.float64) / math.sqrt(self.n)
            self.signs.append(pair.view(2, self.n).to(device, dtype))

    def rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        # Some rows at a time, so that the buffers stay in cache.
        step = min(len(rows), max(1, _chunk(rows.device) // rows.shape[1]))
        work = rows.new_empty(2, step * self.n)
        for part in rows.split(step):
            part.copy_(self._backward(part, work) if inverse else self._forward(part, work))
        return rows

    def _forward(self, x: Tensor, work: Tensor) -> Tensor:
        for t, (first, last) in enumerate(self.signs):
            x = riffle(x, self.widths[t]) if t else x
            _mix(x[:, : self.n], first, work)
            _mix(x[:, -self.n :], last, work)
        return x

    def _backward(self, x: Tensor, work: Tensor) -> Tensor:
        for t in reversed(range(len(self.signs))):
            first, last = self.signs[t]
            _unmix(x[:, -self.n :], last, work)
            _unmix(x[:, : self.n], first, work)
            x = unriffle(x, self.widths[t]) if t else x
        return x


class _Order(NamedTuple):
    there: Tensor
    back: Tensor


class _Swept:
    """Sweeps of three sign layers, in two passes over memory and in place (for large d).

    The vector is taken as an array of `height` rows, and as consecutive blocks of `block`
    coordinates, each at least three rows long. A sweep: signs, the rows in a random order,
    Hadamard down the columns; signs, Hadamard down each 16 rows; signs, Hadamard in each block.
    The odd width of the array keeps periods of the data, which are mostly even, out of step with
    it. Fewer than 2·height ≤ block/4 coordinates at the end are in no column; what fills no block
    there gets one more block, which overlaps the one before.
    """

    def __init__(
        self,
        d: int,
        seed: int,
        rounds: int,
        dtype: torch.dtype,
        device: torch.device,
        pool: int = _SIGNS,
    ) -> None:
        self.native = native_transform() if device.type == "cpu" else None
        bits = (d - 1).bit_length()
        self.block = 1 << (bits // 2 + 2)
        self.height = 1 << (bits - bits // 2 - 1)
        self.width = (d // self.height - 1) | 1
        blocks = -(-d // self.block)
        layers = (
            (self.height, self.width, self.height),
            (self.height, self.width, 16),
            (blocks, self.block, self.block),
        )
        self.sweeps = []
        for sweep in range(-(-rounds // 3)):
            signs = [
                _overlapping_signs(
                    stream(seed, d, sweep, i), count, length, pool, size**-0.5, dtype, device
                )
                for i, (count, length, size) in enumerate(layers)
            ]
            there = random_order(stream(seed, d, sweep, 3), self.height).to(device)
            self.sweeps.append((_Order(there, there.argsort()), *signs))

    def rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        chunk = _chunk(rows.device)
        together = min(max(1, chunk // self.block), rows.shape[1] // self.block)
        columns = max(32, chunk // self.height)
        if self.native is None:
            columns = min(columns, self.width)
        work = rows.new_empty(2, max(together * self.block, columns * self.height))
        for x in rows:
            for sweep in reversed(self.sweeps) if inverse else self.sweeps:
                if inverse:
                    self._blocks(x, sweep[3], together, work, inverse)
                self._columns(x, *sweep[:3], columns, work, inverse)
                if not inverse:
                    self._blocks(x, sweep[3], together, work, inverse)
        return rows

    def _columns(
        self,
        x: Tensor,
        order: _Order,
        long: Tensor,
        short: Tensor,
        columns: int,
        work: Tensor,
        inverse: bool,
    ) -> None:
        array = x[: self.height * self.width].view(self.height, self.width)
        for tile, s, t in zip(*(v.split(columns, 1) for v in (array, long, short)), strict=True):
            if self.native is not None:
                self._native_columns(tile, order, s, t, work, inverse)
                continue
            a, b = (w[: tile.numel()].view(tile.shape) for w in work)
            full, runs = (1, *tile.shape), (self.height // 16, 16, tile.shape[1])
            if inverse:
                a, b = _transform(a.copy_(tile), b, runs)
                a, b = _transform(a.mul_(t), b, full)
                torch.index_select(a, 0, order.back, out=b)
                torch.mul(b, s, out=tile)
            else:
                torch.mul(tile, s, out=a)
                a, b = _transform(torch.index_select(a, 0, order.there, out=b), a, full)
                a, b = _transform(a.mul_(t), b, runs)
                tile.copy_(a)

    def _native_columns(
        self, tile: Tensor, order: _Order, s: Tensor, t: Tensor, work: Tensor, inverse: bool
    ) -> None:
        count = tile.shape[1]
        padded = 1 << (count - 1).bit_length()
        a, b = (w[: self.height * padded].view(self.height, padded) for w in work)
        a[:, count:] = 0
        scale = 1 / padded**2  # each of the two transforms down the columns brings a factor
        if inverse:
            torch.mul(tile, scale, out=a[:, :count])
            transform_columns(self.native, a, 16)
            a[:, :count].mul_(t)
            transform_columns(self.native, a, self.height)
            torch.index_select(a, 0, order.back, out=b)
            torch.mul(b[:, :count], s, out=tile)
        else:
            torch.mul(tile, s, out=a[:, :count])
            torch.index_select(a, 0, order.there, out=b)
            transform_columns(self.native, b, self.height)
            b[:, :count].mul_(t)
            transform_columns(self.native, b, 16)
            torch.mul(b[:, :count], scale, out=tile)

    def _blocks(self, x: Tensor, signs: Tensor, together: int, work: Tensor, inverse: bool) -> None:
        whole = len(x) // self.block
        blocks = x[: whole * self.block].view(whole, self.block)
        parts = list(zip(blocks.split(together), signs[:whole].split(together), strict=True))
        if len(x) % self.block:
            parts.append((x[-self.block :].view(1, -1), signs[whole:]))
        for part, part_signs in reversed(parts) if inverse else parts:
            if self.native is not None:
                if not inverse:
                    part.mul_(part_signs)
                transform_rows(self.native, part)
                if inverse:
                    part.mul_(part_signs)
                continue
            (_unmix if inverse else _mix)(part, part_signs, work)


def _mix(x: Tensor, signs: Tensor, work: Tensor) -> None:
    """x ← H S x for each row of x, S the diagonal of signs."""
    a, b = (w[: x.numel()].view(*x.shape, 1) for w in work)
    torch.mul(x, signs, out=a.squeeze(2))
    if x.is_contiguous():
        hadamard_transform(a, b, out=x.unsqueeze(2))
    else:
        x.copy_(hadamard_transform(a, b).squeeze(2))


def _unmix(x: Tensor, signs: Tensor, work: Tensor) -> None:
    """x ← S H x for each row of x, which undoes `_mix`."""
    a, b = (w[: x.numel()].view(*x.shape, 1) for w in work)
    if x.is_contiguous():
        a = hadamard_transform(x.unsqueeze(2), b, out=a)
    else:
        a.squeeze(2).copy_(x)
        a = hadamard_transform(a, b)
    torch.mul(a.squeeze(2), signs, out=x)


def _transform(x: Tensor, buffer: Tensor, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """x transformed along the middle axis of `shape`, and whichever tensor it is not in."""
    out = hadamard_transform(x.view(shape), buffer.view(shape))
    return (x, buffer) if out.data_ptr() == x.data_ptr() else (buffer, x)


def riffle(x: Tensor, width: int) -> Tensor:
    """Read each row of x (k, d) as an array `width` wide and write it by columns.

    The d mod width numbers that fill no row go to the front.
    """
    d = x.shape[1]
    rest = d % width
    out = torch.empty_like(x)
    out[:, :rest] = x[:, d - rest :]
    out[:, rest:].unflatten(1, (width, -1)).copy_(
        x[:, : d - rest].unflatten(1, (-1, width)).transpose(1, 2)
    )
    return out


def unriffle(x: Tensor, width: int) -> Tensor:
    """Undo `riffle`."""
    d = x.shape[1]
    rest = d % width
    out = torch.empty_like(x)
    out[:, d - rest :] = x[:, :rest]
    out[:, : d - rest].unflatten(1, (-1, width)).copy_(
        x[:, rest:].unflatten(1, (width, -1)).transpose(1, 2)
    )
    return out


def _overlapping_signs(
    bits: PCG64,
    count: int,
    length: int,
    pool: int,
    scale: float,
    dtype: torch.dtype,
    device: torch.device,
) -> Tensor:
    """`count` rows of `length` signs times `scale`, in the memory of about `pool` numbers.

    The rows are independent where all of them fit. Beyond, row i starts at i·step of one random
    sequence; the step is odd, so that it has nothing in common with the transform's powers of two.
    """
    step = length if count * length <= pool else min(length, (pool // count) | 1)
    signs = random_signs(bits, (count - 1) * step + length).to(torch.float64) * scale
    return signs.to(device, dtype).unfold(0, length, step)


def _chunk(device: torch.device) -> int:
    return _CPU_CHUNK if device.type == "cpu" else _GPU_CHUNK
