"""Chapter 8's experiment: its landscapes, its theorem, and that its claims can fail."""

import math
from dataclasses import asdict, replace

import pytest
import torch

from linfcourse.experiments import blockwise_quadratic as experiment
from linfcourse.experiments import on_edge_of_grid
from linfcourse.hessian import blockwise_norm
from linfcourse.norms import Blockwise
from linfcourse.optim import BlockwiseAdam
from linfcourse.records import Record, Trial, decode, encode

CONFIG = experiment.PRESETS["cpu"]
# Small enough for a test, large enough that the right blocks show on every seed.
SHORT = replace(
    CONFIG, counts=(1, 16, 256), seeds=(0, 1, 2), steps=150, beta1s=(0.0,),
    landscapes=("blocks",), lrs=(0.0316, 0.0562),
)  # fmt: skip


def status(record, name="hidden_blocks_win"):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"blockwise_quadratic.{name}")
    return claim.judge(record).status


def ascent(H, ids, rounds=50):
    """H(L, Φ) from below, by another way than the library's: for each block b, go back and forth
    between v in the unit ball and u = (Hv)_b."""
    total = 0.0
    for b in range(int(ids.max()) + 1):
        rows = H[ids == b]
        v = torch.ones(len(H), dtype=H.dtype)
        for _ in range(rounds):
            u = rows @ v
            v = -Blockwise(ids).lmo(rows.T @ u)
        total += math.sqrt(len(rows)) * (rows @ v).norm().item()
    return total


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale],
        d=16,
        hidden=4,
        counts=(1, 4, 16),
        seeds=(0,),
        steps=3,
        lrs=(0.1,),
    )
    record = experiment.run(config)
    assert len(record.trials) == 3 * 4 * 3
    assert all(math.isfinite(v) for t in record.trials for v in t.result.values())


@pytest.mark.parametrize("landscape", CONFIG.landscapes)
def test_all_landscapes_have_the_same_eigenvalues(landscape):
    H = experiment.make_hessian(CONFIG, landscape, seed=1)
    axes = experiment.make_hessian(CONFIG, "axes", seed=0)
    expected = axes.diag().sort().values
    torch.testing.assert_close(torch.linalg.eigvalsh(H), expected, rtol=1e-9, atol=1e-12)


def test_hidden_blocks_are_where_the_matching_partition_looks():
    H = experiment.make_hessian(CONFIG, "blocks", seed=0)
    ids = experiment.make_ids(CONFIG, CONFIG.hidden, shuffled=False, seed=0)
    assert (H[ids[:, None] != ids[None, :]] == 0).all()


def test_a_landscape_of_another_name_is_refused():
    with pytest.raises(ValueError, match="landscape"):
        experiment.make_hessian(CONFIG, "plain", seed=0)


def test_shuffled_blocks_have_the_sizes_of_the_others():
    plain, shuffled = (experiment.make_ids(CONFIG, 16, s, seed=0) for s in (False, True))
    assert torch.equal(torch.bincount(plain), torch.bincount(shuffled))
    assert not torch.equal(plain, shuffled)


@pytest.mark.parametrize("blocks", [1, 8, 32, 64])
@pytest.mark.parametrize("landscape", CONFIG.landscapes)
def test_another_ascent_stays_in_the_bracket_and_near_its_lower_end(landscape, blocks):
    config = replace(CONFIG, d=64, hidden=8)
    H = experiment.make_hessian(config, landscape, seed=0)
    ids = experiment.make_ids(config, blocks, shuffled=False, seed=0)
    low, high = blockwise_norm(H, ids)
    other = ascent(H, ids)
    assert other <= high * (1 + 1e-9)
    assert abs(other / low - 1) < 0.03


def test_the_right_blocks_win_and_the_theorem_holds():
    record = experiment.run(SHORT)
    assert status(record) == "holds"
    assert status(record, "theorem") == "holds"


def test_the_claims_flip_when_second_moments_are_never_shared(monkeypatch):
    monkeypatch.setattr(
        experiment,
        "BlockwiseAdam",
        lambda params, lr, betas, partition: BlockwiseAdam(params, lr=lr, betas=betas),
    )
    assert status(experiment.run(SHORT)) != "holds"


# H(L, Φ) by number of blocks, shuffled ones marked by "s": the order that each claim speaks of.
BOUNDS = {
    "axes": {"1": 256, "4": 150, "16": 60, "64": 25, "256": 10, "16s": 100},
    "blocks": {"1": 256, "4": 100, "16": 10, "64": 20, "256": 40, "16s": 600},
    "mixed": {"1": 256, "4": 400, "16": 650, "64": 1000, "256": 1600, "16s": 700},
}


def synthetic(losses=(), fraction=0.5):
    """A record in which the loss follows H(L, Φ), but for `losses[landscape, partition]`."""
    losses = dict(losses)
    trials = []
    for seed in CONFIG.seeds:
        for landscape, bounds in BOUNDS.items():
            for name, bound in bounds.items():
                where = {
                    "seed": seed, "landscape": landscape,
                    "blocks": int(name.rstrip("s")), "shuffled": name.endswith("s"),
                }  # fmt: skip
                ends = {"low": 0.95 * bound, "high": 1.05 * bound}
                descent = {**ends, "promised": 1.0, "fraction": fraction}
                trials.append(Trial({**where, "method": "descent"}, descent))
                loss = losses.get((landscape, name), bound / 1e4) * (1 + 0.01 * seed)
                for beta1 in CONFIG.beta1s:
                    run = {**where, "method": "adam", "beta1": beta1, "lr": 0.1}
                    trials.append(Trial(run, {"final_loss": loss}))
    return Record("blockwise_quadratic", "custom", decode(encode(asdict(CONFIG))), tuple(trials))


