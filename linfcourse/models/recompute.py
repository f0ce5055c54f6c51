"""Activation checkpointing that holds for second derivatives."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


def recomputed(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """`function(*tensors)`, of which only the inputs are kept for its first and second derivative.

    `torch.utils.checkpoint` saves memory up to the first backward pass: run with
    `create_graph=True`, that pass keeps all that it recomputes, and a Hessian-vector product needs
    as much memory as without. Here the first derivative is a function of the inputs, too, which
    keeps those and the incoming gradient and nothing else. A gradient computes the function twice,
    each Hessian-vector product once more.

    Args:
        function: computes a tensor from `tensors`, the same whenever it is called (no dropout), and
            has a second derivative. What it reads besides is taken as constant.
        tensors: its inputs, parameters among them.

    Returns:
        Its value, which can be differentiated twice.

    Raises:
        ValueError: autocast is on: what is recomputed later would be computed otherwise.
        RuntimeError: from a second derivative that is to be differentiated again.

    >>> x = torch.tensor(2.0, requires_grad=True)
    >>> (slope,) = torch.autograd.grad(recomputed(torch.exp, x), x, create_graph=True)
    >>> torch.allclose(torch.autograd.grad(slope, x)[0], x.exp())
    True
    """
    if torch.is_autocast_enabled(next(t.device.type for t in tensors)):
        raise ValueError("recomputed works in full precision only: leave the autocast block")
    return _Value.apply(function, *tensors)


class _Value(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        ctx.function = function
        ctx.save_for_backward(*tensors)
        return function(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple:
        needed = ctx.needs_input_grad[1:]
        grads = iter(_Gradient.apply(ctx.function, needed, grad, *ctx.saved_tensors))
        return None, *(next(grads) if need else None for need in needed)


class _Gradient(torch.autograd.Function):
    """(grad, inputs) → Jᵀ grad, for the inputs that need it."""

    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[..., Tensor],
        needed: Sequence[bool],
        grad: Tensor,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.function, ctx.needed = function, needed
        ctx.save_for_backward(grad, *tensors)
        ctx.set_materialize_grads(False)
        leaves, wanted = _leaves(tensors, needed)
        with torch.enable_grad():
            value = function(*leaves)
        return torch.autograd.grad(value, wanted, grad, materialize_grads=True)

    @staticmethod
    def backward(ctx: Any, *vectors: Tensor | None) -> tuple:
        if torch.is_grad_enabled():  # create_graph=True; what follows has no graph
            raise RuntimeError("recomputed has two derivatives: take the function itself for more")
        grad, *tensors = ctx.saved_tensors
        leaves, wanted = _leaves(tensors, ctx.needed)
        grad = grad.detach().requires_grad_()
        with torch.enable_grad():
            grads = torch.autograd.grad(
                ctx.function(*leaves), wanted, grad, create_graph=True, allow_unused=True
            )
        pairs = [
            (g, v)
            for g, v in zip(grads, vectors, strict=True)
            if g is not None and g.requires_grad and v is not None
        ]
        del grads, leaves
        if not pairs:
            return (None,) * (3 + len(tensors))
        outputs, chosen = zip(*pairs, strict=True)
        del pairs
        to_grad, *products = torch.autograd.grad(
            outputs, [grad, *wanted], chosen, allow_unused=True
        )
        products = iter(products)
        return None, None, to_grad, *(next(products) if need else None for need in ctx.needed)


def _leaves(tensors: Sequence[Tensor], needed: Sequence[bool]) -> tuple[list[Tensor], list[Tensor]]:
    """The inputs cut off from their past, and those of them to differentiate by. No copies."""
    leaves = [t.detach().requires_grad_(need) for t, need in zip(tensors, needed, strict=True)]
    return leaves, [leaf for leaf in leaves if leaf.requires_grad]
