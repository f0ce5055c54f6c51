"""Chapter 9's experiment: its partitions, its plumbing, and that its claims can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse.experiments import blockwise_ladder as experiment
from linfcourse.experiments import on_edge_of_grid
from linfcourse.experiments.configs import differing_fields
from linfcourse.partitions import adam_mini
from linfcourse.records import Record, Trial

CONFIG = experiment.PRESETS["cpu"]
TINY = {
    "lrs": (0.01,), "seeds": (0,), "n_layer": 1, "n_head": 2, "width": 8, "context": 8,
    "batch": 2, "steps": 3, "warmup": 1, "last": 2, "measured_after": 2, "measuring_seeds": (0,),
    "probes": 32,
}  # fmt: skip
CPU = torch.device("cpu")


def labels(name, seed=0):
    config = replace(CONFIG, **TINY)
    model = experiment.make_model(config, seed=0)
    return experiment.make_partition(name, config, model, seed).ids(model.parameters())


def sizes(ids):
    return torch.bincount(ids).sort().values


def status(record, name):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"blockwise_ladder.{name}")
    return claim.judge(record).status


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    partitions = ("whole", "adam_mini", "random", "sorted")
    config = replace(experiment.PRESETS[scale], **TINY, partitions=partitions)
    record = experiment.run(config)
    assert len(record.trials) == 4 * 3 + 4
    losses = [t.result["final_loss"] for t in record.select(kind="training")]
    assert all(map(math.isfinite, losses))
    assert all(0 < t.result["low"] < math.inf for t in record.select(kind="smoothness"))


@pytest.mark.parametrize("name", ["random", "random_within", "sorted"])
def test_controls_have_the_sizes_of_adam_minis_blocks(name):
    ids = labels(name)
    assert torch.equal(sizes(ids), sizes(labels("adam_mini")))
    assert not torch.equal(ids, labels("adam_mini"))


def test_random_within_keeps_every_tensors_own_blocks_and_random_does_not():
    model = experiment.make_model(replace(CONFIG, **TINY), seed=0)
    lengths = [p.numel() for p in model.parameters()]
    kept = labels("random_within").split(lengths)
    mixed = labels("random").split(lengths)

    def spans(pieces):
        return sum(len(piece.unique()) for piece in pieces) > len(torch.cat(pieces).unique())

    assert not spans(kept)
    assert spans(mixed)


def test_random_partitions_depend_on_the_seed_alone():
    assert torch.equal(labels("random", seed=1), labels("random", seed=1))
    assert not torch.equal(labels("random", seed=1), labels("random", seed=2))


def test_sorted_blocks_hold_gradients_of_like_size():
    """Within a tensor the spread of log sizes inside blocks is far below that of random blocks."""
    config = replace(CONFIG, **TINY)
    model = experiment.make_model(config, seed=0)
    sampler_loss = model.loss(
        *experiment.shakespeare().sampler(config.batch, config.context, 2000)(0)
    )
    gradients = torch.autograd.grad(sampler_loss, list(model.parameters()))
    embedding = gradients[0].flatten().abs()

    def spread(name):
        ids = labels(name)[: len(embedding)]
        return sum(embedding[ids == b].std() for b in ids.unique())

    assert spread("sorted") < 0.5 * spread("random_within")


def test_an_unknown_partition_is_refused():
    with pytest.raises(ValueError, match="partition must be one of"):
        labels("by name")


def test_adam_mini_is_the_librarys():
    model = experiment.make_model(CONFIG, seed=0)
    rule = experiment.make_partition("adam_mini", CONFIG, model, 0)
    parameters = list(model.parameters())
    assert torch.equal(rule.ids(parameters), adam_mini(model).ids(parameters))


def test_the_same_trial_gives_the_same_result():
    config = replace(CONFIG, **TINY)
    for setting in (
        {"kind": "training", "lr": 0.01},
        {"kind": "smoothness", "place": "adam"},
    ):
        runs = [
            experiment.run_trial(config, CPU, seed=0, partition="random", **setting)
            for _ in range(2)
        ]
        assert runs[0] == runs[1]


def synthetic(losses, bounds):
    """A record with these final losses and these values of H(L, Φ), on three seeds."""
    config = {**asdict(CONFIG), "partitions": list(losses)}
    trials = []
    for seed in (0, 1, 2):
        for name, loss in losses.items():
            noise = 0.001 * seed
            trials.append(
                Trial(
                    {"kind": "training", "seed": seed, "partition": name, "lr": 0.01},
                    {"final_loss": loss + noise + 1e-4 * seed * len(name), "blocks": 1},
                )
            )
            low, high = 0.9 * bounds[name], 1.1 * bounds[name]
            ends = {"low_interval": [low, low], "high_interval": [high, high]}
            for place in experiment.PLACES:
                setting = {"kind": "smoothness", "seed": seed, "place": place, "partition": name}
                trials.append(Trial(setting, {"low": low, "high": high, **ends}))
    return Record("blockwise_ladder", "custom", config, tuple(trials))


LOSSES = {
    "whole": 2.5, "per_tensor": 2.48, "adam_mini": 2.44, "coordinatewise": 2.42,
    "random_within": 2.47, "random": 2.49, "sorted": 2.43,
}  # fmt: skip
BOUNDS = {
    "whole": 800, "per_tensor": 300, "adam_mini": 120, "coordinatewise": 90,
    "random_within": 250, "random": 500, "sorted": 118,
}  # fmt: skip


def test_every_claim_holds_on_a_record_made_as_it_says():
    record = synthetic(LOSSES, BOUNDS)
    assert {c.id: c.judge(record).status for c in experiment.CLAIMS} == {
        c.id: "holds" for c in experiment.CLAIMS
    }


@pytest.mark.parametrize(
    ("claim", "losses", "bounds"),
    [
        ("finer_is_better", {"per_tensor": 2.52}, {}),
        ("bound_orders", {"per_tensor": 2.52}, {}),
        ("bound_orders", {}, {"whole": 10}),
        ("bound_orders_at_the_start", {"sorted": 2.6}, {}),
        ("bound_orders_at_the_start", {}, {"coordinatewise": 1000}),
        ("finer_is_smoother", {}, {"coordinatewise": 1000}),
        ("finer_is_smoother_for_adasgd", {}, {"per_tensor": 1000}),
        ("adam_is_smoother", {}, {"whole": 10}),
        ("adam_is_smoother_at_the_start", {}, {"whole": 10}),
        ("adam_mini_beats_random", {"random": 2.41}, {}),
        ("adam_mini_beats_random", {"random_within": 2.41}, {}),
        ("adam_mini_is_most_of_adam", {"adam_mini": 2.48}, {}),
        ("sorted_beats_adam_mini", {"sorted": 2.46}, {}),
    ],
)
def test_each_claim_fails_on_a_record_that_says_otherwise(claim, losses, bounds):
    assert status(synthetic({**LOSSES, **losses}, {**BOUNDS, **bounds}), claim) == "fails"


def test_brackets_that_overlap_predict_nothing():
    close = {**BOUNDS, "coordinatewise": 0.95 * BOUNDS["adam_mini"]}
    assert status(synthetic(LOSSES, close), "finer_is_smoother") == "inconclusive"


def test_brackets_that_all_overlap_leave_the_prediction_open():
    level = dict.fromkeys(BOUNDS, 100)
    assert status(synthetic(LOSSES, level), "bound_orders") == "inconclusive"


def test_a_broken_adam_mini_flips_the_claims(monkeypatch):
    """Trained for real: an Adam-mini that climbs loses to random blocks of its sizes."""
    config = replace(
        CONFIG, partitions=("adam_mini", "random_within", "random"), measuring_seeds=(),
        seeds=(0, 1, 2), lrs=(0.02,), n_layer=1, width=16, context=16, batch=8, steps=40,
        warmup=5, last=10, n_head=2,
    )  # fmt: skip
    optimizer = experiment.BlockwiseAdam

    def climbing(params, lr, betas, partition):
        wrong = "adam_mini" in repr(partition)
        return optimizer(params, lr=lr, betas=betas, partition=partition, maximize=wrong)

    monkeypatch.setattr(experiment, "BlockwiseAdam", climbing)
    assert status(experiment.run(config), "adam_mini_beats_random") == "fails"


def test_the_claims_do_not_hold_when_second_moments_are_never_shared(monkeypatch):
    config = replace(
        CONFIG, partitions=experiment.LADDER, measuring_seeds=(), seeds=(0, 1), lrs=(0.02,),
        n_layer=1, width=8, context=8, batch=4, steps=10, warmup=2, last=5, n_head=2,
    )  # fmt: skip
    optimizer = experiment.BlockwiseAdam
    monkeypatch.setattr(
        experiment,
        "BlockwiseAdam",
        lambda params, lr, betas, partition: optimizer(params, lr=lr, betas=betas),
    )
    assert status(experiment.run(config), "finer_is_better") == "inconclusive"


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = experiment.recorded("cpu")
    for partition in record.values("partition"):
        assert not on_edge_of_grid(record, kind="training", partition=partition), partition


def test_the_record_is_of_the_preset_and_has_five_seeds():
    record = experiment.recorded("cpu")
    assert differing_fields(record.config, asdict(CONFIG)) == []
    assert record.values("seed")[:3] == [0, 1, 2]
    assert sorted({t.setting["seed"] for t in record.select(kind="training")}) == [0, 1, 2, 3, 4]
