"""Counts what would run on a GPU, on torch's "meta" device, which has shapes and no numbers."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils import _foreach_utils
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

META = torch.device("meta")


@dataclass(frozen=True)
class Card:
    """What a card does in practice, not on paper.

    Args:
        launch: seconds from one kernel to the next where the host is what limits.
        bandwidth: bytes a second.
        rates: dtype → floating-point operations a second in products.
        half: the same for float32 products under autocast to float16.
        wait: seconds that are lost when the host reads a number from the device.
        start: seconds for imports, data, kernels that are loaded or compiled; once a run.
    """

    launch: float
    bandwidth: float
    rates: dict[torch.dtype, float] = field(hash=False)
    half: float
    wait: float
    start: float


# 8 µs: torch's own overhead for an operation and its gradient on Colab's processor.
T4 = Card(8e-6, 240e9, {torch.float32: 4e12, torch.float64: 0.2e12}, 20e12, 20e-6, 90.0)
CASTS = 1.3  # launches under autocast for one without: weights and activations are converted

_FALSE = ("any", "ne", "gt", "lt", "isnan", "isinf", "logical_not")
_FREE = ("empty", "detach", "lift_fresh", "alias", "_unsafe_view", "set_")
_FACTORISATIONS = ("_linalg_eigh", "_linalg_svd", "linalg_qr", "_linalg_solve_ex", "linalg_inv_ex")


# (card, half) → operation with the shapes of its arguments → what it cost and gave.
_seen: dict[Any, dict[Any, Any]] = {}


class Meter(TorchDispatchMode):
    """Counts what would run on the card; numbers that the host asks for are made up.

    Args:
        card: whose time is taken.
        half: whether products of float32 are in half precision.
        answer: what a floating-point number is, when it is asked for.
    """

    def __init__(self, card: Card, half: bool = False, answer: float = 1.0) -> None:
        super().__init__()
        self.card, self.half, self.answer = card, half, answer
        self.launches = self.waits = 0
        self.mixed: list[str] = []  # operations on tensors of the card and of the host
        self.seconds = self.cpu_seconds = self.flops = 0.0
        self._seen = _seen.setdefault((card, half), {})

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._overloadpacket.__name__
        given = [x for x in tree_iter((args, kwargs)) if isinstance(x, Tensor)]
        if any(x.is_meta for x in given):
            if name not in ("_to_copy", "copy_") and any(x.dim() and not x.is_meta for x in given):
                self.mixed.append(name)
            if name == "_local_scalar_dense":
                return self._scalar(given[0])
            if name == "_to_copy" and torch.device(kwargs.get("device") or META).type == "cpu":
                self._wait()
                dtype = kwargs.get("dtype") or given[0].dtype
                return torch.full(given[0].shape, self.answer, dtype=dtype)
            known = self._known(func, args, kwargs)
            if known is not None:
                return known
        began = time.perf_counter()
        out = func(*args, **kwargs)
        took = time.perf_counter() - began
        made = [x for x in tree_iter(out) if isinstance(x, Tensor)]
        if not any(x.is_meta for x in (*given, *made)):
            self.cpu_seconds += took
            return out
        if func.is_view or name.removesuffix("_like").removesuffix("_strided") in _FREE:
            return out
        before = self.seconds, self.flops
        self._count(func, name, given, made, args, kwargs, out)
        for x in made:
            if x.dtype is torch.bool:
                x.truth = name not in _FALSE
        if isinstance(out, Tensor) and out.is_meta:
            cost = self.seconds - before[0], self.flops - before[1]
            own = next((k for k, x in enumerate(args) if x is out), None)
            form = None if own is not None else (out.shape, out.stride(), out.dtype)
            self._seen[_signature((func, args, kwargs))] = (cost, own, form)
        return out

    def _known(self, func, args, kwargs) -> Tensor | None:
        """The result of an operation that was counted before on tensors of these shapes."""
        found = self._seen.get(_signature((func, args, kwargs)))
        if found is None:
            return None
        (seconds, flops), own, form = found
        self.launches += 1
        self.seconds += seconds
        self.flops += flops
        if own is not None:
            return args[own]
        out = torch.empty_strided(*form[:2], dtype=form[2], device="meta")
        if out.dtype is torch.bool:
            out.truth = func._overloadpacket.__name__ not in _FALSE
        return out

    def _count(self, func, name, given, made, args, kwargs, out) -> None:
        moved = sum(x.numel() * x.element_size() for x in (*given, *made))
        flops, rate = 0.0, math.inf
        packet = func._overloadpacket
        if packet in flop_registry:
            flops = flop_registry[packet](*args, **kwargs, out_val=out)
            dtype = made[0].dtype
            rate = self.card.rates.get(dtype, self.card.rates[torch.float32])
            if self.half and dtype is torch.float32:
                rate = self.card.half
        extra = 0.0
        if name in _FACTORISATIONS:
            n = max(given[0].shape[-2:])
            # Iterative, in many small kernels: far from the rate of a product.
            extra = n * 100e-6 + 10 * n**3 / (0.1 * self.card.rates[torch.float64])
        self.launches += 1
        self.flops += flops
        launch = self.card.launch * (CASTS if self.half else 1.0)
        self.seconds += extra + max(launch, moved / self.card.bandwidth, flops / rate)

    def _scalar(self, x: Tensor) -> Any:
        self._wait()
        if x.dtype is torch.bool:
            return getattr(x, "truth", True)
        return self.answer if x.is_floating_point() else 1

    def _wait(self) -> None:
        self.waits += 1
        self.seconds += self.card.wait


def _signature(x: Any) -> Any:
    """What the shapes of an operation's results depend on."""
    if isinstance(x, Tensor):
        return x.shape, x.stride(), x.dtype, x.device.type
    if isinstance(x, tuple | list):
        return tuple(map(_signature, x))
    if isinstance(x, dict):
        return tuple((name, _signature(value)) for name, value in x.items())
    return float if isinstance(x, float) else (type(x), x)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """Inside, torch's optimizers treat "meta" as they do CUDA: one kernel for all tensors."""
    name = "_get_foreach_kernels_supported_devices"
    devices = [*_foreach_utils._get_foreach_kernels_supported_devices(), "meta"]
    # By its name in sys.modules: torch.optim hides the module.
    with (
        mock.patch.object(_foreach_utils, name, lambda: devices),
        mock.patch.object(sys.modules["torch.optim.optimizer"], name, lambda: devices),
    ):
        yield
