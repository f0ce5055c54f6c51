"""The rotated quadratic: what must hold in it, and that its claims can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse import optim
from linfcourse.experiments import on_edge_of_grid, rotated_quadratic
from linfcourse.experiments import rotated_quadratic_results as results
from linfcourse.models import Quadratic, hard_spectrum, rotation_family
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
# Small enough for a test; wide enough that the order shows on three seeds.
SMALL = replace(
    rotated_quadratic.PRESETS["cpu"],
    seeds=(0, 1, 2), d=200, steps=100, angles=(0.0, 0.3, 10.0), cosine_angles=(10.0,),
    beta1s=(0.0,), lrs=(0.00562, 0.0178, 0.0562, 0.178, 0.562, 1.78), blind_lr=0.00562, points=3,
)  # fmt: skip


def verdict(record, claim):
    return rotated_quadratic.EXPERIMENT.judge(record)[f"rotated_quadratic.{claim}"].status


def judge(record, claim):
    claims = {c.id.split(".")[1]: c for c in rotated_quadratic.CLAIMS}
    return claims[claim].judge(record).status


@pytest.mark.parametrize("scale", rotated_quadratic.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        rotated_quadratic.PRESETS[scale], seeds=(0, 1), d=20, steps=3, lrs=(0.01, 0.00178)
    )
    record = rotated_quadratic.run(config)
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)
    assert all(len(t.result["loss"]) == config.points for t in record.trials)
    rotated_quadratic.EXPERIMENT.judge(record)


def test_the_same_trial_gives_the_same_result():
    setting = {
        "seed": 1, "method": "adam", "t": 0.3, "beta1": 0.9, "schedule": "cosine", "lr": 0.1,
    }  # fmt: skip
    first, second = (rotated_quadratic.run_trial(SMALL, CPU, **setting) for _ in range(2))
    assert first == second


def test_the_turned_quadratic_is_the_one_of_the_library():
    eigenvalues = hard_spectrum(SMALL.d, SMALL.heavy)
    _, start = rotated_quadratic.quadratic(SMALL, seed=2, t=0.0)
    R = rotation_family(SMALL.d, seed=2)(0.3)
    oracle = Quadratic(eigenvalues, start=start).rotated(R)
    H, turned = rotated_quadratic.quadratic(SMALL, seed=2, t=0.3)
    torch.testing.assert_close(H, oracle.dense())
    torch.testing.assert_close(turned, oracle.x.detach())


def test_a_trial_takes_the_path_that_autograd_takes():
    config = replace(SMALL, steps=20)
    H, start = rotated_quadratic.quadratic(config, seed=0, t=0.3)
    problem = Quadratic(H, start=start)
    optimizer = torch.optim.Adam(problem.parameters(), lr=0.05, betas=(0.9, 0.99))
    for _ in range(20):
        optimizer.zero_grad()
        problem.loss().backward()
        optimizer.step()
    got = rotated_quadratic.run_trial(config, CPU, 0, "adam", 0.3, 0.9, "constant", 0.05)
    assert got["final_loss"] == pytest.approx(problem.loss().item(), rel=1e-6)
    assert got["norm_11"] == pytest.approx(H.abs().sum().item())


def test_all_methods_and_angles_start_at_the_same_loss():
    record = rotated_quadratic.run(replace(SMALL, seeds=(0,), steps=2, lrs=(0.00562,)))
    assert len({trial.result["loss"][0] for trial in record.trials}) == 1


def test_a_run_that_diverges_counts_as_infinite_loss():
    result = rotated_quadratic.run_trial(SMALL, CPU, 0, "sgd", 0.0, 0.0, "constant", 50.0)
    assert result["final_loss"] == math.inf
    assert len(result["loss"]) == SMALL.points


@pytest.fixture(scope="module")
def small():
    return rotated_quadratic.run(SMALL)


def test_the_claims_hold_at_a_fifth_of_the_size(small):
    for claim in ("norm_orders_losses", "ahead_when_aligned", "behind_when_turned", "blind"):
        assert judge(small, claim) == "holds", claim


def test_one_second_moment_for_all_flips_the_claims_about_adam(monkeypatch):
    monkeypatch.setattr(optim, "Adam", optim.AdaSGD)
    record = rotated_quadratic.run(SMALL)
    for claim in ("norm_orders_losses", "ahead_when_aligned", "behind_when_turned", "crossing"):
        assert judge(record, claim) != "holds", claim


def test_an_ignored_rotation_flips_the_claims_about_turning(monkeypatch):
    untouched = rotated_quadratic.quadratic

    def ignoring(config, seed, t, device):
        return untouched(config, seed, 0.0, device)

    monkeypatch.setattr(rotated_quadratic, "_cached_quadratic", ignoring)
    record = rotated_quadratic.run(SMALL)
    assert judge(record, "norm_orders_losses") != "holds"
    assert judge(record, "behind_when_turned") == "fails"
    assert judge(record, "crossing") == "fails"


def test_adam_in_the_place_of_adasgd_is_not_blind(monkeypatch):
    monkeypatch.setattr(optim, "AdaSGD", optim.Adam)
    assert judge(rotated_quadratic.run(replace(SMALL, seeds=(0,))), "blind") == "fails"


def test_an_adam_that_climbs_is_not_ahead(monkeypatch):
    adam = optim.Adam
    monkeypatch.setattr(optim, "Adam", lambda p, **options: adam(p, maximize=True, **options))
    assert judge(rotated_quadratic.run(SMALL), "ahead_when_aligned") == "fails"


def record_of(adam, adasgd, d=100):
    """A record with these final losses of Adam at three angles, the same on each of five seeds."""
    angles, numbers = (0.0, 1.0, 10.0), (10.0, 100.0, 1000.0)
    trials = []
    for seed in range(5):
        common = {"seed": seed, "beta1": 0.0, "schedule": "constant", "lr": 0.1}
        for t, number, loss in zip(angles, numbers, adam, strict=True):
            result = {"final_loss": loss * (1 + 0.01 * seed), "norm_11": number, "loss": []}
            trials.append(Trial({**common, "method": "adam", "t": t}, result))
        result = {"final_loss": adasgd, "norm_11": 10.0, "loss": []}
        trials.append(Trial({**common, "method": "adasgd", "t": 0.0}, result))
    config = {"d": d, "heavy": 10, "angles": list(angles)}
    return Record("rotated_quadratic", "cpu", config, tuple(trials))


@pytest.mark.parametrize(
    ("adam", "status"),
    [
        ((1e-4, 1e-3, 1e-2), "holds"),  # passes 1e-3 at the number 100 = d‖H‖₂
        ((1e-3, 5e-3, 1e-2), "fails"),  # passes it ten times too early
        ((1e-6, 1e-5, 2e-3), "fails"),  # passes it about seven times too late
        ((1e-6, 1e-5, 1e-4), "fails"),  # never passes it
    ],
)
def test_the_crossing_is_judged_by_where_it_lies(adam, status):
    assert judge(record_of(adam, 1e-3), "crossing") == status


def test_a_crossing_on_some_seeds_only_is_inconclusive():
    assert judge(record_of((1e-4, 1e-3, 1.02e-2), 1.04e-2), "crossing") == "inconclusive"


def test_a_crossing_is_found_on_a_straight_line_between_logarithms():
    numbers, losses = [1.0, 10.0, 100.0], [1e-3, 1e-2, 1e-1]
    assert results.crossing(numbers, losses, 10**-1.5) == pytest.approx(10**1.5)
    assert results.crossing(numbers, losses, 1.0) == math.inf
    assert results.crossing(numbers, losses, 1e-4) == 0.0


def test_the_record_chose_every_learning_rate_inside_the_grid():
    """But for AdaSGD under a cosine, as the chapter says: there the loss is flat in the lr."""
    record = rotated_quadratic.recorded("cpu")
    runs = {
        (t.setting["method"], t.setting["t"], t.setting["beta1"], t.setting["schedule"])
        for t in record.trials
    }
    blind = record.config["blind_angle"]
    for method, t, beta1, schedule in runs:
        if (method != "adam" and t == blind) or (method == "adasgd" and schedule == "cosine"):
            continue
        where = {"method": method, "t": t, "beta1": beta1, "schedule": schedule}
        assert not on_edge_of_grid(record, **where), where


def test_the_record_has_five_seeds():
    record = rotated_quadratic.recorded("cpu")
    assert record.values("seed") == [0, 1, 2, 3, 4]


def test_the_record_says_what_the_chapter_says():
    record = rotated_quadratic.recorded("cpu")
    assert {claim: verdict(record, claim) for claim in (
        "norm_orders_losses", "ahead_when_aligned", "behind_when_turned", "crossing", "blind",
        "behind_with_momentum", "crossing_with_momentum", "behind_under_cosine",
    )} == {
        "norm_orders_losses": "holds", "ahead_when_aligned": "holds",
        "behind_when_turned": "holds", "crossing": "holds", "blind": "holds",
        "behind_with_momentum": "inconclusive", "crossing_with_momentum": "inconclusive",
        "behind_under_cosine": "fails",
    }  # fmt: skip


def test_the_figures_draw_a_run_of_one_seed_and_the_record(small):
    results.draw_losses(small)
    results.draw_curves(small, 0.0, (0.0, 10.0))
    results.draw_schedules(rotated_quadratic.recorded("cpu"), 0.9, 10.0)
