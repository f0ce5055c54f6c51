"""Checks of the exercises of chapter 12."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("12.1")
def gap_by_hand(answer):
    """⟨g, x⟩ + 2‖g‖₁ for g = (3, −1, 0.5), x = (0, 1, −1)."""
    value = as_number(answer)
    mistakes = {
        9.0: "The first term, ⟨g, x⟩, is missing.",
        10.5: "The sign of ⟨g, x⟩ is flipped: the gap is ⟨g, x − v⟩ with v = r·lmo(g).",
        3.0: "The radius is missing: it is r‖g‖_*.",
        4.5: "That is ‖g‖₁ alone, or has the largest entry for a dual norm: it is ⟨g, x⟩ + r‖g‖₁.",
        -1.5: "That is ⟨g, x⟩ alone; the vertex's part, r‖g‖_*, is missing.",
        -10.5: "That is ⟨g, x + v⟩ or the like. In the ball a gap is never negative.",
        -7.5: "The whole has the wrong sign: x − v, not v − x.",
        -1.5 + 2 * math.sqrt(10.25): "That is the gap of the ℓ2 ball: the dual of ℓ∞ is ℓ1.",
    }
    if math.isclose(value, 7.5, rel_tol=5e-3):
        return "On a convex loss, no point of the ball is more than 7.5 below this one."
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("It is ⟨g, x⟩ + r‖g‖_*, with r = 2 and the dual norm of ℓ∞.")


@exercise("12.2")
def which_weight_decay(answer):
    """The λ for which (0.5, −0.5, 0.2) with gradient (−3, 1, 0) is a KKT point: 2."""
    value = as_number(answer)
    mistakes = {
        0.5: "That is the radius, 1/λ.",
        5.0: "Then the box ends at 0.2, and x is outside. A coordinate without a gradient is free.",
        -2.0: "The size is right, but λ is positive.",
        -0.5: "λ is positive, and the radius is 1/λ.",
        1.0: "Then the walls are at ±1, and a coordinate with a gradient has to be at its wall.",
        6.0: "The size of the gradient plays no part; only its sign says which wall.",
    }
    if math.isclose(value, 2.0, rel_tol=1e-6):
        return "Which wall, says the sign; how strongly it is held there, the size."
    recognise(value, mistakes.items(), rtol=1e-3)
    raise Wrong("Where g_i ≠ 0, x_i = −sign(g_i)/λ. Look at the first two coordinates.")


@exercise("12.3")
def round_ball(answer):
    """`step(x, g, lr, weight_decay)`: (1 − λη)x − η g/‖g‖₂; with g = 0 only the decay."""
    generator = torch.Generator().manual_seed(123)
    for shape, lr, decay in (((5,), 0.1, 0.5), ((3, 2), 0.02, 2.0), ((4,), 0.3, 0.1)):
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        g = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
        got = as_tensor(call(answer, x.clone(), g.clone(), lr, decay), x, "The new x")
        unit = g / g.norm()
        right = (1 - lr * decay) * x - lr * unit
        mistakes = (
            ((1 - lr * decay) * x + lr * unit, "The vertex is on the wrong side: it is −r g/‖g‖₂."),
            ((1 - lr) * x - lr * unit, "The part of the way is λη, not η; the radius is 1/λ."),
            (
                (1 - lr) * x - lr / decay * unit,
                "The part of the way is λη: here it is η, and the vertex is right.",
            ),
            (
                (1 - lr * decay) * x - lr * decay * unit,
                "The radius of the ball is 1/λ, and here it is 1.",
            ),
            (
                (1 - lr * decay) * x - lr * decay**2 * unit,
                "The radius of the ball is 1/λ, and here it is λ.",
            ),
            ((1 - decay) * x - lr * unit, "The decay is not multiplied by the learning rate."),
            ((1 - lr * decay) * x - lr * g, "The gradient is not normalised."),
            ((1 - lr * decay) * x - lr * g.sign(), "That is the step in the box, SignSGD's."),
            (x - lr * unit, "There is no weight decay in it."),
            (
                x - lr * (g + decay * x) / (g + decay * x).norm(),
                "The decay is added to the gradient: that is a penalty, not a ball.",
            ),
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):
            recognise(got, mistakes)
            raise Wrong(f"Off for x of shape {shape}, lr = {lr}, weight_decay = {decay}.")
    x = torch.ones(3, dtype=torch.float64)
    got = as_tensor(call(answer, x.clone(), torch.zeros_like(x), 0.1, 0.5), x, "The new x")
    if not torch.allclose(got, 0.95 * x, rtol=1e-5):
        raise Wrong(
            "Where the gradient is zero the oracle is 0, so x should shrink by 1 − λη = 0.95; "
            f"from ones it became {got.tolist()}."
        )
    return "Normalised SGD with weight decay, and no ½λ‖x‖² in sight."


@exercise("12.4")
def best_gamma(answer):
    """`best_gamma(x, v, g, H)`: −⟨g, p⟩/pᵀHp cut off to [0, 1], 1 if pᵀHp ≤ 0, p = v − x."""
    generator = torch.Generator().manual_seed(124)
    cases = []
    for scale in (20.0, 1.0, 0.02, 0.0):
        A = torch.randn(4, 4, generator=generator, dtype=torch.float64)
        H = scale * A.T @ A
        x = 0.5 * torch.rand(4, generator=generator, dtype=torch.float64)
        g = torch.randn(4, generator=generator, dtype=torch.float64)
        cases.append((x, -g.sign(), g, H))
    for x, v, g, H in cases:
        given = tuple(part.clone() for part in (x, v, g, H))
        gamma = as_number(call(answer, *given))
        p = v - x
        slope, curvature = float(g @ p), float(p @ H @ p)
        right = min(1.0, -slope / curvature) if curvature > 0 else 1.0
        if math.isclose(gamma, right, rel_tol=1e-5, abs_tol=1e-7):
            continue
        if curvature > 0:
            free = -slope / curvature
            mistakes = (
                (free, "γ = {:.3g} goes past the vertex and out of the ball: cut it off at 1."),
                (-free, "γ = {:.3g}: the sign of the slope is flipped."),
                (min(1.0, free / 2), "γ = {:.3g} is half of it: the slope is ⟨g, p⟩ + γ pᵀHp."),
                (min(1.0, 2 * free), "γ = {:.3g} is twice the best one."),
                (
                    min(1.0, -slope / float(p @ p)),
                    "γ = {:.3g}: the curvature on the way is pᵀHp, not pᵀp.",
                ),
                (
                    min(1.0, float(g @ g) / float(g @ H @ g)),
                    "γ = {:.3g} is the best step along −g; the way leads to the vertex.",
                ),
            )
            recognise(gamma, [(value, m.format(gamma)) for value, m in mistakes], atol=0)
        raise Wrong(
            f"With ⟨g, v − x⟩ = {slope:.3g} and (v − x)ᵀH(v − x) = {curvature:.3g} your γ is "
            f"{gamma:.3g}. Look at the parabola in γ, and at the ends of [0, 1]."
        )
    return "The theorem holds for this step too, since no other γ does better."
