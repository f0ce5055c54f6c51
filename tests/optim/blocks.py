"""Parameters, gradients and partitions of every kind, for the tests of blockwise Adam."""

import torch
from torch import nn

from linfcourse.partitions import coordinatewise, from_ids, per_row, per_tensor, whole

SHAPES = [(3, 4), (5,), (), (2, 3, 2, 2), (1, 6), (6, 1)]
RULES = {
    "coordinatewise": lambda ps: coordinatewise,
    "whole": lambda ps: whole,
    "per_tensor": lambda ps: per_tensor,
    "per_row": lambda ps: per_row,
    "own ids": lambda ps: from_ids({p: scattered(p, k) + 10 * k for k, p in enumerate(ps)}),
    "shared ids": lambda ps: from_ids({p: scattered(p, k) for k, p in enumerate(ps)}),
    "chained ids": lambda ps: from_ids({p: scattered(p, k) + k for k, p in enumerate(ps)}),
    "head ids": lambda ps: from_ids({p: heads(p) + 100 * k for k, p in enumerate(ps)}),
}


def scattered(p, seed, count=3):
    return torch.randint(0, count, p.shape, generator=torch.Generator().manual_seed(seed))


def heads(p):
    """Pairs of leading rows."""
    if p.dim() == 0:
        return torch.zeros((), dtype=torch.int64)
    rows = torch.arange(p.shape[0]) // 2
    return rows.reshape(-1, *[1] * (p.dim() - 1)).expand(p.shape)


def parameters(shapes=SHAPES, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=dtype)) for s in shapes]


def gradients(ps, steps, seed=1):
    """Heavy-tailed gradients for each step and parameter."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        yield [torch.randn(p.shape, generator=generator, dtype=p.dtype) ** 3 for p in ps]


def run(optimizer, ps, steps=100, seed=1, skip=lambda t, k: False):
    for t, gs in enumerate(gradients(ps, steps, seed)):
        for k, (p, g) in enumerate(zip(ps, gs, strict=True)):
            p.grad = None if skip(t, k) else g
        optimizer.step()
    return [p.detach().clone() for p in ps]


def relative(a, b):
    a, b = torch.cat([t.flatten() for t in a]), torch.cat([t.flatten() for t in b])
    return ((a - b).abs().max() / b.abs().max()).item()
