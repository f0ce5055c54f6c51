"""Right answers of chapter 16, and usual mistakes with words of what is said about them."""

import math

import torch


def descend(Z, norm, lrs, *, sign=-1, up=1.0):
    W = torch.zeros_like(Z[0])
    for lr in lrs:
        weights = (sign * torch.einsum("ikd,kd->i", Z, W)).softmax(0)
        W = W + up * lr * norm.lmo(-torch.einsum("i,ikd->kd", weights, Z))
    return W


def underflowing(Z, norm, lrs):
    W = torch.zeros_like(Z[0])
    for lr in lrs:
        weights = (-torch.einsum("ikd,kd->i", Z, W)).exp() / len(Z)
        W = W + lr * norm.lmo(-torch.einsum("i,ikd->kd", weights, Z))
    return W


def unnormalised(Z, norm, lrs):
    W = torch.zeros_like(Z[0])
    for lr in lrs:
        weights = (-torch.einsum("ikd,kd->i", Z, W)).exp() / len(Z)
        W = W + lr * torch.einsum("i,ikd->kd", weights, Z)
    return W


RIGHT = {
    "16.1": (5, 7, 4),
    "16.2": (2 / math.sqrt(5), 1.0),
    "16.3": descend,
    "16.4": lambda g, eps: -g / (g.abs() + eps),
}
WRONG = [
    ("16.1", (5, 4, 7), "exchanged"),
    ("16.1", (5, -1, 4), "corner of the square"),
    ("16.1", (25, 7, 4), "scaled to length one"),
    ("16.1", (1, 1, 1), "lengths of the best W"),
    ("16.1", (3, 3, 3), "What is that called"),
    ("16.1", 5, "shape (3,)"),
    ("16.2", (1.0, 2 / math.sqrt(5)), "wrong order"),
    ("16.2", (1 / math.sqrt(2), 1.0), "the diagonal"),
    ("16.2", (math.sqrt(5) / 2, 1.0), "Turned over"),
    ("16.2", (2 / math.sqrt(5), 2 / 3), "ℓ1"),
    ("16.2", (1, 1), "is √2"),
    ("16.2", (1, 2), "the smaller of the two"),
    ("16.2", (0.1, 0.2), "as large as possible"),
    ("16.3", lambda Z, n, lrs: descend(Z, n, lrs, up=-1.0), "up the slope"),
    ("16.3", lambda Z, n, lrs: descend(Z, n, lrs, sign=1), "exp(+margin)"),
    ("16.3", unnormalised, "take norm.lmo"),
    ("16.3", lambda Z, n, lrs: descend(Z, n, lrs[1:]), "One step is missing"),
    ("16.3", lambda Z, n, lrs: descend(Z, n, [lrs[0]] * len(lrs)), "in turn"),
    ("16.3", underflowing, "softmax"),
    ("16.3", lambda Z, n, lrs: Z[0], "start at zero"),
    ("16.3", lambda Z: Z[0], "raised TypeError"),
    ("16.4", lambda g, eps: g / (g.abs() + eps), "sign is flipped"),
    ("16.4", lambda g, eps: -g / (g.square() + eps).sqrt(), "inside a root"),
    ("16.4", lambda g, eps: -g / (g + eps), "must not shrink"),
    ("16.4", lambda g, eps: -g / g.abs().clamp(min=eps), "larger of"),
    ("16.4", lambda g, eps: -g / (g.norm() + eps), "length of all"),
    ("16.4", lambda g, eps: -g.sign(), "ε is missing"),
    ("16.4", lambda g, eps: -g, "gradient descent"),
    ("16.4", lambda g, eps: 0 * g, "one half"),
]
