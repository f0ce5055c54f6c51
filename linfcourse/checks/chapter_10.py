"""Checks of the exercises of chapter 10."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("10.1")
def ratio_by_hand(answer):
    """R_med of the first layer for W₂ = (1, −2, 0.5, 4, 1): 16 / 1."""
    value = as_number(answer)
    if math.isclose(value, 16.0, rel_tol=5e-3):
        return "Each W₂ᵢ² stands on the diagonal n times, which changes no ratio."
    mistakes = {
        4.0: "The diagonal holds the squares W₂ᵢ², and these are the weights themselves.",
        64.0: "That is the largest over the smallest; R_med divides by the median.",
        16 / 4.45: "That is the largest over the mean; R_med divides by the median.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Square the five weights, order them, divide the largest by the middle one.")


@exercise("10.2")
def ratio_of_a_diagonal(answer):
    """`ratio(diagonal)`: max |Hᵢᵢ| / median |Hᵢᵢ|, the median of an even number in the middle."""
    generator = torch.Generator().manual_seed(102)
    cases = [
        torch.tensor([1.0, 2.0, 6.0]),
        torch.tensor([1.0, 3.0, 4.0, 5.0]),
        torch.tensor([1.0, 2.0, -8.0]),
        torch.tensor([-1.0, -2.0, -3.0, 10.0]),
        *(torch.randn(d, generator=generator) for d in (5, 8, 33, 100)),
    ]

    cases = [case.double() for case in cases]

    def made(measure):
        return [float(measure(case)) for case in cases]

    got = [as_number(call(answer, case.clone())) for case in cases]
    right = made(lambda v: v.abs().max() / v.abs().quantile(0.5))
    if all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(got, right, strict=True)):
        return "Two lines; the library's `r_med` does it tensor by tensor."
    mistakes = (
        (
            lambda v: v.abs().max() / v.abs().median(),
            "Right for odd numbers. torch.median takes the lower of the two middle ones; their "
            "mean is asked for.",
        ),
        (lambda v: v.max() / v.quantile(0.5), "Curvature can be negative: |Hᵢᵢ| is asked for."),
        (lambda v: v.max() / v.median(), "Curvature can be negative: |Hᵢᵢ| is asked for."),
        (
            lambda v: v.abs().max() / v.quantile(0.5).abs(),
            "The median is of |Hᵢᵢ| too: take absolute values first.",
        ),
        (lambda v: v.abs().max() / v.abs().mean(), "That divides by the mean, not the median."),
        (
            lambda v: v.abs().max() / v.abs().min(),
            "That divides by the smallest entry, which is the condition number of a diagonal "
            "matrix; one dead unit would make it infinite.",
        ),
        (
            lambda v: v.abs().quantile(0.5) / v.abs().max(),
            "Upside down: the largest belongs on top.",
        ),
    )
    recognise(got, [(made(measure), message) for measure, message in mistakes], atol=0)
    case, a = next(
        (c, a)
        for c, a, b in zip(cases, got, right, strict=True)
        if not math.isclose(a, b, rel_tol=1e-5)
    )
    raise Wrong(f"For the diagonal {[round(x, 2) for x in case.tolist()]} your ratio is {a:.3g}.")


@exercise("10.3")
def mode_of_the_start(answer):
    """`mode(W1, W2, A)`: W₂ᵀ + W₁a, up to a factor."""
    generator = torch.Generator().manual_seed(103)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def along(u, v):
        return abs(torch.nn.functional.cosine_similarity(u, v, dim=0).item()) > 1 - 1e-6

    for h, n in ((3, 5), (6, 4), (5, 5)):
        W1, W2, A = draw(h, n), draw(1, h), 3 * draw(1, n)
        a = A[0] / A[0].norm()
        got = call(answer, W1.clone(), W2.clone(), A.clone())
        if isinstance(got, torch.Tensor):
            got = got.reshape(-1)
        got = as_tensor(got, W2[0], "The mode")
        if along(got, W2[0] + W1 @ a):
            continue
        mistakes = [
            (W2[0] - W1 @ a, "That is the combination that dies out: the sign is flipped."),
            (W2[0], "W₂ alone is half of it: the incoming weights W₁a drive it."),
            (W1 @ a, "W₁a alone is half of it: the outgoing weights W₂ are missing."),
            (W2[0] + W1 @ A[0], "A has to be scaled to length one before W₁ is multiplied by it."),
            (W2[0] + W1.sum(dim=1), "Weigh the columns of W₁ by a, not all alike."),
        ]
        if h == n:
            mistakes.append((W2[0] + a @ W1, "That is W₁ᵀa: rows of W₁ belong to hidden units."))
        for value, message in mistakes:
            if along(got, value):
                raise Wrong(message)
        if not torch.isfinite(got).all():
            raise Wrong("The mode should be finite.")
        raise Wrong(f"Off for {h} hidden units and {n} inputs: which sum grows by 1 + ηr a step?")
    return "One vector product foretells what thousands of steps will do."


@exercise("10.4")
def make_it_even(answer):
    """`even(W1, W2)`: weights with the same product and |W₂ᵢ| all equal."""
    generator = torch.Generator().manual_seed(104)
    for h, n in ((4, 3), (7, 7), (2, 5)):
        W1 = torch.randn(h, n, generator=generator, dtype=torch.float64)
        W2 = torch.randn(1, h, generator=generator, dtype=torch.float64)
        got = call(answer, W1.clone(), W2.clone())
        if not isinstance(got, tuple | list) or len(got) != 2:
            raise Wrong("Return two tensors: the new W₁ and the new W₂.")
        V1 = as_tensor(got[0], W1, "The new W₁")
        V2 = as_tensor(got[1], W2, "The new W₂")
        if not torch.allclose(V2 @ V1, W2 @ W1, rtol=1e-5, atol=1e-8):
            if torch.allclose(V2 @ V1, W2.abs() @ W1, rtol=1e-5, atol=1e-8):
                raise Wrong("The signs of W₂ are lost: put them into W₁, or keep them in W₂.")
            if torch.equal(V1, W1):
                raise Wrong("W₁ has to pay for what W₂ gets: row i times α, weight i over α.")
            raise Wrong("The product W₂W₁ has changed, and with it the function.")
        squares = V2.square().flatten()
        if not torch.allclose(squares, squares.mean().expand(h), rtol=1e-5):
            if torch.allclose(V2, W2) and torch.allclose(V1, W1):
                raise Wrong("The weights are as they were, and so is R_med.")
            rows = V1.square().sum(dim=1)
            if torch.allclose(rows, rows.mean().expand(h), rtol=1e-5):
                raise Wrong("That makes the second layer's diagonal even; the first is asked for.")
            raise Wrong(
                "The product is right, but the first layer's R_med is "
                f"{squares.max() / squares.quantile(0.5):.3g}, not 1."
            )
    return "The same function, the same loss, and an R_med of 1: it is no property of the function."
