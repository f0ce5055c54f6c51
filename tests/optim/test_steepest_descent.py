"""Steepest descent against its formula, torch's SGD and Muon, and its exact symmetries."""

import pytest
import torch

from linfcourse.norms import LInf, Norm, Spectral
from linfcourse.optim.lion import Lion
from linfcourse.optim.steepest_descent import NormalizedSGD, SignSGD, Signum, SteepestDescent
from tests.optim.descents import every_norm, gradients, parameters, run


@every_norm
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("maximize", [False, True])
def test_the_step_is_the_formula(norm, momentum, nesterov, maximize):
    params = parameters()
    options = {"momentum": momentum, "nesterov": nesterov, "maximize": maximize}
    optimizer = SteepestDescent(params, lr=0.1, norm=norm, weight_decay=0.3, **options)
    x, m = [p.detach().clone() for p in params], [torch.zeros_like(p) for p in params]
    for _ in gradients(params, 10):
        for i, p in enumerate(params):
            g = -p.grad if maximize else p.grad
            m[i] = momentum * m[i] + (1 - momentum) * g
            ahead = momentum * m[i] + (1 - momentum) * g if nesterov else m[i]
            x[i] = (1 - 0.3 * 0.1) * x[i] + 0.1 * norm.lmo(ahead)
        optimizer.step()
        for p, expected in zip(params, x, strict=True):
            torch.testing.assert_close(p.detach(), expected, rtol=1e-9, atol=1e-9)


@every_norm
def test_lr_is_the_distance_of_a_step_in_the_norm(norm):
    if norm == Spectral("newton_schulz"):
        pytest.skip("its steps are of rough length by design")
    params = parameters()[:4]
    before = [p.detach().clone() for p in params]
    run(SteepestDescent(params, lr=0.25, norm=norm), params, 1)
    for p, start in zip(params, before, strict=True):
        assert float(norm(p.detach() - start)) == pytest.approx(0.25, rel=1e-12)


def test_normalized_sgd_is_sgd_with_lr_over_the_gradient_norm():
    ours, theirs = parameters(), parameters()
    mine, sgd = NormalizedSGD(ours, lr=0.1), torch.optim.SGD(theirs, lr=0.1)
    for _ in zip(gradients(ours, 30), gradients(theirs, 30), strict=True):
        total = torch.nn.utils.get_total_norm([p.grad for p in theirs])
        sgd.param_groups[0]["lr"] = 0.1 / total.item()
        mine.step(), sgd.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-13)


def test_normalized_sgd_with_momentum_is_sgd_with_dampening():
    ours, theirs = parameters(), parameters()
    mine = NormalizedSGD(ours, lr=0.1, momentum=0.9)
    average = torch.optim.SGD(theirs, lr=0.0, momentum=0.9)  # for its buffer: b ← μb + g
    for _ in zip(gradients(ours, 30), gradients(theirs, 30), strict=True):
        average.step()
        with torch.no_grad():
            buffers = [average.state[q]["momentum_buffer"] for q in theirs]
            total = torch.cat([b.flatten() for b in buffers]).norm()
            for q, b in zip(theirs, buffers, strict=True):
                q -= 0.1 * b / total
        mine.step()
        for p, q in zip(ours, theirs, strict=True):
            torch.testing.assert_close(p, q, rtol=1e-11, atol=1e-12)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="this torch has no Muon")
@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (10, 10)], ids=str)
@pytest.mark.parametrize("nesterov", [False, True])
def test_newton_schulz_descent_is_muon_within_muons_own_rounding(shape, nesterov):
    """Muon iterates in bfloat16, where one step is off by about 1 %; the path must stay as near."""
    (p,), (q,) = parameters(torch.float32, (shape,)), parameters(torch.float32, (shape,))
    options = {"momentum": 0.9, "weight_decay": 0.1, "nesterov": nesterov}
    muon = torch.optim.Muon([q], lr=0.02, adjust_lr_fn="match_rms_adamw", **options)
    # Muon decays by its lr, but moves by an adjusted lr: put the ratio into both
    ratio = 0.2 * max(shape) ** 0.5
    options["weight_decay"] = 0.1 / ratio
    norm = Spectral("newton_schulz")
    mine = SteepestDescent([p], lr=0.02 * ratio, norm=norm, **options)
    start, steps = p.detach().clone(), 20
    generator = torch.Generator().manual_seed(3)
    for _ in range(steps):
        p.grad = torch.randn(shape, generator=generator)
        q.grad = p.grad.clone()
        mine.step(), muon.step()
    assert (p - q).norm() < 0.02 * (q - start).norm()


@pytest.mark.parametrize("make", [SignSGD, Signum, Lion], ids=lambda c: c.__name__)
def test_sign_descent_commutes_with_signed_permutations(make):
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(50, generator=generator)
    signs = torch.randint(0, 2, (50,), generator=generator) * 2.0 - 1.0
    matrix = torch.randn(50, 50, generator=generator)
    p = torch.nn.Parameter(torch.randn(50, generator=generator))
    q = torch.nn.Parameter(signs * p.detach()[order])
    first, second = make([p], 1e-2, weight_decay=0.1), make([q], 1e-2, weight_decay=0.1)
    for _ in range(50):
        p.grad = matrix @ p.detach()
        q.grad = signs * p.grad[order]
        first.step(), second.step()
        assert torch.equal(q.detach(), signs * p.detach()[order])


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_normalized_sgd_commutes_with_rotations(momentum):
    generator = torch.Generator().manual_seed(0)
    rotation = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64))[0]
    matrix = torch.randn(20, 20, generator=generator, dtype=torch.float64)
    x = torch.randn(20, generator=generator, dtype=torch.float64)
    p, q = torch.nn.Parameter(x), torch.nn.Parameter(rotation @ x)
    first = NormalizedSGD([p], 0.05, momentum=momentum, weight_decay=0.1)
    second = NormalizedSGD([q], 0.05, momentum=momentum, weight_decay=0.1)
    for _ in range(50):
        p.grad = matrix.T @ (matrix @ p.detach())
        q.grad = rotation @ (matrix.T @ (matrix @ (rotation.T @ q.detach())))
        first.step(), second.step()
        torch.testing.assert_close(q, rotation @ p, rtol=1e-11, atol=1e-11)


def test_sign_descent_does_not_commute_with_rotations():
    p, q = torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(2))
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    p.grad = torch.tensor([1.0, 0.1])
    q.grad = rotation @ p.grad
    SignSGD([p], 0.1).step(), SignSGD([q], 0.1).step()
    assert (q - rotation @ p).abs().max() > 0.01


def test_a_norm_of_ones_own_can_be_descended_in():
    class Halved(Norm):
        def lmo(self, g):
            return 0.5 * LInf().lmo(g)

    p = torch.nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([1.0, -2.0])
    SteepestDescent([p], 1.0, Halved()).step()
    assert p.tolist() == [-0.5, 0.5]
