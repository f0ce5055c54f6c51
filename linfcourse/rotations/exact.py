"""Rotations that are known exactly: none at all, a signed permutation, a given matrix."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from linfcourse.rotations.base import Rotation
from linfcourse.rotations.haar import dense_rotate
from linfcourse.rotations.randomness import (
    checked_seed,
    child_seed,
    random_order,
    random_signs,
    stream,
)


class Identity(Rotation):
    """R x = x: the control in every comparison. Returns a copy.

    >>> Identity()(torch.ones(2))
    tensor([1., 1.])
    """

    def _arguments(self) -> dict[str, Any]:
        return {}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        return rows


class SignedPermutation(Rotation):
    """Reorders the coordinates and flips signs, without rounding: the symmetries of the ℓ∞ ball.

    Adam, sign descent and Lion do not see it: their paths are the same in these coordinates.

    Args:
        seed: non-negative integer; all that distinguishes one rotation from another.

    >>> R = SignedPermutation(seed=0)
    >>> R(torch.arange(1.0, 5.0)).abs().sort().values
    tensor([1., 2., 3., 4.])
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = checked_seed(seed)

    def child(self, index: int) -> SignedPermutation:
        return SignedPermutation(child_seed(self.seed, index))

    def _arguments(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        d, device = rows.shape[1], rows.device
        order, signs = self._cached(
            (d, rows.dtype, device),
            lambda: (
                random_order(stream(self.seed, d, 0), d).to(device),
                random_signs(stream(self.seed, d, 1), d).to(device, rows.dtype),
            ),
        )
        if inverse:
            return torch.empty_like(rows).index_copy_(1, order, rows * signs)
        return torch.index_select(rows, 1, order).mul_(signs)


class Explicit(Rotation):
    """The rotation by a given orthogonal matrix Q: R x = Q x, for one dimension only.

    Args:
        matrix: float32 or float64, (d, d), with QᵀQ = I to 1e-4 (float32) or 1e-8 (float64) in
            each entry. A copy is kept, and pickled.

    Raises:
        ValueError: the matrix is not square, not finite or not orthogonal; or, later, a vector has
            another dimension than the matrix.
        TypeError: the matrix is not a float32 or float64 tensor.

    >>> R = Explicit(torch.tensor([[0.6, -0.8], [0.8, 0.6]]))
    >>> R(torch.tensor([1.0, 0.0]))
    tensor([0.6000, 0.8000])
    """

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        if not isinstance(matrix, Tensor) or matrix.dtype not in (torch.float32, torch.float64):
            kind = matrix.dtype if isinstance(matrix, Tensor) else type(matrix).__name__
            raise TypeError(f"matrix must be a float32 or float64 tensor, got {kind}")
        if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"matrix must be square, got shape {tuple(matrix.shape)}")
        self._matrix = matrix.detach().clone()
        q = self._matrix.double()
        error = (q.T @ q - torch.eye(len(q), dtype=q.dtype, device=q.device)).abs()
        tolerance = 1e-4 if matrix.dtype == torch.float32 else 1e-8
        if not bool((error <= tolerance).all()):
            raise ValueError(
                f"matrix must be orthogonal: max|QᵀQ − I| is {float(error.max()):.1e}, more than "
                f"{tolerance:.0e}; take the Q of torch.linalg.qr(matrix)"
            )
        entries = self._matrix.cpu().contiguous().numpy().tobytes()
        self._digest = hashlib.sha256(entries).hexdigest()[:16]

    def _arguments(self) -> dict[str, Any]:
        return {"d": len(self._matrix), "sha256": self._digest}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        d = len(self._matrix)
        if rows.shape[1] != d:
            raise ValueError(
                f"this Explicit rotation has a {d} × {d} matrix and cannot act on vectors of "
                f"dimension {rows.shape[1]}: use a seeded rotation for tensors of several sizes"
            )
        q = self._cached(
            (rows.dtype, rows.device), lambda: self._matrix.to(rows.device, rows.dtype)
        )
        return dense_rotate(q, rows, inverse)
