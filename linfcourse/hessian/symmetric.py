"""Symmetric operators: all that the estimators need to know of a Hessian, and two simple ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FLOATS = (torch.float32, torch.float64)


def finite(products: Tensor) -> Tensor:
    """`products`, or an error where one is not finite: no estimate may be made from it."""
    # In pieces, as isfinite makes copies.
    if not all(bool(torch.isfinite(part).all()) for part in products.split(2**24)):
        raise ValueError(
            "a Hessian-vector product is not finite: the loss has no second derivative here, "
            "or overflows; check the loss, or compute it in float64"
        )
    return products


class SymmetricOperator:
    """A symmetric d × d matrix H that is known by its products H V alone.

    A subclass sets `dim`, `device`, `dtype` and, where coordinates belong to tensors, `params`,
    and computes `_products(V)`.
    """

    dim: int
    device: torch.device
    dtype: torch.dtype
    params: Sequence[Tensor] | None = None
    names: Sequence[str] | None = None

    def _products(self, vectors: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def block(self) -> int:
        """How many probes the estimators hand over at once: 64, fewer where d is large.

        A block of k probes takes 2 k d numbers; k falls to 4 so that memory stays O(d), and on to 1
        where 4 vectors would be several gigabytes.
        """
        d = max(self.dim, 1)
        return min(max(4, min(64, 2**24 // d)), max(1, 2**28 // d))

    def matmat(self, vectors: Tensor) -> Tensor:
        """H V, column by column.

        Args:
            vectors: (d, k), float32 or float64, on the operator's device. It is cast to the
                operator's dtype.

        Returns:
            (d, k), in the operator's dtype.

        Raises:
            TypeError: not a real floating tensor of 32 or 64 bits.
            ValueError: wrong shape or device.
        """
        if not isinstance(vectors, Tensor):
            raise TypeError(f"vectors must be a tensor, not {type(vectors).__name__}")
        if vectors.layout is not torch.strided:
            raise TypeError(f"vectors have layout {vectors.layout}: make them dense, .to_dense()")
        if vectors.dtype not in FLOATS:
            raise TypeError(
                f"vectors are {vectors.dtype}; a Hessian-vector product needs float32 or float64: "
                "cast them with .to(op.dtype)"
            )
        if vectors.ndim != 2 or vectors.shape[0] != self.dim:
            raise ValueError(
                f"vectors have shape {tuple(vectors.shape)}; need ({self.dim}, k), one column a "
                "vector (a single vector of shape (d,) goes with op @ v)"
            )
        if vectors.device != self.device:
            raise ValueError(
                f"vectors are on {vectors.device} and the operator on {self.device}: move them "
                "with .to(op.device)"
            )
        if vectors.shape[1] == 0:
            return torch.zeros(self.dim, 0, dtype=self.dtype, device=self.device)
        return self._products(vectors.detach().to(self.dtype))

    def __matmul__(self, other: Tensor) -> Tensor:
        """H v for v of shape (d,), or H V for V of shape (d, k)."""
        if isinstance(other, Tensor) and other.ndim == 1:
            return self.matmat(other[:, None])[:, 0]
        return self.matmat(other)

    def columns(self, indices: Tensor) -> Tensor:
        """The columns H eᵢ (by symmetry the rows) for i in `indices`, as (d, len(indices))."""
        count = indices.numel()
        units = torch.zeros(count, self.dim, dtype=self.dtype, device=self.device)
        units[torch.arange(count, device=self.device), indices.to(self.device)] = 1
        return self.matmat(units.T)

    def dense(self, max_dim: int = 20_000) -> Tensor:
        """The matrix itself, (d, d), by d products.

        Args:
            max_dim: the largest d for which this is done; 20,000 is 1.6 GB in float32.

        Raises:
            ValueError: d > max_dim.
        """
        if self.dim > max_dim:
            size = self.dim**2 * torch.finfo(self.dtype).bits / 8e9
            raise ValueError(
                f"dense() of d = {self.dim:,} takes {size:,.1f} GB and {self.dim:,} products; use "
                "norm_11, spectral_norm, diagonal or blockwise_norm, which need products only, or "
                "pass a larger max_dim"
            )
        out = torch.empty(self.dim, self.dim, dtype=self.dtype, device=self.device)
        for start in range(0, self.dim, self.block):
            stop = min(start + self.block, self.dim)
            out[:, start:stop] = self.columns(torch.arange(start, stop))
        return out

    def symmetry_error(self, probes: int = 4, generator: torch.Generator | None = None) -> float:
        """How far the products are from symmetric, relative: ‖G − Gᵀ‖_F/‖G‖_F for G = Vᵀ H V.

        V has Gaussian columns. About 1e-6 in float32 and 1e-15 in float64 where all is well; of
        order one where the loss changes between products.

        Args:
            probes: columns of V, at least 2; each costs one product.
            generator: for V.

        Returns:
            A float; 0 for the zero matrix.
        """
        if not isinstance(probes, int) or isinstance(probes, bool) or probes < 2:
            raise ValueError(f"probes must be an integer of at least 2, not {probes!r}")
        device = generator.device if generator is not None else self.device
        vectors = torch.randn(
            probes, self.dim, dtype=self.dtype, device=device, generator=generator
        ).to(self.device)
        gram = (vectors @ self.matmat(vectors.T)).double()
        size = gram.norm()
        return float((gram - gram.T).norm() / size) if size > 0 else 0.0

    def rotated(self, rotation: Any) -> RotatedOperator:
        """R H Rᵀ: the Hessian in rotated coordinates w = R x.

        Args:
            rotation: R(x) and R.inverse(x) act on the last dimension of (..., d).
        """
        return RotatedOperator(self, rotation)


class RotatedOperator(SymmetricOperator):
    """R H Rᵀ for an operator H and a rotation R; one product of H per product."""

    def __init__(self, op: SymmetricOperator, rotation: Any) -> None:
        if isinstance(rotation, type):
            raise TypeError(
                f"rotation must be a rotation, not the class {rotation.__name__}: "
                f"{rotation.__name__}()"
            )
        if not callable(rotation) or not callable(getattr(rotation, "inverse", None)):
            raise TypeError(
                "rotation must have R(x) and R.inverse(x), such as linfcourse.rotations.Hadamard()"
                f", not {type(rotation).__name__}"
            )
        self.op, self.rotation = op, rotation
        self.dim, self.device, self.dtype = op.dim, op.device, op.dtype
        # Tensors of the rotated vector: the same shapes, cut at the same places.
        self.params, self.names = op.params, op.names

    def _products(self, vectors: Tensor) -> Tensor:
        unrotated = self.rotation.inverse(vectors.T.contiguous())  # (k, d)
        products = self.op.matmat(unrotated.T).T.contiguous()
        del unrotated  # as large as the model, for each probe
        return self.rotation(products).T


class DenseOperator(SymmetricOperator):
    """A symmetric matrix held in memory, for small cases and for checks.

    Args:
        matrix: (d, d), float32 or float64, symmetric to rounding, finite.

    Raises:
        TypeError: not a float32 or float64 tensor.
        ValueError: not square, not finite or not symmetric.

    Example:
        >>> op = DenseOperator(torch.tensor([[2.0, 1.0], [1.0, 3.0]]))
        >>> op @ torch.tensor([1.0, -1.0])
        tensor([ 1., -2.])
    """

    def __init__(self, matrix: Tensor) -> None:
        if not isinstance(matrix, Tensor) or matrix.dtype not in FLOATS:
            kind = matrix.dtype if isinstance(matrix, Tensor) else type(matrix).__name__
            raise TypeError(f"matrix must be a float32 or float64 tensor, not {kind}")
        matrix = matrix.detach()
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or matrix.shape[0] == 0:
            raise ValueError(f"matrix must be square, (d, d) with d ≥ 1, not {tuple(matrix.shape)}")
        if not bool(torch.isfinite(matrix).all()):
            raise ValueError("matrix holds NaN or infinity")
        if float((matrix - matrix.T).abs().max()) > 1e-3 * float(matrix.abs().max()):
            raise ValueError("matrix is not symmetric; take (H + H.T) / 2 if it should be")
        self.matrix = matrix
        self.dim, self.device, self.dtype = matrix.shape[0], matrix.device, matrix.dtype

    def _products(self, vectors: Tensor) -> Tensor:
        return self.matrix @ vectors

    def columns(self, indices: Tensor) -> Tensor:
        return self.matrix[:, indices.to(self.device)]


class _Wrapped(SymmetricOperator):
    """Someone else's operator with `dim` and `matmat` or `@`."""

    def __init__(self, op: Any) -> None:
        self.op, self.dim = op, int(op.dim)
        self.device = torch.device(getattr(op, "device", "cpu"))
        self.dtype = getattr(op, "dtype", torch.get_default_dtype())
        self.params, self.names = getattr(op, "params", None), getattr(op, "names", None)

    def _products(self, vectors: Tensor) -> Tensor:
        product = getattr(self.op, "matmat", None)
        return product(vectors) if product is not None else self.op @ vectors


def as_operator(op: Any) -> SymmetricOperator:
    """`op` as a SymmetricOperator: itself, a matrix, or anything with `dim` and `matmat` or `@`.

    Raises:
        TypeError: none of these.
    """
    if isinstance(op, SymmetricOperator):
        return op
    if isinstance(op, Tensor):
        return DenseOperator(op)
    if hasattr(op, "dim") and (hasattr(op, "matmat") or hasattr(op, "__matmul__")):
        return _Wrapped(op)
    raise TypeError(
        "op must be a HessianOperator, a DenseOperator, a square tensor or have .dim and .matmat, "
        f"not {type(op).__name__}"
    )
