"""Chapter 12's experiment: its problem, its bounds, and that its claims can fail."""

import functools
import itertools
import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import frank_wolfe_norms as experiment
from linfcourse.experiments import on_edge_of_grid
from linfcourse.norms import L2
from linfcourse.optim import SteepestDescent
from linfcourse.records import Record, Trial

CONFIG = experiment.PRESETS["cpu"]
CASES = list(itertools.product(CONFIG.landscapes, ("linf", "l2")))
SHORT = replace(
    CONFIG, seeds=(0, 1, 2), steps=1000, lrs=(0.001,), checkpoints=(10, 100, 1000)
)  # fmt: skip


def status(record, name):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"frank_wolfe_norms.{name}")
    return claim.judge(record).status


class DecayOfItsOwn(SteepestDescent):
    """The decay is not multiplied by the learning rate."""

    def __init__(self, params, lr, norm, weight_decay):
        super().__init__(params, lr=lr, norm=norm)
        self.decay = 0.01

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.data.mul_(1 - self.decay)
        return super().step(closure)


class CoupledDecay(SteepestDescent):
    """The decay is added to the gradient, as in L2 regularisation."""

    def __init__(self, params, lr, norm, weight_decay):
        super().__init__(params, lr=lr, norm=norm)
        self.decay = weight_decay

    def step(self, closure=None):
        for p in self.param_groups[0]["params"]:
            p.grad = p.grad + self.decay * p.data
        return super().step(closure)


def ascent(params, lr, norm, weight_decay):
    return SteepestDescent(params, lr=lr, norm=norm, weight_decay=weight_decay, maximize=True)


def always_l2(params, lr, norm, weight_decay):
    return SteepestDescent(params, lr=lr, norm=L2(), weight_decay=weight_decay)


def l2_uphill(params, lr, norm, weight_decay):
    return SteepestDescent(
        params, lr=lr, norm=norm, weight_decay=weight_decay, maximize=norm == L2()
    )


@functools.cache
def record_of(broken):
    """What the experiment records with another optimizer in the place of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "SteepestDescent", broken)
        return experiment.run(replace(SHORT, seeds=(0, 1)))


@pytest.fixture(scope="module")
def short():
    return experiment.run(SHORT)


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale], seeds=(0,), side=4, steps=3, lrs=(0.1,), checkpoints=(1, 3),
        same_path_steps=5,
    )  # fmt: skip
    record = experiment.run(config)
    assert len(record.trials) == 2 * 2 * 2 + 3
    assert all(math.isfinite(t.result["final_loss"]) for t in record.select(schedule="constant"))


@pytest.mark.parametrize(("landscape", "norm"), CASES)
def test_minimum_and_start_lie_in_the_ball(landscape, norm):
    for seed in (0, 1):
        problem = experiment.make_problem(100, landscape, norm, seed)
        size = experiment.NORMS[norm]
        assert size(problem.minimum) <= 0.9 * problem.radius * (1 + 1e-12)
        assert size(problem.start) < problem.radius


@pytest.mark.parametrize(("landscape", "norm"), CASES)
def test_the_smoothness_is_reached_by_a_step_and_by_no_random_one_passed(landscape, norm):
    problem = experiment.make_problem(16, landscape, norm, seed=0)
    ruler, h = experiment.NORMS[norm], problem.curvature
    worst = torch.ones_like(h) if norm == "linf" else (h == h.max()).double()
    assert ruler.dual(h * worst) / ruler(worst) <= problem.smoothness * (1 + 1e-12)
    best = torch.ones_like(h) if norm == "linf" else torch.eye(len(h), dtype=h.dtype)[0]
    assert ruler.dual(h * best) / ruler(best) == pytest.approx(problem.smoothness)
    for s in torch.randn(50, len(h), dtype=h.dtype, generator=torch.Generator().manual_seed(0)):
        assert ruler.dual(h * s) <= problem.smoothness * ruler(s)


def test_the_gradient_is_that_of_the_loss():
    problem = experiment.make_problem(100, "dense", "linf", seed=3)
    x = problem.start.clone().requires_grad_()
    i = torch.arange(1, 101, dtype=torch.float64)
    ((x - problem.minimum) ** 2 / i**2).sum().backward()
    torch.testing.assert_close(problem.gradient(x.detach()), x.grad)


def test_a_landscape_of_another_name_is_refused():
    with pytest.raises(ValueError, match="landscape"):
        experiment.make_problem(100, "plain", "linf", seed=0)


def test_every_claim_that_a_short_run_can_judge_holds(short):
    for claim in experiment.CLAIMS:
        if not claim.id.endswith("best_constant"):
            assert claim.judge(short).status == "holds", claim.id


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (DecayOfItsOwn, "same_path"),
        (DecayOfItsOwn, "contraction"),
        (CoupledDecay, "same_path"),
        (CoupledDecay, "contraction"),
        (ascent, "same_path"),
        (ascent, "rate"),
        (always_l2, "linf_ahead"),
        (l2_uphill, "l2_ahead_at_first"),
        (l2_uphill, "l2_ahead_when_sparse"),
    ],
)
def test_a_broken_optimizer_flips_the_verdict(broken, name):
    assert status(record_of(broken), name) == "fails"


def test_a_gap_below_the_loss_is_no_certificate(short):
    trials = [
        Trial(t.setting, {**t.result, "certificate": 0.9}) if "certificate" in t.result else t
        for t in short.trials
    ]
    false = Record("frank_wolfe_norms", "cpu", short.config, tuple(trials))
    assert status(false, "certificate") == "fails"


def test_the_best_constant_claim_flips_with_its_losses():
    record = experiment.recorded("cpu")
    assert status(record, "linf_ahead_at_best_constant") == "holds"
    names = {"linf": "l2", "l2": "linf"}
    swapped = [
        Trial({**t.setting, "norm": names.get(t.setting["norm"], t.setting["norm"])}, t.result)
        for t in record.trials
    ]
    false = Record("frank_wolfe_norms", "cpu", record.config, tuple(swapped))
    assert status(false, "linf_ahead_at_best_constant") == "fails"


def test_the_record_chose_every_constant_step_inside_the_grid():
    record = experiment.recorded("cpu")
    for landscape, norm in CASES:
        where = {"landscape": landscape, "norm": norm, "schedule": "constant"}
        assert not on_edge_of_grid(record, **where), where


def test_the_record_has_ten_seeds():
    record = experiment.recorded("cpu")
    assert record.values("seed") == list(range(10))


def test_the_figures_are_drawn():
    record = experiment.recorded("cpu")
    assert len(experiment.draw_schedules(record).axes) == 2
    assert len(experiment.draw_sparse(record).axes) == 1
