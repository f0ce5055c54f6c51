"""Right answers of chapter 12, and usual mistakes with words of what is said about them."""

import math

import torch


def step(x, g, lr, weight_decay, *, sign=-1, part=None, radius=None):
    length = g.norm()
    radius = 1 / weight_decay if radius is None else radius(weight_decay)
    vertex = sign * radius * g / length if length > 0 else torch.zeros_like(x)
    part = lr * weight_decay if part is None else part(lr, weight_decay)
    return x + part * (vertex - x)


def coupled(x, g, lr, weight_decay):
    full = g + weight_decay * x
    return x - lr * full / full.norm()


def gamma(x, v, g, H, *, factor=1.0, cut=True):
    p = v - x
    curvature = p @ H @ p
    if curvature <= 0:
        return 1.0
    best = factor * float(-(g @ p) / curvature)
    return min(1.0, best) if cut else best


RIGHT = {"12.1": 7.5, "12.2": 2, "12.3": step, "12.4": gamma}
WRONG = [
    ("12.1", 9, "is missing"),
    ("12.1", 10.5, "flipped"),
    ("12.1", 3.0, "radius is missing"),
    ("12.1", 4.5, "‖g‖₁"),
    ("12.1", -7.5, "wrong sign"),
    ("12.1", -1.5 + 2 * math.sqrt(10.25), "ℓ2 ball"),
    ("12.1", 1.0, "with r = 2"),
    ("12.1", "x", "A number is asked for"),
    ("12.2", 0.5, "radius"),
    ("12.2", 5, "outside"),
    ("12.2", -2, "positive"),
    ("12.2", 1, "walls are at ±1"),
    ("12.2", 6, "only its sign"),
    ("12.2", 3, "first two coordinates"),
    ("12.3", lambda *a: step(*a, sign=1), "wrong side"),
    ("12.3", lambda *a: step(*a, part=lambda lr, wd: lr), "here it is η"),
    (
        "12.3",
        lambda *a: step(*a, part=lambda lr, wd: lr, radius=lambda wd: 1.0),
        "λη, not η",
    ),
    ("12.3", lambda *a: step(*a, radius=lambda wd: 1.0), "here it is 1"),
    ("12.3", lambda *a: step(*a, radius=lambda wd: wd), "here it is λ"),
    ("12.3", lambda x, g, lr, wd: (1 - wd) * x - lr * g / g.norm(), "not multiplied by"),
    ("12.3", lambda x, g, lr, wd: (1 - lr * wd) * x - lr * g, "not normalised"),
    ("12.3", lambda x, g, lr, wd: (1 - lr * wd) * x - lr * g.sign(), "SignSGD"),
    ("12.3", lambda x, g, lr, wd: x - lr * g / g.norm(), "no weight decay"),
    ("12.3", coupled, "a penalty, not a ball"),
    ("12.3", lambda x, g, lr, wd: (1 - lr * wd) * x - lr * g / g.norm(), "should shrink"),
    ("12.3", lambda x, g, lr, wd: x, "Off for x of shape"),
    ("12.3", lambda x: x, "raised TypeError"),
    ("12.4", lambda *a: gamma(*a, cut=False), "cut it off"),
    ("12.4", lambda *a: gamma(*a, factor=-1.0), "flipped"),
    ("12.4", lambda *a: gamma(*a, factor=0.5), "half of it"),
    ("12.4", lambda *a: gamma(*a, factor=2.0), "twice"),
    ("12.4", lambda x, v, g, H: min(1.0, float(g @ (x - v) / ((v - x) @ (v - x)))), "not pᵀp"),
    ("12.4", lambda x, v, g, H: min(1.0, float(g @ g / (g @ H @ g))), "along −g"),
    ("12.4", lambda x, v, g, H: 0.5, "parabola"),
    (
        "12.4",
        lambda x, v, g, H: (
            min(1.0, float(-(g @ (v - x)) / ((v - x) @ H @ (v - x) + 1e-300))) * 0.0
            if not H.any()
            else gamma(x, v, g, H)
        ),
        "ends of [0, 1]",
    ),
]
