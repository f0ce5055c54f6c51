"""Norms, parameters and gradients for the tests of steepest descent."""

import pytest
import torch

from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.partitions import per_row

NORMS = [L1(), L2(), LInf(), Spectral(), Spectral("newton_schulz"), Blockwise(per_row)]
every_norm = pytest.mark.parametrize("norm", NORMS, ids=repr)


def parameters(dtype=torch.float64, shapes=((4, 3), (5,), (), (2, 3, 2, 2), (0, 2))):
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]


def gradients(params, steps, seed=1):
    """Set gradients of steps steps in turn; they lean on the parameters, so errors would build."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
            p.grad = (noise + p.detach()).to(p.dtype)
        yield


def run(optimizer, params, steps=20, seed=1):
    for _ in gradients(params, steps, seed):
        optimizer.step()
    return [p.detach().clone() for p in params]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert torch.equal(a, b)
