"""The lean loss is the plain one, twice differentiable, and needs far less memory."""

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from linfcourse.hessian import HessianOperator
from linfcourse.models import GPT, GPTConfig, lean_loss
from linfcourse.models.recompute import recomputed

SIZES = {"vocab_size": 13, "context": 8, "n_layer": 2, "n_head": 2, "width": 8}


def make(**changes) -> GPT:
    torch.manual_seed(0)
    return GPT(GPTConfig(**{**SIZES, **changes}))


def batch(model, B=3, seed=1):
    V, T = model.config.vocab_size, model.config.context
    tokens = torch.randint(V, (B, T + 1), generator=torch.Generator().manual_seed(seed))
    return tokens[:, :-1], tokens[:, 1:].clone()


@pytest.mark.parametrize("positions", [1, 5, 1000])
@pytest.mark.parametrize(
    "changes", [{}, {"bias": True}, {"tie_weights": False}, {"norm_first": False}]
)
def test_value_gradient_and_hessian_are_those_of_the_plain_loss(changes, positions):
    model = make(**changes).double()
    idx, targets = batch(model)
    targets[0, 3] = -100
    params = list(model.parameters())
    plain, lean = model.loss(idx, targets), lean_loss(model, idx, targets, positions)
    torch.testing.assert_close(lean, plain, rtol=1e-12, atol=0)
    for mine, theirs in zip(
        torch.autograd.grad(lean, params, retain_graph=True),
        torch.autograd.grad(plain, params, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-12)
    vectors = torch.randn(sum(p.numel() for p in params), 3, dtype=torch.float64)
    expected = HessianOperator(plain, params).matmat(vectors)
    torch.testing.assert_close(
        HessianOperator(lean, params).matmat(vectors), expected, rtol=1e-9, atol=1e-10
    )


def test_products_are_finite_differences_of_the_gradient():
    model = make().double()
    idx, targets = batch(model)
    params = list(model.parameters())
    op = HessianOperator(lean_loss(model, idx, targets, 5), params)
    vector = torch.randn(op.dim, dtype=torch.float64)
    product, ends = op @ vector, []
    for step in (1e-5, -2e-5):  # from the middle to one side, then to the other
        with torch.no_grad():
            for p, part in zip(params, op.unflatten(vector), strict=True):
                p += step * part
        grads = torch.autograd.grad(model.loss(idx, targets), params)
        ends.append(torch.cat([g.flatten() for g in grads]))
    difference = (ends[0] - ends[1]) / 2e-5
    assert (product - difference).norm() < 1e-6 * product.norm()


def peak(loss, config, T):
    torch.manual_seed(0)
    model = GPT(config)
    idx = torch.randint(config.vocab_size, (1, T))
    vector = torch.ones(sum(p.numel() for p in model.parameters()))
    with LiveBytes() as live:
        HessianOperator(loss(model, idx, idx), model.parameters()) @ vector
    return live.peak


def test_a_product_does_not_hold_more_for_more_layers_or_more_words():
    """Beyond what grows with the parameters themselves: a few vectors of d numbers."""

    def peaks(n_layer, V):
        config = GPTConfig(vocab_size=V, context=128, n_layer=n_layer, n_head=8, width=16)
        found = []
        for loss in (GPT.loss, lambda *arguments: lean_loss(*arguments, positions=8)):
            d = sum(p.numel() for p in GPT(config).parameters())
            found.append(peak(loss, config, 128) - 4 * 4 * d)
        return found

    (plain, small), (deep_plain, deep), (wide_plain, wide) = (
        peaks(*sizes) for sizes in ((2, 64), (8, 64), (2, 4096))
    )
    assert deep_plain > 2.5 * plain and deep < 1.5 * small
    assert wide_plain > 1.5 * plain and wide < 1.2 * small
    assert deep < deep_plain / 3


def test_dropout_and_autocast_are_refused():
    model = make(dropout=0.5)
    with pytest.raises(ValueError, match=r"model\.eval\(\)"):
        lean_loss(model, *batch(model))
    lean_loss(model.eval(), *batch(model))
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(ValueError, match="autocast"):
        lean_loss(model, *batch(model))


def test_wrong_arguments_are_named():
    model = make()
    idx, targets = batch(model)
    for positions in (0, 1.5, True):
        with pytest.raises(ValueError, match="positions"):
            lean_loss(model, idx, targets, positions)
    with pytest.raises(ValueError, match="targets"):
        lean_loss(model, idx, targets[:, 1:])


def test_a_third_derivative_is_refused():
    x = torch.tensor(2.0, requires_grad=True)
    (slope,) = torch.autograd.grad(recomputed(torch.exp, x), x, create_graph=True)
    with pytest.raises(RuntimeError, match="two derivatives"):
        torch.autograd.grad(slope, x, create_graph=True)


def test_what_needs_no_gradient_gets_none():
    x, c = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0])
    value = recomputed(lambda c, x: (c * x**2).sum(), c, x)
    (grad,) = torch.autograd.grad(value, x, create_graph=True)
    torch.testing.assert_close(grad.detach(), 2 * c * x.detach())
    (second,) = torch.autograd.grad(grad.sum(), x)
    torch.testing.assert_close(second, 2 * c)
    linear = recomputed(lambda x: x.sum(), x)
    (grad,) = torch.autograd.grad(linear, x, create_graph=True)
    assert torch.autograd.grad(grad.sum(), x, allow_unused=True) == (None,)
