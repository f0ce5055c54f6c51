"""Right answers of chapter 13, and usual mistakes with words of what is said about them."""

import math


def fading(b1, b2, power=2):
    return (1 - b1) / (1 - b1 / 0.97) * math.sqrt((1 - b2 / 0.97**power) / (1 - b2))


def average(path, lrs, weight_decay, *, shift=0, sign=1.0, moved=1.0):
    old = path[:-1] if shift == 0 else path[1:]
    pull = weight_decay * (lrs[:, None] * old).sum(0)
    return (moved * (path[0] - path[-1]) - sign * pull) / lrs.sum()


def wall(b1, b2, wd, *, applies=lambda b1, b2: b1**2 < b2):
    if not applies(b1, b2):
        return math.inf
    return (1 - b1) / math.sqrt((1 - b2) * (1 - b1**2 / b2)) / wd


RIGHT = {
    "13.1": (-10.0, 10.0),
    "13.2": lambda b1, b2, wd: fading(b1, b2) / wd,
    "13.3": average,
    "13.4": wall,
}
WRONG = [
    ("13.1", (10, -10), "wrong wall"),
    ("13.1", (-0.1, 0.1), "not at λ"),
    ("13.1", (-1, 1), "here it is 1"),
    ("13.1", (-20, 0.03), "with the penalty"),
    ("13.1", (20, -0.03), "That is g/λ"),
    ("13.1", (-10, 0), "not zero"),
    ("13.1", (-10, 0.03), "not zero"),
    ("13.1", (3, 4), "at rest"),
    ("13.1", -10, "should have shape (2,)"),
    ("13.2", lambda b1, b2, wd: 1 / wd, "That is the wall"),
    ("13.2", lambda b1, b2, wd: fading(b1, b2), "divide by λ"),
    ("13.2", lambda b1, b2, wd: fading(b1, b2) * wd, "divide by λ"),
    ("13.2", lambda b1, b2, wd: fading(b1, b2, 1) / wd, "β₂/c², not β₂/c"),
    ("13.2", lambda b1, b2, wd: 1 / fading(b1, b2) / wd, "upside down"),
    (
        "13.2",
        lambda b1, b2, wd: (1 - b1) / (1 - b1 / 0.97) * (1 - b2 / 0.97**2) / (1 - b2) / wd,
        "root of v is missing",
    ),
    ("13.2", lambda b1, b2, wd: 0.97 * fading(b1, b2) / wd, "A factor c"),
    ("13.2", lambda b1, b2, wd: 2.0, "as in the proposition"),
    ("13.2", lambda b1, b2, wd: "far", "A number is asked for"),
    ("13.2", 1.28, "should be a function"),
    ("13.3", lambda *a: -average(*a), "flipped"),
    ("13.3", lambda p, lrs, wd: average(p, lrs, wd) * lrs.sum(), "That is the sum"),
    ("13.3", lambda p, lrs, wd: average(p, lrs, wd) * lrs.sum() / len(lrs), "divide by their sum"),
    (
        "13.3",
        lambda p, lrs, wd: ((p[:-1] * (1 - wd * lrs[:, None]) - p[1:]) / lrs[:, None]).mean(0),
        "as much as its learning rate",
    ),
    ("13.3", lambda *a: average(*a, shift=1), "acts on x_t"),
    ("13.3", lambda p, lrs, wd: average(p, lrs, 1.0), "λ is missing"),
    ("13.3", lambda *a: average(*a, sign=0.0), "take its part out"),
    ("13.3", lambda *a: average(*a, sign=-1.0), "wrong sign"),
    ("13.3", lambda *a: average(*a, moved=0.0), "first term"),
    ("13.3", lambda p, lrs, wd: -wd * p[-1], "its limit"),
    ("13.3", lambda p, lrs, wd: p[0], "Solve the update"),
    ("13.3", lambda p, lrs, wd: 1.0, "should have shape (3,)"),
    ("13.4", lambda b1, b2, wd: 1 / wd, "wall of the theorem"),
    ("13.4", lambda b1, b2, wd: wall(b1, b2, 1.0), "That is B"),
    ("13.4", lambda b1, b2, wd: wall(b1, b2, 1.0) * wd, "not at Bλ"),
    ("13.4", lambda *a: wall(*a, applies=lambda b1, b2: b1 <= b2), "not β₁ ≤ β₂"),
    ("13.4", lambda b1, b2, wd: wall(b1, b2, wd) if b1**2 < b2 else 0.0, "should be math.inf"),
    ("13.4", lambda b1, b2, wd: 3.0, "of chapter 5"),
    ("13.4", lambda *a: wall(*a, applies=lambda b1, b2: True), "raised"),
]
