"""Chapter 2's experiment: what theory fixes beforehand, and that its claims can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import on_edge_of_grid
from linfcourse.experiments import sign_step_vs_gradient_step as experiment
from linfcourse.norms import L2, LInf

CPU = torch.device("cpu")
# As large as needed for a clear verdict, with the rates that matter.
SHORT = replace(
    experiment.PRESETS["cpu"],
    d=64, heavy=4, large=(1, 64), lrs=(0.5, 1.0, 2.0, 4.0), marks=(1, 20), seeds=(0, 1, 2),
)  # fmt: skip
EXPECTED = {
    "sign_step_vs_gradient_step.dense_aligned": "holds",
    "sign_step_vs_gradient_step.sparse_aligned": "holds",
    "sign_step_vs_gradient_step.dense_rotated": "holds",
    "sign_step_vs_gradient_step.guarantee_predicts": "holds",
}


def statuses(record):
    return {name: v.status for name, v in experiment.EXPERIMENT.judge(record).items()}


@pytest.fixture(scope="module")
def short():
    return experiment.run(SHORT)


def test_the_claims_hold_at_a_reduced_size(short):
    assert statuses(short).items() >= EXPECTED.items()


@pytest.mark.parametrize("hessian", ["aligned", "rotated"])
@pytest.mark.parametrize("method", ["sign", "gradient"])
def test_a_step_of_the_guaranteed_length_decreases_the_loss_by_the_guarantee(
    short, hessian, method
):
    """A theorem (the proposition on the dual-norm factor), and at most twice as much for PSD H."""
    for large in SHORT.large:
        where = {"hessian": hessian, "large": large}
        decreases = experiment.decreases(short, "loss_1", lr=1.0, method=method, **where)
        factors = experiment.advantages(short, **where) if method == "sign" else [1.0] * 3
        for decrease, guarantee in zip(decreases, factors, strict=True):
            assert guarantee * (1 - 1e-6) <= decrease <= 2 * guarantee * (1 + 1e-6)


def test_no_step_along_a_direction_decreases_the_loss_more_than_the_line_search(short):
    for trial in short.trials:
        assert trial.result["line_search"] <= trial.result["loss_1"] + 1e-9


def test_the_ratio_of_guarantees_is_density_over_spread():
    H, _ = experiment.make_hessian(64, 4, "rotated", 0)
    g = experiment.make_gradient(64, 8, 1e-3, 0)
    density = g.abs().sum() ** 2 / (64 * g.square().sum())
    spread = H.abs().sum() / (64 * torch.linalg.matrix_norm(H, 2))
    result = experiment.run_trial(SHORT, CPU, 0, "rotated", 8, "sign", 1.0)
    assert result["advantage"] == pytest.approx((density / spread).item(), rel=1e-6)


def test_the_gradient_has_as_many_large_entries_as_asked():
    g = experiment.make_gradient(200, 20, 1e-6, seed=1)
    assert (g.abs() > 1e-4).sum() == 20


def test_a_flipped_sign_flips_the_claim(monkeypatch):
    monkeypatch.setattr(LInf, "lmo", lambda self, g: g.sign())
    broken = statuses(experiment.run(SHORT))
    assert broken["sign_step_vs_gradient_step.dense_aligned"] == "fails"
    assert broken["sign_step_vs_gradient_step.guarantee_predicts"] == "fails"


def test_a_gradient_step_that_goes_up_flips_its_claims(monkeypatch):
    monkeypatch.setattr(L2, "lmo", lambda self, g: g / g.norm())
    broken = statuses(experiment.run(SHORT))
    assert broken["sign_step_vs_gradient_step.sparse_aligned"] == "fails"
    assert broken["sign_step_vs_gradient_step.dense_rotated"] == "fails"


def test_a_rotation_that_is_ignored_flips_the_claim(monkeypatch):
    monkeypatch.setattr(experiment, "Haar", lambda seed: lambda x: x)
    experiment.make_hessian.cache_clear()
    try:
        assert (
            statuses(experiment.run(SHORT))["sign_step_vs_gradient_step.dense_rotated"] == "fails"
        )
    finally:
        experiment.make_hessian.cache_clear()


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale],
        d=12,
        heavy=2,
        large=(2, 12),
        lrs=(1.0,),
        marks=(1, 2),
        seeds=(0,),
    )
    record = experiment.run(config)
    assert len(record.trials) == 8
    assert all(math.isfinite(t.result["loss_2"]) for t in record.trials)


def test_a_run_that_diverges_counts_as_infinite_loss():
    config = replace(SHORT, marks=(1, 400))
    assert (
        experiment.run_trial(config, CPU, 0, "aligned", 64, "gradient", 1e3)["loss_400"] == math.inf
    )


def test_the_record_has_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    assert len(record.values("seed")) >= 5
    for method in record.values("method"):
        for hessian in record.values("hessian"):
            for large in record.values("large"):
                where = {"method": method, "hessian": hessian, "large": large}
                for mark in record.config["marks"][1:]:
                    assert not on_edge_of_grid(record, f"loss_{mark}", **where), where


def test_the_verdicts_on_the_record_are_those_that_the_chapter_tells():
    expected = {**EXPECTED, "sign_step_vs_gradient_step.one_step_alone": "fails"}
    assert statuses(experiment.recorded("cpu")) == expected
