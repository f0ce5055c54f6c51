"""Adam's step for tensors whose every coordinate is a block: torch's own kernels where they serve.

torch's fused kernel does the whole step in one pass over memory. It walks parameter, gradient and
state by their place in memory and never looks at strides: with two layouts it goes silently wrong.
So it gets only tensors of one dense layout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from linfcourse.optim._chunks import chunks, same_dense_layout
from linfcourse.optim._row_sweeps import working_dtype

_FUSED_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_FUSED_DEVICES = ("cpu", "cuda")


@dataclass
class Coordinatewise:
    """One tensor of a step: parameter x, gradient g, moments m and v, and its step count."""

    x: Tensor
    g: Tensor
    m: Tensor
    v: Tensor
    step: Tensor


def coordinatewise_step(tensors: list[Coordinatewise], group: dict[str, Any]) -> None:
    """Take the step of one parameter group's tensors in place, their step counts included."""
    if group["eps_inside_root"]:
        for t in tensors:
            t.step += 1
            _eps_inside_root_step(t, group)
        return
    fused, plain = [], []
    for t in tensors:
        has_kernel = t.x.device.type in _FUSED_DEVICES and t.x.dtype in _FUSED_DTYPES
        if has_kernel and same_dense_layout(t.x, t.m, t.v):
            if not same_dense_layout(t.x, t.g):
                t.g = torch.empty_like(t.x).copy_(t.g)
            fused.append(t)
        else:
            plain.append(t)
    # None lets torch choose: multi-tensor kernels on an accelerator, tensor by tensor elsewhere.
    _torch_step(fused, group, fused=True)
    _torch_step(plain, group, fused=None)


def _torch_step(tensors: list[Coordinatewise], group: dict[str, Any], fused: bool | None) -> None:
    if not tensors:
        return
    steps = _step_counts(tensors, group["bias_correction"], on_device=bool(fused))
    beta1, beta2 = group["betas"]
    kernel = adamw if group["decoupled_weight_decay"] else adam
    kernel(
        [t.x for t in tensors],
        [t.g for t in tensors],
        [t.m for t in tensors],
        [t.v for t in tensors],
        [],
        steps,
        fused=fused,
        amsgrad=False,
        beta1=float(beta1),
        beta2=float(beta2),
        lr=float(group["lr"]),
        weight_decay=float(group["weight_decay"]),
        eps=float(group["eps"]),
        maximize=group["maximize"],
    )


def _step_counts(tensors: list[Coordinatewise], corrected: bool, on_device: bool) -> list[Tensor]:
    """The counts that the kernel reads and adds one to; the tensors' own are then up to date.

    They are kept on the CPU, where reading them makes nobody wait, and the fused kernel wants them
    on the tensors' device: there they are written as constants, which does not wait either. Without
    bias correction they are infinite: both corrections, 1 − βᵗ, are then 1.
    """
    if corrected and (not on_device or tensors[0].x.device.type == "cpu"):
        return [t.step for t in tensors]
    counts = [t.step.item() if corrected else math.inf for t in tensors]
    for t in tensors:
        t.step += 1
    places = [t.x.device if on_device else torch.device("cpu") for t in tensors]
    if len({*zip(counts, places, strict=True)}) == 1:  # as ever: one kernel for all of them
        return list(
            torch.full((len(counts),), counts[0], dtype=torch.float32, device=places[0]).unbind()
        )
    return [
        torch.full((), count, dtype=torch.float32, device=place)
        for count, place in zip(counts, places, strict=True)
    ]


def _eps_inside_root_step(t: Coordinatewise, group: dict[str, Any]) -> None:
    """The theory's variant, √(v̂ + ε), which torch does not have; in cache-sized pieces."""
    beta1, beta2 = map(float, group["betas"])
    lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
    count, corrected = t.step.item(), group["bias_correction"]
    correction1, correction2 = (1 - beta**count if corrected else 1.0 for beta in (beta1, beta2))
    dtype = working_dtype(t.x.dtype)
    for stored in chunks(t.x, t.g, t.m, t.v):
        x, g, m, v = (piece.to(dtype) for piece in stored)
        if group["maximize"]:
            g = -g
        if weight_decay and group["decoupled_weight_decay"]:
            x.mul_(1 - lr * weight_decay)
        elif weight_decay:
            g = g.add(x, alpha=weight_decay)
        m.lerp_(g, 1 - beta1)
        v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v / correction2).add_(float(group["eps"])).sqrt_()
        x.addcdiv_(m, root, value=-lr / correction1)
        for piece, value in zip((stored[0], *stored[2:]), (x, m, v), strict=True):
            if piece is not value:
                piece.copy_(value)
