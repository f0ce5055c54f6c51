"""Lion, Signum and Muon against constrained minima: the problem, and that its claims can fail."""

from dataclasses import replace

import pytest
import torch
from scipy.optimize import lsq_linear

from linfcourse.experiments import constrained_rulers as experiment
from linfcourse.experiments import on_edge_of_grid
from linfcourse.frank_wolfe import kkt_residual
from linfcourse.norms import L2, LInf, Spectral
from linfcourse.optim import Lion, SteepestDescent

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
SHORT = replace(CONFIG, seeds=(0, 1), steps=500, lrs=(0.1,), shape=(6, 4), spectral=2.0, points=3)


def verdict(record, name):
    return experiment.EXPERIMENT.judge(record)[f"constrained_rulers.{name}"].status


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(experiment.PRESETS[scale], seeds=(0, 1), shape=(5, 3), steps=4, points=3)
    record = experiment.run(config)
    assert len(record.trials) == 2 * 4 * len(config.lrs)
    assert all(len(t.result["distance"]) == 3 for t in record.trials)


def test_the_same_trial_gives_the_same_result():
    setting = {"seed": 1, "method": "muon", "lr": 0.1}
    first, second = (experiment.run_trial(SHORT, CPU, **setting) for _ in range(2))
    assert first == second


def test_the_gradient_is_the_one_that_autograd_finds():
    problem = experiment.make_problem(SHORT, seed=3)
    X = problem.start.clone().requires_grad_()
    D = X - problem.target
    (g,) = torch.autograd.grad(0.5 * (D * (problem.A @ D @ problem.B)).sum(), X)
    torch.testing.assert_close(problem.gradient(problem.start), g)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_minimum_on_the_box_is_scipys(seed):
    problem = experiment.make_problem(CONFIG, seed)
    X, gap = experiment.constrained_minimum(problem, "box", CONFIG.box)
    roots = [torch.linalg.cholesky(factor) for factor in (problem.A, problem.B)]
    # f(X) = ½‖(L_A ⊗ L_B)ᵀ vec(X − X*)‖², rows first.
    M = torch.kron(roots[0].T, roots[1].T)
    target = (M @ problem.target.flatten()).numpy()
    oracle = lsq_linear(M.numpy(), target, bounds=(-CONFIG.box, CONFIG.box), tol=1e-12)
    assert gap < 1e-9
    torch.testing.assert_close(X.flatten(), torch.from_numpy(oracle.x), rtol=0, atol=1e-4)


@pytest.mark.parametrize("ball", experiment.NORMS)
def test_the_minimum_satisfies_the_kkt_conditions_and_lies_on_the_boundary(ball):
    problem, radius = experiment.make_problem(CONFIG, seed=0), getattr(CONFIG, ball)
    X, _ = experiment.constrained_minimum(problem, ball, radius)
    residual, excess = kkt_residual(X, problem.gradient(X), 1 / radius, experiment.NORMS[ball])
    assert abs(residual) < 1e-8 and abs(excess) < 1e-8


@pytest.mark.parametrize("ball", experiment.NORMS)
def test_a_projection_is_the_nearest_of_many_points_of_the_ball(ball):
    generator = torch.Generator().manual_seed(0)
    X = 3 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
    nearest = experiment.project(X, ball, 1.0)
    norm = experiment.NORMS[ball]
    assert norm(nearest) == pytest.approx(1.0)
    for _ in range(200):
        other = nearest + 0.1 * torch.randn(5, 3, generator=generator, dtype=torch.float64)
        other = other / max(1.0, norm(other).item())
        assert (X - other).norm() >= (X - nearest).norm() - 1e-12


@pytest.fixture(scope="module")
def short():
    return experiment.run(SHORT)


def test_the_claims_hold_at_a_small_size(short):
    assert {name: verdict(short, name) for name in ("lion", "spectral", "newton_schulz")} == {
        "lion": "holds", "spectral": "holds", "newton_schulz": "holds",
    }  # fmt: skip


def swapped(monkeypatch, name, make):
    monkeypatch.setattr(experiment, name, make)
    return experiment.run(SHORT)


def test_lion_without_decay_leaves_the_box(monkeypatch):
    record = swapped(
        monkeypatch, "Lion", lambda p, lr, betas, weight_decay: Lion(p, lr=lr, betas=betas)
    )
    assert verdict(record, "lion") == "fails"


def test_lion_that_climbs_ends_elsewhere(monkeypatch):
    record = swapped(monkeypatch, "Lion", lambda p, **options: Lion(p, maximize=True, **options))
    assert verdict(record, "lion") == "fails"


def test_lion_with_half_the_decay_solves_another_problem(monkeypatch):
    def half(p, lr, betas, weight_decay):
        return Lion(p, lr=lr, betas=betas, weight_decay=weight_decay / 2)

    assert verdict(swapped(monkeypatch, "Lion", half), "lion") == "fails"


@pytest.mark.parametrize("norm", [LInf(), L2()])
def test_another_ruler_does_not_find_the_spectral_minimum(monkeypatch, norm):
    record = swapped(
        monkeypatch,
        "SteepestDescent",
        lambda p, lr, _, **options: SteepestDescent(p, lr, norm, **options),
    )
    assert verdict(record, "spectral") == "fails"


def test_newton_schulz_that_is_exact_is_no_rougher(monkeypatch):
    record = swapped(
        monkeypatch,
        "SteepestDescent",
        lambda p, lr, _, **options: SteepestDescent(p, lr, Spectral(), **options),
    )
    assert verdict(record, "newton_schulz") != "holds"


def test_a_minimum_that_is_not_certified_settles_nothing(monkeypatch, short):
    unsure = replace(
        short,
        trials=tuple(replace(t, result={**t.result, "certificate": 1e-3}) for t in short.trials),
    )
    assert verdict(unsure, "lion") == "fails"


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = experiment.recorded("cpu")
    for method in experiment.METHODS:
        assert not on_edge_of_grid(record, "final_distance", method=method), method


def test_the_record_has_ten_seeds():
    record = experiment.recorded("cpu")
    assert record.values("seed") == list(range(10))


def test_the_figure_draws_the_record_and_a_run_of_two_seeds(short):
    experiment.draw_distances(short)
    experiment.draw_distances(experiment.recorded("cpu"))
