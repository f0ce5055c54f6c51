"""The ResNet in rotated axes: what must hold in it, and that its claims can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse.data import Images, fashion_mnist
from linfcourse.experiments import on_edge_of_grid, rotated_resnet
from linfcourse.experiments.configs import differing_fields
from linfcourse.records import Record, Trial

TINY = replace(
    rotated_resnet.PRESETS["cpu"],
    lrs=(0.01,), seeds=(0,), width=2, pool=4, batch=4, steps=2, warmup=1, last=1,
    measured=(("adam", 0.01),), measure_every=1, probes=4, points=2,
)  # fmt: skip


def judge(record, claim):
    return {c.id.split(".")[1]: c for c in rotated_resnet.CLAIMS}[claim].judge(record).status


def colourful() -> Images:
    """A few grey images as if they were CIFAR-10's."""
    grey = fashion_mnist()
    few = {"train_images": grey.train_images[:64].repeat(1, 3, 1, 1)}
    return replace(grey, train_labels=grey.train_labels[:64], **few)


@pytest.mark.parametrize("scale", rotated_resnet.PRESETS)
def test_every_preset_starts(scale, monkeypatch):
    monkeypatch.setitem(rotated_resnet._IMAGES, "cifar10", colourful)
    config = replace(TINY, images=rotated_resnet.PRESETS[scale].images)
    record = rotated_resnet.run(config)
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)
    assert [len(t.result["norms"]) for t in record.trials] == [3, 0, 0, 0]


def test_all_methods_start_from_the_same_weights_on_the_same_batch():
    record = rotated_resnet.run(TINY)
    assert len({trial.result["loss"][0] for trial in record.trials}) == 1


def test_a_run_that_diverges_counts_as_infinite_loss():
    setting = {"seed": 0, "method": "sgd", "lr": math.inf}
    result = rotated_resnet.run_trial(replace(TINY, steps=3), torch.device("cpu"), **setting)
    assert result["final_loss"] == math.inf


@pytest.mark.parametrize(
    ("claim", "flipped"),
    [("rotation_hurts_adam", 0.5), ("adam_before_adasgd", 0.5), ("norm_grows", 0.5)],
)
def test_a_claim_flips_with_its_figures(claim, flipped):
    def record_of(other):
        trials = []
        for seed in range(3):
            for method in ("adam", "rotated_adam", "adasgd", "sgd"):
                moment = {"step": 0, "plain": 1.0, "rotated": other, "spectral": 1.0}
                loss = (1.0 if method == "adam" else other) + 0.001 * seed * (method == "adam")
                result = {"final_loss": loss, "norms": [moment]}
                trials.append(Trial({"seed": seed, "method": method, "lr": 0.1}, result))
        return Record("rotated_resnet", "cpu", {}, tuple(trials))

    assert judge(record_of(2.0), claim) == "holds"
    assert judge(record_of(flipped), claim) == "fails"


def test_the_record_is_of_the_preset_and_chose_learning_rates_inside_the_grid():
    record = rotated_resnet.recorded("cpu")
    assert differing_fields(record.config, asdict(rotated_resnet.PRESETS["cpu"])) == []
    for method in record.values("method"):
        assert not on_edge_of_grid(record, method=method), method
    rotated_resnet.draw_losses(record)
