"""Lion against lion-pytorch, bit for bit, and its exact properties."""

import copy

import pytest
import torch
from lion_pytorch import Lion as LionPytorch

from linfcourse.optim import _chunks
from linfcourse.optim.lion import Lion, lion_update
from linfcourse.optim.steepest_descent import Signum


def parameters(dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(33, 17), (5,), (), (0, 2), (2, 3, 2, 2)]
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in shapes]


def run(optimizer, params, steps=100, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator).to(p.dtype) + p.detach()
        optimizer.step()
    return [p.detach().clone() for p in params]


@pytest.mark.parametrize("chunk", [64, 262_144])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.99), (0.5, 0.5), (0.0, 0.9)])
def test_lion_takes_the_same_path_as_lion_pytorch(monkeypatch, chunk, dtype, weight_decay, betas):
    monkeypatch.setattr(_chunks, "CHUNK", chunk)
    ours, theirs = parameters(dtype), parameters(dtype)
    options = {"lr": 1e-2, "betas": betas, "weight_decay": weight_decay}
    mine, reference = Lion(ours, **options), LionPytorch(theirs, **options)
    for a, b in zip(run(mine, ours), run(reference, theirs), strict=True):
        assert torch.equal(a, b)
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(mine.state[p]["exp_avg"], reference.state[q]["exp_avg"])


def test_lion_goes_on_from_a_checkpoint_of_lion_pytorch():
    ours, theirs = parameters(), parameters()
    reference, mine = LionPytorch(theirs, lr=1e-2), Lion(ours, lr=1e-2)
    run(reference, theirs, 5)
    mine.load_state_dict(copy.deepcopy(reference.state_dict()))
    with torch.no_grad():
        for p, q in zip(ours, theirs, strict=True):
            p.copy_(q)
    mine.param_groups[0].setdefault("maximize", False)
    for a, b in zip(run(mine, ours, 5, 2), run(reference, theirs, 5, 2), strict=True):
        assert torch.equal(a, b)


def test_lion_with_equal_betas_is_signum():
    ours, theirs = parameters(torch.float64), parameters(torch.float64)
    mine = Lion(ours, lr=1e-2, betas=(0.9, 0.9), weight_decay=0.1)
    signum = Signum(theirs, lr=1e-2, momentum=0.9, weight_decay=0.1)
    for a, b in zip(run(mine, ours), run(signum, theirs), strict=True):
        assert torch.equal(a, b)


def test_each_weight_moves_by_lr():
    (p,) = [torch.nn.Parameter(torch.zeros(100, dtype=torch.float64))]
    p.grad = torch.randn(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    Lion([p], lr=0.25).step()
    assert torch.equal(p.detach(), -0.25 * p.grad.sign())


def test_maximizing_is_minimizing_the_negative():
    ours, theirs = parameters(), parameters()
    up, down = Lion(ours, 1e-2, maximize=True), Lion(theirs, 1e-2)
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = -p.grad
        up.step(), down.step()
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_gradient_of_other_strides_gives_the_same_step(monkeypatch, order):
    monkeypatch.setattr(_chunks, "CHUNK", 16)
    g = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    p, q = (torch.nn.Parameter(torch.ones(6, 6)) for _ in range(2))
    for optimizer in (Lion([p], 0.1), Lion([q], 0.1)):
        for _ in range(3):
            p.grad, q.grad = g.permute(order).contiguous().permute(order), g.clone()
            optimizer.step()
    assert torch.equal(p, q)


def test_complex_parameters_are_pairs_of_reals():
    generator = torch.Generator().manual_seed(0)
    z = torch.nn.Parameter(torch.randn(3, 2, dtype=torch.complex64, generator=generator))
    w = torch.nn.Parameter(torch.view_as_real(z.detach()).clone())
    first, second = Lion([z], 0.1, weight_decay=0.1), Lion([w], 0.1, weight_decay=0.1)
    for _ in range(10):
        z.grad = torch.randn(3, 2, dtype=torch.complex64, generator=generator)
        w.grad = torch.view_as_real(z.grad).clone()
        first.step(), second.step()
    assert torch.equal(torch.view_as_real(z), w)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_shows_in_its_weight_and_there_only(bad):
    p = torch.nn.Parameter(torch.ones(3))
    p.grad = torch.tensor([1.0, bad, 0.0])
    Lion([p], 0.5).step()
    assert p[0] == 0.5 and torch.isnan(p[1]) and p[2] == 1.0


def test_the_update_function_is_the_formula():
    generator = torch.Generator().manual_seed(0)
    x, g, m = torch.randn(3, 8, generator=generator, dtype=torch.float64)
    u = torch.sign(0.8 * m + 0.2 * g)
    expected_x, expected_m = (1 - 0.1 * 0.5) * x - 0.1 * u, 0.95 * m + 0.05 * g
    lion_update(x, g, m, torch.empty_like(x), lr=0.1, betas=(0.8, 0.95), weight_decay=0.5)
    torch.testing.assert_close(x, expected_x, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(m, expected_m, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"lr": -1.0}, ValueError, "lr must be"),
        ({"lr": float("nan")}, ValueError, "lr must be"),
        ({"lr": torch.ones(2)}, ValueError, "one element"),
        ({"lr": "0.1"}, TypeError, "lr must be a number"),
        ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\] must be in \[0, 1\)"),
        ({"betas": (-0.1, 0.9)}, ValueError, r"betas\[0\]"),
        ({"betas": 0.9}, ValueError, "pair"),
        ({"betas": (0.9, 0.99, 0.999)}, ValueError, "pair"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be"),
        ({"maximize": 1}, TypeError, "maximize must be True or False"),
    ],
)
def test_bad_arguments_are_refused_in_words(options, error, words):
    p = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(error, match=words):
        Lion([p], **options)
    optimizer = Lion([p])
    with pytest.raises(error, match=words):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))], **options})
    assert len(optimizer.param_groups) == 1


def test_a_sparse_gradient_is_refused_before_anything_changes():
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    p.grad, q.grad = torch.ones(2), torch.ones(3).to_sparse()
    optimizer = Lion([p, q])
    with pytest.raises(TypeError, match="sparse"):
        optimizer.step()
    assert torch.equal(p, torch.ones(2)) and not optimizer.state
