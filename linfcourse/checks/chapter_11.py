"""Checks of the exercises of chapter 11."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("11.1")
def noise_by_hand(answer):
    """Standard error of Hutchinson's H₂₂ from 10 probes for rows (2,1,0), (1,5,3), (0,3,1): 1."""
    value = as_number(answer)
    if math.isclose(value, 1.0, rel_tol=5e-3):
        return "The entry is 5, give or take 1: enough here, and hopeless where it is 0.01."
    mistakes = {
        10.0: "That is the variance of a single probe.",
        math.sqrt(10): "That is the standard error of a single probe; ten are averaged.",
        math.sqrt(3.5): "The diagonal entry itself makes no noise: z₂² is always 1.",
        0.1: "The variance of a mean is the variance of one over K: √(10/10), not √10/10².",
        math.sqrt(10) / 10: "The variance shrinks by K, so the standard error by √K, not by K.",
        math.sqrt(0.4): "The row's entries are squared before they are added.",
        0.4: "Squares of the entries, then a root at the end.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Add the squares of the other entries of row 2, divide by 10, take the root.")


@exercise("11.2")
def random_signs(answer):
    """`hutchinson(product, d, probes, generator)`: the mean of z ⊙ Hz over random signs z."""
    generator = torch.Generator().manual_seed(112)
    d, probes = 12, 400
    A = torch.randn(d, d, generator=generator, dtype=torch.float64)
    H = A + A.T
    seen = []

    def product(v):
        seen.append(v.detach().clone())
        return H @ v.to(H.dtype)

    got = call(answer, product, d, probes, torch.Generator().manual_seed(0))
    got = as_tensor(got, H.diag(), "The diagonal")
    if len(seen) != probes:
        raise Wrong(f"{probes} products are to be spent, one a probe; yours took {len(seen)}.")
    Z = torch.stack([v.double().reshape(-1) for v in seen])
    if Z.shape != (probes, d):
        raise Wrong(f"A probe has {d} entries; yours have {Z.shape[1]}.")
    products = Z @ H
    right = (Z * products).mean(0)
    if (Z[0] == Z).all():
        raise Wrong("All probes are the same vector: draw a new one for each product.")
    if not (Z.abs() - 1).abs().max() < 1e-6:
        if torch.allclose(got, right, rtol=1e-4, atol=1e-6):
            raise Wrong(
                "Unbiased, but the probes are not signs: then the entry Hᵢᵢ itself makes noise, "
                "because zᵢ² is not always 1."
            )
        raise Wrong("The entries of a probe should be +1 or −1.")
    if Z.mean().abs() > 0.2:
        raise Wrong("Both signs should be equally likely.")
    if not torch.allclose(got, right, rtol=1e-4, atol=1e-6):
        mistakes = (
            (right * probes, "That is the sum over the probes; their mean is asked for."),
            (products.mean(0), "Multiply Hz by z, entry by entry, before averaging."),
            (
                (Z * products).sum(1).mean().expand(d),
                "That is zᵀHz, which estimates the trace: do not add over the entries.",
            ),
            ((Z * products).abs().mean(0), "Take the mean of z ⊙ Hz with its signs."),
            (
                Z[-1] * products[-1],
                "Only the last probe counts in what you return: average over all.",
            ),
        )
        recognise(got, mistakes, rtol=1e-4)
        raise Wrong("The products are right, and what you make of them is not the mean of z ⊙ Hz.")
    return "Unbiased in every entry; what you do with the maximum is another matter."


