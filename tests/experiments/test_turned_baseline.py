"""AdaSGD in turned coordinates: the problem is chapter 6's, and every claim can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse.experiments import on_edge_of_grid, rotated_quadratic
from linfcourse.experiments import turned_baseline as experiment
from linfcourse.records import Record, Trial

CONFIG = experiment.PRESETS["cpu"]
SHORT = replace(CONFIG, d=60, heavy=3, steps=60, lrs=(0.1,), seeds=(0, 1, 2))
BETAS = {"": 0.0, "_with_momentum": 0.9}


def status(record, name):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"turned_baseline.{name}")
    return claim.judge(record).status


def synthetic(adam=2.0, turned=1.0):
    """A record with plain AdaSGD at about 1 and these losses of the two turned methods."""
    losses = {("adasgd", 0.0): 1.0, ("adasgd", 10.0): turned, ("adam", 10.0): adam}
    trials = tuple(
        Trial(
            {"seed": seed, "method": method, "t": t, "beta1": beta1, "lr": 0.1},
            {"final_loss": loss * (1 + 0.01 * seed * (method == "adam"))},
        )
        for seed in range(3)
        for (method, t), loss in losses.items()
        for beta1 in CONFIG.beta1s
    )
    return Record("turned_baseline", "custom", asdict(CONFIG), trials)


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(experiment.PRESETS[scale], d=20, heavy=2, steps=3, lrs=(0.01,), seeds=(0,))
    record = experiment.run(config)
    assert len(record.trials) == 3 * 2
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)


def test_a_trial_is_rotated_quadratics():
    """The committed record of `rotated_quadratic` has this very run."""
    where = {"seed": 2, "method": "adasgd", "t": 0.0, "beta1": 0.9, "lr": 0.178}
    result = experiment.run_trial(CONFIG, torch.device("cpu"), **where)
    (trial,) = rotated_quadratic.recorded().select(schedule="constant", **where)
    assert result["final_loss"] == pytest.approx(trial.result["final_loss"], rel=1e-5)


@pytest.mark.parametrize("suffix", BETAS)
def test_claims_hold_and_fail_as_the_figures_say(suffix):
    record = synthetic()
    assert status(record, f"adam_behind{suffix}") == "holds"
    assert status(record, f"blind{suffix}") == "holds"
    assert status(synthetic(adam=0.5), f"adam_behind{suffix}") == "fails"
    assert status(synthetic(turned=1.5), f"blind{suffix}") == "fails"
    assert status(synthetic(turned=math.inf), f"blind{suffix}") == "inconclusive"


@pytest.mark.parametrize(("suffix", "beta1"), BETAS.items())
def test_the_claims_flip_when_the_turned_runs_are_another_methods(suffix, beta1, monkeypatch):
    """Trained for real: a method that is not blind takes AdaSGD's place, and the other way."""
    make = rotated_quadratic.make_optimizer
    config = replace(SHORT, beta1s=(beta1,))
    honest = status(experiment.run(config), f"blind{suffix}")
    swapped = {"adasgd": "adam", "adam": "adasgd"}
    monkeypatch.setattr(
        rotated_quadratic, "make_optimizer", lambda name, *rest: make(swapped[name], *rest)
    )
    assert (honest, status(experiment.run(config), f"blind{suffix}")) == ("holds", "fails")


@pytest.mark.parametrize(("suffix", "beta1"), BETAS.items())
def test_an_adasgd_that_climbs_loses_the_lead(suffix, beta1, monkeypatch):
    make = rotated_quadratic.make_optimizer

    def climbing(name, params, lr, betas):
        optimizer = make(name, params, lr, betas)
        optimizer.param_groups[0]["maximize"] = name == "adasgd"
        return optimizer

    monkeypatch.setattr(rotated_quadratic, "make_optimizer", climbing)
    record = experiment.run(replace(SHORT, beta1s=(beta1,)))
    assert status(record, f"adam_behind{suffix}") == "fails"


def test_the_record_chose_learning_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    for method, t in (("adasgd", 0.0), ("adasgd", CONFIG.angle), ("adam", CONFIG.angle)):
        for beta1 in CONFIG.beta1s:
            assert not on_edge_of_grid(record, method=method, t=t, beta1=beta1), (method, t, beta1)
