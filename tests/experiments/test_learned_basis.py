"""Adam in other axes: the optimizer against Adam and `Rotated`, and that its claims can fail."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse.experiments import learned_basis as experiment
from linfcourse.experiments import learned_basis_adam, on_edge_of_grid
from linfcourse.experiments.learned_basis_adam import AdamInBasis
from linfcourse.norms import Spectral
from linfcourse.optim import Rotated
from linfcourse.records import Trial
from linfcourse.rotations import Explicit, Haar

CPU = torch.device("cpu")
CONFIG = experiment.PRESETS["cpu"]
SHORT = replace(
    CONFIG, seeds=(0, 1, 2), lrs=(0.0316, 0.1, 1.0), network_steps=60, warmup=5, last=20
)


def verdict(record, name):
    (claim,) = (c for c in experiment.CLAIMS if c.id == f"learned_basis.{name}")
    return claim.judge(record).status


def path(make, steps=25):
    """Weights of a small regression after every step of an optimizer."""
    generator = torch.Generator().manual_seed(0)
    X, Y, start = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((30, 4), (30, 3), (3, 4))
    )
    W, points = start.clone().requires_grad_(), []
    optimizer = make(W)
    for _ in range(steps):
        optimizer.zero_grad()
        (X @ W.T - Y).square().mean().backward()
        optimizer.step()
        points.append(W.detach().clone())
    return torch.stack(points)


@pytest.mark.parametrize("scale", experiment.PRESETS)
def test_every_preset_starts(scale):
    config = replace(
        experiment.PRESETS[scale],
        seeds=(0, 1), size=4, steps=3, network_steps=3, width=4, batch=4, last=2, lrs=(0.1,),
    )  # fmt: skip
    record = experiment.run(config)
    assert len(record.trials) == 2 * 9
    assert all(math.isfinite(t.result["final_loss"]) for t in record.trials)


def test_in_the_axes_as_they_are_it_is_torchs_adam():
    mine = path(lambda W: AdamInBasis([W], 0.05))
    torch.testing.assert_close(mine, path(lambda W: torch.optim.Adam([W], 0.05, (0.9, 0.99))))


def test_in_given_axes_it_is_adam_in_two_rotations():
    Q_L, Q_R = Haar(seed=1).matrix(3), Haar(seed=2).matrix(4)

    def rotated(W):
        def inner(w):
            return Rotated(
                w, lambda u: torch.optim.Adam(u, 0.05, (0.9, 0.99)), Explicit(Q_R.T.contiguous()),
                scope="input",
            )  # fmt: skip

        return Rotated([W], inner, Explicit(Q_L.T.contiguous()), scope="output")

    mine = path(lambda W: AdamInBasis([W], 0.05, bases=[(Q_L, Q_R)]))
    torch.testing.assert_close(mine, path(rotated))
    assert not torch.allclose(mine, path(lambda W: AdamInBasis([W], 0.05)), atol=1e-3)


def test_the_first_step_in_learned_axes_is_the_spectral_one():
    generator = torch.Generator().manual_seed(5)
    W = torch.zeros(3, 4, dtype=torch.float64, requires_grad=True)
    optimizer = AdamInBasis([W], lr=1.0, every=1)
    W.grad = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    optimizer.step()
    torch.testing.assert_close(W.detach(), Spectral().lmo(W.grad), rtol=0, atol=1e-6)


def test_learned_axes_follow_a_rotation_of_the_problem():
    """Turn rows and columns of the problem, and the path turns with them."""
    config = replace(CONFIG, size=5)
    Q_A, Q_B = (Q for Q in experiment.quadratic(config, 0, turned=True)[2:])
    ends = []
    for P, Q in ((torch.eye(5).double(), torch.eye(5).double()), (Q_A, Q_B)):
        eigenvalues = experiment.quadratic(config, 0, turned=False)[0]
        A, B = (P * eigenvalues) @ P.T, (Q * eigenvalues) @ Q.T
        start = torch.randn(5, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        W = (P @ start @ Q.T).requires_grad_()
        optimizer = AdamInBasis([W], 0.05, every=2)
        for _ in range(10):
            W.grad = A @ W.detach() @ B
            optimizer.step()
        ends.append(P.T @ W.detach() @ Q)
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


def test_wrong_arguments_are_refused():
    W = torch.nn.Parameter(torch.zeros(2, 2))
    with pytest.raises(ValueError, match="matrices"):
        AdamInBasis([torch.nn.Parameter(torch.zeros(2))], 0.1)
    with pytest.raises(ValueError, match="one pair"):
        AdamInBasis([W], 0.1, bases=[])
    with pytest.raises(ValueError, match="one pair"):
        AdamInBasis([W], 0.1, bases=[(torch.eye(2), torch.eye(2))], every=1)


def test_the_same_trial_gives_the_same_result():
    setting = {"seed": 1, "problem": "network", "basis": "learned", "lr": 0.1}
    first, second = (experiment.run_trial(SHORT, CPU, **setting) for _ in range(2))
    assert first == second


def test_adam_in_the_axes_of_the_hessian_does_not_notice_that_it_was_turned():
    setting = {"seed": 2, "lr": 0.1}
    aligned = experiment.run_trial(CONFIG, CPU, problem="aligned", basis="plain", **setting)
    turned = experiment.run_trial(CONFIG, CPU, problem="turned", basis="exact", **setting)
    assert turned["final_loss"] == pytest.approx(aligned["final_loss"], rel=1e-3)


@pytest.fixture(scope="module")
def short():
    return experiment.run(SHORT)


HELPED = ("learned_helps", "share_returned", "network_learned_helps")


def test_the_claims_about_learned_axes_hold_in_short_runs(short):
    assert {name: verdict(short, name) for name in HELPED} == dict.fromkeys(HELPED, "holds")
    assert verdict(short, "random_hurts") == "holds"


def broken(monkeypatch, change):
    make = experiment.make_optimizer

    def changed(config, params, basis, lr, seed, exact=None):
        optimizer = make(config, params, basis, lr, seed, exact)
        change(optimizer, basis)
        return optimizer

    monkeypatch.setattr(experiment, "make_optimizer", changed)
    return experiment.run(replace(SHORT, seeds=(0, 1)))


def test_axes_that_are_never_learned_flip_the_claims_about_learning(monkeypatch):
    def never(optimizer, basis):
        optimizer.every = None

    record = broken(monkeypatch, never)
    assert all(verdict(record, name) != "holds" for name in HELPED)


def test_steps_uphill_in_the_learned_axes_flip_the_claims_about_them(monkeypatch):
    def uphill(optimizer, basis):
        if basis == "learned":
            step = optimizer.step

            def climb():
                optimizer.param_groups[0]["lr"] *= -1
                step()

            optimizer.step = climb

    record = broken(monkeypatch, uphill)
    assert all(verdict(record, name) == "fails" for name in HELPED)


def test_random_axes_that_are_not_random_hurt_nobody(monkeypatch):
    def identity(shapes, seed):
        return [tuple(torch.eye(n).double() for n in shape) for shape in shapes]

    monkeypatch.setattr(experiment, "random_bases", identity)
    record = experiment.run(replace(SHORT, seeds=(0, 1)))
    assert verdict(record, "random_hurts") != "holds"
    assert verdict(record, "network_random_hurts") != "holds"


def test_second_moments_of_the_gradient_before_it_is_turned_flip_the_claims(monkeypatch):
    """The usual mistake: V of G instead of Q_LᵀGQ_R."""

    def wrong(W, G, M, V, t, Q_L, Q_R, *, lr, betas, eps):
        M.mul_(betas[0]).add_(G, alpha=1 - betas[0])
        V.mul_(betas[1]).addcmul_(G, G, value=1 - betas[1])
        step = (Q_L.T @ M @ Q_R / (1 - betas[0] ** t)) / ((V / (1 - betas[1] ** t)).sqrt() + eps)
        W.sub_(lr * (Q_L @ step @ Q_R.T))

    monkeypatch.setattr(learned_basis_adam, "basis_update", wrong)
    record = experiment.run(replace(SHORT, seeds=(0, 1)))
    assert verdict(record, "learned_helps") != "holds"


@pytest.mark.parametrize(("learned", "status"), [(1e-4, "holds"), (3e-3, "fails"), (1e-2, "fails")])
def test_the_share_is_judged_in_powers_of_ten(short, learned, status):
    losses = {("aligned", "plain"): 1e-5, ("turned", "plain"): 1e-2, ("turned", "learned"): learned}
    trials = tuple(
        Trial(t.setting, {"final_loss": losses[key] * (1 + 0.01 * t.setting["seed"])})
        if (key := (t.setting["problem"], t.setting["basis"])) in losses
        else t
        for t in short.trials
    )
    assert verdict(replace(short, trials=trials), "share_returned") == status


def test_the_record_chose_every_learning_rate_inside_the_grid():
    record = experiment.recorded("cpu")
    for problem, bases in experiment.RUNS.items():
        for basis in bases:
            assert not on_edge_of_grid(record, problem=problem, basis=basis), (problem, basis)


def test_the_record_has_ten_seeds():
    record = experiment.recorded("cpu")
    assert record.values("seed") == list(range(10))


def test_the_figure_draws_the_record_and_a_run_of_three_seeds(short):
    experiment.draw_losses(short)
    experiment.draw_losses(experiment.recorded("cpu"))
