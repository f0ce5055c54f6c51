"""Checks of the exercises of chapter 16."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_tensor, call, exercise, recognise
from linfcourse.norms import L2, LInf, Spectral


@exercise("16.1")
def margins_of_one_point(answer):
    """The largest margin of one point z = (3, −4) is its dual norm: 5, 7, 4."""
    right = torch.tensor([5.0, 7.0, 4.0], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=1e-4):
        return "Each is the dual norm of the point: ℓ2, ℓ1 and ℓ∞."
    mistakes = (
        ([5.0, 4.0, 7.0], "Two are exchanged: the margin of a norm is the *dual* norm of z."),
        ([5.0, -1.0, 4.0], "In ℓ∞ the best W is a corner of the square, with signs that fit z."),
        ([25.0, 7.0, 4.0], "The first is ‖z‖₂² there; W = z has to be scaled to length one."),
        ([1.0, 1.0, 1.0], "Those are the lengths of the best W; their margins are asked for."),
    )
    recognise(got, mistakes, rtol=1e-4)
    raise Wrong("With one point the margin is max ⟨W, z⟩ over ‖W‖ ≤ 1. What is that called?")


@exercise("16.2")
def margins_of_two_points(answer):
    """Z = (2, 0), (0, 1): ℓ2 2/√5, ℓ∞ 1."""
    right = torch.tensor([2 / math.sqrt(5), 1.0], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=2e-3):
        return "In ℓ∞ the first coordinate may be anything from 1/2 to 1: the best W is not unique."
    mistakes = (
        (right.flip(0), "The two are right, in the wrong order: ℓ2 comes first."),
        (
            torch.tensor([1 / math.sqrt(2), 1.0]),
            "In ℓ2 you took the diagonal. Both margins are equal for the best W: 2W₁ = W₂.",
        ),
        (
            torch.tensor([math.sqrt(5) / 2, 1.0]),
            "Turned over: √5/2 is the length of the shortest W with both margins at least 1.",
        ),
        (
            torch.tensor([2 / math.sqrt(5), 2 / 3]),
            "In ℓ∞ both coordinates may be 1 at once; 2/3 is the largest margin of ℓ1.",
        ),
        (torch.tensor([1.0, 1.0]), "The ℓ2 length of (1, 1) is √2, and that of (1/2, 1) is √5/2."),
        (torch.tensor([1.0, 2.0]), "The margin is the smaller of the two, not the larger."),
    )
    recognise(got, mistakes, rtol=2e-3)
    raise Wrong("Make the smaller of 2W₁ and W₂ as large as possible, with W in the unit ball.")


@exercise("16.3")
def descend(answer):
    """`descend(Z, norm, lrs)`: W ← W + η·norm.lmo(∇L(W)) from zero."""
    generator = torch.Generator().manual_seed(163)
    lrs = [0.3, 0.2, 0.15, 0.1]
    for norm in (LInf(), L2(), Spectral()):
        Z = torch.randn(5, 3, 4, generator=generator, dtype=torch.float64)

        def path(norm=norm, Z=Z, sign=-1, up=1.0, normalised=True, first=0, constant=False):
            W = torch.zeros_like(Z[0])
            for lr in lrs[first:]:
                margins = torch.einsum("ikd,kd->i", Z, W)
                weights = (sign * margins).exp() / len(Z)
                g = -torch.einsum("i,ikd->kd", weights, Z)
                s = norm.lmo(g) if normalised else -g
                W = W + up * (lrs[0] if constant else lr) * s
            return W

        right = path()
        got = as_tensor(call(answer, Z.clone(), norm, list(lrs)), right, "W")
        mistakes = (
            (path(up=-1.0), "W goes up the slope: lmo(∇L) points down already."),
            (
                path(sign=1),
                "The weights are exp(+margin): the points with small margins must count most.",
            ),
            (path(normalised=False), "The step is the gradient itself: take norm.lmo of it."),
            (path(first=1), "One step is missing: there are as many as learning rates."),
            (path(constant=True), "Use each learning rate in turn, not the first one always."),
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):
            recognise(got, mistakes)
            raise Wrong(f"Off for {norm!r}: start at zero, and look at the first step.")
    Z = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64)
    far = as_tensor(call(answer, Z, L2(), [600.0] * 4), Z[0], "W")
    if not torch.isfinite(far).all() or far.norm() < 2000:
        raise Wrong(
            "After long steps the exponentials are all zero and W stops. Use the softmax of the "
            "negative margins: the gradient of log L has the same direction."
        )
    return "One function: gradient descent, sign descent, Muon without momentum."


@exercise("16.4")
def smoothed_step(answer):
    """`smoothed_step(g, eps)`: −g/(|g| + ε)."""
    g = torch.tensor([2.0, -0.5, 1e-3, 0.0, -1e-5], dtype=torch.float64)
    for eps in (1e-3, 0.5):
        got = as_tensor(call(answer, g.clone(), eps), g, "The step")
        right = -g / (g.abs() + eps)
        mistakes = (
            (-right, "The step goes up the slope: its sign is flipped."),
            (-g / (g.square() + eps).sqrt(), "ε stands inside a root there: |g| + ε is asked for."),
            (-g / (g + eps), "Divide by |g| + ε: a negative g must not shrink the denominator."),
            (
                -g / g.abs().clamp(min=eps),
                "That is the larger of |g| and ε; take their sum.",
            ),
            (-g / (g.norm() + eps), "Each coordinate has its own |g|; that is the length of all."),
            (-g.sign(), "That is sign descent; ε is missing."),
            (-g, "That is gradient descent; divide by |g| + ε."),
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-9):
            recognise(got, mistakes, atol=1e-9)
            raise Wrong(f"Off for ε = {eps:g}: where |g| is ε, the step should be one half.")
    return "Every Adam has this ε; far down the slope it is no longer small."
