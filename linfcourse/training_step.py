"""The gradient of one update: in parts, in a precision, compiled, on several processes or one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from linfcourse import distributed
from linfcourse.compiling import Compiled
from linfcourse.mixed_precision import loss_autocast, training_products

COMPILE = ("off", "auto", "on")

LossFunction = Callable[[nn.Module, Any], Tensor]


class UpdateGradient:
    """The mean loss of an update's parts, and its gradient into ``.grad``.

    Args:
        model, loss_fn, batches, accumulate: as for ``linfcourse.training.train``.
        precision: as ``choose_precision`` returns it.
        scaler: of the loss, for fp16.
        compile_at: compile the loss, and try it on the first batch of this update; None: do not.
            Where it cannot be compiled, a warning says why and it is computed as it is.
    """

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        batches: Callable[[int], Any],
        accumulate: int,
        device: torch.device,
        precision: str,
        scaler: torch.amp.GradScaler | None,
        compile_at: int | None = None,
    ) -> None:
        self.model, self.batches, self.accumulate = model, batches, accumulate
        self.device, self.precision, self.scaler = device, precision, scaler
        self._compiled = None if compile_at is None else self._compile(loss_fn, compile_at)
        self._shared, self._shared_loss = distributed.shared_loss(
            model, loss_fn if self._compiled is None else self._compiled
        )

    @property
    def compiled(self) -> bool:
        """Is the loss computed by compiled code?"""
        return self._compiled is not None and self._compiled.active

    def _compile(self, loss_fn: LossFunction, step: int) -> Compiled | None:
        """The loss compiled, in all processes or in none.

        The function is compiled and not the model: the model stays what it was, with the names in
        its ``state_dict``, and can be differentiated twice. One gradient is computed, to see
        whether that works too, and thrown away.
        """
        compiled = Compiled(loss_fn, "the training loss")
        error: Exception | None = None
        if compiled.active:
            buffers = [(buffer, buffer.clone()) for buffer in self.model.buffers()]
            try:
                self._try(compiled, step)
            except Exception as caught:  # a compiler can fail in any way
                error = caught
            with torch.no_grad():
                for buffer, before in buffers:
                    buffer.copy_(before)
        if distributed.in_all_processes(compiled.active and error is None):
            return compiled
        compiled.give_up(error or "it failed in another process")
        return None

    def _try(self, loss_fn: LossFunction, step: int) -> None:
        params = [p for p in self.model.parameters() if p.requires_grad]
        batch = distributed.own_part(self.batches(step * self.accumulate))
        with _alone(self.model, True), training_products(self.precision, self.device):
            with loss_autocast(self.precision, self.device):
                loss = loss_fn(self.model, batch)
            if isinstance(loss, Tensor) and loss.dim() == 0 and loss.requires_grad:
                torch.autograd.grad(loss, params, allow_unused=True)

    def __call__(self, step: int) -> Tensor:
        """Gradients of that update into ``.grad``; the loss, still on its device.

        Raises:
            ValueError: the loss is not a scalar with a gradient.
        """
        total = None
        for part in range(self.accumulate):
            # Wrapped for several processes, the model exchanges gradients once, in the last part.
            waits = part < self.accumulate - 1
            with _alone(self._shared, waits), training_products(self.precision, self.device):
                with loss_autocast(self.precision, self.device):
                    batch = self.batches(step * self.accumulate + part)
                    loss = self._shared_loss(self._shared, batch)
                _check_loss(loss)
                share = loss / self.accumulate
                (share if self.scaler is None else self.scaler.scale(share)).backward()
            share = share.detach()
            total = share if total is None else total + share
        return total


def _alone(model: nn.Module, waits: bool):
    return model.no_sync() if waits and hasattr(model, "no_sync") else nullcontext()


def _check_loss(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.requires_grad:
        got = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise ValueError(
            "loss_fn must return a scalar tensor that depends on the model's parameters, "
            f"got {got}" + (" without a gradient" if got == () else "")
        )
