"""Every optimizer takes the tensors that torch's take: without gradient or entries, any layout."""

import warnings

import pytest
import torch
from torch import nn

from linfcourse.optim import BlockwiseAdam
from linfcourse.partitions import from_ids
from tests.optim.every_optimizer import (
    eps_if_it_has_one,
    every,
    loss_of,
    make,
    new_model,
    same,
    train,
    values,
)


@every
def test_a_parameter_without_gradient_is_left_alone(name):
    model = new_model()
    optimizer = make(name, model.parameters(), lr=0.1)
    train(optimizer, model, 2)
    frozen, moving = model[0].weight, model[2].weight
    before = frozen.detach().clone(), moving.detach().clone()
    optimizer.zero_grad()
    loss_of(model).backward()
    frozen.grad = None
    optimizer.step()
    if not name.startswith("Rotated"):  # whose coordinates mix it with the others
        assert torch.equal(frozen, before[0])
    assert not torch.equal(moving, before[1])
    train(optimizer, model, 1)
    assert not torch.equal(frozen, before[0])


@every
def test_without_any_gradient_a_step_does_nothing(name):
    model = new_model()
    optimizer = make(name, model.parameters(), lr=0.1)
    assert optimizer.step() is None
    assert same(model, new_model())
    train(optimizer, model)
    before = values(model)
    optimizer.zero_grad()
    optimizer.step()
    assert same(model, before)


@every
def test_parameters_of_no_dimension_and_of_no_entries_are_taken(name):
    point, empty = nn.Parameter(torch.tensor(3.0)), nn.Parameter(torch.zeros(0, 3))
    matrix = nn.Parameter(torch.ones(2, 2))
    optimizer = make(name, [point, empty, matrix], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        ((point - 1) ** 2 + empty.sum() + (matrix**2).sum()).backward()
        optimizer.step()
    assert abs(point.item() - 1) < 2 or name == "SteepestDescent(L1)"
    assert point.item() != 3 and point.isfinite() and matrix.isfinite().all()
    assert empty.shape == (0, 3)


@every
def test_the_layout_in_memory_does_not_matter(name):
    def layouts(t):
        wide = torch.zeros(*t.shape[:-1], 2 * t.shape[-1])
        wide[..., ::2] = t
        return [
            t.clone(),
            t.clone(memory_format=torch.channels_last),
            t.transpose(0, 3).contiguous().transpose(0, 3),
            wide[..., ::2],
        ]

    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 2, 4, 5, generator=generator)
    gradient = torch.randn(3, 2, 4, 5, generator=generator)
    reached = []
    for k in range(4):
        for j in range(4):
            p, g = nn.Parameter(layouts(start)[k]), layouts(gradient)[j]
            optimizer = make(name, [p])
            for _ in range(2):
                p.grad = g
                optimizer.step()
            reached.append(p.detach().contiguous())
    for x in reached[1:]:
        torch.testing.assert_close(x, reached[0], rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_other_precisions_follow_single_precision(name, dtype):
    a, b = new_model(dtype), new_model(dtype).float()
    options = {} if dtype == torch.float64 else eps_if_it_has_one(name)
    first, second = make(name, a.parameters(), **options), make(name, b.parameters(), **options)
    for k in range(3):
        first.zero_grad()
        loss_of(a, k).backward()
        for p, q in zip(a.parameters(), b.parameters(), strict=True):
            q.grad = p.grad.float()
        first.step()
        second.step()
    tolerance = {torch.float64: 1e-5, torch.bfloat16: 3e-2, torch.float16: 1e-2}[dtype]
    for x, y in zip(values(a), values(b), strict=True):
        assert x.dtype == dtype
        torch.testing.assert_close(x.float(), y, rtol=tolerance, atol=tolerance)


@every
def test_complex_parameters_are_pairs_of_reals(name):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 2, dtype=torch.complex64, generator=generator)
    p = nn.Parameter(start.clone())
    r = nn.Parameter(torch.view_as_real(start.clone()))
    # Labels of a pair: as the complex tensor's, twice.
    both = torch.arange(6).reshape(3, 2) % 2
    if name in ("BlockwiseAdam(own ids)", "BlockwiseAdam(shared ids)"):
        pair = both.unsqueeze(-1).expand(3, 2, 2)
        complex_one = BlockwiseAdam([p], partition=from_ids({p: both}))
        real_one = BlockwiseAdam([r], partition=from_ids({r: pair}))
    else:
        complex_one, real_one = make(name, [p]), make(name, [r])
    for _ in range(3):
        g = torch.randn(3, 2, dtype=torch.complex64, generator=generator)
        p.grad, r.grad = g, torch.view_as_real(g)
        complex_one.step()
        real_one.step()
    torch.testing.assert_close(torch.view_as_real(p.detach()), r.detach(), rtol=1e-6, atol=1e-7)
    assert not torch.equal(p, start)


@every
def test_gradients_are_never_written_to(name):
    model = new_model()
    for options in ({}, {"maximize": True}, {"weight_decay": 0.1}):
        optimizer = make(name, model.parameters(), **options)
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            kept = [(p.grad, p.grad.clone(), p.grad._version) for p in model.parameters()]
            optimizer.step()
            for p, (grad, copied, version) in zip(model.parameters(), kept, strict=True):
                assert p.grad is grad and torch.equal(grad, copied) and grad._version == version


@every
def test_gradients_with_a_graph_are_taken_and_no_graph_is_left(name):
    model = new_model()
    optimizer = make(name, model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of the reference cycle this makes
        loss_of(model).backward(create_graph=True)
    optimizer.step()
    for p in model.parameters():
        assert p.is_leaf and p.requires_grad
        p.grad = None
    for state in optimizer.state.values():
        for value in state.values():
            assert not (isinstance(value, torch.Tensor) and value.requires_grad)
