"""The table of invariances: the optimizers keep to it, and a broken one is found out."""

import math
from dataclasses import replace

import pytest
import torch

from linfcourse import optim
from linfcourse.experiments import invariances

CPU = torch.device("cpu")
SMALL = replace(invariances.PRESETS["cpu"], seeds=(0,), d=12, samples=30, steps=25)


def verdicts(**changes):
    record = invariances.run(replace(SMALL, **changes))
    return {
        name: invariances._judge(name)(record).status for name in record.values("transformation")
    }


@pytest.mark.parametrize("scale", invariances.PRESETS)
def test_every_preset_starts(scale):
    config = replace(invariances.PRESETS[scale], seeds=(0,), d=8, samples=10, steps=2)
    record = invariances.run(config)
    assert len(record.trials) == 35
    assert all(math.isfinite(trial.result["gap"]) for trial in record.trials)


def test_the_table_is_what_the_theorem_says():
    assert set(verdicts().values()) == {"holds"}


def test_a_transformation_maps_back_and_its_gradient_is_that_of_the_new_coordinates():
    x = torch.randn(9, dtype=torch.float64)
    matrix = torch.randn(9, 9, dtype=torch.float64)
    for name in ("signed permutation", "rotation", "stretched axes"):
        change = invariances.make_transformation(name, 9, 3, CPU)
        w = change.position(x).requires_grad_()
        torch.testing.assert_close(change.inverse(w.detach()), x)
        torch.tanh(matrix @ change.inverse(w)).sum().backward()  # autograd in w is the oracle
        plain = x.clone().requires_grad_()
        torch.tanh(matrix @ plain).sum().backward()
        torch.testing.assert_close(w.grad, change.gradient(plain.grad))


def test_an_unknown_transformation_names_the_known_ones():
    with pytest.raises(ValueError, match="rotation"):
        invariances.make_transformation("mirror", 9, 0, CPU)


@pytest.mark.parametrize(
    ("name", "broken", "column"),
    [
        # One second moment for all coordinates: then it is blind to rotations, and to no stretch.
        ("Adam", lambda p, lr: optim.AdaSGD(p, lr=lr, eps=0.0), "rotation"),
        ("Adam", lambda p, lr: optim.AdaSGD(p, lr=lr, eps=0.0), "rescaled gradient"),
        # One for each coordinate: no longer blind to rotations.
        ("AdaSGD", lambda p, lr: optim.Adam(p, lr=lr, eps=0.0), "rotation"),
        # One for each tensor: a rotation of all coordinates is not one of each tensor.
        ("AdaSGD", lambda p, lr: optim.Adalayer(p, lr=lr, eps=0.0), "rotation"),
        ("AdaSGD", lambda p, lr: optim.Adalayer(p, lr=lr, eps=0.0), "signed permutation"),
        # Lengths of single tensors instead of one of all.
        (
            "NormalizedSGD",
            lambda p, lr: optim.SteepestDescent(p, lr, optim.steepest_descent.L2()),
            "rotation",
        ),
        ("Signum", lambda p, lr: torch.optim.SGD(p, lr=lr), "scaled loss"),
        # ε has a unit.
        ("Adam", lambda p, lr: optim.Adam(p, lr=lr, eps=1e-2), "scaled loss"),
        # An optimizer that forgets what it does to the first coordinate.
        (
            "SGD",
            lambda p, lr: torch.optim.SGD([{"params": p[0], "lr": 2 * lr}, {"params": p[1]}], lr),
            "signed permutation",
        ),
        # A gradient divided by its length does not grow with the loss.
        ("SGD", lambda p, lr: optim.NormalizedSGD(p, lr), "scaled loss"),
    ],
)
def test_a_broken_optimizer_flips_the_claim(name, broken, column, monkeypatch):
    monkeypatch.setitem(invariances.OPTIMIZERS, name, broken)
    found = verdicts(transformations=(column,), optimizers=(name,))[column]
    assert found == "fails", f"{name} on {column}: {found}"


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        (lambda p, lr: optim.Adam(p, lr=0.0, eps=0.0), "fails"),
        (lambda p, lr: torch.optim.SGD(p, lr=math.inf), "inconclusive"),
    ],
    ids=["stays", "explodes"],
)
def test_an_optimizer_that_goes_nowhere_does_not_count_as_seeing(broken, status, monkeypatch):
    monkeypatch.setitem(invariances.OPTIMIZERS, "Adam", broken)
    config = replace(SMALL, optimizers=("Adam",), transformations=("rotation", "stretched axes"))
    record = invariances.run(config)
    for name in config.transformations:
        assert invariances._judge(name)(record).status == status
    invariances.draw_table(record)


def test_a_transformation_that_does_nothing_flips_the_claims_about_who_sees_it(monkeypatch):
    nothing = invariances.Transformation(*[invariances._same] * 3)
    monkeypatch.setattr(invariances, "make_transformation", lambda *_: nothing)
    found = verdicts()
    assert found.pop("signed permutation") == "holds"
    assert set(found.values()) == {"fails"}


def test_a_gap_between_rounding_and_path_is_inconclusive(monkeypatch):
    monkeypatch.setattr(invariances, "SAME", 1e-30)
    monkeypatch.setattr(invariances, "OTHER", 1e9)
    assert set(verdicts(seeds=(0,), optimizers=("AdaSGD",)).values()) == {"inconclusive"}


def test_the_record_has_five_seeds_and_all_its_claims_hold():
    record = invariances.recorded("cpu")
    assert record.values("seed") == [0, 1, 2, 3, 4]
    judged = invariances.EXPERIMENT.judge(record)
    assert {verdict.status for verdict in judged.values()} == {"holds"}
