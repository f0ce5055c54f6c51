"""Chapter 10's experiment: its theory, its runs, and that its claims can fail."""

import math
from dataclasses import replace

import numpy
import pytest
import torch
from scipy import integrate

from linfcourse.experiments import linear_path as experiment
from linfcourse.experiments import linear_path_results as results
from linfcourse.experiments import linear_path_theory as theory
from linfcourse.models import TwoLayerLinear, two_layer_linear_problem
from linfcourse.records import Record, Trial

CONFIG = experiment.PRESETS["cpu"]
CPU = torch.device("cpu")
SHORT = replace(CONFIG, ds=(50, 100), seeds=(0, 1, 2))


def status(record, name):
    (claim,) = (c for c in experiment.EXPERIMENT.claims if c.id == f"linear_path.{name}")
    return claim.judge(record).status


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(experiment.PRESETS[scale], ds=(6, 9), sweep_d=6, seeds=(0,), steps=3)
    record = experiment.run(config)
    assert len(record.trials) == 9 + 3
    assert all(len(trial.result["first"]) == len(config.levels) for trial in record.trials)


@pytest.mark.parametrize("d", [9, 10, 100])
def test_the_expected_ratio_is_that_of_random_draws(d):
    squares = numpy.random.default_rng(0).standard_normal((20_000, d)) ** 2
    draws = squares.max(axis=1) / numpy.median(squares, axis=1)
    error = draws.std() / math.sqrt(len(draws))
    assert abs(theory.expected_ratio(d) - draws.mean()) < 4 * error


def test_the_leading_ratio_is_approached_from_above_the_expectation():
    quotients = [theory.leading_ratio(d) / theory.expected_ratio(d) for d in (50, 400, 6400)]
    assert all(q > 1 for q in quotients)
    with pytest.raises(ValueError, match="at least 4"):
        theory.expected_ratio(3)


def test_a_target_of_several_rows_is_refused():
    with pytest.raises(ValueError, match="one row"):
        theory.ratio_from_start(TwoLayerLinear(torch.ones(2, 3)))


def test_gradient_flow_grows_the_mode_of_the_start_within_the_bound_of_the_theorem():
    """The flow is solved by scipy, with the gradients written out here."""
    model = two_layer_linear_problem(12, seed=3)
    A, W1, W2 = (t.detach().numpy() for t in (model.target[0], model.first, model.second[0]))
    s, h = numpy.linalg.norm(A), len(W2)
    a = A / s

    def flow(t, x):
        w2, w1, rho = x[:h], x[h:-1].reshape(h, -1), x[-1]
        error = A - w2 @ w1
        rest = s - w2 @ w1 @ a
        return numpy.concatenate([w1 @ error, numpy.outer(w2, error).ravel(), [rest + 0 * rho]])

    end = 1.2
    start = numpy.concatenate([W2, W1.ravel(), [0.0]])
    x = integrate.solve_ivp(flow, (0, end), start, rtol=1e-10, atol=1e-12).y[:, -1]
    assert s - x[:h] @ x[h:-1].reshape(h, -1) @ a > 0
    p, q = W2 + W1 @ a, W2 - W1 @ a
    nu = numpy.linalg.norm(W1 - numpy.outer(W1 @ a, a), 2)
    bound = math.exp(-2 * x[-1]) * numpy.linalg.norm(q) + (math.exp(nu**2 * end) - 1) * (
        numpy.linalg.norm(p) + numpy.linalg.norm(q)
    )
    error = numpy.linalg.norm(2 * math.exp(-x[-1]) * x[:h] - p)
    assert error <= bound
    assert bound < 0.3 * numpy.linalg.norm(p)  # and the bound says something


def test_momentum_keeps_a_start_of_rank_one_on_its_line():
    """Exactly, for any learning rate and momentum: the exercise of the chapter."""
    model = two_layer_linear_problem(10, seed=1)
    a = model.target[0] / model.target[0].norm()
    with torch.no_grad():
        model.first.copy_(torch.outer(model.first @ a, a))
    mode = theory.growing_mode(model.first, model.second, model.target)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.8)
    for _ in range(40):
        optimizer.zero_grad()
        model.loss().backward()
        optimizer.step()
    later = theory.growing_mode(model.first, model.second, model.target)
    assert torch.nn.functional.cosine_similarity(mode, later, dim=0) > 1 - 1e-12


def test_the_claims_hold_on_a_short_run_and_are_of_equal_loss():
    record = experiment.run(SHORT)
    for name in ("adam_even", "any_lr", "start_foretells", "adam_flat", "rotation"):
        assert status(record, name) == "holds", name


def test_the_order_flips_when_the_two_optimizers_change_places(monkeypatch):
    make = experiment.make_optimizer
    swap = {"adam": ("sgd", 20.0), "sgd": ("adam", 0.05)}

    def exchanged(name, params, lr, betas, **rotation):
        other, factor = swap.get(name, (name, 1.0))
        return make(other, params, lr * factor, betas, **rotation)

    monkeypatch.setattr(experiment, "make_optimizer", exchanged)
    record = experiment.run(replace(SHORT, lrs=((0.002,), (0.001,), (0.001,))))
    for name in ("adam_even", "any_lr", "start_foretells", "adam_flat"):
        assert status(record, name) == "fails", name


def test_the_rotation_claim_is_open_when_the_rotation_is_ignored(monkeypatch):
    make = experiment.make_optimizer
    monkeypatch.setattr(
        experiment,
        "make_optimizer",
        lambda name, params, lr, betas, **rotation: make(
            name.removeprefix("rotated_"), params, lr, betas
        ),
    )
    assert status(experiment.run(SHORT), "rotation") == "inconclusive"


def test_an_optimizer_that_climbs_reaches_no_level_and_loses(monkeypatch):
    make = torch.optim.SGD
    monkeypatch.setattr(
        experiment,
        "make_optimizer",
        lambda name, params, lr, *_, **__: make(params, lr, maximize=True),
    )
    result = experiment.run_trial(replace(CONFIG, steps=50), CPU, 0, 50, "adam", 0.001)
    assert result["first"] == [math.inf] * len(CONFIG.levels)


def falsified(change):
    """The committed record with the first layer's ratios of some trials replaced."""
    record = experiment.recorded("cpu")
    trials = []
    for trial in record.trials:
        ratios = change(trial.setting, trial.result["first"])
        trials.append(Trial(trial.setting, trial.result | {"first": ratios}))
    return Record(record.experiment, record.scale, record.config, tuple(trials))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("adam_even", lambda s, r: [50 * x for x in r] if s["method"] == "adam" else r),
        ("any_lr", lambda s, r: [50 * x for x in r] if s["lr"] == 0.00025 else r),
        ("start_foretells", lambda s, r: [1.1 * x for x in r]),
        ("expected", lambda s, r: [2 * x for x in r]),
        ("adam_flat", lambda s, r: [2 * x for x in r]),
        ("growth", lambda s, r: [s["d"] * x for x in r] if s["method"] == "adam" else r),
        ("rotation", lambda s, r: [x / 50 for x in r] if "rotated" in s["method"] else r),
    ],
)
def test_a_claim_flips_with_its_figures(name, change):
    assert status(experiment.recorded("cpu"), name) == "holds"
    assert status(falsified(change), name) == "fails"


def test_the_record_can_be_drawn():
    record = experiment.recorded("cpu")
    results.draw_ratios(record)
    results.draw_prediction(record)
    results.draw_sweep(record)
