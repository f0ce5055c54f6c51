"""Blockwise Adam's exact identities: partitions with names, rotations, permutations, signs."""

import itertools

import pytest
import torch
from torch import nn

from linfcourse.optim import Adalayer, Adam, AdamW, AdaSGD, BlockwiseAdam
from linfcourse.partitions import coordinatewise, from_ids, per_tensor, whole
from tests.optim.blocks import RULES, gradients, parameters, relative, run


def test_singletons_are_adam_and_one_block_is_adasgd_bit_for_bit():
    def ids(ps, same):
        starts = [0, *itertools.accumulate(p.numel() for p in ps)]
        return from_ids(
            {
                p: torch.zeros_like(p, dtype=torch.int64)
                if same
                else torch.arange(start, start + p.numel()).reshape(p.shape)
                for start, p in zip(starts, ps, strict=False)
            }
        )

    for same, named in ((False, AdamW), (True, AdaSGD)):
        ps, qs = parameters(), parameters()
        a = run(BlockwiseAdam(ps, partition=ids(ps, same), weight_decay=0.1), ps, 30)
        b = run(named(qs, weight_decay=0.1), qs, 30)
        assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_names_are_partitions():
    (p,) = parameters([(2, 2)])
    assert AdaSGD([p]).partition is whole
    assert Adalayer([p]).partition is per_tensor
    assert Adam([p]).partition is AdamW([p]).partition is coordinatewise
    assert not Adam([p]).defaults["decoupled_weight_decay"]
    assert AdaSGD([p]).defaults["decoupled_weight_decay"]


def rotation(d, seed=0):
    return torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(seed)).double())[0]  # fmt: skip  # noqa: E501


def path(make, forward, back, steps=30, d=8):
    """Where an optimizer on the rotated problem goes, told in the original coordinates."""
    H = torch.diag(torch.arange(1.0, d + 1, dtype=torch.float64))
    w = nn.Parameter(forward(torch.linspace(-1, 1, d, dtype=torch.float64)))
    optimizer = make([w])
    for _ in range(steps):
        optimizer.zero_grad()
        x = back(w)
        (0.5 * x @ H @ x + torch.sin(x).sum()).backward()
        optimizer.step()
    return back(w.detach())


def test_adasgd_takes_the_same_path_in_rotated_coordinates_and_adam_does_not():
    R = rotation(8)
    for make, equivariant in ((AdaSGD, True), (Adalayer, True), (AdamW, False)):
        plain = path(lambda ps, make=make: make(ps, lr=0.05), lambda x: x, lambda w: w)
        rotated = path(lambda ps, make=make: make(ps, lr=0.05), lambda x: R @ x, lambda w: R.T @ w)
        assert (relative([rotated], [plain]) < 1e-12) == equivariant


def test_adam_takes_the_same_path_under_signed_permutations():
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    sign = torch.tensor([1.0, -1.0] * 4, dtype=torch.float64)
    back = torch.argsort(order)
    make = lambda ps: AdamW(ps, lr=0.05, weight_decay=0.1)  # noqa: E731
    plain = path(make, lambda x: x, lambda w: w)
    moved = path(make, lambda x: (sign * x)[order], lambda w: sign * w[back])
    assert torch.equal(moved, plain)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_maximizing_is_minimizing_the_negative_bit_for_bit(rule, inside):
    ps, qs = parameters(), parameters()
    options = {"weight_decay": 0.1, "eps_inside_root": inside}
    a = BlockwiseAdam(ps, partition=RULES[rule](ps), maximize=True, **options)
    b = BlockwiseAdam(qs, partition=RULES[rule](qs), **options)
    for gs in gradients(ps, 5):
        for p, q, g in zip(ps, qs, gs, strict=True):
            p.grad, q.grad = g, -g
        a.step()
        b.step()
    assert all(torch.equal(p, q) for p, q in zip(ps, qs, strict=True))
