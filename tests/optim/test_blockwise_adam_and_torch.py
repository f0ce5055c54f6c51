"""Coordinate-wise, blockwise Adam is torch's Adam and AdamW: values, defaults, dtypes, states."""

import copy

import pytest
import torch
from torch import nn

from linfcourse.optim import Adam, AdamW, BlockwiseAdam
from linfcourse.partitions import coordinatewise, per_row, per_tensor, whole
from tests.optim.blocks import RULES, gradients, parameters, relative, run


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"lr": 0.1},
        {"betas": (0.5, 0.7)},
        {"betas": (0.0, 0.9)},
        {"betas": (0.9, 0.0)},
        {"eps": 1e-3},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "maximize": True},
        {"weight_decay": 3.0, "lr": 0.01, "betas": (0.95, 0.99)},
        {"lr": torch.tensor(0.01, dtype=torch.float64)},
        {"lr": 0.0},
    ],
    ids=str,
)
def test_coordinatewise_is_torch_after_100_steps(dtype, options):
    for ours, theirs in ((AdamW, torch.optim.AdamW), (Adam, torch.optim.Adam)):
        ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
        a = run(ours(ps, **options), ps)
        b = run(theirs(qs, **options), qs)
        assert relative(a, b) <= (1e-6 if dtype == torch.float32 else 1e-13)


def test_defaults_are_torchs():
    p = nn.Parameter(torch.zeros(1))
    for ours, theirs in ((AdamW, torch.optim.AdamW), (Adam, torch.optim.Adam)):
        mine, other = ours([p]).defaults, theirs([p]).defaults
        for name in ("lr", "betas", "eps", "weight_decay", "maximize"):
            assert mine[name] == other[name]
    assert BlockwiseAdam([p]).defaults["weight_decay"] == 0.0
    assert BlockwiseAdam([p]).partition is coordinatewise


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_follows_torchs_fused_kernel(dtype):
    ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
    a = run(AdamW(ps, eps=1e-3), ps, 20)
    b = run(torch.optim.AdamW(qs, eps=1e-3, fused=True), qs, 20)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    optimizer = BlockwiseAdam(ps, eps=1e-3, partition=per_row)
    run(optimizer, ps, 1)
    assert optimizer.state[ps[0]]["exp_avg"].dtype == dtype
    assert optimizer.state[ps[0]]["exp_avg_sq"].dtype == torch.float32


@pytest.mark.parametrize("rule", RULES)
def test_half_precision_is_within_its_rounding_of_single(rule):
    ps = [nn.Parameter(p.detach().bfloat16()) for p in parameters()]
    qs = [nn.Parameter(p.detach().float()) for p in ps]
    a = run(BlockwiseAdam(ps, lr=1e-2, partition=RULES[rule](ps), weight_decay=0.1), ps, 10)
    optimizer = BlockwiseAdam(qs, lr=1e-2, partition=RULES[rule](qs), weight_decay=0.1)
    for gs in gradients(ps, 10):
        for q, g in zip(qs, gs, strict=True):
            q.grad = g.float()
        optimizer.step()
    assert relative([x.float() for x in a], [q.detach() for q in qs]) < 10 * 2**-8


@pytest.mark.parametrize("options", [{}, {"weight_decay": 0.1, "maximize": True}], ids=str)
def test_complex_is_torch_and_pairs_of_reals(options):
    shapes = [(3, 4), (5,), ()]
    ps, qs = (parameters(shapes, torch.complex64) for _ in range(2))
    a, b = run(AdamW(ps, **options), ps), run(torch.optim.AdamW(qs, **options), qs)
    assert relative(a, b) <= 1e-6
    for rule in (coordinatewise, whole, per_tensor):
        ps = parameters(shapes, torch.complex64)
        rs = [nn.Parameter(torch.view_as_real(p.detach().clone())) for p in ps]
        a = run(BlockwiseAdam(ps, partition=rule), ps, 20)
        optimizer = BlockwiseAdam(rs, partition=rule)
        for gs in gradients(ps, 20):
            for r, g in zip(rs, gs, strict=True):
                r.grad = torch.view_as_real(g)
            optimizer.step()
        for x, r in zip(a, rs, strict=True):
            assert torch.equal(torch.view_as_real(x), r.detach())


@pytest.mark.parametrize("rule", [coordinatewise, per_row, whole], ids=repr)
def test_lazily_conjugated_and_negated_gradients_count_as_their_values(rule):
    g = torch.randn(3, 2, dtype=torch.complex64)
    for lazy in (g.conj(), g.conj().imag):
        assert lazy.is_conj() or lazy.is_neg()
        (p,), (q,) = parameters([(3, 2)], lazy.dtype), parameters([(3, 2)], lazy.dtype)
        p.grad, q.grad = lazy, lazy.resolve_conj().resolve_neg().clone()
        for parameter in (p, q):
            BlockwiseAdam([parameter], partition=rule).step()
        assert torch.equal(p, q)


@pytest.mark.parametrize("kind", ["nan", "inf"])
def test_numbers_that_are_not_finite_go_through_as_in_torch(kind):
    ps, qs = parameters([(3,), (2,)]), parameters([(3,), (2,)])
    for optimizer, rs in ((AdamW(ps), ps), (torch.optim.AdamW(qs), qs)):
        rs[0].grad, rs[1].grad = torch.tensor([1.0, float(kind), 2.0]), torch.ones(2)
        optimizer.step()
    for p, q in zip(ps, qs, strict=True):
        torch.testing.assert_close(p, q, equal_nan=True)
    rs = parameters([(3,), (2,)])
    optimizer = BlockwiseAdam(rs, partition=per_tensor)
    rs[0].grad, rs[1].grad = torch.tensor([1.0, float("nan"), 2.0]), torch.ones(2)
    optimizer.step()
    assert rs[0].isnan().all() and rs[1].isfinite().all()


def test_states_are_interchangeable_with_torchs():
    ps, qs = parameters(), parameters()
    ours, theirs = AdamW(ps), torch.optim.AdamW(qs)
    run(theirs, qs, 5)
    for p, q in zip(ps, qs, strict=True):
        p.data.copy_(q.data)
    ours.load_state_dict(theirs.state_dict())
    assert relative(run(ours, ps, 20, seed=2), run(theirs, qs, 20, seed=2)) <= 1e-6
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    assert relative(run(theirs, qs, 20, seed=3), run(ours, ps, 20, seed=3)) <= 1e-6
