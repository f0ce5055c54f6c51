"""Checks of the exercises of chapter 17."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("17.1")
def lion_by_hand(answer):
    """x = 0.5, m = −1, g = 20, η = 0.1, β = (0.9, 0.99), λ = 1."""
    value = as_number(answer)
    if math.isclose(value, 0.35, abs_tol=1e-6):
        return "The newest gradient has outvoted the memory."
    mistakes = {
        0.55: "The sign is of 0.9 m + 0.1 g, before m is updated, and the step is against it.",
        0.4: "The weight decay is missing: x shrinks by λη of itself.",
        0.34: "Only the sign of the average counts, not its size.",
        -0.1: "The decay is λη, not λ.",
        0.45: "That is the decay alone; the step is still to come.",
        0.36: "x shrinks first, by λη of its old value: (1 − λη) x − η sign(u).",
    }
    recognise(value, mistakes.items())
    raise Wrong("First u = β₁ m + (1 − β₁) g and its sign, then (1 − λη) x − η sign(u).")


@exercise("17.2")
def to_scion(answer):
    """(γ, r) = (λη, 1/λ) for η = 0.002 and λ = 0.1."""
    right = torch.tensor([0.0002, 10.0], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=1e-6):
        return "γr is the old learning rate, and the radius is what the decay meant."
    mistakes = (
        (right.flip(0), "The two are right, in the wrong order: γ comes first."),
        (torch.tensor([0.002, 10.0]), "r is right. x is multiplied by 1 − γ and by 1 − λη."),
        (torch.tensor([0.0002, 0.1]), "γ is right. The radius is 1/λ, not λ."),
        (torch.tensor([0.0002, 0.002]), "γ is right. The step is γr, and has to be η."),
        (torch.tensor([0.02, 10.0]), "γ is λη; this is η/λ."),
        (torch.tensor([0.1, 0.02]), "Then γr is η, but x would shrink by λ instead of λη."),
        (torch.tensor([0.002, 1.0]), "Then γr is η, but x would shrink by η instead of λη."),
    )
    recognise(got, mistakes, rtol=1e-6, atol=1e-8)
    raise Wrong("Compare the two forms term by term: 1 − γ = 1 − λη and γr = η.")


def _matrices() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(173)
    shapes = ((5, 2), (3, 3), (2, 6))
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]


def _factors(G: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.linalg.svd(G, full_matrices=False)


@exercise("17.3")
def spectral_lmo(answer):
    """`spectral_lmo(G)` = −U Vᵀ."""
    mistakes = (
        (lambda U, S, Vh: U @ Vh, "The sign is flipped: ⟨G, s⟩ is greatest there."),
        (
            lambda U, S, Vh: -(U * S) @ Vh / S.norm(),
            "That is the ℓ2 step, −G over its Frobenius norm: singular values are to become 1.",
        ),
        (
            lambda U, S, Vh: -(U * S) @ Vh / S.max(),
            "That is −G over its spectral norm. It lies in the ball, but one can do better in it.",
        ),
        (
            lambda U, S, Vh: -((U * S) @ Vh).sign(),
            "That is the oracle of ℓ∞; its singular values are not at most 1.",
        ),
        (
            lambda U, S, Vh: -torch.outer(U[:, 0], Vh[0]),
            "Only the first singular direction moves: that is the oracle of the nuclear norm.",
        ),
    )
    for G in _matrices():
        U, S, Vh = _factors(G)
        got = as_tensor(call(answer, G.clone()), G)
        if torch.allclose(got, -U @ Vh, rtol=1e-5, atol=1e-6):
            continue
        recognise(got, [(make(U, S, Vh), message) for make, message in mistakes])
        raise Wrong(
            f"For a {G.shape[0]} × {G.shape[1]} matrix ⟨G, s⟩ is {(got * G).sum():.4g} with "
            f"‖s‖₂ = {torch.linalg.matrix_norm(got, 2):.3g}; the ball has {-S.sum():.4g}."
        )
    return "All singular values are one now, of the weak directions too."


def _power(C: torch.Tensor, exponent: float) -> torch.Tensor:
    w, Q = torch.linalg.eigh(C)
    keep = w > 1e-10 * w.max()
    return (Q[:, keep] * w[keep] ** exponent) @ Q[:, keep].T


@exercise("17.4")
def shampoo(answer):
    """`shampoo(G)` = (GGᵀ)^(−1/4) G (GᵀG)^(−1/4), eigenvalues near zero left out."""
    low = torch.outer(*(torch.arange(1.0, n + 1, dtype=torch.float64) for n in (4, 3)))
    mistakes = (
        (
            lambda G: _power(G @ G.T, -0.5) @ G @ _power(G.T @ G, -0.5),
            "The power is −1/2 on both sides, which inverts the singular values: take −1/4.",
        ),
        (
            lambda G: _power(G @ G.T, -0.25) @ G,
            "One of the two sides is missing: the singular values are √σ now, not 1.",
        ),
        (
            lambda G: _power(G @ G.T, 0.25) @ G @ _power(G.T @ G, 0.25),
            "The powers are positive; they should be −1/4.",
        ),
        (
            lambda G: -_power(G @ G.T, -0.25) @ G @ _power(G.T @ G, -0.25),
            "That is the step, with its minus sign; the product itself is asked for.",
        ),
    )
    for G in [*_matrices(), low]:
        result = call(answer, G.clone())
        got = as_tensor(result, G)
        right = _power(G @ G.T, -0.25) @ G @ _power(G.T @ G, -0.25)
        if not torch.isfinite(got).all():
            raise Wrong(
                f"The result for a {G.shape[0]} × {G.shape[1]} matrix is not finite: an eigenvalue "
                "near zero (or below it, by rounding) has no power −1/4. Leave it out."
            )
        if torch.allclose(got, right, rtol=1e-5, atol=1e-6):
            continue
        recognise(got, [(make(G), message) for make, message in mistakes])
        if G is low:
            raise Wrong(
                "Right for matrices of full rank, off for one of rank one: eigenvalues that are "
                "rounding noise have to be left out."
            )
        sigma = torch.linalg.svdvals(got)
        raise Wrong(
            f"For a {G.shape[0]} × {G.shape[1]} matrix the singular values should be 1, and they "
            f"are {[round(s, 3) for s in sigma.tolist()]}."
        )
    return "The same matrix as minus the spectral step: the two roads have met."
