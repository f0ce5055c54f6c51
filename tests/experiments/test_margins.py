"""Margins: the largest ones against scipy, the theorem, and that every claim can fail."""

import math
from dataclasses import replace

import numpy
import pytest
import scipy.optimize
import torch

from linfcourse.experiments import margins as experiment
from linfcourse.experiments import margins_problem as problem
from linfcourse.experiments import on_edge_of_grid
from linfcourse.norms import L1, L2, LInf, Spectral
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
SHORT = replace(
    CONFIG, seeds=(0, 1, 2), classes=4, d=12, samples=12, lrs=(0.3, 1.0), marks=(100,),
    epsilons=(1e-8, 1e-2), step=0.03, levels=(1e-8, 1e-16),
)  # fmt: skip


def statuses(record):
    return {k.split(".")[1]: v.status for k, v in experiment.EXPERIMENT.judge(record).items()}


@pytest.fixture(scope="module")
def Z():
    return problem.make_margins(classes=3, d=6, samples=6, decades=1.0, seed=1)


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale], seeds=(0,), classes=3, d=5, samples=5, lrs=(0.3,), marks=(2, 4),
        epsilons=(1.0,), step=0.05, levels=(0.5, 0.1),
    )  # fmt: skip
    record = experiment.run(config)
    assert len(record.trials) == 1 + 4 + 1
    for trial in record.select(method="smoothed"):
        assert all(math.isfinite(s) for s in trial.result["shortfall"]["l2"])


def test_a_margin_is_how_far_the_right_class_is_ahead():
    Z = problem.make_margins(classes=3, d=6, samples=4, decades=0.0, seed=5)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    W = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    logits = x @ W.T
    ahead = [logits[i, i % 3] - logits[i, j] for i in range(4) for j in range(3) if j != i % 3]
    expected = min(ahead) / W.abs().max()
    assert problem.margin(W, Z, LInf()) == pytest.approx(expected.item(), rel=1e-12)


def test_the_largest_linf_margin_is_scipys_linear_program(Z):
    A = Z.flatten(1).numpy()
    n, d = A.shape
    result = scipy.optimize.linprog(
        numpy.r_[numpy.zeros(d), -1.0],
        A_ub=numpy.c_[-A, numpy.ones(n)],
        b_ub=numpy.zeros(n),
        bounds=[(-1, 1)] * d + [(None, None)],
    )
    low, high, _ = problem.largest_margin(Z, LInf(), gap=1e-4)
    assert low <= -result.fun * (1 + 1e-9) and -result.fun <= high * (1 + 1e-9)
    assert high - low <= 1e-4 * high


def test_the_largest_l2_margin_is_that_of_scipys_shortest_separating_vector(Z):
    """min ‖w‖² with all margins at least one; the margin is 1/‖w‖."""
    A = Z.flatten(1).numpy()
    start = problem.largest_margin(Z, L2(), gap=0.1).W.flatten().numpy()
    result = scipy.optimize.minimize(
        lambda w: w @ w, 2 * start / (A @ start).min(), jac=lambda w: 2 * w, method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: A @ w - 1, "jac": lambda w: A},
        options={"maxiter": 500, "ftol": 1e-12},
    )  # fmt: skip
    assert result.success
    low, high, _ = problem.largest_margin(Z, L2(), gap=1e-4)
    assert low * (1 - 1e-6) <= 1 / math.sqrt(result.fun) <= high * (1 + 1e-6)


def test_the_largest_spectral_margin_is_scipys_smallest_nuclear_norm(Z):
    """From above, over all probabilities p: any p that scipy finds bounds the lower end."""
    A, shape = Z.flatten(1).numpy(), tuple(Z.shape[1:])

    def nuclear(p):
        return numpy.linalg.svd((p @ A).reshape(shape), compute_uv=False).sum()

    n = len(A)
    result = scipy.optimize.minimize(
        nuclear, numpy.full(n, 1 / n), method="SLSQP", bounds=[(0, 1)] * n,
        constraints={"type": "eq", "fun": lambda p: p.sum() - 1}, options={"maxiter": 300},
    )  # fmt: skip
    low, high, W = problem.largest_margin(Z, Spectral(), gap=1e-4)
    assert low <= result.fun * (1 + 1e-6)
    assert high <= result.fun * (1 + 1e-2)
    assert torch.linalg.matrix_norm(W, 2) <= 1 + 1e-9


@pytest.mark.parametrize("norm", experiment.NORMS.values(), ids=experiment.NORMS)
def test_projecting_gives_the_nearest_point_of_the_ball(norm):
    generator = torch.Generator().manual_seed(0)
    W = 2 * torch.randn(3, 5, generator=generator, dtype=torch.float64)
    P = problem.project(W, norm)
    assert norm(P) <= 1 + 1e-12
    assert torch.equal(problem.project(0.1 * P, norm), 0.1 * P) or torch.allclose(
        problem.project(0.1 * P, norm), 0.1 * P
    )
    # Nearest: ⟨W − P, S − P⟩ ≤ 0 for every S of the ball, hence for the one farthest that way.
    S = -norm.lmo(W - P)
    assert ((W - P) * (S - P)).sum() <= 1e-9


