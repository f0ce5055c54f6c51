"""TF32 on CUDA: products of float32 numbers at 10 bits of mantissa, switched on or off for a while.

Training may use it, a Hessian-vector product must not. torch has an old and a new set of switches
and refuses to read the old one once the new one has been set alone; here either may have been used.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


def has_tf32(device: torch.device) -> bool:
    """Does this device have TF32 units? CUDA cards from compute capability 8.0 on (Ampere) do."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def tf32(device: torch.device, allowed: bool) -> Iterator[None]:
    """Allows or forbids TF32 for matrix products and convolutions; afterwards all is as before.

    On anything but CUDA nothing is touched.

    Args:
        device: where the products run.
        allowed: whether they may be in TF32.
    """
    if device.type != "cuda":
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_switched(*_matmul_switch(), allowed))
        stack.enter_context(_switched(*_convolution_switch(), allowed))
        yield


Setter = Callable[[Any], None]


def _matmul_switch() -> tuple[Any, Any, Any, Setter]:
    """(value now, value without TF32, value with it, setter) for matrix products."""
    matmul = torch.backends.cuda.matmul
    new_api = getattr(matmul, "fp32_precision", None)  # torch >= 2.9
    try:
        level = torch.get_float32_matmul_precision()
        if new_api == "tf32" and level == "highest":
            raise RuntimeError("set by the new interface alone")
    except RuntimeError:
        # Writing the old switch would leave the two in disagreement, so the new one is used.
        return new_api, "ieee", "tf32", lambda value: setattr(matmul, "fp32_precision", value)
    return level, "highest", "high", torch.set_float32_matmul_precision


def _convolution_switch() -> tuple[Any, Any, Any, Setter]:
    """The same for convolutions."""
    cudnn = torch.backends.cudnn
    try:
        value = cudnn.allow_tf32
    except RuntimeError:  # as above
        conv = cudnn.conv
        new_api = conv.fp32_precision
        return new_api, "ieee", "tf32", lambda value: setattr(conv, "fp32_precision", value)
    return value, False, True, lambda value: setattr(cudnn, "allow_tf32", value)


@contextmanager
def _switched(saved: Any, off: Any, on: Any, write: Setter, allowed: bool) -> Iterator[None]:
    if (saved != off) == allowed:  # "medium", too, allows TF32
        yield
        return
    _quietly(write, on if allowed else off)
    try:
        yield
    finally:
        _quietly(write, saved)


def _quietly(write: Setter, value: Any) -> None:
    with warnings.catch_warnings():
        # torch 2.9 warns once that the old switch will go; the floor, 2.6, has no other.
        warnings.simplefilter("ignore", UserWarning)
        write(value)
