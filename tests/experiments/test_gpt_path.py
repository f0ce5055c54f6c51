"""Chapter 11's experiment: its paths, its layers, and that its claims can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import at_best_lr, gpt_path, on_edge_of_grid
from linfcourse.experiments import gpt_path_results as results
from linfcourse.hessian import r_med
from linfcourse.records import Record, Trial

CPU = torch.device("cpu")
CONFIG = gpt_path.PRESETS["cpu"]
SIZES = {
    "n_layer": 1, "n_head": 2, "width": 8, "context": 8, "batch": 8, "warmup": 10, "steps": 120,
    "levels": (4.2, 4.0, 3.5), "switch_at": 4.0, "check_every": 5, "check_batch": 16,
    "hessian_batch": 4, "probes": 4, "candidates": 3, "sample": 6, "hutchinson": (2, 8),
    "lrs": ((0.012,), (0.3,), (0.016,)),
    "measured": (("adam", 0.012), ("sgd", 0.3), ("rotated_adam", 0.016)),
}  # fmt: skip
TINY = replace(CONFIG, **SIZES, seeds=(0,))


def status(record, name):
    (claim,) = (c for c in gpt_path.EXPERIMENT.claims if c.id == f"gpt_path.{name}")
    return claim.judge(record).status


@pytest.mark.parametrize("scale", gpt_path.PRESETS)
def test_every_preset_starts(scale):
    preset = gpt_path.PRESETS[scale]
    config = replace(preset, **SIZES, seeds=(0,), exact_seeds=preset.exact_seeds[:1])
    record = gpt_path.run(config)
    assert len(record.trials) == 5
    assert all(math.isfinite(trial.result["reached"]) for trial in record.trials)
    assert bool(record.trials[0].result["exact"]) == bool(config.exact_seeds)


def test_layers_are_the_blocks_matrices_with_queries_keys_and_values_apart():
    model = gpt_path.first_look.make_model(TINY, 0)
    params, sizes = gpt_path.layers_of(model)
    assert list(sizes) == [f"1 {n}" for n in ("query", "key", "value", "out", "up", "down")]
    assert sum(sizes.values()) == sum(p.numel() for p in params)
    assert {id(p) for p in params} == {
        id(p) for n, p in model.named_parameters() if n.startswith("blocks") and p.dim() == 2
    }


def test_a_small_layer_is_measured_exactly():
    """With a sample as large as the layer, the recorded ratio is r_med of the dense Hessian."""
    config = replace(TINY, sample=10_000)
    result = gpt_path.run_trial(config, CPU, seed=0, method="adam", lr=0.012)
    *_, (_, _, model) = gpt_path.follow(config, CPU, 0, "adam", 0.012)
    op, sizes = gpt_path.hessian_of(config, model)
    exact = r_med(op.dense().diag(), sizes.values())
    ours = [result["largest"][n][-1] / result["median"][n][-1] for n in sizes]
    torch.testing.assert_close(torch.tensor(ours, dtype=exact.dtype), exact, rtol=1e-3, atol=0)


def test_a_switch_follows_the_first_path_to_the_level_and_leaves_it_there():
    paths = {
        method: [
            (step, torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone())
            for step, _, model in gpt_path.follow(TINY, CPU, 0, method, lr)
        ]
        for method, lr in (("adam", 0.012), ("adam_then_sgd", 0.3))
    }
    for (a, x), (b, y) in list(zip(*paths.values(), strict=True))[:2]:
        assert a == b and torch.equal(x, y)
    assert not torch.equal(paths["adam"][2][1], paths["adam_then_sgd"][2][1])


def test_a_switch_to_the_same_optimizer_ends_near_where_it_would_have():
    """What a fresh start of the moments and the warm-up alone does: little, in steps."""
    config = replace(TINY, switches=(("adam", "adam"),))
    plain, again = (
        gpt_path.run_trial(config, CPU, seed=0, method=method, lr=0.012)
        for method in ("adam", "adam_then_adam")
    )
    assert abs(plain["reached"] - again["reached"]) <= 20


def test_measuring_does_not_change_the_path_and_diverged_runs_reach_nothing():
    plain = gpt_path.run_trial(replace(TINY, measured=()), CPU, seed=0, method="sgd", lr=0.3)
    measured = gpt_path.run_trial(TINY, CPU, seed=0, method="sgd", lr=0.3)
    assert plain["steps"] == measured["steps"] and not plain["largest"]
    lost = gpt_path.run_trial(TINY, CPU, seed=0, method="sgd", lr=1e30)
    assert lost["reached"] == math.inf and not lost["largest"]


def record_of(adam=20.0, sgd=40.0, rotated=40.0, adam_sgd=40.0, sgd_adam=20.0, layer_factor=1.0):
    """A record with these ratios, the same in both layers but for `layer_factor` in Adam's second,
    and a little different on each of three seeds."""
    config = {
        "methods": ["adam", "sgd", "rotated_adam"], "levels": [2.5, 2.4], "probes": 8,
        "exact_methods": ["adam", "sgd"],
        "measured": [["adam", 0.1], ["sgd", 0.1], ["rotated_adam", 0.1]],
    }  # fmt: skip
    ratios = {
        "adam": adam, "sgd": sgd, "rotated_adam": rotated, "adam_then_sgd": adam_sgd,
        "sgd_then_adam": sgd_adam,
    }  # fmt: skip
    trials = []
    for seed in range(3):
        for method, ratio in ratios.items():
            top = ratio * (1 + 0.01 * seed * (method in ("adam", "sgd_then_adam")))
            second = top * (layer_factor if method == "adam" else 1.0)
            count = 1 if "then" in method else 2
            exact = {"largest": [ratio, ratio], "median": [1.0, 1.0]}
            result = {
                "reached": 100, "steps": [50, 100],
                "largest": {"1 up": [top] * count, "1 down": [second] * count},
                "median": {"1 up": [1.0] * count, "1 down": [1.0] * count},
                "exact": {"0": exact, "8": exact} if seed == 0 and "then" not in method else {},
            }  # fmt: skip
            trials.append(Trial({"seed": seed, "method": method, "lr": 0.1}, result))
    return Record("gpt_path", "cpu", config, tuple(trials))


@pytest.mark.parametrize(
    ("claim", "broken"),
    [
        ("adam_even", {"adam": 80.0}),
        ("every_layer", {"layer_factor": 10.0}),
        ("follows_optimizer", {"adam_sgd": 20.0, "sgd_adam": 40.0}),
        ("rotation", {"rotated": 10.0}),
    ],
)
def test_a_claim_flips_with_its_figures(claim, broken):
    assert status(record_of(), claim) == "holds"
    assert status(record_of(**broken), claim) == "fails"


def test_the_screening_claim_flips_when_the_exact_diagonal_says_otherwise():
    record = record_of()
    assert status(record, "screening") == "holds"
    record.trials[0].result["exact"]["0"] = {"largest": [99.0, 99.0], "median": [1.0, 1.0]}
    assert status(record, "screening") == "fails"


def test_the_order_flips_when_the_two_optimizers_change_places(monkeypatch):
    """On whatever the tiny network gives: exchanged optimizers exchange the figures."""
    make = gpt_path.make_optimizer
    swap = {"adam": ("sgd", 0.3 / 0.012 / 0.1), "sgd": ("adam", 0.012 / (0.3 / 0.1))}

    def exchanged(name, params, lr, betas, **rotation):
        other, factor = swap.get(name, (name, 1.0))
        return make(other, params, lr * factor, betas, **rotation)

    plain = results.mean_log_ratios(gpt_path.run(TINY), "adam")
    monkeypatch.setattr(gpt_path, "make_optimizer", exchanged)
    swapped = results.mean_log_ratios(gpt_path.run(TINY), "sgd")
    assert plain == pytest.approx(swapped, rel=1e-4)


def test_the_record_was_measured_at_the_best_learning_rates():
    record = gpt_path.recorded("cpu")
    for method, lr in CONFIG.measured:
        assert at_best_lr(record, "reached", method=method)[0].setting["lr"] == lr
        assert not on_edge_of_grid(record, "reached", method=method)
    results.draw_levels(record)
    results.draw_layers(record)
    results.draw_switches(record)
    results.draw_bias(record)
