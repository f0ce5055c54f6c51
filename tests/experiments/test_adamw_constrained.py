"""Chapter 13's experiment: its update is PyTorch's, its solutions scipy's, its claims can fail."""

import functools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import lsq_linear

from linfcourse.experiments import adamw_constrained as experiment
from linfcourse.records import Record, Trial

CONFIG = experiment.PRESETS["cpu"]
# Small enough for a test; 5 seeds, since two or three make wide intervals.
SHORT = replace(
    CONFIG, seeds=(0, 1, 2, 3, 4), steps=10_000, lrs=(1e-2, 2e-3),
    covered=((0.0, 0.0), (0.9, 0.95)), others=((0.9, 0.5), (0.99, 0.9)),
    penalised=((0.9, 0.95),), checkpoints=(100, 10_000),
)  # fmt: skip
SHORT_CLAIMS = ("minimiser", "kkt", "penalty_is_ridge", "stays_in_the_box", "leaves_the_box",
                "swings", "swing_fades")  # fmt: skip
right = experiment.adamw_step


def status(record, name):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"adamw_constrained.{name}")
    return claim.judge(record).status


@functools.cache
def record_of(step):
    """What the experiment records with another update in the place of AdamW's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "adamw_step", step)
        experiment.run_batch.cache_clear()
        record = experiment.run(SHORT)
    experiment.run_batch.cache_clear()
    return record


def coupled(x, g, m, v, t, *, weight_decay, penalty, **options):
    """The decay is added to the gradient, as torch.optim.Adam's weight_decay is."""
    return right(x, g, m, v, t, weight_decay=0.0, penalty=weight_decay + penalty, **options)


def decoupled(x, g, m, v, t, *, weight_decay, penalty, **options):
    """The penalty is taken for a decay."""
    return right(x, g, m, v, t, weight_decay=weight_decay + penalty, penalty=0.0, **options)


def decay_of_its_own(x, g, m, v, t, *, lr, weight_decay, **options):
    """The decay is not multiplied by the learning rate."""
    new, m, v = right(x, g, m, v, t, lr=lr, weight_decay=0.0, **options)
    return new - 0.01 * weight_decay * x, m, v


def no_root(x, g, m, v, t, *, lr, beta1, beta2, weight_decay, penalty):
    """The averages are taken as in Adam, but nothing is divided by."""
    g = g + penalty * x
    m = beta1 * m + (1 - beta1) * g
    return (1 - lr * weight_decay) * x - lr * m / (1 - beta1**t), m, v


def one_beta(x, g, m, v, t, *, beta1, beta2, **options):
    """β₁ is used for both moments."""
    return right(x, g, m, v, t, beta1=beta1, beta2=beta1, **options)


def swapped_betas(x, g, m, v, t, *, beta1, beta2, **options):
    return right(x, g, m, v, t, beta1=beta2, beta2=beta1, **options)


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale], seeds=(0,), d=4, rows=6, steps=20, checkpoints=(20,)
    )
    record = experiment.run(config)
    assert len(record.trials) == len(experiment.methods(config))
    assert all(math.isfinite(t.result["to_box"]) for t in record.trials)


@pytest.mark.parametrize(
    ("make", "decay", "penalty"),
    [
        (torch.optim.AdamW, 0.7, 0.0),
        (torch.optim.Adam, 0.0, 0.7),
    ],
)
@pytest.mark.parametrize("betas", [(0.9, 0.95), (0.99, 0.9), (0.0, 0.5)])
def test_the_update_is_pytorchs(make, decay, penalty, betas):
    problem = experiment.make_problem(SHORT, seed=1)
    start = torch.linspace(-2, 2, 20, dtype=torch.float64)
    theirs = start.clone().requires_grad_()
    optimizer = make([theirs], lr=0.03, betas=betas, eps=0.0, weight_decay=decay + penalty)
    x, m, v = start, torch.zeros(20).double(), torch.zeros(20).double()
    for t in range(1, 60):
        optimizer.zero_grad()
        problem.loss(theirs).backward()
        optimizer.step()
        x, m, v = right(
            x, problem.gradient(x), m, v, t, lr=0.03, beta1=betas[0], beta2=betas[1],
            weight_decay=decay, penalty=penalty,
        )  # fmt: skip
        torch.testing.assert_close(theirs.detach(), x, rtol=1e-9, atol=1e-11)


