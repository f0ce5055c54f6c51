"""The solutions in the box are scipy's, and not the nearest point of the box."""

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear, minimize

from linfcourse.frank_wolfe import kkt_residual
from linfcourse.models import BoxQuadratic, box_minimiser, box_quadratic

SEEDS = range(5)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("radius", [0.3, 1.0, 5.0])
def test_the_minimiser_is_scipys(seed, radius):
    problem = box_quadratic(radius=radius, seed=seed)
    root = np.linalg.cholesky(problem.hessian.numpy()).T  # ½‖root x − root c‖²
    center = problem.center.numpy()
    expected = lsq_linear(root, root @ center, bounds=(-radius, radius), tol=1e-15).x
    x = problem.minimiser()
    np.testing.assert_allclose(x.numpy(), expected, atol=1e-7 * radius)
    residual, excess = kkt_residual(x, problem.gradient(x), 1 / radius)
    assert abs(residual) < 1e-13 and excess <= 1e-15


@pytest.mark.parametrize("seed", SEEDS)
def test_the_box_matters_and_cutting_off_is_not_enough(seed):
    problem = box_quadratic(seed=seed)
    x = problem.minimiser()
    on_wall = int((x.abs() > 1 - 1e-12).sum())
    assert 5 <= on_wall <= 15
    assert problem.loss(problem.center.clamp(-1, 1)) > 1.1 * problem.loss(x)
    assert problem.ridge(1.0).abs().max() > 1.5


def test_a_center_inside_is_the_minimiser():
    problem = box_quadratic(spread=0.1, seed=0)
    assert problem.center.abs().max() < 1
    torch.testing.assert_close(problem.minimiser(), problem.center)


def test_ridge_is_scipys():
    problem = box_quadratic(d=6, rows=9, seed=3)
    found = minimize(
        lambda x: float(problem.loss(torch.tensor(x))) + 0.35 * (x @ x),
        np.zeros(6),
        method="BFGS",
        options={"gtol": 1e-9},
    ).x
    np.testing.assert_allclose(problem.ridge(0.7).numpy(), found, atol=1e-6)


def test_loss_and_gradient_take_batches_and_agree_with_autograd():
    problem = box_quadratic(d=4, rows=6, seed=1)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert problem.loss(x).shape == (2, 3)
    problem.loss(x).sum().backward()
    torch.testing.assert_close(problem.gradient(x.detach()), x.grad)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda H, c: box_minimiser(H[:2], c, 1.0), "symmetric matrix of shape"),
        (lambda H, c: box_minimiser(H + torch.ones(3, 3).triu(1), c, 1.0), "symmetric"),
        (lambda H, c: box_minimiser(H - 100 * torch.eye(3), c, 1.0), "positive definite"),
        (lambda H, c: BoxQuadratic(H, c, 0.0).minimiser(), "radius"),
        (lambda H, c: box_minimiser(H, c, 1.0, sweeps=1), "not settled"),
        (lambda H, c: box_quadratic(d=5, rows=4), "rows"),
    ],
)
def test_bad_input_is_refused(call, message):
    problem = box_quadratic(d=3, rows=4, seed=0)
    with pytest.raises(ValueError, match=message):
        call(problem.hessian, problem.center)
