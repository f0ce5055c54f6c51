"""A GPT's loss in a fraction of the memory, for the Hessian of a large one."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from linfcourse.models.gpt import GPT
from linfcourse.models.recompute import recomputed


def lean_loss(model: GPT, idx: Tensor, targets: Tensor, positions: int = 256) -> Tensor:
    """`model.loss(idx, targets)`, twice differentiable, that keeps one activation a block.

    What a block computes inside is computed again where a derivative needs it, and the logits are
    made for `positions` places at a time. With B sequences of T tokens, the plain loss and its
    derivatives hold some ten times B·T·V numbers for the logits, and for each of L blocks a few
    times B·nh·T² for the attention; this one holds that of one block, or of `positions` logits, and
    about 2·L·B·T·C besides. A Hessian-vector product takes about twice the time.

    Args:
        model: not in training mode, if it has dropout.
        idx, targets: as for :meth:`GPT.loss`.
        positions: places whose logits are in memory at a time, at least 1.

    Returns:
        The loss, equal to `model.loss` up to rounding.

    Raises:
        ValueError: dropout is on, which cannot be computed again; autocast is on; positions < 1;
            targets of another shape.

    >>> import torch
    >>> from linfcourse.models import GPTConfig
    >>> model, idx = GPT(GPTConfig(vocab_size=5, width=8)), torch.arange(5)[None]
    >>> torch.allclose(lean_loss(model, idx, idx), model.loss(idx, idx))
    True
    """
    if model.training and model.config.dropout:
        raise ValueError("lean_loss computes everything again, without dropout: model.eval() first")
    if isinstance(positions, bool) or not isinstance(positions, int) or positions < 1:
        raise ValueError(f"positions must be an integer >= 1, got {positions!r}")
    if targets.shape != idx.shape:
        raise ValueError(f"targets must have idx's shape {tuple(idx.shape)}, not {targets.shape}")
    x = model.embed(idx)  # (B, T, C)
    for block in model.blocks:
        names, weights = zip(*block.named_parameters(), strict=True)
        x = recomputed(partial(_call, block, names), x, *weights)
    names = [name for name, _ in model.norm.named_parameters()]
    weights = [model.head.weight, *model.norm.parameters()]
    total = sum(
        recomputed(partial(_summed, model.norm, names, following), places, *weights)
        for places, following in zip(
            x.flatten(0, 1).split(positions), targets.flatten().split(positions), strict=True
        )
    )
    return total / (targets != -100).sum()


def _call(module: nn.Module, names: tuple[str, ...], x: Tensor, *weights: Tensor) -> Tensor:
    return functional_call(module, dict(zip(names, weights, strict=True)), (x,))


def _summed(norm: nn.Module, names: list[str], targets: Tensor, x: Tensor, head: Tensor, *weights):
    logits = F.linear(_call(norm, tuple(names), x, *weights), head)  # (positions, V)
    return F.cross_entropy(logits, targets, reduction="sum")