def test_every_claim_holds_on_a_record_made_as_it_says():
    record = synthetic()
    assert {c.id: c.judge(record).status for c in experiment.CLAIMS} == {
        c.id: "holds" for c in experiment.CLAIMS
    }


@pytest.mark.parametrize(
    ("claim", "landscape", "partition", "loss"),
    [
        ("hidden_blocks_win", "blocks", "1", 1e-4),
        ("hidden_blocks_win", "blocks", "256", 1e-4),
        ("hidden_blocks_win", "blocks", "16s", 1e-4),
        ("hidden_blocks_win_with_momentum", "blocks", "16", 1.0),
        ("single_coordinates_win_on_axes", "axes", "256", 1.0),
        ("single_coordinates_win_on_axes", "axes", "16", 1e-4),
        ("adam_loses_when_mixed", "mixed", "256", 1e-4),
        ("blocks_lose_when_mixed", "mixed", "16", 1e-4),
        ("bound_orders", "mixed", "64", 1e-4),
        ("bound_orders_with_momentum", "axes", "4", 1.0),
    ],
)
def test_each_claim_fails_on_a_record_that_says_otherwise(claim, landscape, partition, loss):
    assert status(synthetic({(landscape, partition): loss}), claim) == "fails"


def test_the_theorem_fails_on_a_record_that_broke_its_promise():
    assert status(synthetic(fraction=1.01), "theorem") == "fails"


def test_all_claims_would_hold_if_the_losses_of_the_record_followed_its_bounds():
    """Claims that fail on the committed record do so by its losses, not by how they are judged."""
    record = experiment.recorded("cpu")
    names = ("seed", "landscape", "blocks", "shuffled")
    middles = {
        tuple(map(trial.setting.get, names)): math.sqrt(trial.result["low"] * trial.result["high"])
        for trial in record.select(method="descent")
    }
    runs = tuple(
        Trial(trial.setting, {"final_loss": middles[tuple(map(trial.setting.get, names))]})
        for trial in record.select(method="adam", lr=record.config["lrs"][0])
    )
    followed = replace(record, trials=(*record.select(method="descent"), *runs))
    for claim in experiment.CLAIMS:
        assert claim.judge(followed).status == "holds", claim.id


def broken(monkeypatch, uphill):
    """Blockwise Adam that climbs where `uphill(number of blocks)` says so."""

    def make(params, lr, betas, partition):
        wrong = uphill(int(partition.ids(params).max()) + 1)
        return BlockwiseAdam(params, lr=lr, betas=betas, partition=partition, maximize=wrong)

    monkeypatch.setattr(experiment, "BlockwiseAdam", make)


def hidden(blocks):
    return 1 < blocks < CONFIG.d


def single(blocks):
    return blocks == CONFIG.d


def whole(blocks):
    return blocks == 1


# Each claim, a landscape on which a short run can speak of it, the partition that climbs, and β₁.
CLIMBERS = [
    ("hidden_blocks_win", "blocks", hidden, 0.0),
    ("hidden_blocks_win_with_momentum", "blocks", hidden, 0.9),
    ("single_coordinates_win_on_axes", "axes", single, 0.0),
    ("adam_loses_when_mixed", "mixed", whole, 0.0),
    ("blocks_lose_when_mixed", "mixed", whole, 0.0),
    ("bound_orders", "axes", single, 0.0),
    ("bound_orders_with_momentum", "axes", single, 0.9),
]


@pytest.mark.parametrize(
    ("claim", "landscape", "uphill", "beta1"), CLIMBERS, ids=[case[0] for case in CLIMBERS]
)
def test_each_claim_fails_when_its_winner_walks_uphill(
    claim, landscape, uphill, beta1, monkeypatch
):
    broken(monkeypatch, uphill)
    config = replace(SHORT, landscapes=(landscape,), steps=20, lrs=(0.0316,), beta1s=(beta1,))
    assert status(experiment.run(config), claim) == "fails"


def test_the_theorem_fails_for_a_descent_that_climbs(monkeypatch):
    descent = experiment.SteepestDescent
    monkeypatch.setattr(
        experiment,
        "SteepestDescent",
        lambda params, lr, norm: descent(params, lr=lr, norm=norm, maximize=True),
    )
    config = replace(SHORT, landscapes=("axes",), counts=(256,), seeds=(0,), lrs=(0.0316,))
    assert status(experiment.run(config), "theorem") == "fails"


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = experiment.recorded("cpu")
    for landscape in record.config["landscapes"]:
        for blocks, shuffled in experiment._cases(record):
            for beta1 in record.config["beta1s"]:
                where = {"landscape": landscape, "blocks": blocks, "shuffled": shuffled}
                assert not on_edge_of_grid(record, method="adam", beta1=beta1, **where), where


def test_the_record_has_five_seeds():
    record = experiment.recorded("cpu")
    assert record.values("seed") == [0, 1, 2, 3, 4]
