"""Full float32 products on CUDA: TF32 off while a Hessian-vector product runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch


@contextmanager
def full_float32(device: torch.device) -> Iterator[None]:
    """Switches TF32 off for matrix products and convolutions, and back to what it was afterwards.

    TF32 keeps 10 bits of mantissa. A Cauchy probe spreads over d orders of magnitude, so its small
    entries would drown. On anything but CUDA nothing is touched.

    Args:
        device: where the products run.
    """
    if device.type != "cuda":
        yield
        return
    with ExitStack() as stack:
        stack.enter_context(_tf32_off(torch.backends.cuda.matmul, _matmul_level()))
        stack.enter_context(_tf32_off(torch.backends.cudnn, _flag(torch.backends.cudnn)))
        yield


Setter = Callable[[Any], None]


def _matmul_level() -> tuple[Any, Any, Setter]:
    """(value now, value without TF32, setter) for matrix products."""
    matmul = torch.backends.cuda.matmul
    new_api = getattr(matmul, "fp32_precision", None)  # torch >= 2.9
    try:
        level = torch.get_float32_matmul_precision()
        if new_api == "tf32" and level == "highest":
            raise RuntimeError("set by the new interface alone")
    except RuntimeError:
        # torch refuses to read the old switch once the new one has been set alone. Writing the old
        # one would then leave the two in disagreement, so the new one is used.
        return new_api, "ieee", lambda value: setattr(matmul, "fp32_precision", value)
    return level, "highest", torch.set_float32_matmul_precision


def _flag(backend: Any) -> tuple[Any, Any, Setter]:
    """(value now, value without TF32, setter) for convolutions."""
    try:
        value = backend.allow_tf32
    except RuntimeError:  # as above: set by the new interface alone
        conv = backend.conv
        return conv.fp32_precision, "ieee", lambda value: setattr(conv, "fp32_precision", value)
    return value, False, lambda value: setattr(backend, "allow_tf32", value)


@contextmanager
def _tf32_off(backend: Any, switch: tuple[Any, Any, Setter]) -> Iterator[None]:
    saved, off, write = switch
    if saved == off:
        yield
        return
    _quietly(write, off)
    try:
        yield
    finally:
        _quietly(write, saved)


def _quietly(write: Setter, value: Any) -> None:
    with warnings.catch_warnings():
        # torch 2.9 warns once that the old switch will go; the floor, 2.6, has no other.
        warnings.simplefilter("ignore", UserWarning)
        write(value)