def test_a_coordinate_without_gradients_only_decays():
    zero = torch.zeros(2)
    x, _, _ = right(
        torch.ones(2), zero, zero, zero, 1, lr=0.1, beta1=0.9, beta2=0.99, weight_decay=1.0
    )
    torch.testing.assert_close(x, torch.full((2,), 0.9))


def test_the_batch_is_the_runs_one_by_one():
    """Each run by itself, by PyTorch's optimizers, on a problem of its own."""
    config = replace(SHORT, seeds=(0, 3), steps=100, checkpoints=(100,))
    record = experiment.run(config)
    for trial in record.trials:
        s = trial.setting
        problem = experiment.make_problem(config, s["seed"])
        x = experiment._start(config, s["seed"]).requires_grad_()
        make = torch.optim.AdamW if s["method"] == "adamw" else torch.optim.Adam
        optimizer = make([x], lr=1.0, betas=tuple(s["betas"]), eps=0.0, weight_decay=1.0)
        for t in range(1, config.steps + 1):
            decaying = config.first_lr * t**-config.power
            optimizer.param_groups[0]["lr"] = s["lr"] if s["lr"] else decaying
            x.grad = problem.gradient(x.detach())
            optimizer.step()
        to_box = (x.detach() - problem.minimiser()).abs().max().item()
        # few steps: near a zero of the gradient, signs amplify rounding errors
        assert to_box == pytest.approx(trial.result["to_box"], rel=1e-5), s


@pytest.mark.parametrize("seed", CONFIG.seeds)
def test_the_minimisers_are_scipys(seed):
    problem = experiment.make_problem(CONFIG, seed)
    root = np.linalg.cholesky(problem.hessian.numpy()).T
    found = lsq_linear(root, root @ problem.center.numpy(), bounds=(-1, 1), tol=1e-15).x
    np.testing.assert_allclose(problem.minimiser().numpy(), found, atol=1e-7)
    # what makes the experiment able to fail: the three candidates are far apart
    box, ridge = problem.minimiser(), problem.ridge(1.0)
    assert min((box - ridge).abs().max(), (box - problem.center.clamp(-1, 1)).abs().max()) > 0.1


@pytest.mark.parametrize("name", SHORT_CLAIMS)
def test_the_claims_hold_for_adamw_in_a_short_run(name):
    assert status(record_of(right), name) == "holds"


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (coupled, "minimiser"),
        (coupled, "kkt"),
        (coupled, "stays_in_the_box"),
        (decoupled, "penalty_is_ridge"),
        (decay_of_its_own, "minimiser"),
        (decay_of_its_own, "kkt"),
        (no_root, "minimiser"),
        (no_root, "stays_in_the_box"),
        (one_beta, "leaves_the_box"),
        (one_beta, "swings"),
        (swapped_betas, "swings"),
        (swapped_betas, "leaves_the_box"),
    ],
)
def test_a_broken_optimizer_flips_the_verdict(broken, name):
    assert status(record_of(broken), name) == "fails"


def test_a_swing_that_grows_as_the_learning_rate_falls_would_be_seen():
    record = record_of(right)
    flipped = {1e-2: 2e-3, 2e-3: 1e-2, None: None}
    trials = [Trial({**t.setting, "lr": flipped[t.setting["lr"]]}, t.result) for t in record.trials]
    false = Record("adamw_constrained", "cpu", record.config, tuple(trials))
    assert status(false, "swing_fades") == "fails"


def test_a_run_that_stops_short_of_the_minimiser_would_be_seen():
    record = experiment.recorded("cpu")
    trials = [
        Trial(t.setting, {**t.result, "to_box": t.result["to_box"] + 0.02}) for t in record.trials
    ]
    false = Record("adamw_constrained", "cpu", record.config, tuple(trials))
    assert status(false, "minimiser") == "fails" == status(false, "decay_saves")


def test_the_record_has_ten_seeds():
    record = experiment.recorded("cpu")
    assert record.values("seed") == list(range(10))


def test_the_figures_are_drawn():
    record = experiment.recorded("cpu")
    assert len(experiment.draw_convergence(record).axes) == 2
    assert len(experiment.draw_swing(record).axes) == 1
