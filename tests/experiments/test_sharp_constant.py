"""Chapter 3's experiment: what theory fixes beforehand, and that its claims can fail."""

from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import sharp_constant
from linfcourse.hessian.linf_constant import Bracket
from linfcourse.models import Quadratic

SHORT = replace(
    sharp_constant.PRESETS["cpu"], d=96, angles=(0.0, 0.1, 0.5, 10.0), starts=16, seeds=(0, 1, 2)
)
EXPECTED = {
    "sharp_constant.aligned": "holds",
    "sharp_constant.parts_under_rotation": "holds",
    "sharp_constant.grows_with_rotation": "holds",
    "sharp_constant.same_side": "fails",
}


def statuses(record):
    return {name: v.status for name, v in sharp_constant.EXPERIMENT.judge(record).items()}


@pytest.fixture(scope="module")
def short():
    return sharp_constant.run(SHORT)


def test_the_bounds_of_the_theorem_hold_at_every_angle(short):
    for trial in short.trials:
        r = trial.result
        assert r["trace"] <= r["low"] * (1 + 1e-6)
        assert r["low"] <= r["high"] * (1 + 1e-6)
        assert r["high"] <= min(r["norm_11"], r["whole"]) * (1 + 1e-4)
        assert r["norm_11"] <= (3 * SHORT.d) ** 0.5 * r["high"]


def test_trace_and_spectral_norm_do_not_notice_the_rotation(short):
    for what in ("trace", "whole"):
        first = short.trials[0].result[what]
        assert all(t.result[what] == pytest.approx(first, rel=1e-6) for t in short.trials)


def test_the_claims_at_a_reduced_size(short):
    judged = statuses(short)
    assert {k: judged[k] for k in EXPECTED if k != "sharp_constant.parts_under_rotation"} == {
        k: v for k, v in EXPECTED.items() if k != "sharp_constant.parts_under_rotation"
    }


def test_a_rotation_that_is_ignored_flips_the_claims(monkeypatch):
    monkeypatch.setattr(Quadratic, "rotated", lambda self, rotation: self)
    broken = statuses(sharp_constant.run(SHORT))
    assert broken["sharp_constant.aligned"] == "holds"
    assert broken["sharp_constant.parts_under_rotation"] == "fails"
    assert broken["sharp_constant.grows_with_rotation"] != "holds"
    assert broken["sharp_constant.same_side"] == "inconclusive"


def test_a_search_that_finds_nothing_leaves_the_growth_open(monkeypatch):
    real = sharp_constant.bracket_linf_constant

    def lazy(H, **options):
        found = real(H, **options)
        return Bracket(1e-3 * found.low, found.high, found.signs, found.weights)

    monkeypatch.setattr(sharp_constant, "bracket_linf_constant", lazy)
    broken = statuses(sharp_constant.run(SHORT))
    assert broken["sharp_constant.grows_with_rotation"] == "inconclusive"
    assert broken["sharp_constant.aligned"] == "fails"


def test_a_bound_from_above_that_is_the_norm_itself_flips_the_claims(monkeypatch):
    def crude(H, **options):
        norm = H.abs().sum().item()
        return Bracket(norm, norm, torch.ones(len(H)), H.abs().sum(dim=1))

    monkeypatch.setattr(sharp_constant, "bracket_linf_constant", crude)
    broken = statuses(sharp_constant.run(SHORT))
    assert broken["sharp_constant.parts_under_rotation"] == "fails"
    assert broken["sharp_constant.same_side"] == "holds"


@pytest.mark.parametrize("scale", sharp_constant.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        sharp_constant.PRESETS[scale], d=12, heavy=2, angles=(0.0, 1.0), starts=2, seeds=(0,)
    )
    assert len(sharp_constant.run(config).trials) == 2


def test_the_record_has_five_seeds():
    record = sharp_constant.recorded("cpu")
    assert record.values("seed") == [0, 1, 2, 3, 4]


def test_the_verdicts_on_the_record_are_those_that_the_chapter_tells():
    expected = {**EXPECTED, "sharp_constant.grows_with_rotation": "inconclusive"}
    assert statuses(sharp_constant.recorded("cpu")) == expected
