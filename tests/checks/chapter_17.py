"""Right answers of chapter 17, and usual mistakes with words of what is said about them."""

import torch

from linfcourse.norms import L1, L2, LInf, Spectral


def power(C, exponent, cut=1e-10):
    w, Q = torch.linalg.eigh(C)
    keep = w > cut * w.max()
    return (Q[:, keep] * w[keep] ** exponent) @ Q[:, keep].T


def shampoo(G, left=-0.25, right=-0.25, cut=1e-10):
    return power(G @ G.T, left, cut) @ G @ power(G.T @ G, right, cut)


def careless(G):
    (w, P), (v, Q) = torch.linalg.eigh(G @ G.T), torch.linalg.eigh(G.T @ G)
    return (P * w**-0.25) @ P.T @ G @ (Q * v**-0.25) @ Q.T


def first_direction(G):
    U, _, Vh = torch.linalg.svd(G, full_matrices=False)
    return -torch.outer(U[:, 0], Vh[0])


RIGHT = {
    "17.1": 0.35,
    "17.2": (0.0002, 10.0),
    "17.3": Spectral().lmo,
    "17.4": shampoo,
}
WRONG = [
    ("17.1", 0.55, "before m is updated"),
    ("17.1", 0.4, "decay is missing"),
    ("17.1", 0.34, "not its size"),
    ("17.1", -0.1, "λη, not λ"),
    ("17.1", 0.45, "decay alone"),
    ("17.1", 0.36, "shrinks first"),
    ("17.1", 7, "First u"),
    ("17.1", "north", "A number is asked for"),
    ("17.2", (10.0, 0.0002), "wrong order"),
    ("17.2", (0.002, 10.0), "r is right"),
    ("17.2", (0.0002, 0.1), "1/λ, not λ"),
    ("17.2", (0.0002, 0.002), "has to be η"),
    ("17.2", (0.02, 10.0), "this is η/λ"),
    ("17.2", (0.1, 0.02), "shrink by λ"),
    ("17.2", (0.002, 1.0), "shrink by η"),
    ("17.2", (1.0, 1.0), "term by term"),
    ("17.2", 10.0, "should have shape (2,)"),
    ("17.3", lambda G: -Spectral().lmo(G), "sign is flipped"),
    ("17.3", L2().lmo, "Frobenius"),
    ("17.3", lambda G: -G / torch.linalg.matrix_norm(G, 2), "do better"),
    ("17.3", LInf().lmo, "oracle of ℓ∞"),
    ("17.3", first_direction, "nuclear norm"),
    ("17.3", L1().lmo, "the ball has"),
    ("17.3", lambda G: G.T @ G, "should have shape"),
    ("17.3", lambda: 0, "raised TypeError"),
    ("17.4", lambda G: shampoo(G, -0.5, -0.5), "take −1/4"),
    ("17.4", lambda G: power(G @ G.T, -0.25) @ G, "two sides is missing"),
    ("17.4", lambda G: G @ power(G.T @ G, -0.25), "two sides is missing"),
    ("17.4", lambda G: shampoo(G, 0.25, 0.25), "powers are positive"),
    ("17.4", lambda G: -shampoo(G), "minus sign"),
    ("17.4", careless, "not finite"),
    ("17.4", lambda G: G, "singular values should be 1"),
    ("17.4", lambda G: shampoo(G) if len(G) != 4 else G, "of rank one"),
    ("17.4", 3, "should be a function"),
]
