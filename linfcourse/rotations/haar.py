"""Uniformly distributed rotations, as a dense matrix: the reference for the fast ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from linfcourse.rotations.base import Rotation
from linfcourse.rotations.randomness import checked_seed, child_seed, stream

_LARGEST = 16_384  # the float64 matrix takes 2 GiB, its QR decomposition three times that


def haar_matrix(n: int, bits: np.random.PCG64) -> Tensor:
    """An n×n orthogonal matrix (float64, CPU) from the Haar measure.

    The Q of a Gaussian matrix's QR decomposition is not uniform until the signs of R's diagonal,
    which the algorithm chooses, are moved into it (Mezzadri 2007, arXiv math-ph/0609050).
    """
    gaussian = torch.from_numpy(np.random.Generator(bits).standard_normal((n, n)))
    q, r = torch.linalg.qr(gaussian)
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(q)


class Haar(Rotation):
    """A uniformly random element of O(d), by a dense d×d matrix: O(d³) to make, O(d²) to apply.

    Args:
        seed: non-negative integer; all that distinguishes one rotation from another.

    Memory: the matrix of the last dimensions met, d² numbers each. Dimensions above 16,384, whose
    matrix takes more than 2 GiB, raise ValueError: use `Hadamard`.

    Source: Mezzadri 2007, arXiv math-ph/0609050.

    >>> R = Haar(seed=0)
    >>> x = torch.arange(3.0, dtype=torch.float64)
    >>> torch.allclose(R.inverse(R(x)), x)
    True
    """

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.seed = checked_seed(seed)

    def child(self, index: int) -> Haar:
        return Haar(child_seed(self.seed, index))

    def _arguments(self) -> dict[str, Any]:
        return {"seed": self.seed}

    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        d = rows.shape[1]
        if d > _LARGEST:
            raise ValueError(
                f"Haar holds a dense {d} × {d} matrix, {8 * d * d / 2**30:,.0f} GiB, and stops "
                f"at d = {_LARGEST}: use Hadamard(seed={self.seed}) for a rotation of this size"
            )
        q = self._cached(
            (d, rows.dtype, rows.device),
            lambda: haar_matrix(d, stream(self.seed, d)).to(rows.device, rows.dtype),
        )
        return dense_rotate(q, rows, inverse)


def dense_rotate(q: Tensor, rows: Tensor, inverse: bool) -> Tensor:
    """q (or qᵀ) times each row, at the full precision of the rows' dtype."""
    if rows.dtype == torch.float32 and torch.get_float32_matmul_precision() != "highest":
        # TF32 or bf16 products are not orthogonal to float32's precision; float64 ones are exact.
        return dense_rotate(q.double(), rows.double(), inverse).float()
    # A product with `out` keeps its precision under autocast.
    return torch.mm(rows, q if inverse else q.T, out=torch.empty_like(rows))