@exercise("11.3")
def at_equal_loss(answer):
    """`at_level(losses, values, level)`: the value where the loss is first ≤ level, or None."""
    cases = [
        ([4.0, 3.0, 2.0, 1.0], [10, 11, 12, 13], 2.0, 12),
        ([4.0, 3.0, 2.5, 2.8, 2.4], [10, 11, 12, 13, 14], 2.6, 12),
        ([4.0, 2.0, 3.5, 2.9, 1.0], [10, 11, 12, 13, 14], 3.0, 11),
        ([1.0, 2.0], [5, 6], 3.0, 5),
        ([4.0, 3.0], [10, 11], 2.0, None),
    ]
    got = [call(answer, list(losses), list(values), level) for losses, values, level, _ in cases]
    right = [expected for *_, expected in cases]
    if got[-1] is not None and got[:-1] == right[:-1]:
        raise Wrong(
            "A run that never gets down to the level has no value there: return None. The last "
            "value would compare it at another loss."
        )
    if got == right:
        return "The faster method gets no credit for being further on."

    def last(losses, values, level):
        below = [v for loss, v in zip(losses, values, strict=True) if loss <= level]
        return below[-1] if below else None

    def nearest(losses, values, level):
        return values[min(range(len(losses)), key=lambda k: abs(losses[k] - level))]

    def strictly(losses, values, level):
        return next((v for loss, v in zip(losses, values, strict=True) if loss < level), None)

    def index(losses, values, level):
        return next((k for k, loss in enumerate(losses) if loss <= level), None)

    mistakes = (
        (strictly, "A loss that equals the level has reached it: ≤, not <."),
        (last, "That is the last step at or below the level; the first is asked for."),
        (nearest, "The nearest loss may lie above the level, or come later."),
        (index, "That is the step; the value measured there is asked for."),
    )
    for mistake, message in mistakes:
        same = [
            a == mistake(losses, values, level)
            for a, (losses, values, level, _) in zip(got, cases, strict=True)
        ]
        if all(same[:-1]):
            raise Wrong(message)
    losses, values, level, expected = next(
        case for case, a in zip(cases, got, strict=True) if a != case[3]
    )
    k = right.index(expected)
    raise Wrong(f"For the losses {losses}, the level {level} and the values {values}: {got[k]}.")


@exercise("11.4")
def share_of_the_optimizer(answer):
    """`share(AA, SS, AS, SA)`: 0 if the place decides, 1 if the optimizer does."""
    cases = [
        (1.0, 3.0, 3.0, 1.0),
        (1.0, 3.0, 1.0, 3.0),
        (1.0, 3.0, 2.5, 2.0),
        (2.0, 1.0, 1.2, 1.9),
        (0.5, 4.5, 4.0, 3.5),
    ]

    def right(AA, SS, AS, SA):
        return ((AS - AA) + (SS - SA)) / (2 * (SS - AA))

    got = [as_number(call(answer, *case)) for case in cases]
    off = [
        (case, value)
        for case, value in zip(cases, got, strict=True)
        if not math.isclose(value, right(*case), rel_tol=1e-6, abs_tol=1e-9)
    ]
    if not off:
        return "0.5 is where the two finishing methods tie: then AS = SA."
    mistakes = (
        (lambda *c: 1 - right(*c), "Upside down: 1 where the optimizer decides, 0 for the place."),
        (lambda *c: 2 * right(*c), "The two switches are to be averaged, not added."),
        (
            lambda AA, SS, AS, SA: (AS - AA) / (SS - AA),
            "That looks at one switch only; the other runs the opposite way.",
        ),
        (
            lambda AA, SS, AS, SA: (SS - SA) / (SS - AA),
            "That looks at one switch only; the other runs the opposite way.",
        ),
        (
            lambda AA, SS, AS, SA: ((AS - AA) + (SS - SA)) / 2,
            "Measure it in units of the gap between the two pure runs.",
        ),
        (
            lambda AA, SS, AS, SA: (AS - SA) / (SS - AA),
            "That is 1 where the optimizer decides, but −1, not 0, where the place does.",
        ),
    )
    made = [([mistake(*case) for case in cases], message) for mistake, message in mistakes]
    recognise(got, made, rtol=1e-6, atol=1e-9)
    case, value = off[0]
    raise Wrong(f"For AA, SS, AS, SA = {case} your share is {value:.3g}.")
