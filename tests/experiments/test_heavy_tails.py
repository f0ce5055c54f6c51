"""Rare classes: the language is what it says, and every claim can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import heavy_tails as experiment
from linfcourse.experiments import make_optimizer, on_edge_of_grid

CPU = torch.device("cpu")
# Few classes and steps, and only learning rates near the best ones.
SHORT = replace(
    experiment.PRESETS["cpu"], seeds=(0, 1, 2), octaves=6, width=48, steps=100,
    lrs=(0.1, 1.0, 30.0, 100.0),
)  # fmt: skip


def statuses(record):
    return {k.split(".")[1]: v.status for k, v in experiment.EXPERIMENT.judge(record).items()}


@pytest.fixture(scope="module")
def sound():
    return experiment.run(SHORT)


@pytest.fixture
def broken(monkeypatch):
    """A record in which one optimizer stands in for another."""

    def run(**stand_ins):
        def make(method, params, lr, betas):
            return make_optimizer(stand_ins.get(method, method), params, lr, betas)

        monkeypatch.setattr(experiment, "make_optimizer", make)
        return statuses(experiment.run(SHORT))

    return run


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(experiment.PRESETS[scale], seeds=(0,), octaves=3, width=4, steps=3, lrs=(0.1,))
    record = experiment.run(config)
    assert len(record.trials) == 2 * 3
    for trial in record.trials:
        assert math.isfinite(trial.result["final_loss"])
        assert len(trial.result["left"]) == len(trial.result["half"]) == 3


def test_the_language_has_the_probabilities_it_promises():
    x, p, following = experiment.make_language(SHORT, "zipf", seed=0)
    assert x.shape == (63, 48)
    torch.testing.assert_close(p[0] / p[9], torch.tensor(10.0))
    torch.testing.assert_close(following.sum(1), torch.ones(63))
    torch.testing.assert_close(following.diag(), 0.9 + 0.1 * p)


def test_frequencies_of_another_name_are_refused():
    with pytest.raises(ValueError, match="frequencies"):
        experiment.class_probabilities("heavy", 3)


def test_the_excess_loss_is_torchs_kullback_leibler_divergence():
    """With no step worth the name the final loss is that of uniform predictions."""
    result = experiment.run_trial(replace(SHORT, steps=1), CPU, 0, "zipf", "sgd", lr=1e-12)
    _, p, following = experiment.make_language(SHORT, "zipf", seed=0)
    uniform = torch.full_like(following, -math.log(63))
    each = torch.nn.functional.kl_div(uniform, following, reduction="none").sum(1)
    assert result["final_loss"] == pytest.approx((p @ each).item(), rel=1e-5)
    assert result["left"] == pytest.approx([1.0] * 6, rel=1e-5)
    assert result["half"] == [2.0] * 6  # never


def test_the_claims_hold_at_a_small_size(sound):
    assert set(statuses(sound).values()) == {"holds"}


def test_sign_descent_and_adam_that_keep_the_size_of_the_gradient_are_not_ahead(broken):
    found = broken(sign="sgd", adam="sgd")
    assert found["ahead"] == "inconclusive"
    assert found["rare_classes"] == "inconclusive"
    assert found["sign_whatever_frequency"] == "fails"
    assert found["control"] == "inconclusive"


def test_an_sgd_that_takes_signs_learns_rare_classes_as_fast(broken):
    found = broken(sgd="sign", sign="sgd", adam="sgd")
    assert found["sgd_by_frequency"] == "fails"
    assert found["ahead"] == "fails"
    assert found["rare_classes"] == "fails"


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = experiment.run_trial(replace(SHORT, steps=5), CPU, 0, "zipf", "sgd", lr=math.inf)
    assert result["final_loss"] == math.inf


def test_the_record_chose_learning_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    for frequencies in record.values("frequencies"):
        for method in record.values("method"):
            where = {"frequencies": frequencies, "method": method}
            assert not on_edge_of_grid(record, **where), where
