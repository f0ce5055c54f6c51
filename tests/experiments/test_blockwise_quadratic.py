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
from linfcourse.records import decode, encode

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


def test_the_claims_flip_when_the_right_blocks_walk_uphill(monkeypatch):
    def broken(params, lr, betas, partition):
        fits = 1 < int(partition.ids(params).max()) < 255
        return BlockwiseAdam(params, lr=lr, betas=betas, partition=partition, maximize=fits)

    monkeypatch.setattr(experiment, "BlockwiseAdam", broken)
    assert status(experiment.run(SHORT)) == "fails"


def test_the_theorem_fails_for_a_descent_that_climbs(monkeypatch):
    descent = experiment.SteepestDescent
    monkeypatch.setattr(
        experiment,
        "SteepestDescent",
        lambda params, lr, norm: descent(params, lr=lr, norm=norm, maximize=True),
    )
    trial = dict(seed=0, landscape="axes", blocks=256, shuffled=False, method="descent")
    result = experiment.run_trial(CONFIG, torch.device("cpu"), **trial)
    assert result["fraction"] > 1


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = experiment.recorded("cpu")
    for landscape in record.config["landscapes"]:
        for blocks, shuffled in experiment._cases(record):
            for beta1 in record.config["beta1s"]:
                where = {"landscape": landscape, "blocks": blocks, "shuffled": shuffled}
                assert not on_edge_of_grid(record, method="adam", beta1=beta1, **where), where


def test_the_record_is_of_the_preset_and_has_five_seeds():
    record = experiment.recorded("cpu")
    assert record.config == decode(encode(asdict(CONFIG)))
    assert record.values("seed") == [0, 1, 2, 3, 4]
