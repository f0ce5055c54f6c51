"""The test of random rotations: what must hold in it, and that it can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import rotation_quality

SMALL = replace(rotation_quality.PRESETS["cpu"], d=500, seeds=(0, 1, 2))


def verdicts(record):
    judged = rotation_quality.EXPERIMENT.judge(record)
    return {name.split(".")[1]: verdict.status for name, verdict in judged.items()}


@pytest.mark.parametrize("scale", rotation_quality.PRESETS)
def test_every_preset_starts_and_every_kind_is_orthogonal(scale):
    record = rotation_quality.run(replace(rotation_quality.PRESETS[scale], d=60, seeds=(0,)))
    assert record.values("kind") == list(rotation_quality.KINDS)
    assert all(trial.result["orthogonality_error"] < 1e-12 for trial in record.trials)


def test_the_norm_is_that_of_the_turned_matrix():
    config = replace(SMALL, d=30)
    got = rotation_quality.run_trial(config, torch.device("cpu"), seed=2, kind="Haar")
    R = rotation_quality.Haar(2).matrix(30)
    H = torch.diag(rotation_quality.hard_spectrum(30, config.heavy))
    assert got["norm_11"] == pytest.approx((R @ H @ R.T).abs().sum().item())


def test_a_kronecker_product_turns_an_axis_as_the_theorem_says():
    # E ‖R e‖₁² for R = A ⊗ B ⊗ C is the product of 1 + (2/π)(n − 1) over the sizes n
    d = 125
    values = [
        rotation_quality.kronecker_matrix(d, seed)[:, 0].abs().sum().item() ** 2
        for seed in range(300)
    ]
    assert sum(values) / 300 == pytest.approx((1 + 2 / math.pi * 4) ** 3, rel=0.1)


def test_too_few_rounds_are_found_out(monkeypatch):
    sound = verdicts(rotation_quality.run(SMALL))
    assert sound["hadamard"] == sound["two_kronecker_rounds"] == "holds"
    for broken, other in (
        ("Hadamard, 3 rounds", "Hadamard, 1 round"),
        ("permuted Kronecker, 2 rounds", "Kronecker alone"),
        ("one Haar block of 50, repeated", "Haar"),
    ):
        monkeypatch.setitem(rotation_quality.KINDS, broken, rotation_quality.KINDS[other])
    assert set(verdicts(rotation_quality.run(SMALL)).values()) == {"fails"}


def test_the_record_says_what_the_chapter_says():
    record = rotation_quality.recorded("cpu")
    assert set(verdicts(record).values()) == {"holds"}
    rotation_quality.draw_quality(record)
