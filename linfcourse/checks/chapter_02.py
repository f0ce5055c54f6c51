"""Checks of the exercises of chapter 2."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import (
    Wrong,
    as_number,
    as_numbers,
    as_tensor,
    call,
    exercise,
    recognise,
)


def _close(values, right) -> bool:
    return all(math.isclose(v, r, rel_tol=5e-3) for v, r in zip(values, right, strict=True))


@exercise("2.1")
def three_duals(answer):
    """The dual norms of g = (3, −4, 0, 1) for ℓ∞, ℓ2 and ℓ1."""
    values = as_numbers(answer, 3)
    linf, l2, l1 = 4.0, math.sqrt(26.0), 8.0
    if _close(values, (l1, l2, linf)):
        return "The cube reaches lowest and the diamond least far, as in the picture."
    if _close(values, (linf, l2, l1)):
        raise Wrong("These are the norms of g itself; the ball of one norm asks for its dual.")
    if _close([-v for v in values], (l1, l2, linf)):
        raise Wrong("Right up to the sign: give how far it falls, as positive numbers.")
    if math.isclose(values[1], 26.0, rel_tol=5e-3):
        raise Wrong("The second one is squared: the root is missing.")
    for value, right, name in zip(values, (l1, l2, linf), ("ℓ∞", "ℓ2", "ℓ1"), strict=True):
        if not math.isclose(value, right, rel_tol=5e-3):
            raise Wrong(f"The number for the ball of {name} is off: which s in it is best?")


@exercise("2.2")
def smallest_count(answer):
    """The least k with k/d > ‖H‖₁,₁/(d‖H‖₂) for H = diag(1, 1/2, …, 1/100)."""
    value = as_number(answer)
    trace = sum(1 / i for i in range(1, 101))
    right = math.floor(trace) + 1
    if value == right:
        return "A gradient need not be very dense where few coordinates are steep."
    if value == right - 1:
        raise Wrong("One less than that is asked to be beaten: with this k, φ is still below ρ.")
    if math.isclose(value, trace, rel_tol=1e-2):
        raise Wrong("That is where both are equal; a whole number of entries is asked for.")
    if value == math.floor(trace**2) + 1:
        raise Wrong("‖g‖₁ and ‖g‖₂ enter the guarantees as squares, and here they do not.")
    if value in (64, 100):
        raise Wrong("Not all entries are needed: write φ for k entries of equal size.")
    raise Wrong("Write φ(g) for k entries ±a, and ρ(H) for this H, and compare.")


@exercise("2.3")
def weighted_lmo(answer):
    """`lmo(g, w)` of the norm max|s_i|/w_i."""
    generator = torch.Generator().manual_seed(23)
    for d in (3, 8):
        g = torch.randn(d, generator=generator, dtype=torch.float64)
        w = 0.2 + torch.rand(d, generator=generator, dtype=torch.float64) * 3
        got = as_tensor(call(answer, g.clone(), w.clone()), g, "The step")
        length = (got.abs() / w).max().item()
        mistakes = (
            (w * g.sign(), "The step goes up the slope: its sign is flipped."),
            (-g.sign(), "The weights are ignored: this is the oracle of plain ℓ∞."),
            (-g.sign() / w, "Divided where it should be multiplied: how far may sᵢ go if ‖s‖ ≤ 1?"),
            (
                -w * g,
                "The size of g plays no part: each coordinate goes as far as the ball allows.",
            ),
            (
                -g / w,
                "The size of g plays no part: each coordinate goes as far as the ball allows.",
            ),
            (
                -w * g / g.norm(),
                "That is a gradient direction; the ball here is a box with corners.",
            ),
        )
        right, best = -w * g.sign(), (w * g.abs()).sum().item()
        otherwise = (
            f"In dimension {d} the step has length {length:.3g}, and it should have 1."
            if not math.isclose(length, 1.0, rel_tol=1e-6)
            else f"In dimension {d} it goes down by {-(g @ got):.3g}; {best:.3g} is possible."
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):  # room for an answer in float32
            recognise(got, mistakes)
            raise Wrong(otherwise)
    return "Each coordinate moves by its own weight: a box instead of a cube."


@exercise("2.4")
def muon_step(answer):
    """`muon_step(W, G, lr)`: W − lr·U Vᵀ."""
    generator = torch.Generator().manual_seed(24)
    lr = 0.1
    for shape in ((3, 3), (5, 2), (2, 4)):
        W = torch.randn(shape, generator=generator, dtype=torch.float64)
        G = torch.randn(shape, generator=generator, dtype=torch.float64)
        U, sigma, Vh = torch.linalg.svd(G, full_matrices=False)
        got = as_tensor(call(answer, W.clone(), G.clone(), lr), W, "The new W")
        mistakes = (
            (W + lr * U @ Vh, "The step goes up the slope: its sign is flipped."),
            (-lr * U @ Vh, "That is the step; the new W is asked for."),
            (U @ Vh, "That is minus the direction; the new W is asked for."),
            (W - U @ Vh, "The learning rate is missing."),
            (
                W - lr * U @ Vh.T if shape[0] == shape[1] else torch.full_like(W, math.nan),
                "V instead of Vᵀ: torch.linalg.svd returns Vᵀ as its third result already.",
            ),
            (W - lr * G, "The singular values are still there: this is gradient descent."),
            (
                W - lr * G / sigma[0],
                "Dividing by the largest singular value leaves the others < 1.",
            ),
            (W - lr * G / G.norm(), "That is the step of length lr in the Frobenius norm, ℓ2."),
            (
                W - lr * sigma.sum() * U @ Vh,
                "A step of fixed length is asked for, without a factor.",
            ),
            (W - lr * G.sign(), "That is sign descent: the signs of the entries of G."),
        )
        right = W - lr * U @ Vh
        found = ", ".join(f"{s:.3g}" for s in torch.linalg.svdvals(got - W).tolist())
        otherwise = (
            f"For a {shape[0]}×{shape[1]} matrix: all singular values of the step should be lr = "
            f"{lr}, and they are {found}."
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):  # room for an answer in float32
            recognise(got, mistakes)
            raise Wrong(otherwise)
    return "Every singular direction moves equally far."


@exercise("2.5")
def top_k_lmo(answer):
    """`lmo(g, k)` of the ball ‖s‖∞ ≤ 1, ‖s‖₁ ≤ k."""
    generator = torch.Generator().manual_seed(25)
    for d, k in ((5, 2), (9, 4), (6, 1), (4, 4)):
        g = torch.randn(d, generator=generator, dtype=torch.float64)
        got = as_tensor(call(answer, g.clone(), k), g, "The step")
        order = g.abs().argsort(descending=True)

        def on(chosen, values, g=g):
            s = torch.zeros_like(g)
            s[chosen] = values[chosen]
            return s

        right = on(order[:k], -g.sign())
        by_value = g.argsort(descending=True)[:k]
        mistakes = (
            (-right, "The step goes up the slope: its sign is flipped."),
            (
                on(by_value, -g.sign()),
                "The largest entries are chosen; the largest |gᵢ| are asked for.",
            ),
            (on(order[:k], -torch.ones_like(g)), "All chosen coordinates move the same way here."),
            (
                right / k,
                "This stays too far inside: each chosen coordinate may move by 1, not 1/k.",
            ),
            (-g.sign() * k / d, "Spreading over all coordinates wastes the budget on small |gᵢ|."),
            (-g.sign(), f"This has ‖s‖₁ = {d}, and k = {k} is allowed."),
            (on(order[-k:], -g.sign()), "These are the k smallest |gᵢ|."),
            (on(order[:1], -g.sign()), "Only one coordinate moves; k of them may."),
            (on(order[:1], -k * g.sign()), "One coordinate moves by k, and ‖s‖∞ ≤ 1 is broken."),
            (on(order[:k], -g), "Take the signs of the chosen entries, not the entries."),
        )
        best = g.abs().topk(k).values.sum().item()
        if got.abs().max() > 1 + 1e-9 or got.abs().sum() > k + 1e-9:
            otherwise = f"For d = {d}, k = {k} the step is not in the ball."
        else:
            otherwise = (
                f"For d = {d}, k = {k} it goes down by {-(g @ got).item():.3g}; "
                f"{best:.3g} is possible."
            )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):  # room for an answer in float32
            recognise(got, mistakes)
            raise Wrong(otherwise)
    return "k = 1 is coordinate descent, k = d sign descent."
