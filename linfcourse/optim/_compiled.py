"""Optimizer steps as single functions of a tensor, for ``torch.compile`` to make one loop of.

Done operation by operation, a step reads and writes parameter and momentum several times; compiled,
once, which is as fast as memory allows. Each function here writes in place what the uncompiled
optimizer computes, to rounding. Numbers that change from step to step come as tensors of no
dimension, on the CPU: as Python numbers each new value would be compiled anew, and there a GPU need
not be waited for. ``sign`` is −1 to ascend. Half-precision tensors are computed in float32 and
rounded once when stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linfcourse.compiling import Compiled
from linfcourse.optim._chunks import same_dense_layout

_WORTH = 1024
"""Elements below which a step costs what its calls cost, compiled or not."""


def worth_compiling(x: Tensor) -> bool:
    """Whether a compiled step is faster, and takes such a tensor at all."""
    return type(x) in (Tensor, torch.nn.Parameter) and x.numel() >= _WORTH


def as_vectors(*tensors: Tensor) -> list[Tensor]:
    """Flat views of tensors that lie in memory in one order, as every shape is compiled anew."""
    if same_dense_layout(*tensors):
        return [t.detach().as_strided((t.numel(),), (1,)) for t in tensors]
    return [t.detach() for t in tensors]


def numbers(*values: float) -> list[Tensor]:
    """Each value as a tensor that a compiled function takes without looking at it."""
    return [torch.tensor(float(value), dtype=torch.float64) for value in values]


def row_step(
    x: Tensor, g: Tensor, m: Tensor, v: Tensor,
    lr: Tensor, rest1: Tensor, beta2: Tensor, rest2: Tensor, correction2: Tensor, eps: Tensor,
    factor: Tensor, penalty: Tensor, sign: Tensor, coupled: bool, eps_inside_root: bool,
) -> None:  # fmt: skip
    """Blockwise Adam where each row of x, g, m (rows, n) is a block; v (rows, 1).

    v ← β₂ v + (1 − β₂) mean g²;  m ← m + (1 − β₁)(g − m);  x ← factor · x − lr · m / (√v̂ + ε)
    """
    g = _gradient(x, g, penalty, sign, coupled, v.dtype)
    second = beta2 * v + rest2 * g.square().mean(1, keepdim=True)
    v_hat = second / correction2
    root = (v_hat + eps).sqrt() if eps_inside_root else v_hat.sqrt() + eps
    _move(x, g, m, root, lr, rest1, factor)
    v.copy_(second)


def descend(
    x: Tensor, g: Tensor, m: Tensor, root: Tensor,
    lr: Tensor, rest1: Tensor, factor: Tensor, penalty: Tensor, sign: Tensor, coupled: bool,
) -> None:  # fmt: skip
    """The same with the denominators of the rows given, root (rows, 1)."""
    g = _gradient(x, g, penalty, sign, coupled, root.dtype)
    _move(x, g, m, root, lr, rest1, factor)


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


def _gradient(
    x: Tensor, g: Tensor, penalty: Tensor, sign: Tensor, coupled: bool, dtype: torch.dtype
) -> Tensor:
    g = sign * g.to(dtype)
    return g + penalty * x.to(dtype) if coupled else g


def _move(
    x: Tensor, g: Tensor, m: Tensor, root: Tensor, lr: Tensor, rest1: Tensor, factor: Tensor
) -> None:
    momentum = m.to(g.dtype)
    momentum = momentum + rest1 * (g - momentum)
    x.copy_(factor * x.to(g.dtype) - lr * (momentum / root))
    m.copy_(momentum)


ROW_STEP, DESCEND, LION_STEP, SIGN_STEP = (
    Compiled(step, f"the step of {name}", fullgraph=True, dynamic=True)
    for step, name in (
        (row_step, "BlockwiseAdam"),
        (descend, "BlockwiseAdam"),
        (lion_step, "Lion"),
        (sign_step, "SignSGD"),
    )
)
