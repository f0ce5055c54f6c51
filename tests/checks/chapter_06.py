"""Right answers of chapter 6, and usual mistakes with words of what is said about them."""

import math

import torch

MEAN_ABS = math.sqrt(2 / math.pi)


def expected_norm(values, factor=MEAN_ABS, power=1):
    return factor * len(values) ** power * values.norm()


def gd_loss(values, c, lr, steps, *, half=0.5, weight=True, sign=-1):
    x = (1 + sign * lr * values) ** steps * c
    return half * ((values if weight else 1.0) * x**2).sum()


def gd_loss_by_descending(values, c, lr, steps):
    x = c.clone()
    for _ in range(steps):
        x -= lr * values * x
    return float(0.5 * (values * x**2).sum())


def spectrum(rest, d=200):
    return torch.tensor([1.0] + [rest] * (d - 1))


RIGHT = {
    "6.1": 10 + 4 * math.sqrt(3),
    "6.2": expected_norm,
    "6.3": gd_loss,
    "6.4": spectrum(0.01),
}
ALSO_RIGHT = [
    ("6.3", gd_loss_by_descending),
    # In float32 their ratio is a hundred up to rounding.
    ("6.4", torch.tensor([7.0] + [0.07] * 199, dtype=torch.float32)),
]
WRONG = [
    ("6.1", 10, "the trace"),
    ("6.1", 10 + 2 * math.sqrt(3), "two off-diagonal"),
    ("6.1", 18, "number of AdaSGD"),
    ("6.1", 22, "a product of the two"),
    ("6.1", 12.438, "not 30 radians"),
    ("6.1", 5, "Compute R diag"),
    ("6.2", lambda values: expected_norm(values, 1.0), "upper bound"),
    ("6.2", lambda values: expected_norm(values, power=0), "Each of the d² entries"),
    ("6.2", lambda values: values.norm(), "sum |entry|"),
    ("6.2", lambda values: math.sqrt(2 / math.pi) * len(values) * values.abs().sum(), "Variances"),
    ("6.2", lambda values: expected_norm(values, power=2), "is ‖λ‖₂/d, not"),
    ("6.2", lambda values: expected_norm(values, math.sqrt(math.pi / 2)), "not √(π/2)"),
    ("6.2", lambda values: values.abs().sum(), "before the turn"),
    ("6.2", lambda values: 3.0, "Off on"),
    ("6.2", lambda: 3.0, "raised TypeError"),
    ("6.3", lambda *given: gd_loss(*given, half=1.0), "½"),
    ("6.3", lambda v, c, lr, n: 0.5 * (v * (1 - lr * v) ** n * c**2).sum(), "x squared"),
    ("6.3", lambda *given: gd_loss(*given, weight=False), "by its eigenvalue"),
    ("6.3", lambda *given: gd_loss(*given, sign=1), "up the slope"),
    ("6.3", lambda v, c, lr, n: c, "should have shape"),
    ("6.3", lambda v, c, lr, n: 0.0, "Follow one eigenvector"),
    ("6.4", spectrum(0.5), "2 times the smallest"),
    ("6.4", torch.logspace(0, -2, 200), "times d‖H‖₂. How large"),
    ("6.4", spectrum(-0.01), "positive"),
    ("6.4", spectrum(0.01, d=100), "should have shape"),
    ("6.4", "one large", "should be a tensor"),
]
