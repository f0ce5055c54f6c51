"""Pre-LN and Post-LN: what is measured, and that its claims can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse.data import shakespeare
from linfcourse.experiments import gradient_heterogeneity as experiment
from linfcourse.experiments import make_optimizer, on_edge_of_grid
from linfcourse.experiments.configs import differing_fields
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
TINY = replace(
    CONFIG, seeds=(0, 1), lrs=(0.01,), width=16, context=8, batch=4, steps=4, warmup=1, last=2
)


def statuses(record):
    return {k.split(".")[1]: v.status for k, v in experiment.EXPERIMENT.judge(record).items()}


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    names = ("seeds", "lrs", "width", "context", "batch", "steps", "warmup", "last")
    sizes = {name: getattr(TINY, name) for name in names}
    record = experiment.run(replace(experiment.PRESETS[scale], **sizes, n_layer=1, n_head=2))
    assert len(record.trials) == 2 * 2 * 2
    assert all(math.isfinite(t.result[k]) for t in record.trials for k in ("start", "end"))


def test_the_two_models_start_from_the_same_random_weights():
    pre, post = (dict(experiment.make_model(TINY, n, 0).named_parameters()) for n in TINY.norms)
    assert all(torch.equal(p, pre[name]) for name, p in post.items())
    with pytest.raises(ValueError, match="'pre' or 'post'"):
        experiment.make_model(TINY, "before", 0)


def test_sizes_are_root_mean_squares_of_what_backward_gives():
    model = experiment.make_model(TINY, "post", seed=0)
    batch = shakespeare().sampler(4, 8, 0)(0)
    sizes = experiment.gradient_sizes(model, batch)
    model.loss(*batch).backward()
    qkv = model.blocks[1].attention.qkv.weight.grad
    for letter, part in zip("qkv", qkv.view(3, 16, 16), strict=True):
        expected = part.norm().item() / 16
        assert sizes[f"blocks.1.attention.qkv{letter}"] == pytest.approx(expected, rel=1e-5)
    assert sizes["token"] == pytest.approx(model.token.weight.grad.norm().item() / math.sqrt(
        model.token.weight.numel()), rel=1e-5)  # fmt: skip
    assert len(sizes) == 3 + 2 * 6 and not any("norm" in name for name in sizes)


def test_post_ln_is_more_unequal_and_a_model_that_ignores_the_choice_is_not(monkeypatch):
    assert statuses(experiment.run(TINY))["post_ln"] == "holds"
    make = experiment.make_model
    monkeypatch.setattr(
        experiment, "make_model", lambda config, norm, *rest: make(config, "pre", *rest)
    )
    assert statuses(experiment.run(TINY))["post_ln"] == "inconclusive"


def test_the_claims_on_training_follow_what_the_optimizer_does(monkeypatch):
    """An SGD that walks uphill wherever LayerNorm comes after is hurt by Post-LN; one that walks
    uphill wherever it comes before is not."""
    config = replace(TINY, seeds=(0, 1, 2), lrs=(0.03,), steps=20)

    class Uphill(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.grad.neg_()
            return super().step(closure)

    def build(where):
        def make(method, params, lr, betas):
            params = list(params)
            place = "pre" if len(params) == len(list(PRE.parameters())) else "post"
            if method == "sgd" and place == where:
                return Uphill(params, lr=lr)
            return make_optimizer(method, params, lr, betas)

        return make

    PRE = experiment.make_model(config, "pre", 0)
    monkeypatch.setattr(experiment, "make_optimizer", build("post"))
    found = statuses(experiment.run(config))
    assert found["hurts_sgd"] == found["hurts_sign_less"] == "holds"
    monkeypatch.setattr(experiment, "make_optimizer", build("pre"))
    found = statuses(experiment.run(config))
    assert found["hurts_sgd"] == found["hurts_sign_less"] == "fails"


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = experiment.run_trial(TINY, CPU, seed=0, norm="pre", method="sgd", lr=1e30)
    assert result["final_loss"] == math.inf and math.isnan(result["end"])


def test_the_record_is_of_the_preset_and_chose_learning_rates_inside_the_grid():
    record = experiment.recorded("cpu")
    assert differing_fields(record.config, asdict(CONFIG)) == []
    for norm in record.values("norm"):
        for method in record.values("method"):
            assert not on_edge_of_grid(record, norm=norm, method=method), (norm, method)


def test_a_falsified_record_changes_the_verdicts():
    def record(**losses):
        trials = [
            Trial(
                {"seed": seed, "norm": norm, "method": method, "lr": 0.1},
                {"final_loss": losses[f"{method}_{norm}"] + 0.001 * seed, "start": seed * 0.01},
            )
            for seed in range(3)
            for norm in ("pre", "post")
            for method in ("sgd", "sign")
        ]
        return Record("gradient_heterogeneity", "cpu", {}, tuple(trials))

    hurt = record(sgd_pre=2.0, sgd_post=2.5, sign_pre=2.0, sign_post=2.1)
    spared = record(sgd_pre=2.0, sgd_post=1.9, sign_pre=2.0, sign_post=2.1)
    for claim in ("hurts_sgd", "hurts_sign_less"):
        assert statuses(hurt)[claim] == "holds"
        assert statuses(spared)[claim] == "fails"
