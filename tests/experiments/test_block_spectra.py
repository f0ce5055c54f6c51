"""Like and unlike blocks: the same eigenvalues in all, and every claim can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import block_spectra as experiment
from linfcourse.experiments import make_optimizer, on_edge_of_grid

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
SHORT = replace(CONFIG, seeds=(0, 1, 2), deals=(0.0, 0.3, math.inf), lrs=(0.3, 1.0, 10.0, 30.0))


def statuses(record):
    return {k.split(".")[1]: v.status for k, v in experiment.EXPERIMENT.judge(record).items()}


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(experiment.PRESETS[scale], seeds=(0,), blocks=2, size=4, steps=3, lrs=(0.1,))
    record = experiment.run(config)
    assert len(record.trials) == 5 * 2
    assert all(math.isfinite(v) for t in record.trials for v in t.result.values())


@pytest.mark.parametrize("deal", CONFIG.deals)
def test_every_deal_has_the_same_eigenvalues_and_nothing_between_blocks(deal):
    H = experiment.make_hessian(CONFIG, deal, seed=1)
    expected = torch.logspace(-3, 0, 128, dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.eigvalsh(H), expected, rtol=1e-9, atol=1e-12)
    ids = torch.arange(128) // 16
    assert (H[ids[:, None] != ids] == 0).all()


def test_unlikeness_is_that_of_the_traces_and_falls_along_the_ladder():
    H = experiment.make_hessian(CONFIG, 0.1, seed=0)
    traces = H.diag().view(8, 16).mean(1)
    unlike = experiment.unlikeness(experiment.deal_out(CONFIG, 0.1, seed=0))
    assert traces.log10().std(unbiased=False).item() == pytest.approx(unlike, rel=1e-9)
    ladder = [experiment.unlikeness(experiment.deal_out(CONFIG, d, seed=0)) for d in CONFIG.deals]
    assert ladder == sorted(ladder, reverse=True)


def test_the_extremes_separate_and_an_adam_with_one_second_moment_does_not(monkeypatch):
    found = statuses(experiment.run(SHORT))
    assert found["unlike"] == found["like"] == found["sgd_blind"] == "holds"

    def one_moment(method, params, lr, betas):
        return make_optimizer("adasgd" if method == "adam" else method, params, lr, betas)

    monkeypatch.setattr(experiment, "make_optimizer", one_moment)
    found = statuses(experiment.run(SHORT))
    assert found["unlike"] == "fails"
    assert found["predicts"] != "holds"
    assert found["sgd_blind"] != "holds"


def test_the_claims_flip_when_the_names_are_exchanged(monkeypatch):
    names = {"adam": "sgd", "sgd": "adam"}
    monkeypatch.setattr(
        experiment, "make_optimizer", lambda m, *rest: make_optimizer(names[m], *rest)
    )
    found = statuses(experiment.run(SHORT))
    assert found["unlike"] == found["like"] == found["sgd_blind"] == "fails"
    assert found["predicts"] == "fails"


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = experiment.run_trial(CONFIG, CPU, seed=0, deal=0.0, method="sgd", lr=1e6)
    assert result["final_loss"] == math.inf


def test_the_record_chose_learning_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    for deal in record.values("deal"):
        for method in record.values("method"):
            assert not on_edge_of_grid(record, deal=deal, method=method), (deal, method)
