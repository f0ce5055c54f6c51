"""Several processes that train one model together, each on its part of every batch.

    torchrun --nproc_per_node=2 -m linfcourse run rotated_gpt --scale gpu

The run is the one that a single process would make with the same configuration, to rounding: a
batch is cut in equal parts, and gradients, losses and Hessian-vector products are averaged over the
processes, as are the statistics of our BatchNorm. So optimizers, rotations and shared second
moments see the same gradient everywhere and need to know nothing of this. Outside `data_parallel`
all functions here act as in a single process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_active = False
_patient: dist.ProcessGroup | None = None  # whose members wait for each other without end


def started_by_torchrun() -> bool:
    """Was this process started by torchrun (or with its variables set), among others?"""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def data_parallel(timeout: float = 600.0) -> Iterator[torch.device]:
    """Inside, the processes that torchrun started train one model together.

    Args:
        timeout: seconds after which a process that waits for the others gives up.

    Yields:
        The device of this process: its own GPU, or the CPU where there are fewer GPUs than
        processes on this machine.

    Raises:
        RuntimeError: torchrun's variables are missing.
    """
    global _active, _patient
    missing = [name for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR") if name not in os.environ]
    if missing:
        raise RuntimeError(
            f"the environment lacks {', '.join(missing)}: start the processes by "
            "`torchrun --nproc_per_node=N -m linfcourse run NAME`"
        )
    local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    on_gpu = count >= int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    device = torch.device("cuda", local) if on_gpu and count else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timedelta(seconds=timeout))
    _active = True
    try:
        yield device
    finally:
        _active, _patient = False, None
        dist.destroy_process_group()


def world_size() -> int:
    """How many processes train together; 1 outside `data_parallel`."""
    return dist.get_world_size() if _active else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if _active else 0


def is_writer() -> bool:
    """Is this the process that writes records and checkpoints and talks to the user?

    Also where somebody else's process group is in use: a model that came wrapped, say.
    """
    return not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0


def own_part(batch: Any) -> Any:
    """This process's part of a batch: an equal share of the first dimension of each tensor.

    Args:
        batch: a tensor, or tuples, lists and dictionaries of tensors; anything else is kept whole.

    Raises:
        ValueError: the batch does not divide by the number of processes.
    """
    if world_size() == 1:
        return batch
    if isinstance(batch, Tensor):
        if batch.dim() == 0:
            return batch
        if len(batch) % world_size():
            raise ValueError(
                f"a batch of {len(batch)} cannot be cut in {world_size()} equal parts: choose a "
                "batch size, or a number of processes, that divides"
            )
        return batch.chunk(world_size())[rank()]
    if isinstance(batch, Mapping):
        return {name: own_part(value) for name, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(own_part(value) for value in batch)
    return batch


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of the processes' tensors, entry by entry; in place."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


class _SumOverProcesses(torch.autograd.Function):
    """The sum of all processes' tensors, in each of them; it is its own adjoint."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return _SumOverProcesses.apply(grad)


def differentiable_mean(values: Tensor) -> Tensor:
    """The mean of the processes' tensors, entry by entry, differentiable to any order.

    Each process backpropagates its own loss; what reaches `values` is the gradient of the sum of
    all of them. So the processes' gradients, averaged, are those of the mean loss. All processes
    have to run the same backward passes.
    """
    return values if world_size() == 1 else _SumOverProcesses.apply(values) / world_size()


def from_writer(value: Any) -> Any:
    """The writer's value, in every process."""
    if world_size() == 1:
        return value
    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]


def in_all_processes(holds: bool) -> bool:
    """Does it hold in each of the processes? The same answer in all of them."""
    if world_size() == 1:
        return holds
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, holds)
    return all(values)


def done_by_writer(function: Callable[[], Any], what: str) -> Any:
    """What `function()` returns in the writer, in every process; the others wait, even for hours.

    Args:
        function: returns something that can be pickled. Called in the writer only.
        what: named where it fails, as in "opening the text".

    Raises:
        Exception: in the writer, what `function` raises.
        RuntimeError: in the others, if it raised, or if the writer is gone.
    """
    if world_size() == 1:
        return function()
    group = _patient_group()  # first, as making it waits for all, and does not notice a death
    held: list[Any] = [None, None]
    error = None
    if rank() == 0:
        try:
            held[0] = function()
        except Exception as raised:
            error, held[1] = raised, f"{type(raised).__name__}: {raised}"
    dist.broadcast_object_list(held, src=0, group=group)
    if error is not None:
        raise error
    if held[1] is not None:
        raise RuntimeError(f"{what} failed in process 0: {held[1]}")
    return held[0]


def _patient_group() -> dist.ProcessGroup:
    """All processes, in a group that waits for a month before it gives up.

    Collectives of the usual group end after minutes, which notices a process that hangs. One that
    dies ends both at once, as its connections are closed.
    """
    global _patient
    if _patient is None:
        _patient = dist.new_group(backend="gloo", timeout=timedelta(days=30))
    return _patient


def require_agreement(value: Any, what: str, patient: bool = False) -> None:
    """Raise where the processes have different values.

    Args:
        value: this process's.
        what: named in the error.
        patient: wait for the others even for hours.

    Raises:
        RuntimeError: in every process, naming `what` and the values.
    """
    if world_size() == 1:
        return
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value, group=_patient_group() if patient else None)
    if any(other != values[0] for other in values):
        raise RuntimeError(f"{what} differs between the processes: {values}")


class _Loss(nn.Module):
    """The loss as a module's forward, the only thing that DistributedDataParallel wraps."""

    def __init__(self, model: nn.Module, loss_fn: Callable[[nn.Module, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, batch: Any) -> Tensor:
        return self.loss_fn(self.model, batch)


def shared_loss(
    model: nn.Module, loss_fn: Callable[[nn.Module, Any], Tensor]
) -> tuple[nn.Module, Callable[[nn.Module, Any], Tensor]]:
    """A module and a loss function whose gradients are averaged over the processes.

    The parameters are the model's own tensors, so an optimizer made before stays valid. torch's
    BatchNorm takes its statistics from the process's own part of a batch; that of
    `linfcourse.models.batch_norm`, which our ResNet has, takes the whole batch's.
    """
    if world_size() == 1 or isinstance(model, DistributedDataParallel):
        return model, loss_fn
    wrapped = DistributedDataParallel(_Loss(model, loss_fn))
    return wrapped, lambda wrapped, batch: wrapped(own_part(batch))
