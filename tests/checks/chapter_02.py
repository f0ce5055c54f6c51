"""Right answers of chapter 2, and usual mistakes with words of what is said about them."""

import math

import torch


def muon(W, G, lr):
    u, _, vh = torch.linalg.svd(G, full_matrices=False)
    return W - lr * (u @ vh)


def muon_with_v(W, G, lr):
    u, _, vh = torch.linalg.svd(G, full_matrices=False)
    return W - lr * (u @ vh.T)


def top(g, k, by=torch.abs, value=lambda g: -g.sign(), largest=True):
    s = torch.zeros_like(g)
    chosen = by(g).topk(k, largest=largest).indices
    s[chosen] = value(g)[chosen]
    return s


RIGHT = {
    "2.1": (8, 26**0.5, 4),
    "2.2": 6,
    "2.3": lambda g, w: -w * torch.sign(g),
    "2.4": muon,
    "2.5": top,
}
WRONG = [
    ("2.1", (4, 26**0.5, 8), "norms of g itself"),
    ("2.1", (-8, -(26**0.5), -4), "up to the sign"),
    ("2.1", (8, 26, 4), "root is missing"),
    ("2.1", (7, 26**0.5, 4), "ball of ℓ∞ is off"),
    ("2.1", (8, 26**0.5), "this has 2"),
    ("2.1", 8, "Give 3 numbers"),
    ("2.1", (8, "five", 4), "A number is asked for"),
    ("2.2", 5, "still below"),
    ("2.2", 5.187, "whole number"),
    ("2.2", 27, "squares"),
    ("2.2", 100, "Not all entries"),
    ("2.2", 2, "Write φ(g)"),
    ("2.2", math.nan, "finite number"),
    ("2.3", lambda g, w: w * g.sign(), "up the slope"),
    ("2.3", lambda g, w: -g.sign(), "weights are ignored"),
    ("2.3", lambda g, w: -g.sign() / w, "Divided where"),
    ("2.3", lambda g, w: -w * g, "size of g plays no part"),
    ("2.3", lambda g, w: -2 * w * g.sign(), "length 2"),
    ("2.3", lambda g, w: torch.cat([(-w * g.sign())[:1], 0 * g[1:]]), "is possible"),
    ("2.3", lambda g: -g.sign(), "raised TypeError"),
    ("2.3", -1, "should be a function"),
    ("2.4", lambda W, G, lr: 2 * W - muon(W, G, lr), "up the slope"),
    ("2.4", lambda W, G, lr: muon(W, G, lr) - W, "That is the step"),
    ("2.4", lambda W, G, lr: muon(W, G, 1.0), "learning rate is missing"),
    ("2.4", muon_with_v, "V instead of Vᵀ"),
    ("2.4", lambda W, G, lr: W - lr * G, "gradient descent"),
    ("2.4", lambda W, G, lr: W - lr * G / torch.linalg.matrix_norm(G, 2), "leaves the others"),
    ("2.4", lambda W, G, lr: W - lr * G / G.norm(), "Frobenius"),
    ("2.4", lambda W, G, lr: W - lr * G.sign(), "sign descent"),
    ("2.4", lambda W, G, lr: muon(W, G, 2 * lr), "they are 0.2"),
    ("2.5", lambda g, k: -top(g, k), "up the slope"),
    ("2.5", lambda g, k: top(g, k, by=lambda g: g), "largest entries are chosen"),
    ("2.5", lambda g, k: top(g, k) / k, "too far inside"),
    ("2.5", lambda g, k: -g.sign(), "is allowed"),
    ("2.5", lambda g, k: -g.sign() * k / len(g), "wastes the budget"),
    ("2.5", lambda g, k: top(g, k, largest=False), "k smallest"),
    ("2.5", lambda g, k: top(g, 1), "Only one coordinate"),
    ("2.5", lambda g, k: k * top(g, 1), "‖s‖∞ ≤ 1 is broken"),
    ("2.5", lambda g, k: top(g, k, value=lambda g: -g), "not the entries"),
    ("2.5", lambda g, k: 3 * top(g, k), "not in the ball"),
    ("2.5", lambda g, k: top(g, k) * 0.9, "is possible"),
]
