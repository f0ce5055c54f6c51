"""Checks of the exercises of chapter 6."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise
from linfcourse.rotations import Haar


@exercise("6.1")
def turned_valley(answer):
    """(1,1)-norm of diag(1, 9) turned by 30°."""
    value = as_number(answer)
    off = 8 * math.sin(math.pi / 6) * math.cos(math.pi / 6)

    if math.isclose(value, 10 + 2 * off, rel_tol=2e-3):
        return "The diagonal still sums to the trace, 10; the rest is what the rotation added."
    product = "The off-diagonal entry is (9 − 1) · sin · cos, a product of the two."
    mistakes = (
        (10, "That is the trace, which no rotation changes: the off-diagonal entries count."),
        (10 + off, "There are two off-diagonal entries."),
        (18, "That is d‖H‖₂, the number of AdaSGD."),
        (10 + 16 * math.cos(math.pi / 6) ** 2, product),
        (10 + 16 * math.sin(math.pi / 6) ** 2, product),
        (10 + 16 * abs(math.sin(30) * math.cos(30)), "The angle is 30 degrees, not 30 radians."),
    )
    recognise(value, mistakes, rtol=2e-3)
    raise Wrong("Compute R diag(1, 9) Rᵀ with R = [[cos, −sin], [sin, cos]] and add |entries|.")


def _spectra() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(62)
    return [
        torch.rand(300, generator=generator, dtype=torch.float64) + 0.1,
        torch.arange(1, 401, dtype=torch.float64) ** -0.5,
    ]


@exercise("6.2")
def norm_after_a_thorough_turn(answer):
    """`expected_norm(eigenvalues)`: √(2/π) d‖λ‖₂."""
    for values in _spectra():
        # Its mean is not zero; the formula of the text is for the random part of the entries.
        values = values - values.mean()
        d, right = len(values), math.sqrt(2 / math.pi) * len(values) * values.norm().item()
        got = as_number(call(answer, values.clone(), what="expected_norm"))
        if math.isclose(got, right, rel_tol=1e-3):
            continue
        mistakes = (
            (d * values.norm().item(), "That is the upper bound d‖λ‖₂; a normal number's mean "
             "absolute value is less than its standard deviation."),
            (right / d, "Each of the d² entries has standard deviation ‖λ‖₂/d."),
            (right / math.sqrt(2 / math.pi) / d, "That is ‖λ‖₂; sum |entry| over all entries."),
            (math.sqrt(2 / math.pi) * d * values.abs().sum().item(),
             "Variances add: the Euclidean norm of the eigenvalues is needed, not their sum."),
            (right * d, "The standard deviation of an entry is ‖λ‖₂/d, not ‖λ‖₂."),
            (right * math.pi / 2, "E|z| of a standard normal number is √(2/π), not √(π/2)."),
            (values.abs().sum().item(), "That is the (1,1)-norm before the turn."),
        )  # fmt: skip
        recognise(got, mistakes, rtol=1e-3)
        raise Wrong(f"Off on {d} eigenvalues: mean absolute value of an entry, times d².")
    return "No matrix was needed."


def _descend(eigenvalues, coefficients, lr, steps, *, half=0.5, power=2, weight=True, sign=-1):
    factor = (1 + sign * lr * eigenvalues) ** (power * steps)
    scale = eigenvalues if weight else torch.ones_like(eigenvalues)
    return (half * scale * factor * coefficients**2).sum().item()


@exercise("6.3")
def loss_of_gradient_descent(answer):
    """`gd_loss(eigenvalues, coefficients, lr, steps)`: ½ Σ λ (1 − ηλ)²ᵀ c²."""
    generator = torch.Generator().manual_seed(63)
    for d, lr, steps in ((4, 0.3, 3), (30, 0.5, 10)):
        eigenvalues = torch.rand(d, generator=generator, dtype=torch.float64) + 0.1
        coefficients = torch.randn(d, generator=generator, dtype=torch.float64)
        given = (eigenvalues, coefficients, lr, steps)
        out = call(answer, eigenvalues.clone(), coefficients.clone(), lr, steps, what="gd_loss")
        got = as_tensor(out, torch.zeros((), dtype=torch.float64)).item()
        if math.isclose(got, _descend(*given), rel_tol=1e-5):
            continue
        mistakes = (
            (_descend(*given, half=1.0), "The factor ½ of the loss is missing."),
            (_descend(*given, power=1), "x shrinks by (1 − ηλ)ᵀ, and the loss has x squared."),
            (
                _descend(*given, weight=False),
                "The loss weighs each coefficient's square by its eigenvalue.",
            ),
            (_descend(*given, sign=1), "The step goes up the slope: the factor is 1 − ηλ."),
        )
        recognise(got, mistakes, atol=0)
        raise Wrong(f"Off for d = {d}, lr = {lr}, {steps} steps. Follow one eigenvector's share.")
    return "No rotation appears in it: that is the blindness of gradient descent, in a formula."


@exercise("6.4")
def spectrum_that_never_crosses(answer):
    """200 eigenvalues, condition >= 100, whose (1,1)-norm stays below d‖H‖₂ when turned."""
    d = 200
    values = as_tensor(answer, torch.zeros(d, dtype=torch.float64))
    if not torch.isfinite(values).all() or (values <= 0).any():
        raise Wrong("All eigenvalues should be positive and finite.")
    condition = (values.max() / values.min()).item()
    if condition < 100 * (1 - 1e-6):  # room for eigenvalues in float32
        raise Wrong(
            f"The largest is {condition:.3g} times the smallest; at least 100 times is asked for."
        )
    R = Haar(seed=64)(torch.eye(d, dtype=torch.float64))
    ratio = ((R * values) @ R.T).abs().sum().item() / (d * values.max().item())
    if ratio >= 1:
        raise Wrong(
            f"Turned, its (1,1)-norm is {ratio:.2f} times d‖H‖₂. How large may ‖λ‖₂ be, compared "
            "with the largest eigenvalue, if √(2/π) d‖λ‖₂ is to stay below d max λ?"
        )
    return f"Turned, its (1,1)-norm is {ratio:.2f} times d‖H‖₂: it does not reach the crossing."
