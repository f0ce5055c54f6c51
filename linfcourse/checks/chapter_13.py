"""Checks of the exercises of chapter 13."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from linfcourse.checks.check import Wrong, as_tensor, call, exercise, recognise


@exercise("13.1")
def where_it_rests(answer):
    """(−10, 10): −sign(g)/λ for g = (2, −0.003), λ = 0.1."""
    right = torch.tensor([-10.0, 10.0], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=1e-6):
        return "A gradient of 0.003 holds a weight at its wall as firmly as one of 2."
    mistakes = (
        (-right, "Each is at the wrong wall: the update moves against the gradient."),
        (right / 100, "The wall is at 1/λ, not at λ."),
        (right / 10, "The size of the box is 1/λ; here it is 1."),
        (
            torch.tensor([-20.0, 0.03]),
            "That is where Adam with the penalty ½λ‖x‖² rests, −g/λ: AdamW divides by |g|.",
        ),
        (torch.tensor([20.0, -0.03]), "That is g/λ. AdamW divides by the size of the gradient."),
        (torch.tensor([-10.0, 0.0]), "The second gradient is small and not zero: see its sign."),
        (torch.tensor([-10.0, 0.03]), "The second gradient is small and not zero: see its sign."),
    )
    recognise(got, mistakes, rtol=1e-3)
    raise Wrong("Where g_i ≠ 0 the update tends to sign(g_i), and at rest λx_i = −Δ_i.")


def _try(
    answer: Callable,
    cases: list[tuple[float, float, float]],
    right: Callable,
    mistakes: tuple[tuple[Callable, str], ...],
    hint: str,
) -> None:
    """Compare a function of (β₁, β₂, λ) at all cases; name a mistake that explains the answers."""
    got = [_value(answer, case) for case in cases]
    off = [
        (case, value)
        for case, value in zip(cases, got, strict=True)
        if not math.isclose(value, right(*case), rel_tol=1e-4)
    ]
    if not off:
        return
    made = [([mistake(*case) for case in cases], message) for mistake, message in mistakes]
    recognise(got, made, rtol=1e-4, atol=0)
    (beta1, beta2, decay), value = off[0]
    raise Wrong(f"Off for β = ({beta1}, {beta2}), λ = {decay}: {value:.4g}. {hint}")


def _value(answer: Callable, case: tuple[float, float, float]) -> float:
    value = call(answer, *case)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise Wrong(f"A number is asked for, and this is a {type(value).__name__}.") from None


def _fading(c: float, beta1: float, beta2: float, power: float = 2.0) -> float:
    first = (1 - beta1) / (1 - beta1 / c)
    return first * math.sqrt((1 - beta2 / c**power) / (1 - beta2))


@exercise("13.2")
def reach(answer):
    """`reach(beta1, beta2, weight_decay)`: f(0.97)/λ."""
    cases = [(0.9, 0.7, 1.0), (0.9, 0.7, 0.1), (0.9, 0.5, 2.0), (0.5, 0.9, 1.0), (0.0, 0.6, 0.5)]

    def right(beta1, beta2, decay):
        return _fading(0.97, beta1, beta2) / decay

    mistakes = (
        (lambda b1, b2, wd: 1 / wd, "That is the wall. Outside β₁ ≤ β₂ the update can be longer."),
        (lambda b1, b2, wd: _fading(0.97, b1, b2), "At rest λ|x| = |Δ|: divide by λ."),
        (lambda b1, b2, wd: _fading(0.97, b1, b2) * wd, "At rest λ|x| = |Δ|: divide by λ."),
        (
            lambda b1, b2, wd: _fading(0.97, b1, b2, 1.0) / wd,
            "v averages squares, which fade like c²: β₂/c², not β₂/c.",
        ),
        (
            lambda b1, b2, wd: 1 / _fading(0.97, b1, b2) / wd,
            "The fraction is upside down: the numerator is m.",
        ),
        (
            lambda b1, b2, wd: (1 - b1) / (1 - b1 / 0.97) * (1 - b2 / 0.97**2) / (1 - b2) / wd,
            "The square root of v is missing.",
        ),
        (
            lambda b1, b2, wd: 0.97 * _fading(0.97, b1, b2) / wd,
            "A factor c too much: the sums start with today's gradient.",
        ),
    )
    _try(answer, cases, right, mistakes, "It is f(0.97)/λ, with f as in the proposition.")
    return "With β₁ ≤ β₂ it never exceeds 1/λ; try a few pairs."


@exercise("13.3")
def average_update(answer):
    """`average_update(path, lrs, weight_decay)`: (x₀ − x_T − λ Σ η_t x_{t−1})/Σ η_t."""
    generator = torch.Generator().manual_seed(133)
    for steps, decay in ((6, 0.5), (9, 2.0)):
        updates = torch.randn(steps, 3, generator=generator, dtype=torch.float64)
        lrs = 0.3 / torch.arange(1, steps + 1, dtype=torch.float64)
        rows = [torch.randn(3, generator=generator, dtype=torch.float64)]
        for lr, update in zip(lrs, updates, strict=True):
            rows.append((1 - decay * lr) * rows[-1] - lr * update)
        path = torch.stack(rows)
        right = (lrs[:, None] * updates).sum(0) / lrs.sum()
        given = call(answer, path.clone(), lrs.clone(), decay)
        got = as_tensor(given, right, "The average update")
        if torch.allclose(got, right, rtol=1e-5, atol=1e-7):
            continue
        moved, weights = path[0] - path[-1], lrs[:, None]
        pull = (weights * path[:-1]).sum(0)
        mistakes = (
            (-right, "The sign is flipped: x_t = … − η_t Δ_t."),
            (moved - decay * pull, "That is the sum; divide by the sum of the learning rates."),
            ((moved - decay * pull) / steps, "The weights are the η_t, so divide by their sum."),
            (updates.mean(0), "Each update counts as much as its learning rate."),
            (
                (moved - decay * (weights * path[1:]).sum(0)) / lrs.sum(),
                "The decay of step t acts on x_{t−1}, and here it acts on x_t.",
            ),
            ((moved - pull) / lrs.sum(), "The decay λ is missing in the second term."),
            (moved / lrs.sum(), "The decay has moved the weights too; take its part out."),
            (
                (moved + decay * pull) / lrs.sum(),
                "The decay's part has the wrong sign: it explains a part of x_0 − x_T.",
            ),
            (-decay * pull / lrs.sum(), "The first term, x_0 − x_T, is missing."),
            (-decay * path[-1], "That is its limit on a path that converges; this one has not."),
        )
        recognise(got, mistakes, atol=1e-7)
        raise Wrong("Solve the update for η_t Δ_t, sum over t, and divide by Σ η_t.")
    return "It needs the path alone: a test for any optimizer that claims a box."


def _longest(beta1: float, beta2: float) -> float:
    if beta1**2 >= beta2:
        return math.inf
    return (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))


@exercise("13.4")
def wall(answer):
    """`wall(beta1, beta2, weight_decay)`: B/λ if β₁² < β₂ < 1, else infinite."""
    cases = [(0.9, 0.999, 1.0), (0.9, 0.95, 0.1), (0.99, 0.99, 2.0), (0.9, 0.85, 0.5)]
    outside = [(0.9, 0.7, 1.0), (0.99, 0.9, 0.1)]

    def right(beta1, beta2, decay):
        return _longest(beta1, beta2) / decay

    mistakes = (
        (
            lambda b1, b2, wd: 1 / wd,
            "That is the wall of the theorem: in the end, if AdamW converges, and β₁ ≤ β₂.",
        ),
        (lambda b1, b2, wd: _longest(b1, b2), "That is B: a push of B holds a weight at B/λ."),
        (lambda b1, b2, wd: _longest(b1, b2) * wd, "A push of B holds a weight at B/λ, not at Bλ."),
        (
            lambda b1, b2, wd: _longest(b1, b2) / wd if b1 <= b2 else math.inf,
            "The bound needs β₁² < β₂ only, not β₁ ≤ β₂: see (0.9, 0.85).",
        ),
        (
            lambda b1, b2, wd: (
                (1 - b1) / math.sqrt((1 - b2) * (1 - b1 / b2)) / wd if b1 < b2 else math.inf
            ),
            "In B it is β₁²/β₂, not β₁/β₂.",
        ),
    )
    _try(answer, cases, right, mistakes, "It is B/λ, with the B of chapter 5.")
    for case in outside:
        if _value(answer, case) != math.inf:
            raise Wrong(
                f"For β = {case[:2]} we have β₁² ≥ β₂, the bound does not apply, and the answer "
                f"should be math.inf; it is {_value(answer, case)}."
            )
    return "Finite for all covered pairs, for none of the others."
