"""Optimizer steps as single functions of a tensor, for ``torch.compile`` to make one loop of.

Done operation by operation, a step reads and writes parameter and momentum several times; compiled,
once, which is as fast as memory allows. Each function here writes in place what the uncompiled
optimizer computes, to rounding. Numbers that change from step to step come as tensors of no
dimension, on the CPU: as Python numbers each new value would be compiled anew, and there a GPU need
not be waited for. ``sign`` is −1 to ascend. Half-precision tensors are computed in float32 and
rounded once when stored.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from linfcourse.compiling import Compiled
from linfcourse.optim._chunks import same_dense_layout

_WORTH = 131_072
"""Elements below which the calls of a step take most of its time, and a compiled call is longer."""


def worth_compiling(step: Compiled, x: Tensor) -> bool:
    """Whether the step can be compiled, takes such a tensor, and is faster then."""
    return step.active and type(x) in (Tensor, torch.nn.Parameter) and x.numel() >= _WORTH


def as_vectors(*tensors: Tensor) -> list[Tensor]:
    """Flat views of tensors that lie in memory in one order, as every shape is compiled anew."""
    if same_dense_layout(*tensors):
        return [t.detach().as_strided((t.numel(),), (1,)) for t in tensors]
    return [t.detach() for t in tensors]


@lru_cache(maxsize=256)  # the tensors of one step share them
def numbers(*values: float) -> list[Tensor]:
    """Each value as a tensor that a compiled function takes without looking at it, to be read."""
    return [torch.tensor(float(value), dtype=torch.float64, device="cpu") for value in values]


def descend(x: Tensor, g: Tensor, m: Tensor, rate: Tensor, rest1: Tensor, factor: Tensor) -> None:
    """Blockwise Adam, x, g, m (rows, n), when each row's rate = lr / (√v̂ + ε), (rows, 1), is known.

    m ← m + (1 − β₁)(g − m);  x ← factor · x − rate · m
    """
    momentum = m.to(g.dtype)
    momentum = momentum + rest1 * (g - momentum)
    x.copy_(factor * x.to(g.dtype) - rate * momentum)
    m.copy_(momentum)


def lion_step(
    x: Tensor, g: Tensor, m: Tensor,
    lr: Tensor, beta1: Tensor, rest1: Tensor, beta2: Tensor, rest2: Tensor, factor: Tensor,
    sign: Tensor,
) -> None:  # fmt: skip
    """Lion: x ← factor · x − lr · sign(β₁ m + (1 − β₁) g);  m ← β₂ m + (1 − β₂) g."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    momentum, g = m.to(dtype), sign * g.to(dtype)
    u = torch.sign(beta1 * momentum + rest1 * g)
    momentum = beta2 * momentum + rest2 * g
    x.copy_(factor * x.to(dtype) - lr * u + 0.0 * momentum)  # as torch.sign(NaN) is 0
    m.copy_(momentum)


def sign_step(
    x: Tensor, g: Tensor, m: Tensor | None,
    lr: Tensor, momentum: Tensor, rest: Tensor, factor: Tensor, sign: Tensor,
    nesterov: bool,
) -> None:  # fmt: skip
    """Sign descent: m ← μ m + (1 − μ) g;  x ← factor · x − lr · sign(m), or sign(g) without m."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    direction = sign * g.to(dtype)
    if m is not None:
        average = momentum * m.to(dtype) + rest * direction
        direction = momentum * average + rest * direction if nesterov else average
        m.copy_(average)
    x.copy_(factor * x.to(dtype) - lr * torch.sign(direction) + 0.0 * direction)


DESCEND, LION_STEP, SIGN_STEP = (
    Compiled(step, f"the step of {name}", fullgraph=True, dynamic=True)
    for step, name in ((descend, "BlockwiseAdam"), (lion_step, "Lion"), (sign_step, "SignSGD"))
)
