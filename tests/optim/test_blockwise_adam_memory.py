"""Blockwise Adam's memory: what a block costs, layouts, and tensors walked in pieces."""

import itertools

import pytest
import torch
from torch import nn

from linfcourse.optim import BlockwiseAdam
from linfcourse.partitions import coordinatewise, from_ids, per_row, per_tensor, whole
from tests.optim.blocks import RULES, gradients, parameters, relative, run, scattered


def test_a_block_costs_one_number():
    ps = parameters()
    counts = {
        whole: 1,
        per_tensor: len(ps),
        per_row: 3 + 5 + 1 + 2 + 1 + 6,
        coordinatewise: sum(p.numel() for p in ps),
    }
    for rule, count in counts.items():
        optimizer = BlockwiseAdam(ps, partition=rule)
        run(optimizer, ps, 1)
        kept = [s["exp_avg_sq"] for s in optimizer.state.values() if "exp_avg_sq" in s]
        assert sum(t.numel() for t in kept) == count
    rows = BlockwiseAdam(ps, partition=per_row)
    run(rows, ps, 1)
    assert rows.state[ps[0]]["exp_avg_sq"].shape == (3, 1)
    assert rows.state[ps[3]]["exp_avg_sq"].shape == (2, 1, 1, 1)


def strange_layouts(shape=(4, 3, 2, 5)):
    """The same values in tensors that lie differently in memory."""
    values = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    yield "contiguous", values.clone()
    yield "channels last", values.clone(memory_format=torch.channels_last)
    yield "transposed", values.transpose(0, 3).contiguous().transpose(0, 3)
    yield "inner axes swapped", values.transpose(1, 2).contiguous().transpose(1, 2)
    wide = torch.zeros(*shape[:-1], 2 * shape[-1])
    wide[..., ::2] = values
    yield "with gaps", wide[..., ::2]
    offset = torch.zeros(values.numel() + 7)
    offset[7:] = values.flatten()
    yield "with an offset", offset[7:].view(shape)


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_layouts_in_memory_do_not_change_the_step(rule, inside):
    options = {"eps_inside_root": inside, "weight_decay": 0.1}
    expected = None
    names = [name for name, _ in strange_layouts()]
    for one, other in itertools.product(names, names):
        p, g = nn.Parameter(dict(strange_layouts())[one]), dict(strange_layouts())[other]
        kept = g.clone(), g.stride()
        optimizer = BlockwiseAdam([p], partition=RULES[rule]([p]), **options)
        for _ in range(3):
            p.grad = g
            optimizer.step()
        assert torch.equal(p.grad, kept[0]) and p.grad.stride() == kept[1]
        expected = p.detach().contiguous().clone() if expected is None else expected
        torch.testing.assert_close(p.detach(), expected, rtol=1e-6, atol=1e-7)


def test_a_gap_between_entries_is_not_written_to():
    base = torch.full((4, 6), 7.0)
    p = nn.Parameter(base[:, ::2])
    p.grad = torch.ones(4, 3)
    for rule in (coordinatewise, per_row, whole):
        BlockwiseAdam([p], partition=rule).step()
    assert (base[:, 1::2] == 7).all() and (base[:, ::2] != 7).all()


@pytest.mark.parametrize("rule", RULES)
def test_a_change_of_layout_between_steps_is_followed(rule):
    ps, qs = (parameters([(4, 3, 2, 2)]) for _ in range(2))
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    b = BlockwiseAdam(qs, partition=RULES[rule](qs))
    for t, (g,) in enumerate(gradients(ps, 4)):
        if t == 2:
            ps[0].data = ps[0].data.to(memory_format=torch.channels_last)
        ps[0].grad, qs[0].grad = g, g
        a.step()
        b.step()
    torch.testing.assert_close(ps[0], qs[0], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("rule", RULES)
def test_pieces_do_not_change_the_step(rule, monkeypatch):
    # Long rows and short, pieces that do not divide the tensor.
    for shapes in ([(37, 5), (3, 101), (211,)], [(2, 3, 41)]):
        ps, qs = parameters(shapes, torch.float64), parameters(shapes, torch.float64)
        a = run(BlockwiseAdam(ps, partition=RULES[rule](ps)), ps, 3)
        with monkeypatch.context() as patch:
            patch.setattr("linfcourse.optim._row_sweeps.CHUNK", 16)
            patch.setattr("linfcourse.optim._block_steps.CHUNK", 16)
            patch.setattr("linfcourse.optim._row_sweeps.SCATTERED_CHUNK", 7)
            b = run(BlockwiseAdam(qs, partition=RULES[rule](qs)), qs, 3)
        assert relative(a, b) <= 1e-14


def test_the_mean_over_millions_of_coordinates_is_exact_to_rounding():
    for shape in [(3, 1_000_003), (1_000_003, 3)]:
        p = nn.Parameter(torch.zeros(shape))
        p.grad = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        mean = p.grad.double().square().mean()
        for rule in (whole, per_tensor, from_ids({p: scattered(p, 0)})):
            optimizer = BlockwiseAdam([p], betas=(0.9, 0.0), partition=rule)
            optimizer.step()
            v = optimizer.state[p]["exp_avg_sq"].double().mean()
            assert abs(v / mean - 1) < (1e-6 if rule in (whole, per_tensor) else 1e-2)
