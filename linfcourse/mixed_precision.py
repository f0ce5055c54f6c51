"""The precision in which a network is trained: by name, or what the device is good at."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from linfcourse.tf32 import has_tf32, tf32

PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "auto")
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(name: str, device: torch.device) -> str:
    """What `name` means on this device: "auto" is resolved, the other names are themselves.

    "auto" is bf16 on CUDA cards that compute in it (compute capability 8.0 and above), fp16 on
    older ones, and fp32 on everything else. A T4 (7.5) would take bf16, too, but emulates it, many
    times slower, so that `torch.cuda.is_bf16_supported()`, which counts that, is not asked.

    Raises:
        ValueError: an unknown name.

    >>> choose_precision("auto", torch.device("cpu"))
    'fp32'
    """
    if name not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {name!r}")
    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.get_device_capability(device) >= (8, 0) else "fp16"


def training_products(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """Inside, products of float32 numbers may be TF32, on cards that have it and unless in fp32.

    For a loss and its gradient alone: an optimizer's step and a Hessian belong outside. With fp32
    torch's own settings stay as they are.

    Args:
        precision: as `choose_precision` returns it.
        device: where the model is.
    """
    allowed = precision != "fp32" and has_tf32(device)
    return tf32(device, allowed=True) if allowed else nullcontext()


def loss_autocast(precision: str, device: torch.device) -> AbstractContextManager[None]:
    """The autocast under which the loss is computed; its gradient is not."""
    if precision not in _AUTOCAST and not torch.amp.is_autocast_available(device.type):
        return nullcontext()
    return torch.autocast(device.type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST)
