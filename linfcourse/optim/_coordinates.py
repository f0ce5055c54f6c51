"""Some parameters and the one tensor w = Rθ that stands for them in rotated coordinates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from linfcourse.optim._validation import as_real
from linfcourse.rotations import Identity, Rotation


class RotatedCoordinates:
    """Keeps w = Rθ, brings gradients to it and its values back to the parameters.

    Between steps `work` holds Rᵀw as it was written, so that a change of θ by anyone else shows.

    Args:
        params: the tensors θ; one tensor, except for "global".
        rotation: R.
        scope: "global", "per_tensor", "output" or "input"; see `Rotated`.
    """

    def __init__(self, params: Sequence[Tensor], rotation: Rotation, scope: str) -> None:
        self.params = list(params)
        self.scope = scope
        first = as_real(self.params[0].detach()) if self.params else torch.zeros(0)
        flat = scope == "global"
        shape = (sum(as_real(p.detach()).numel() for p in self.params),) if flat else first.shape
        is_matrix = bool(self.params) and self.params[0].dim() >= 2
        self.rotation = rotation if scope in ("global", "per_tensor") or is_matrix else Identity()
        # At least single precision: master weights, to which half-precision θ is a rounding.
        double = any(p.dtype in (torch.float64, torch.complex128) for p in self.params)
        dtype = torch.float64 if double else torch.float32
        self.work = torch.empty(shape, dtype=dtype, device=first.device)
        self._gather([p.detach() for p in self.params])
        self.w = torch.nn.Parameter(self._rotated(self.work.clone(), inverse=False))
        self._known = True  # whether work is Rᵀw as written

    def has_gradient(self) -> bool:
        return any(p.grad is not None for p in self.params)

    def load_gradient(self) -> None:
        """Give w the gradient R∇L, or none if no parameter has one; p.grad is only read."""
        if not self.has_gradient():
            self.w.grad = None
            return
        self._known = False
        self._gather([p.grad for p in self.params])
        # The same strides as w's, without which torch's fused CPU optimizers are silently wrong.
        self.w.grad = self._rotated(self.work, inverse=False)

    def write_back(self) -> None:
        """θ ← Rᵀw."""
        self.w.grad = None
        self.work.copy_(self.w.detach())
        self._rotated(self.work, inverse=True)
        for p, part in self._parts():
            p.copy_(part)
        self._known = True

    def follow_changes(self) -> None:
        """Take w anew from θ if someone else wrote to a parameter since the last step.

        Parameters that nobody touched keep the digits beyond their own dtype.
        """
        exactly = self._known
        if not exactly:
            self.work.copy_(self.w.detach())
            self._rotated(self.work, inverse=True)
        parts = list(self._parts())
        if parts:
            touched = _differ(parts, exactly)
            if any(touched):
                for (p, part), changed in zip(parts, touched, strict=True):
                    if changed:
                        part.copy_(p)
                self.w.detach().copy_(self.work)
                self._rotated(self.w.detach(), inverse=False)
        self._known = True

    def load(self, w: Tensor) -> None:
        """Continue from a saved w."""
        self.w.detach().copy_(w)
        self._known = False

    def _gather(self, tensors: Sequence[Tensor | None]) -> None:
        for tensor, (_, part) in zip(tensors, self._parts(), strict=True):
            if tensor is None:
                part.zero_()
            else:
                part.copy_(as_real(tensor.detach().resolve_conj()))

    def _parts(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Each parameter, as reals, with the part of `work` that is its."""
        start, flat = 0, self.work.view(-1)
        for p in self.params:
            real = as_real(p.detach())
            yield real, flat[start : start + real.numel()].view(real.shape)
            start += real.numel()

    def _rotated(self, x: Tensor, inverse: bool) -> Tensor:
        """R or Rᵀ of x, of w's shape, in place."""
        if x.numel() == 0:
            return x
        if self.scope == "output" and x.dim() >= 2:
            columns = x.view(len(x), -1)
            rotated = columns.T.contiguous()
            self.rotation.apply_(rotated, inverse=inverse)
            columns.copy_(rotated.T)
        elif self.scope == "input" and x.dim() >= 2:
            self.rotation.apply_(x.view(len(x), -1), inverse=inverse)
        else:
            self.rotation.apply_(x.view(-1), inverse=inverse)
        return x

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "work": None, "_known": False}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.work = torch.empty_like(self.w.detach())


def _differ(parts: Sequence[tuple[Tensor, Tensor]], exactly: bool) -> list[bool]:
    """Which parameters are not what was written to them."""
    if not exactly:
        return [not _close(p, written) for p, written in parts]
    if all(p.device.type == "cpu" for p, _ in parts):
        return [not torch.equal(p, written.to(p.dtype)) for p, written in parts]
    # One transfer from the accelerator for all of them.
    return torch.stack([(p != written.to(p.dtype)).any() for p, written in parts]).tolist()


def _close(p: Tensor, written: Tensor) -> bool:
    """Equal to rounding: after loading, Rᵀw was computed anew, perhaps on another device."""
    if not p.numel():
        return True
    # The rounding of a rotation is relative to the whole vector, that of a dtype to the number.
    rotation = 1e3 * torch.finfo(written.dtype).eps * float(written.abs().amax())
    return torch.allclose(
        p.to(written.dtype), written, rtol=8 * torch.finfo(p.dtype).eps, atol=rotation
    )
