"""A larger preset trains in the precision of its device, and a trial says which it was."""

import dataclasses

import pytest
import torch

from linfcourse import compiling, experiments

CPU = torch.device("cpu")
SMALL = {
    "first_look": {"steps": 3, "width": 8, "context": 8, "batch": 4, "last": 1},
    "rotated_gpt": {"steps": 3, "width": 8, "context": 8, "batch": 4, "last": 1, "measured": ()},
    "rotation_scopes": {"steps": 3, "width": 8, "context": 8, "batch": 4, "last": 1},
    "rotated_resnet": {"steps": 2, "batch": 4, "last": 1, "measured": (), "pool": 4},
    "blockwise_ladder": {"steps": 3, "width": 8, "context": 8, "batch": 4, "last": 1},
    "gradient_heterogeneity": {"steps": 3, "width": 8, "context": 8, "batch": 4, "last": 1},
    "adamw_language_model": {"steps": 3, "width": 8, "n_head": 2, "measure_every": 3},
}
HALF = [name for name in SMALL if name != "adamw_language_model"]


def run_one(name, **changes):
    experiment = experiments.get(name)
    config = dataclasses.replace(experiment.config("cpu"), **SMALL[name], **changes)
    setting = experiment.trials(config)[-1]
    return experiment.run_trial(config, CPU, **setting)


def test_these_are_all_that_can_choose():
    found = {n for n in experiments.NAMES if hasattr(experiments.get(n).config("cpu"), "compile")}
    assert found == set(SMALL)


@pytest.mark.parametrize("name", SMALL)
def test_gpu_and_paper_leave_it_to_the_device(name):
    for scale in ("gpu", "paper"):
        config = experiments.get(name).config(scale)
        assert config.compile == "auto"
        assert name not in HALF or config.precision == "auto"


@pytest.mark.parametrize("name", HALF)
def test_a_trial_says_in_what_it_was_computed(name):
    plain, half = run_one(name), run_one(name, precision="bf16")
    assert "precision" not in plain  # the committed records have no such entry
    assert half.pop("precision") == "bf16" and half.pop("compiled") is False
    assert half.keys() == plain.keys() and half["final_loss"] != plain["final_loss"]
    assert half["final_loss"] == pytest.approx(plain["final_loss"], rel=0.05)


def test_on_a_cpu_a_larger_preset_is_plain_float32():
    assert run_one("first_look", precision="auto", compile="auto") == run_one("first_look")


@pytest.mark.parametrize("name", ["rotated_gpt", "adamw_language_model"])
def test_a_trial_says_that_it_was_compiled(name, monkeypatch):
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")  # the last stage is slow
    assert run_one(name, compile="on")["compiled"] is True
    torch._dynamo.reset()
