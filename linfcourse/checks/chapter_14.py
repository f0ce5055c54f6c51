"""Checks of the exercises of chapter 14."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("14.1")
def what_is_left_of_the_start(answer):
    """(1 − λη)^T for λ = 0.1, η = 3e-4, T = 20,000."""
    value = as_number(answer)
    if math.isclose(value, math.exp(-0.6), rel_tol=5e-3, abs_tol=1e-6):
        return "More than half of the start is still there at the end."
    mistakes = {
        1 - math.exp(-0.6): "That is what has been forgotten; the rest is asked for.",
        math.exp(-6): "λ is missing: it is λη that multiplies the weight at each step.",
        0.6: "That is λΣη; a weight is multiplied by 1 − λη at each step, so take an exponential.",
        0.4: "1 − λΣη is right only while it is small: the factors multiply.",
        math.exp(-2000): "η is missing: it is λη that multiplies the weight at each step.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    if 100 * math.exp(-0.6) - 1 < value < 100 * math.exp(-0.6) + 1:
        raise Wrong("A fraction between 0 and 1 is asked for, not a percentage.")
    raise Wrong("Each step multiplies what is left of the start by 1 − λη.")


@exercise("14.2")
def residual_by_hand(answer):
    """1 − ⟨−λx, g⟩/‖g‖₁ for x = (.5, −.5, .1), g = (−3, 1, 1), λ = 2."""
    value = as_number(answer)
    if math.isclose(value, 0.24, rel_tol=5e-3):
        return "The third weight alone: a fifth of the gradient, 1.2 from its wall."
    mistakes = {
        0.76: "That is the quotient; the residual is one minus it.",
        1.76: "The sign: the weights sit where the gradient pushes them, on the side of −g.",
        1 - 1.9 / 5: "λ is missing: measure the weights in units of the box.",
        1 - 3.8 / math.sqrt(11): "The dual norm of ℓ∞ is ℓ1, not ℓ2.",
        1 - 3.8 / 3: "The dual norm of ℓ∞ is ℓ1, not ℓ∞ itself.",
        1
        - 4.2 / 5: "The third weight has the sign of its gradient, so its product counts against.",
        1.2: "That is the third weight's distance from its wall; it counts by its share of ‖g‖₁.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Take λx, its inner product with −g, and divide by the sum of the |g|.")


@exercise("14.3")
def steps_to_wall(answer):
    """`steps_to_wall(lr, weight_decay, within)`: the least T with (1 − λη)^T ≤ within."""
    cases = [
        (1e-3, 2.0, 0.01),
        (1e-2, 1.0, 0.05),
        (3e-4, 0.1, 0.01),
        (0.5, 1.0, 0.3),
        (0.1, 3, 0.2),
    ]
    pairs = []
    for lr, decay, within in cases:
        # Rounding must not turn 12 into 12.000001: none of these is a whole number.
        right = math.ceil(math.log(within) / math.log1p(-lr * decay))
        pairs.append((as_number(call(answer, lr, decay, within)), right, (lr, decay, within)))
    mistakes = (
        (
            lambda lr, decay, within: math.log(within) / math.log1p(-lr * decay),
            "The number of steps is whole: round up.",
        ),
        (
            lambda lr, decay, within: math.floor(math.log(within) / math.log1p(-lr * decay)),
            "One too few: after that many steps the weight is not yet that near. Round up.",
        ),
        (
            lambda lr, decay, within: math.ceil(math.log(within) / math.log1p(-lr)),
            "λ is missing: a step multiplies the distance from the wall by 1 − λη.",
        ),
        (
            lambda lr, decay, within: math.ceil((1 - within) / (decay * lr)),
            "That is the time without decay. Near the wall, decay takes back part of each step.",
        ),
        (
            lambda lr, decay, within: math.ceil(math.log(1 - within) / math.log1p(-lr * decay)),
            "`within` is what is still missing at the end: solve (1 − λη)^T ≤ within.",
        ),
    )
    if all(got == right for got, right, _ in pairs):
        return "Some multiples of 1/(λη), whatever the loss is."
    made = [([mistake(*case) for *_, case in pairs], message) for mistake, message in mistakes]
    recognise([got for got, *_ in pairs], made, rtol=1e-9, atol=0)
    got, _, case = next(pair for pair in pairs if pair[0] != pair[1])
    raise Wrong(
        f"For lr = {case[0]:g}, λ = {case[1]:g} and within = {case[2]:g} it gives {got:g}: "
        "simulate x ← (1 − λη)x + η and count."
    )


@exercise("14.4")
def weight_from_updates(answer):
    """`weight_from_updates(x0, updates, lr, weight_decay)`: a^T x₀ − η Σ a^{T−s} Δ_s."""
    generator = torch.Generator().manual_seed(144)
    for steps, lr, decay in ((1, 0.1, 2.0), (7, 0.05, 3.0), (40, 0.02, 1.0)):
        x0 = torch.randn((), generator=generator, dtype=torch.float64)
        updates = torch.randn(steps, generator=generator, dtype=torch.float64)
        a = 1 - lr * decay
        right = x0.clone()
        for update in updates:
            right = a * right - lr * update
        got = as_tensor(
            call(answer, x0.clone(), updates.clone(), lr, decay), right, "The weight at the end"
        )
        age = torch.arange(steps - 1, -1, -1, dtype=torch.float64)
        mistakes = (
            (
                a**steps * x0 - lr * (a ** age.flip(0) * updates).sum(),
                "The oldest update counts most in yours: the newest should.",
            ),
            (-lr * (a**age * updates).sum(), "The start is missing: a^T of it is left."),
            (
                a**steps * x0 + lr * (a**age * updates).sum(),
                "The sign: x ← … − η Δ.",
            ),
            (
                a**steps * x0 - lr * decay * (a**age * updates).sum(),
                "An update is multiplied by η, not by λη: that belongs to λx.",
            ),
            (
                a**steps * x0 - lr * (a ** (age + 1) * updates).sum(),
                "One factor too many: the last update is not decayed at all.",
            ),
            (x0 - lr * updates.sum(), "There is no decay in it."),
        )
        if steps > 1 and not torch.allclose(got, right, rtol=1e-6, atol=1e-8):
            recognise(got, mistakes, rtol=1e-6, atol=1e-8)
            raise Wrong("Compare with a loop over x = (1 − λη)x − ηΔ.")
    return "A weight is an average of its own updates, and of a fading start."


@exercise("14.5")
def share_near_wall(answer):
    """`share_near_wall(x, g, weight_decay, delta)`: Σ |g_i| [1 + λx_i sign g_i ≤ δ] / ‖g‖₁."""
    generator = torch.Generator().manual_seed(145)
    pairs = []
    for decay, delta in ((1.0, 0.1), (2.0, 0.3), (0.5, 0.05)):
        g = torch.randn(60, generator=generator, dtype=torch.float64) ** 3
        x = (1 - 2 * torch.rand(60, generator=generator, dtype=torch.float64)).sign() / decay
        x = x * (1 - 0.4 * torch.rand(60, generator=generator, dtype=torch.float64))
        distance = 1 + decay * x * g.sign()

        def share(near, g=g):
            return (g.abs() * near).sum() / g.abs().sum()

        right = share(distance <= delta)
        got = as_tensor(call(answer, x.clone(), g.clone(), decay, delta), right, "The share")
        mistakes = (
            (
                share(1 - decay * x.abs() <= delta),
                "Near a wall is not enough: it must be the one that the gradient pushes to.",
            ),
            (
                (distance <= delta).double().mean(),
                "That counts weights; each counts by its share of ‖g‖₁.",
            ),
            (
                share(1 - decay * x * g.sign() <= delta),
                "The sign: a positive gradient pushes to the wall at −1/λ.",
            ),
            (share(distance > delta), "That is the rest, the share that is not near."),
            (
                share(1 + x * g.sign() <= delta),
                "λ is missing: δ is in units of 1/λ.",
            ),
            (
                (g.abs() * (distance <= delta)).sum(),
                "Divide by ‖g‖₁: a share is asked for.",
            ),
        )
        pairs.append((got, right, mistakes))
    if all(torch.isclose(got, right, rtol=1e-6) for got, right, _ in pairs):
        return "And by Markov's inequality it is at least 1 − r/δ."
    for number, (_, message) in enumerate(pairs[0][2]):
        if all(torch.isclose(got, all_[number][0], rtol=1e-6) for got, _, all_ in pairs):
            raise Wrong(message)
    raise Wrong("The distance from the right wall is 1 + λ x sign(g), in units of 1/λ.")
