"""The Frank–Wolfe loop and its certificates, against scipy and against what is known exactly."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear, minimize

from linfcourse.frank_wolfe import KKT, frank_wolfe, frank_wolfe_gap, kkt_residual, open_loop_step
from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.optim import SignSGD, SteepestDescent
from linfcourse.partitions import per_row

NORMS = [LInf(), L2(), L1(), Spectral(), Blockwise(per_row)]


def least_squares(seed=0, rows=30, columns=12):
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, columns)) / math.sqrt(rows)
    return matrix, 3 * random.standard_normal(rows)


def box_solution(matrix, target, radius):
    x = lsq_linear(matrix, target, bounds=(-radius, radius), tol=1e-14).x
    return x, matrix.T @ (matrix @ x - target)


def test_scipys_box_constrained_least_squares_is_a_kkt_point_and_the_free_one_is_not():
    matrix, target = least_squares()
    x, g = map(torch.tensor, box_solution(matrix, target, 0.5))
    at_solution = kkt_residual(x, g, weight_decay=2.0)
    assert abs(at_solution.residual) < 1e-9 and abs(at_solution.excess) < 1e-12
    moved = kkt_residual(0.9 * x, g, weight_decay=2.0)
    assert moved.residual > 0.05 and moved.excess < 0
    assert kkt_residual(3 * x, g, weight_decay=2.0).excess > 0.9


def test_the_solution_on_the_euclidean_ball_is_a_kkt_point_of_that_ball_only():
    matrix, target = least_squares()
    found = minimize(
        lambda x: 0.5 * np.sum((matrix @ x - target) ** 2),
        np.zeros(12),
        jac=lambda x: matrix.T @ (matrix @ x - target),
        constraints={"type": "ineq", "fun": lambda x: 1 - x @ x, "jac": lambda x: -2 * x},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    ).x
    x, g = torch.tensor(found), torch.tensor(matrix.T @ (matrix @ found - target))
    assert abs(kkt_residual(x, g, 1.0, L2()).residual) < 1e-6
    assert kkt_residual(x, g, 1.0, LInf()).residual > 0.1


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_residual_is_zero_at_the_vertex_and_two_at_the_opposite_one(norm):
    g = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    vertex = norm.lmo(g) / 0.3
    residual, excess = kkt_residual(vertex, g, 0.3, norm)
    assert abs(residual) < 1e-14 and abs(excess) < 1e-14
    assert kkt_residual(-vertex, g, 0.3, norm).residual == pytest.approx(2.0)


@pytest.mark.parametrize("norm", NORMS, ids=str)
def test_the_gap_is_the_most_that_the_linear_model_can_gain(norm):
    generator = torch.Generator().manual_seed(1)
    x, g = (torch.randn(3, 4, dtype=torch.float64, generator=generator) for _ in range(2))
    x = x / norm(x)
    gap = frank_wolfe_gap(x, g, 2.0, norm)
    points = torch.randn(200, 3, 4, dtype=torch.float64, generator=generator)
    gains = [float((g * (x - 2.0 * p / norm(p))).sum()) for p in points]
    assert gap >= max(gains) > 0
    assert gap == pytest.approx(float((g * (x - 2.0 * norm.lmo(g))).sum()), rel=1e-12)
    residual = kkt_residual(x, g, 0.5, norm).residual
    assert gap == pytest.approx(residual * 2.0 * float(norm.dual(g)), rel=1e-12)


def test_a_zero_gradient_is_stationary_and_a_nan_is_not_hidden():
    x = torch.tensor([0.5, 2.0])
    assert kkt_residual(x, torch.zeros(2), 1.0) == KKT(0.0, 1.0)
    assert frank_wolfe_gap(x, torch.zeros(2), 1.0) == 0.0
    bad = torch.tensor([math.nan, 1.0])
    assert math.isnan(kkt_residual(x, bad, 1.0).residual)
    assert math.isnan(frank_wolfe_gap(x, bad, 1.0))
    for xs in ([x, bad], [bad, x]):
        assert math.isnan(kkt_residual(xs, [torch.ones(2)] * 2, 1.0).excess)


def test_parameters_in_a_list_are_one_vector_for_the_largest_coordinate():
    generator = torch.Generator().manual_seed(2)
    xs = [torch.nn.Parameter(torch.randn(s, generator=generator)) for s in ((3, 2), (4,))]
    sum(((p - 1) ** 2).sum() for p in xs).backward()
    gs = [p.grad for p in xs]
    together = torch.cat([p.flatten() for p in xs]), torch.cat([g.flatten() for g in gs])
    assert kkt_residual(xs, gs, 0.7) == pytest.approx(kkt_residual(*together, 0.7))
    assert frank_wolfe_gap(xs, gs, 0.7) == pytest.approx(frank_wolfe_gap(*together, 0.7))


def test_single_precision_weights_are_measured_in_double():
    g = torch.full((10**6,), 1e-3)
    g[0] = 1e4
    residual, _ = kkt_residual(-g.sign(), g, 1.0)
    assert abs(residual) < 1e-12


@pytest.mark.parametrize("norm", [LInf(), L2(), Spectral()], ids=str)
def test_the_loop_is_steepest_descent_with_weight_decay(norm):
    generator = torch.Generator().manual_seed(3)
    target, start = (torch.randn(4, 3, dtype=torch.float64, generator=generator) for _ in range(2))
    weight_decay = 0.8

    path = frank_wolfe(lambda x: x - target, start, norm, 1 / weight_decay, 25)
    x = torch.nn.Parameter(start.clone())
    optimizer = SteepestDescent([x], lr=1.0, norm=norm, weight_decay=weight_decay)
    for t, expected in enumerate(path[1:], start=1):
        optimizer.param_groups[0]["lr"] = 2 / (weight_decay * (t + 1))
        x.grad = x.detach() - target
        optimizer.step()
        torch.testing.assert_close(x.detach(), expected, rtol=1e-12, atol=1e-12)


def test_the_loop_finds_what_scipy_finds_and_an_unscaled_decay_does_not():
    matrix, target = least_squares()
    expected, _ = box_solution(matrix, target, 0.5)
    a, b = torch.tensor(matrix), torch.tensor(target)

    def loss(x):
        return 0.5 * float((a @ x - b).square().sum())

    least = loss(torch.tensor(expected))
    start = torch.zeros(12, dtype=torch.float64)
    path = frank_wolfe(lambda x: a.T @ (a @ x - b), start, LInf(), 0.5, 4000)
    assert 0 <= loss(path[-1]) - least < 1e-3
    gap = frank_wolfe_gap(path[-1], a.T @ (a @ path[-1] - b), 0.5)
    assert loss(path[-1]) - least <= gap

    # the same with the decay not multiplied by the learning rate: another ball, another optimum
    x = torch.nn.Parameter(start.clone())
    optimizer = SignSGD([x], lr=1.0)
    for t in range(1, 4001):
        optimizer.param_groups[0]["lr"] = 2 / (2.0 * (t + 1))
        x.grad = a.T @ (a @ x.detach() - b)
        x.data.mul_(1 - 2.0 * 0.01)
        optimizer.step()
    assert loss(x.detach()) - least > 0.1


def test_a_start_outside_comes_in_and_a_constant_step_is_accepted():
    far = torch.full((3,), 100.0, dtype=torch.float64)
    path = frank_wolfe(lambda x: x, far, LInf(), 1.0, 50, step_size=0.1)
    assert path.shape == (51, 3)
    excess = [max(float(LInf()(x)) - 1.0, 0.0) for x in path]
    assert all(b <= 0.9 * a + 1e-12 for a, b in pairwise(excess))


def test_the_schedule_is_the_learning_rate_of_the_course():
    weight_decay = 0.3
    for t in range(1, 20):
        assert weight_decay * (2 / (weight_decay * (t + 1))) == pytest.approx(open_loop_step(t - 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: kkt_residual(x, x, 0.0), "weight_decay"),
        (lambda x: kkt_residual(x, x[:2], 1.0), "shape"),
        (lambda x: kkt_residual([x, x], [x], 1.0), "one gradient for each"),
        (lambda x: kkt_residual([x], [None], 1.0), "backward"),
        (lambda x: kkt_residual([], [], 1.0), "0 tensors"),
        (lambda x: frank_wolfe_gap(x, x, math.inf), "radius"),
        (lambda x: frank_wolfe(lambda y: y, x, radius=-1.0), "radius"),
        (lambda x: frank_wolfe(lambda y: y, x, steps=2.5), "steps"),
        (lambda x: frank_wolfe(lambda y: y, x, step_size=1.5), "leave the ball"),
        (lambda x: frank_wolfe(lambda y: y[:1], x), "grad must return"),
    ],
)
def test_bad_input_is_refused_with_its_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.ones(3))
