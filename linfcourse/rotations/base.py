"""What every rotation can do, given only how it acts on the rows of a matrix."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_CACHED_DIMENSIONS = 4  # per rotation object; each entry is O(d), except Haar's and Explicit's


class Rotation(ABC):
    """A fixed orthogonal map R of ℝᵈ, made by a seed and good for every dimension d.

    `R(x)` and `R.inverse(x)` act on the last dimension of a tensor of shape (..., d). Device and
    dtype follow the input; half precision is computed in float32 and rounded once at the end.
    Both are differentiable, to any order, in reverse and forward mode: the gradient of R is its
    inverse. The same seed gives the same map on every device.

    A rotation is its seed: `==`, `hash`, `repr`, pickle and deepcopy go by it. What it derives
    from the seed is cached for the last few dimensions met, and never pickled.
    """

    def __init__(self) -> None:
        self._cache: dict[Any, Any] = {}

    @abstractmethod
    def _rotate(self, rows: Tensor, inverse: bool) -> Tensor:
        """Rotate each row of a contiguous (k, d) float32 or float64 tensor, k, d ≥ 1.

        The tensor belongs to the callee, which may work in place and return it.
        """

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """The constructor's arguments: all that this rotation is."""

    def child(self, index: int) -> Rotation:
        """The rotation of the same kind for the `index`-th tensor, independent of the others."""
        return self

    def __call__(self, x: Tensor) -> Tensor:
        """R x along the last dimension of x, of shape (..., d)."""
        return self._act(x, inverse=False)

    def inverse(self, x: Tensor) -> Tensor:
        """Rᵀ x along the last dimension of x, of shape (..., d)."""
        return self._act(x, inverse=True)

    def apply_(self, x: Tensor, *, inverse: bool = False) -> Tensor:
        """Rotate the last dimension of x in place, without a second copy of a large vector.

        Args:
            x: contiguous, float32 or float64, of shape (..., d). Autograd does not see the change.
            inverse: apply Rᵀ instead of R.

        Returns:
            x itself.

        Raises:
            ValueError: x is not contiguous, or takes part in a graph that is being recorded.
            TypeError: x is not float32 or float64.
        """
        _check_input(x)
        if x.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"apply_ needs float32 or float64, got {x.dtype}: use R(x)")
        if not x.is_contiguous():
            raise ValueError("apply_ needs a contiguous tensor: use R(x)")
        if x.requires_grad and torch.is_grad_enabled():
            raise ValueError("apply_ is not differentiable: use R(x), or wrap in torch.no_grad()")
        if x.numel():
            with torch.no_grad():
                rows = x.detach().view(-1, x.shape[-1])
                rotated = self._rotate(rows, inverse)
                if rotated.data_ptr() != rows.data_ptr():
                    rows.copy_(rotated)
        return x

    def matrix(
        self, d: int, *, dtype: torch.dtype = torch.float64, device: torch.device | None = None
    ) -> Tensor:
        """The d×d matrix of R, so that `R.matrix(d) @ x` equals `R(x)`. For small d.

        >>> from linfcourse.rotations import Hadamard
        >>> M = Hadamard(seed=0).matrix(5)
        >>> torch.allclose(M @ M.T, torch.eye(5, dtype=M.dtype))
        True
        """
        if isinstance(d, bool) or not isinstance(d, int) or d < 0:
            raise ValueError(f"d must be a non-negative integer, got {d!r}")
        return self(torch.eye(d, dtype=dtype, device=device)).T.contiguous()

    def _act(self, x: Tensor, inverse: bool) -> Tensor:
        _check_input(x)
        return _Apply.apply(x, self, inverse)

    def _compute(self, x: Tensor, inverse: bool) -> Tensor:
        if x.numel() == 0:
            return x.clone()
        wide = x.dtype if x.dtype == torch.float64 else torch.float32
        rows = torch.empty(x.shape, dtype=wide, device=x.device).copy_(x).view(-1, x.shape[-1])
        return self._rotate(rows, inverse).reshape(x.shape).to(x.dtype)

    def _cached(self, key: Any, build: Callable[[], Any]) -> Any:
        if key not in self._cache:
            made = build()  # before anything is dropped, so that a failure changes nothing
            while len(self._cache) >= _CACHED_DIMENSIONS:
                self._cache.pop(next(iter(self._cache)), None)
            self._cache[key] = made
        return self._cache[key]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._arguments() == other._arguments()

    def __hash__(self) -> int:
        return hash((type(self), *self._arguments().values()))

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={value!r}" for name, value in self._arguments().items())
        return f"{type(self).__name__}({arguments})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": {}}


class _Apply(torch.autograd.Function):
    """R is linear and RᵀR = I: its derivative is itself, and its adjoint its inverse."""

    @staticmethod
    def forward(x: Tensor, rotation: Rotation, inverse: bool) -> Tensor:
        return rotation._compute(x, inverse)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
        _, ctx.rotation, ctx.inverse = inputs

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        return _Apply.apply(grad, ctx.rotation, not ctx.inverse), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        return _Apply.apply(tangent, ctx.rotation, ctx.inverse)

    @staticmethod
    def vmap(info: Any, in_dims: tuple, x: Tensor, rotation: Rotation, inverse: bool) -> tuple:
        if in_dims[0] is None:
            return _Apply.apply(x, rotation, inverse), None
        return _Apply.apply(x.movedim(in_dims[0], 0), rotation, inverse), 0


def _check_input(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"a rotation acts on a torch.Tensor, got {type(x).__name__}")
    if x.is_complex():
        raise TypeError(f"a rotation acts on real tensors, got {x.dtype}: use torch.view_as_real")
    if not x.is_floating_point():
        raise TypeError(f"a rotation acts on floating-point tensors, got {x.dtype}: convert it")
    if x.layout != torch.strided:
        raise TypeError(f"a rotation acts on dense tensors, got {x.layout}: use x.to_dense()")
    if x.dim() == 0:
        raise ValueError("a rotation acts on the last dimension, x has none: use x.reshape(1)")
