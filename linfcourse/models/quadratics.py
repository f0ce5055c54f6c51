"""Quadratic losses ½ xᵀHx and the rotations that turn them: where the theory is exact."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Quadratic(nn.Module):
    """The loss L(x) = ½ xᵀHx of one parameter vector x; its gradient is Hx, its minimum 0.

    Args:
        hessian: H, a symmetric (d, d) matrix, or (d,) for a diagonal one; floating point.
        start: x₀, (d,); by default standard normal numbers drawn from ``seed``.
        seed: of the default start.

    Raises:
        TypeError, ValueError: H is not a symmetric matrix of real numbers, or the start does not
            fit it.

    >>> problem = Quadratic(torch.tensor([4.0, 1.0]), start=torch.tensor([1.0, 2.0]))
    >>> problem.loss().item()
    4.0
    >>> problem.loss().backward()
    >>> problem.x.grad
    tensor([4., 2.])
    """

    hessian: Tensor

    def __init__(self, hessian: Tensor, start: Tensor | None = None, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(hessian, Tensor) or not hessian.is_floating_point():
            raise TypeError("hessian must be a floating-point tensor")
        square = hessian.dim() == 2 and hessian.shape[0] == hessian.shape[1]
        if not (hessian.dim() == 1 or square) or hessian.numel() == 0:
            raise ValueError(
                "hessian must be a square matrix (d, d), or (d,) for a diagonal one, "
                f"got shape {tuple(hessian.shape)}"
            )
        if not torch.isfinite(hessian).all():
            raise ValueError("hessian must hold finite numbers only")
        if square:
            gap = (hessian - hessian.T).abs().max()
            # Room for the rounding of a computed product, not for a matrix that is not symmetric.
            if gap > 1e3 * torch.finfo(hessian.dtype).eps * hessian.abs().max():
                raise ValueError(
                    f"hessian must be symmetric, but it differs from its transpose by {gap:.3g}: "
                    "pass (H + H.T) / 2"
                )
        d = hessian.shape[0]
        if start is None:
            generator = torch.Generator().manual_seed(seed)
            start = torch.randn(d, generator=generator, dtype=torch.float64).to(hessian)
        if not isinstance(start, Tensor) or start.shape != (d,):
            shape = tuple(start.shape) if isinstance(start, Tensor) else type(start).__name__
            raise ValueError(f"start must be a vector of {d} numbers, got {shape}")
        self.register_buffer("hessian", hessian.detach().clone())
        self.x = nn.Parameter(start.detach().to(hessian).clone())

    def forward(self, x: Tensor | None = None) -> Tensor:
        """½ xᵀHx at ``x``, (d,) or a batch (..., d); by default at the parameter.

        Returns:
            A scalar, or one loss for each of the batch.
        """
        x = self.x if x is None else x
        gradient = self.hessian * x if self.hessian.dim() == 1 else x @ self.hessian
        return 0.5 * (x * gradient).sum(dim=-1)

    def loss(self, x: Tensor | None = None) -> Tensor:
        """The same as calling the object."""
        return self(x)

    def dense(self) -> Tensor:
        """H as a (d, d) matrix."""
        return self.hessian.diag() if self.hessian.dim() == 1 else self.hessian.clone()

    def rotated(self, rotation: Tensor | Callable[[Tensor], Tensor]) -> Quadratic:
        """The same problem in the coordinates w = Rx: Hessian R H Rᵀ, start R x₀.

        An optimizer that does not look at coordinates (SGD) makes the same losses on both.

        Args:
            rotation: R, an orthogonal (d, d) matrix, or a rotation object that maps the last
                dimension of (..., d).

        >>> flipped = Quadratic(torch.tensor([4.0, 1.0])).rotated(torch.tensor([[0., 1], [1, 0]]))
        >>> flipped.dense().diag()
        tensor([1., 4.])
        """
        d = self.x.numel()
        if isinstance(rotation, Tensor):
            if rotation.shape != (d, d):
                raise ValueError(f"rotation must have shape ({d}, {d}), got {rotation.shape}")
            matrix = rotation.to(self.hessian)
            eye = torch.eye(d, dtype=matrix.dtype, device=matrix.device)
            gap = (matrix @ matrix.T - eye).abs().max()
            if not gap < math.sqrt(torch.finfo(matrix.dtype).eps):
                raise ValueError(f"rotation must be orthogonal, but R Rᵀ is {gap:.3g} off identity")

            def rotate(rows: Tensor) -> Tensor:
                return rows @ matrix.T
        elif callable(rotation):
            rotate = rotation
        else:
            raise TypeError("rotation must be a matrix or a rotation object such as Haar(seed=0)")
        with torch.no_grad():
            # R maps rows: the first pass makes H Rᵀ, the second R on the columns of that.
            turned = rotate(rotate(self.dense()).T.contiguous())
            start = rotate(self.x.detach())
        return Quadratic((turned + turned.T) / 2, start=start)


def hard_spectrum(d: int = 1000, heavy: int = 10, dtype: torch.dtype = torch.float64) -> Tensor:
    """Eigenvalues on which coordinates decide everything: 1 ten times, then 1/k², k = 1, 2, ….

    As a diagonal Hessian its (1,1)-norm is its trace, 11.6 for d = 1000, while d‖H‖₂ = 1000: Adam
    has a hundredfold advantage over AdaSGD, and a rotation takes it away.

    Args:
        d: dimension.
        heavy: how many eigenvalues are 1 before the tail begins, 0 <= heavy <= d.
        dtype: of the result.

    Returns:
        (d,) eigenvalues, largest first.

    >>> round(hard_spectrum().sum().item(), 1)
    11.6
    """
    if isinstance(d, bool) or not isinstance(d, int) or d < 1:
        raise ValueError(f"d must be an integer >= 1, got {d!r}")
    if isinstance(heavy, bool) or not isinstance(heavy, int) or not 0 <= heavy <= d:
        raise ValueError(f"heavy must be an integer between 0 and d = {d}, got {heavy!r}")
    k = torch.arange(1, d - heavy + 1, dtype=torch.float64)
    return torch.cat([torch.ones(heavy, dtype=torch.float64), k**-2]).to(dtype)


class RotationFamily:
    """R_t = exp(tM), a path of rotations that leaves the identity at t = 0.

    M = (A − Aᵀ) / (2√d) with A of standard normal numbers, so that every R_t is orthogonal with
    determinant 1. M is diagonalised once (iM is Hermitian: M = V diag(−iω) Vᴴ), after which any t
    costs two matrix products, and a rotated vector no matrix at all.

    Make it with :func:`rotation_family`.
    """

    def __init__(self, d: int, seed: int, dtype: torch.dtype) -> None:
        self.d, self.seed, self.dtype = d, seed, dtype
        generator = torch.Generator().manual_seed(seed)
        A = torch.randn(d, d, generator=generator, dtype=torch.float64)
        M = (A - A.T) / (2 * math.sqrt(d))
        self._frequencies, self._vectors = torch.linalg.eigh(1j * M)  # (d,), (d, d)

    def __call__(self, t: float) -> Tensor:
        """The matrix R_t, (d, d)."""
        turned = self._vectors * self._phases(t)
        # Re(turned Vᴴ), without computing the imaginary part, which is zero.
        real = turned.real @ self._vectors.real.T + turned.imag @ self._vectors.imag.T
        return real.to(self.dtype)

    def rotate(self, x: Tensor, t: float) -> Tensor:
        """R_t applied to the last dimension of ``x`` (..., d), in O(d²) a vector."""
        if x.shape[-1:] != (self.d,):
            raise ValueError(
                f"x must have {self.d} numbers in its last dimension, got {tuple(x.shape)}"
            )
        coefficients = x.to(torch.complex128) @ self._vectors.conj()  # (..., d)
        return ((coefficients * self._phases(t)) @ self._vectors.T).real.to(x.dtype)

    def _phases(self, t: float) -> Tensor:
        return torch.exp(-1j * self._frequencies * t)

    def __repr__(self) -> str:
        return f"rotation_family(d={self.d}, seed={self.seed})"


def rotation_family(d: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> RotationFamily:
    """A path of rotations R_t = exp(tM) from the identity (t = 0) to a thorough mix (t ≈ 10).

    Args:
        d: dimension.
        seed: of the random skew-symmetric M.
        dtype: of the matrices; they are computed in float64.

    Returns:
        A function of t that returns R_t, (d, d). Also ``.rotate(x, t)`` for vectors.

    Source: experiment on quadratics in the manner of Xie et al. 2024, arXiv 2410.08198.

    >>> family = rotation_family(5, seed=0)
    >>> torch.allclose(family(0.0), torch.eye(5, dtype=torch.float64))
    True
    >>> torch.allclose(family(1.0) @ family(2.0), family(3.0))
    True
    """
    if isinstance(d, bool) or not isinstance(d, int) or d < 1:
        raise ValueError(f"d must be an integer >= 1, got {d!r}")
    return RotationFamily(d, seed, dtype)


def narrow_valley(
    condition: float = 20.0, angle: float = 0.0, start: tuple[float, float] = (-2.0, 1.0)
) -> Quadratic:
    """A two-dimensional valley for pictures: steep across, flat along, turned by an angle.

    Args:
        condition: curvature across over curvature along, the latter being 1; at least 1.
        angle: of the valley's floor from the first axis, in radians. At 0 the valley lies
            along an axis, where Adam is at its best; at π/4 it lies between the axes.
        start: x₀.

    >>> narrow_valley(condition=10.0).dense()
    tensor([[ 1.,  0.],
            [ 0., 10.]], dtype=torch.float64)
    """
    if not 1.0 <= condition < math.inf:
        raise ValueError(f"condition must be a finite number >= 1, got {condition!r}")
    if not math.isfinite(angle):
        raise ValueError(f"angle must be a finite number of radians, got {angle!r}")
    cos, sin = math.cos(angle), math.sin(angle)
    R = torch.tensor([[cos, -sin], [sin, cos]], dtype=torch.float64)
    H = R @ torch.diag(torch.tensor([1.0, condition], dtype=torch.float64)) @ R.T
    return Quadratic((H + H.T) / 2, start=torch.tensor(start, dtype=torch.float64))
