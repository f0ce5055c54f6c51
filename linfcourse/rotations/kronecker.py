"""The rotation of the ℓ∞-geometry paper: random permutations and 3-way Kronecker products."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from linfcourse.rotations.base import Rotation
from linfcourse.rotations.haar import haar_matrix
from linfcourse.rotations.hadamard import checked_rounds
from linfcourse.rotations.randomness import checked_seed, child_seed, stream
from linfcourse.rotations.transform import multiply_axis

_DENSE = 64  # below this dimension one Haar matrix is used instead of three small factors


class PermutedKronecker(Rotation):
    """`rounds` times: a random permutation, then A ⊗ B ⊗ C with three Haar-random factors.

    The factors have sizes a, b, c near ∛d with a·b·c ≤ d as near d as can be; the coordinates
    left over stay where the permutation put them in that round. Below d = 64 a round has one
    factor, of size d. Cost O(d^{4/3}).

    Args:
        seed: non-negative integer; all that distinguishes one rotation from another.
        rounds: 2, as in the paper, come close to Haar; 1 does not.

    Memory: 4d bytes for the permutation of each round, cached.

    Source: Xie, Mohamadi, Li 2024, arXiv 2410.08198 (whose QR has no sign fix; here it has).

    >>> R = PermutedKronecker(seed=0)
    >>> x = torch.arange(101.0, dtype=torch.float64)
    >>> torch.allclose(R.inverse(R(x)), x), kronecker_sizes(1000)
    (True, (10, 10, 10))
    """

    def __init__(self, seed: int = 0, rounds: int = 2) -> None:
        super().__init__()
        self.seed = checked_seed(seed)
        self.rounds = checked_rounds(rounds)

    def child(self, index: int) -> PermutedKronecker:
        return PermutedKronecker(child_seed(self.seed, index), self.rounds)

    def _arguments(self) -> dict[str, Any]:
        return {"seed": self.seed, "rounds": self.rounds}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        d = rows.shape[1]
        sizes = kronecker_sizes(d)
        exact = torch.get_float32_matmul_precision() == "highest"
        dtype = rows.dtype if exact else torch.float64  # see dense_rotate
        plan = self._cached((d, dtype, rows.device), lambda: self._build(d, dtype, rows.device))
        x, y = rows.to(dtype), torch.empty_like(rows, dtype=dtype)
        for order, factors in reversed(plan) if inverse else plan:
            if inverse:
                x, y = _multiply(x, y, factors, sizes, inverse)
                # In place of a second table: scatter by the same one.
                x, y = y.index_copy_(1, order.long(), x), x
            else:
                x, y = torch.index_select(x, 1, order, out=y), x
                x, y = _multiply(x, y, factors, sizes, inverse)
        return x.to(rows.dtype)

    def _build(
        self, d: int, dtype: torch.dtype, device: torch.device
    ) -> list[tuple[Tensor, list[Tensor | None]]]:
        index = torch.int32 if d < 2**31 else torch.int64
        rounds = []
        for t in range(self.rounds):
            order = np.random.Generator(stream(self.seed, d, t)).permutation(d)
            factors = [
                haar_matrix(size, stream(self.seed, d, t, axis))
                for axis, size in enumerate(kronecker_sizes(d))
            ]
            # Looked at here, on the CPU: later it would make the host wait for the device.
            moved = [
                None if f.shape == (1, 1) and f[0, 0] == 1 else f.to(device, dtype) for f in factors
            ]
            rounds.append((torch.from_numpy(order).to(device, index), moved))
        return rounds


def _multiply(
    x: Tensor, y: Tensor, factors: list[Tensor | None], sizes: tuple[int, int, int], inverse: bool
) -> tuple[Tensor, Tensor]:
    """A ⊗ B ⊗ C times the first a·b·c coordinates of each row; returns the result and a spare.

    A factor that is None is the number 1.
    """
    k, d = x.shape
    n = sizes[0] * sizes[1] * sizes[2]
    rest = x[:, n:].clone()
    if n < d and k > 1:  # the products need contiguous rows
        x, y = x[:, :n].contiguous(), y.new_empty(k, n)
    before, after = k, n
    source, target = (v.view(-1)[: k * n] for v in (x, y))
    for size, factor in zip(sizes, factors, strict=True):
        after //= size
        if factor is not None:
            shape = (before, size, after)
            multiply_axis(factor.T if inverse else factor, source.view(shape), target.view(shape))
            source, target = target, source
        before *= size
    if n == d or k == 1:
        if source.data_ptr() == y.data_ptr():
            x, y = y, x
        x[:, n:] = rest
        return x, y
    out = torch.cat((source.view(k, n), rest), 1)
    return out, torch.empty_like(out)


def kronecker_sizes(d: int) -> tuple[int, int, int]:
    """Sizes a ≤ b ≤ c near ∛d whose product is at most d and as near d as possible."""
    if d < _DENSE:
        return (1, 1, d)
    root = d ** (1 / 3)
    a, b = np.meshgrid(*[np.arange(int(0.75 * root), int(1.25 * root) + 1, dtype=np.int64)] * 2)
    c = d // (a * b)
    spread = np.maximum(np.maximum(a, b), c) / np.minimum(np.minimum(a, b), np.maximum(c, 1))
    left = d - a * b * c
    # Least left over first; among those, the most cubic. A factor may not be stretched far.
    left = np.where((c >= 0.7 * root) & (c <= 1.4 * root), left, d)
    best = np.lexsort((spread.ravel(), left.ravel()))[0]
    return tuple(sorted(int(v.ravel()[best]) for v in (a, b, c)))
