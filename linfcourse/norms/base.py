"""What every norm offers, and the views of tensors that the norms share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Norm:
    """A norm on tensors: ``n(x)``, ``n.dual(g)`` and ``n.lmo(g)``. The base of all in this module.

    A subclass gives the three for one tensor. ``lmo_joint`` follows, and may be given where it can
    be had without copying all tensors into one.
    """

    elementwise = False
    """Whether an entry of lmo(g) depends on that entry of g alone, so that g may be cut up."""

    def __call__(self, x: Tensor) -> Tensor:
        """‖x‖, as a 0-d tensor."""
        raise NotImplementedError

    def dual(self, g: Tensor) -> Tensor:
        """The dual norm max_{‖s‖ ≤ 1} ⟨g, s⟩, as a 0-d tensor."""
        raise NotImplementedError

    def lmo(self, g: Tensor) -> Tensor:
        """A minimiser of ⟨g, s⟩ over the unit ball ‖s‖ ≤ 1, of g's shape and dtype."""
        raise NotImplementedError

    def lmo_joint(self, gs: Sequence[Tensor]) -> list[Tensor]:
        """The LMO of the one vector made of all coordinates of all tensors, cut up again."""
        device = gs[0].device
        flat = torch.cat([as_real(g).reshape(-1).to(device) for g in gs])
        pieces = self.lmo(flat).split([as_real(g).numel() for g in gs])
        return [like(s.reshape(as_real(g).shape), g) for s, g in zip(pieces, gs, strict=True)]

    def check(self, g: Tensor, name: str) -> None:
        """Raise ``ValueError`` if ``lmo(g)`` would, calling g by ``name``.

        Optimizers ask for every tensor before they write to any.
        """

    def bind(self, params: Sequence[Tensor]) -> Norm:
        """This norm for the vector made of these tensors: itself, unless it depends on them."""
        return self

    def _key(self) -> tuple[Any, ...]:
        return ()

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._key()))})"


def require_floating(x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"a norm takes a tensor, not {type(x).__name__}: use torch.as_tensor")
    if x.layout is not torch.strided:
        raise TypeError(f"a norm takes a dense tensor, not one of layout {x.layout}: to_dense()")
    if not (x.is_floating_point() or x.is_complex()):
        raise TypeError(f"a norm takes a floating-point tensor, not {x.dtype}: use x.float()")


def as_real(x: Tensor) -> Tensor:
    """A complex tensor as its pairs of reals."""
    return torch.view_as_real(x.resolve_conj()) if x.is_complex() else x


def in_working_precision(x: Tensor) -> Tensor:
    """The tensor in the precision that norms are computed in: float32 for half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def as_vector(x: Tensor) -> Tensor:
    require_floating(x)
    return in_working_precision(as_real(x)).reshape(-1)


def like(s: Tensor, g: Tensor) -> Tensor:
    """A result computed on the real working tensor, as a tensor of g's kind."""
    if g.is_complex():
        s = torch.view_as_complex(s.contiguous())
    return s.to(dtype=g.dtype, device=g.device)


def largest_entry(x: Tensor) -> Tensor:
    return x.abs().amax() if x.numel() else x.new_zeros(())


def safe_scale(largest: Tensor) -> Tensor:
    """What to divide by so that the largest entry becomes 1; 1 if it is zero or not finite."""
    largest = largest.detach()
    return torch.where((largest > 0) & torch.isfinite(largest), largest, 1.0)
