"""Checks of the exercises of chapter 7."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise
from linfcourse.rotations import Haar


@exercise("7.1")
def size_after_rotation(answer):
    """Root mean square of a coordinate of Rg, g = (3, 4, 0, …, 0) in 100 dimensions."""
    value = as_number(answer)
    d, norm = 100, 5.0
    right = norm / math.sqrt(d)
    if math.isclose(value, right, rel_tol=1e-3):
        return "A hundred coordinates share the length 5, in equal parts on average."
    mistakes = (
        (right**2, "That is the mean square; its root is asked for."),
        (
            norm / d,
            "The squares share the squared length: divide that by d, then take the root.",
        ),
        (7 / d, "A rotation keeps the sum of the squares, not the sum of the magnitudes."),
        (norm, "That is the length of the whole vector, which all coordinates share."),
    )
    recognise(value, mistakes, rtol=1e-3)
    raise Wrong("What does the rotation keep, and among how many coordinates is it shared?")


@exercise("7.2")
def kronecker_product(answer):
    """`turn(A, B, x)`: (A ⊗ B) x from matrix products of the sizes of A and B."""
    generator = torch.Generator().manual_seed(72)
    for a, b in ((2, 3), (4, 2)):
        A, B = Haar(1).matrix(a), Haar(2).matrix(b)
        x = torch.randn(a * b, generator=generator, dtype=torch.float64)
        got = as_tensor(call(answer, A.clone(), B.clone(), x.clone()), x)
        if torch.allclose(got, torch.kron(A, B) @ x, rtol=1e-6, atol=1e-9):
            continue
        X = x.view(a, b)
        mistakes = (
            (
                (A @ X @ B).reshape(-1),
                "B acts on the rows of X: it comes from the right as Bᵀ.",
            ),
            ((A.T @ X @ B).reshape(-1), "That is the inverse, Aᵀ ⊗ Bᵀ."),
            (torch.kron(B, A) @ x, "That is B ⊗ A: A's index is the slow one."),
            ((A @ x.view(b, a).T @ B.T).reshape(-1), "x is read into X row by row: (a, b)."),
            ((A @ X @ B.T).T.reshape(-1), "Read the result row by row, without transposing."),
            ((A @ X).reshape(-1), "Only A has been applied."),
            ((X @ B.T).reshape(-1), "Only B has been applied."),
        )
        recognise(got, mistakes, rtol=1e-6, atol=1e-9)
        raise Wrong(f"For sizes {a} and {b} it differs from torch.kron(A, B) @ x.")
    return "Two small products take the place of one with (ab)² numbers."


@exercise("7.3")
def uniform_from_qr(answer):
    """`uniform(Q, T)`: the factor that belongs to a T with a positive diagonal."""
    generator = torch.Generator().manual_seed(73)
    flips = torch.tensor([1.0, -1.0, -1.0, 1.0, -1.0], dtype=torch.float64)
    Z = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    Q, T = torch.linalg.qr(Z)
    flips = flips * T.diagonal().sign()  # the same signs on every machine
    Q, T = Q * flips, flips[:, None] * T
    got = as_tensor(call(answer, Q.clone(), T.clone()), Q)
    signs = T.diagonal().sign()
    if torch.allclose(got, Q * signs, rtol=1e-6, atol=1e-9):
        return "Now Q does not depend on how the algorithm chose its signs."
    mistakes = (
        (Q, "Q is unchanged: its signs are still those that the algorithm chose."),
        (signs[:, None] * Q, "T's diagonal belongs to the columns of Q; these are its rows."),
        (Q * T.diagonal(), "Only the signs of the diagonal: Q is no longer orthogonal."),
        (-Q * signs, "The signs are all the wrong way round: T's diagonal is negative now."),
        (Q * Q.diagonal().sign(), "The signs are those of T's diagonal, not of Q's."),
    )
    recognise(got, mistakes, rtol=1e-6, atol=1e-9)
    raise Wrong("Write Z = QT = (QD)(DT) with a diagonal D of signs. Which D makes DT's positive?")


@exercise("7.4")
def output_wise_sign_step(answer):
    """`step(W, G, Q, lr)`: sign descent with the outputs of a matrix rotated, V = QW."""
    generator = torch.Generator().manual_seed(74)
    for outputs, inputs in ((3, 3), (4, 2)):
        Q, lr = Haar(5).matrix(outputs), 0.1
        W, G = torch.randn(2, outputs, inputs, generator=generator, dtype=torch.float64)
        got = as_tensor(call(answer, W.clone(), G.clone(), Q.clone(), lr), W)
        if torch.allclose(got, W - lr * Q.T @ (Q @ G).sign(), rtol=1e-6, atol=1e-9):
            continue
        mistakes = [
            (W - lr * G.sign(), "Nothing is rotated here: that is plain sign descent."),
            (W - lr * (Q @ G).sign(), "The step is still in V's coordinates: rotate it back."),
            (W - lr * Q @ (Q.T @ G).sign(), "V = QW, so the gradient for V is QG."),
            (W + lr * Q.T @ (Q @ G).sign(), "The step goes up the slope: its sign is flipped."),
            (Q @ W - lr * (Q @ G).sign(), "That is the new V; the new W = QᵀV is asked for."),
        ]
        if outputs == inputs:
            mistakes.append(
                (W - lr * (G @ Q.T).sign() @ Q, "That rotates the inputs: Q comes from the left.")
            )
        recognise(got, mistakes, rtol=1e-6, atol=1e-9)
        raise Wrong(f"For a {outputs} × {inputs} matrix it is off: write V = QW and step in V.")
    return "Column by column this is exercise 1.3."


@exercise("7.5")
def spread_of_second_moments(answer):
    """`spread(S)`: relative standard deviation of a rotated second moment."""
    generator = torch.Generator().manual_seed(75)
    G = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    for S, what in ((G.T @ G, "a dense S"), (torch.diag(G[0] ** 2), "a diagonal S")):
        got = as_number(call(answer, S.clone()))
        trace, square = S.trace().item(), S.square().sum().item()
        off = square - S.diagonal().square().sum().item()
        right = math.sqrt(2 * off) / trace
        if math.isclose(got, right, rel_tol=1e-4, abs_tol=1e-6):
            continue
        mistakes = (
            (math.sqrt(2 * square) / trace, "The diagonal does not count: its signs cancel."),
            (math.sqrt(off) / trace, "Each pair of signs occurs twice, as jk and as kj."),
            (2 * off / trace**2, "That is the variance; the standard deviation is asked for."),
            (math.sqrt(2 * off), "Relative to the mean, please: the mean is tr S / d."),
            (math.sqrt(2 * off) * len(S) / trace, "The standard deviation has a factor 1/d, too."),
        )
        recognise(got, mistakes, rtol=1e-4)
        raise Wrong(f"For {what} it is off: take the variance of the lemma over the squared mean.")
    return "And 0 for a diagonal S: one transform makes all its sizes equal."
