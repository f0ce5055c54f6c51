"""Chapter 1's experiment: what it must show, and that it can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse import optim
from linfcourse.experiments import first_look, on_edge_of_grid

TINY = replace(
    first_look.PRESETS["cpu"],
    lrs=(1e-2,), seeds=(0,), n_layer=1, width=8, context=8, batch=4, steps=6, warmup=2, last=2,
)  # fmt: skip
# Small enough for a test, large enough that turning the axes costs something on every seed.
SHORT = replace(
    first_look.PRESETS["cpu"],
    methods=("adam", "rotated_adam"), lrs=(0.016,), seeds=(0, 1, 2),
    n_head=2, width=32, steps=200, warmup=25, last=40,
)  # fmt: skip


def verdict(record, claim="first_look.rotation_hurts_adam"):
    (judge,) = [c.judge for c in first_look.CLAIMS if c.id == claim]
    return judge(record)


@pytest.mark.parametrize("scale", first_look.PRESETS)
def test_every_preset_starts(scale):
    """The presets of the larger scales go through the same code, here for a few small steps."""
    config = replace(
        first_look.PRESETS[scale],
        lrs=(1e-2,), seeds=(0,), n_layer=1, n_head=2, width=8, context=8, batch=2, steps=3,
        warmup=1, last=2,
    )  # fmt: skip
    record = first_look.run(config)
    assert len(record.trials) == 4
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)


def test_the_same_trial_gives_the_same_curve():
    run = [
        first_look.run_trial(TINY, torch.device("cpu"), seed=3, method="rotated_adam", lr=0.01)
        for _ in range(2)
    ]
    assert run[0] == run[1]


def test_all_methods_start_from_the_same_weights_on_the_same_batch():
    record = first_look.run(TINY)
    assert len({trial.result["loss"][0] for trial in record.trials}) == 1


def test_rotation_hurts_adam_and_the_claim_flips_when_the_rotation_helps(monkeypatch):
    assert verdict(first_look.run(SHORT)).status == "holds"

    class Lazy(optim.Adam):
        """A broken Adam, which moves a hundred times too little unless its axes are turned."""

        def __init__(self, params, lr, betas):
            params = list(params)
            lr = lr if params[0].ndim == 1 and len(params) == 1 else lr / 100
            super().__init__(params, lr=lr, betas=betas)

    monkeypatch.setattr(optim, "Adam", Lazy)
    assert verdict(first_look.run(SHORT)).status == "fails"


def test_the_claim_does_not_hold_when_the_rotation_is_ignored(monkeypatch):
    monkeypatch.setattr(optim, "Rotated", lambda params, make, rotation, scope: make(params))
    assert verdict(first_look.run(SHORT)).status == "inconclusive"


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = first_look.run_trial(TINY, torch.device("cpu"), seed=0, method="sgd", lr=1e30)
    assert result["final_loss"] == math.inf


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = first_look.recorded("cpu")
    for method in record.values("method"):
        assert not on_edge_of_grid(record, method=method), method


def test_the_record_is_of_the_preset_and_has_five_seeds():
    from dataclasses import asdict

    from linfcourse.experiments.configs import differing_fields

    record = first_look.recorded("cpu")
    assert differing_fields(record.config, asdict(first_look.PRESETS["cpu"])) == []
    assert record.values("seed") == [0, 1, 2, 3, 4]