def test_data_that_cannot_be_separated_and_other_norms_are_refused():
    Z = torch.tensor([[[1.0, 0.0]], [[-1.0, 0.0]]], dtype=torch.float64)
    with pytest.raises(ValueError, match="separable"):
        problem.largest_margin(Z, L2(), iterations=300)
    with pytest.raises(TypeError, match="norm must be"):
        problem.project(Z[0], L1())


def test_smoothed_sign_is_sign_descent_for_small_and_gradient_descent_for_large_epsilon():
    g = torch.tensor([3.0, -0.5, 0.02], dtype=torch.float64)
    torch.testing.assert_close(experiment.smoothed_sign(g, 1e-12), g.sign(), rtol=1e-9, atol=0)
    torch.testing.assert_close(1e9 * experiment.smoothed_sign(g, 1e9), g, rtol=1e-8, atol=0)


def test_the_theorem_and_the_claims_on_smoothing_hold_at_a_small_size():
    found = statuses(experiment.run(SHORT))
    for name in ("theorem", "smoothing_interpolates", "smoothing_turns"):
        assert found[name] == "holds", name


def test_each_norm_has_its_own_descent_and_steps_in_another_norm_flip_that(monkeypatch):
    config = replace(
        CONFIG, seeds=(0, 1, 2), methods=tuple(experiment.NORMS), lrs=(1.0,), marks=(1000,),
        epsilons=(),
    )  # fmt: skip
    (best,) = (c.judge for c in experiment.CLAIMS if c.id == "margins.best_in_its_norm")
    (own,) = (c.judge for c in experiment.CLAIMS if c.id == "margins.own_norm")
    assert best(experiment.run(config)).status == "holds"
    names, descent = list(experiment.NORMS), experiment.SteepestDescent

    def other(params, lr, norm):
        (name,) = (n for n, there in experiment.NORMS.items() if there == norm)
        return descent(params, lr=lr, norm=experiment.NORMS[names[(names.index(name) + 1) % 3]])

    monkeypatch.setattr(experiment, "SteepestDescent", other)
    exchanged = experiment.run(config)
    assert best(exchanged).status == own(exchanged).status == "fails"


def test_a_descent_that_climbs_breaks_the_theorem(monkeypatch):
    descent = experiment.SteepestDescent
    monkeypatch.setattr(
        experiment,
        "SteepestDescent",
        lambda params, lr, norm: descent(params, lr=lr, norm=norm, maximize=True),
    )
    # A learning rate for which the theorem promises a positive margin.
    result = experiment.run_trial(SHORT, CPU, seed=0, method="linf", lr=0.3)
    assert result["slack"] < 0
    record = experiment.run(replace(SHORT, lrs=(0.3,)))
    assert statuses(record)["theorem"] == "fails"


def test_an_adam_with_one_second_moment_goes_where_gradient_descent_goes(monkeypatch):
    from linfcourse.optim import AdaSGD

    config, where = replace(SHORT, marks=(1000,)), dict(seed=0, method="adam", lr=0.3)
    adam = experiment.run_trial(config, CPU, **where)
    monkeypatch.setattr(experiment, "Adam", AdaSGD)
    shared = experiment.run_trial(config, CPU, **where)
    assert shared["linf"] > adam["linf"] + 0.1 and shared["l2"] < adam["l2"] - 0.05
    record = replace(experiment.recorded("cpu"))
    trials = [
        Trial(t.setting, {**t.result, "linf": 0.6, "l2": 0.01})
        if t.setting["method"] == "adam" else t
        for t in record.trials
    ]  # fmt: skip
    falsified = Record("margins", "cpu", record.config, tuple(trials))
    assert statuses(falsified)["adam_goes_to_linf"] == "fails"


def test_a_smoothing_that_is_ignored_neither_interpolates_nor_turns(monkeypatch):
    """Then every ε is the same sign descent; and with a huge one the same gradient descent."""
    config = replace(SHORT, methods=("l2",), lrs=(0.3,), marks=(2,))

    def verdicts(smoothing):
        monkeypatch.setattr(experiment, "smoothed_sign", smoothing)
        record = experiment.run(config)
        judges = {c.id.split(".")[1]: c.judge for c in experiment.CLAIMS}
        return {n: judges[n](record).status for n in ("smoothing_interpolates", "smoothing_turns")}

    assert verdicts(lambda g, epsilon: g.sign())["smoothing_interpolates"] == "inconclusive"
    found = verdicts(lambda g, epsilon: g)
    assert found["smoothing_interpolates"] == "inconclusive"
    assert found["smoothing_turns"] != "holds"
    found = verdicts(lambda g, epsilon: g / (g.abs() + 1e-10 / epsilon))  # turned over
    assert found["smoothing_interpolates"] == "fails"


def test_the_record_chose_learning_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    for method in record.config["methods"]:
        norm = "linf" if method == "adam" else method
        assert not on_edge_of_grid(record, norm, method=method), method
