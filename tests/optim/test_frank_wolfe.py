"""Steepest descent with weight decay is Frank–Wolfe on the ball of radius 1/λ.

The Frank–Wolfe loop below is textbook NumPy: it knows no norm of the library, only where a linear
function is least on a ball.
"""

import numpy as np
import pytest
import torch

from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.optim.steepest_descent import SteepestDescent
from linfcourse.partitions import per_row, whole

WEIGHT_DECAY = 0.5
STEPS = 40  # rounding errors grow along a path, by the curvature of the ball


def vertex_linf(g, radius):
    return -radius * np.sign(g)


def vertex_l2(g, radius):
    return -radius * g / np.sqrt((g**2).sum())


def vertex_l1(g, radius):
    v = np.zeros(g.size)
    v[np.abs(g).argmax()] = -radius * np.sign(g.ravel()[np.abs(g).argmax()])
    return v.reshape(g.shape)


def vertex_spectral(g, radius):
    u, _, vt = np.linalg.svd(g, full_matrices=False)
    return -radius * u @ vt


def vertex_rows(g, radius):
    rows = g.reshape(len(g), -1)
    return (-radius * rows / np.sqrt((rows**2).mean(axis=1, keepdims=True))).reshape(g.shape)


BALLS = [
    pytest.param(LInf(), vertex_linf, id="LInf"),
    pytest.param(L2(), vertex_l2, id="L2"),
    pytest.param(L1(), vertex_l1, id="L1"),
    pytest.param(Spectral(), vertex_spectral, id="Spectral"),
    pytest.param(Blockwise(per_row), vertex_rows, id="Blockwise"),
]


class Problem:
    """A convex quadratic of two coupled matrices, ½‖A x − b‖², by its gradient."""

    shapes = ((4, 3), (2, 5))

    def __init__(self):
        random = np.random.default_rng(0)
        sizes = [a * b for a, b in self.shapes]
        self.cut = sizes[0]
        self.matrix = random.standard_normal((30, sum(sizes))) / 5
        self.target = 4 * random.standard_normal(30)
        self.start = random.standard_normal(sum(sizes))

    def split(self, x):
        return [x[: self.cut].reshape(self.shapes[0]), x[self.cut :].reshape(self.shapes[1])]

    def gradient(self, x):
        return self.matrix.T @ (self.matrix @ x - self.target)


def step_sizes():
    """Frank–Wolfe's own γ_t = 2/(t + 2), but never the whole way, so that the start matters."""
    return [min(0.9, 2 / (t + 2)) for t in range(STEPS)]


def frank_wolfe(problem, vertex, momentum=0.0):
    """x ← x + γ (v − x), v the vertex of each tensor's own ball: the product of the balls."""
    x, m, path = problem.start.copy(), 0.0, []
    for gamma in step_sizes():
        m = momentum * m + (1 - momentum) * problem.gradient(x)
        v = np.concatenate([vertex(g, 1 / WEIGHT_DECAY).ravel() for g in problem.split(m)])
        x = x + gamma * (v - x)
        path.append(x)
    return np.array(path)


def steepest_descent(problem, **options):
    params = [torch.nn.Parameter(torch.tensor(x)) for x in problem.split(problem.start)]
    optimizer = SteepestDescent(params, lr=1.0, weight_decay=WEIGHT_DECAY, **options)
    matrix, target = torch.tensor(problem.matrix), torch.tensor(problem.target)
    path = []
    for gamma in step_sizes():
        optimizer.param_groups[0]["lr"] = gamma / WEIGHT_DECAY
        optimizer.zero_grad()
        x = torch.cat([p.flatten() for p in params])
        (0.5 * (matrix @ x - target).square().sum()).backward()
        optimizer.step()
        path.append(torch.cat([p.detach().flatten() for p in params]).numpy())
    return np.array(path)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize(("norm", "vertex"), BALLS)
def test_steepest_descent_with_weight_decay_is_frank_wolfe(norm, vertex, momentum):
    problem = Problem()
    expected = frank_wolfe(problem, vertex, momentum)
    path = steepest_descent(problem, norm=norm, momentum=momentum)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("norm", "vertex"),
    [
        pytest.param(LInf(), vertex_linf, id="LInf"),
        pytest.param(L2(), vertex_l2, id="L2"),
        pytest.param(L1(), vertex_l1, id="L1"),
        pytest.param(
            Blockwise(whole), lambda g, r: vertex_l2(g, r * np.sqrt(g.size)), id="Blockwise"
        ),
    ],
)
def test_joint_steepest_descent_is_frank_wolfe_on_one_ball(norm, vertex):
    problem = Problem()
    problem_as_one = Problem()
    problem_as_one.split = lambda x: [x]
    expected = frank_wolfe(problem_as_one, vertex)
    path = steepest_descent(problem, norm=norm, joint=True)
    np.testing.assert_allclose(path, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("norm", "vertex"), BALLS)
def test_the_excess_over_the_ball_shrinks_by_one_minus_gamma(norm, vertex):
    problem = Problem()
    problem.start *= 100
    radius, starts = 1 / WEIGHT_DECAY, problem.split(problem.start)
    before = [max(float(norm(torch.tensor(x))) - radius, 0) for x in starts]
    assert min(before) > 0
    for x, gamma in zip(steepest_descent(problem, norm=norm), step_sizes(), strict=True):
        after = [max(float(norm(torch.tensor(t))) - radius, 0) for t in problem.split(x)]
        assert all(a <= (1 - gamma) * b + 1e-12 for a, b in zip(after, before, strict=True))
        before = after


@pytest.mark.parametrize(("norm", "vertex"), BALLS)
def test_the_frank_wolfe_gap_closes(norm, vertex):
    """⟨g, x − v⟩ over the ball bounds what is left to gain; it goes to zero like 1/t at best."""
    problem = Problem()

    def gap(x):
        g = problem.gradient(x)
        v = np.concatenate([vertex(t, 1 / WEIGHT_DECAY).ravel() for t in problem.split(g)])
        return g @ (x - v)

    path = steepest_descent(problem, norm=norm)
    assert min(map(gap, path[-10:])) < 0.1 * gap(path[4])
