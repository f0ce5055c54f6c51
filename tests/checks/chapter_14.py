"""Right answers of chapter 14, and usual mistakes with words of what is said about them."""

import math

import torch


def steps(lr, decay, within, *, round=math.ceil):
    return round(math.log(within) / math.log1p(-lr * decay))


def weight(x0, updates, lr, decay, *, newest_first=False, start=1.0, sign=-1, factor=None, late=0):
    a = 1 - lr * decay
    age = torch.arange(len(updates) - 1, -1, -1, dtype=updates.dtype) + late
    age = age.flip(0) if newest_first else age
    factor = lr if factor is None else factor(lr, decay)
    return start * a ** len(updates) * x0 + sign * factor * (a**age * updates).sum()


def share(x, g, decay, delta, *, distance=None, weights=None):
    distance = 1 + decay * x * g.sign() if distance is None else distance(x, g, decay)
    weights = g.abs() if weights is None else weights(g)
    return (weights * (distance <= delta)).sum() / weights.sum()


RIGHT = {
    "14.1": (1 - 3e-5) ** 20_000,
    "14.2": 0.24,
    "14.3": steps,
    "14.4": weight,
    "14.5": share,
}
WRONG = [
    ("14.1", 1 - math.exp(-0.6), "has been forgotten"),
    ("14.1", math.exp(-6), "λ is missing"),
    ("14.1", 0.6, "take an exponential"),
    ("14.1", 0.4, "the factors multiply"),
    ("14.1", 0.0, "η is missing"),
    ("14.1", 54.9, "not a percentage"),
    ("14.1", 0.9, "by 1 − λη"),
    ("14.1", "half", "A number is asked for"),
    ("14.2", 0.76, "one minus it"),
    ("14.2", 1.76, "The sign"),
    ("14.2", 0.62, "λ is missing"),
    ("14.2", 1 - 3.8 / math.sqrt(11), "not ℓ2"),
    ("14.2", 1 - 3.8 / 3, "not ℓ∞ itself"),
    ("14.2", 0.16, "counts against"),
    ("14.2", 1.2, "by its share"),
    ("14.2", 7, "inner product"),
    ("14.3", lambda *a: steps(*a, round=float), "round up"),
    ("14.3", lambda *a: steps(*a, round=math.floor), "One too few"),
    ("14.3", lambda lr, decay, within: steps(lr, 1.0, within), "λ is missing"),
    ("14.3", lambda lr, decay, w: math.ceil((1 - w) / (decay * lr)), "without decay"),
    ("14.3", lambda lr, decay, within: steps(lr, decay, 1 - within), "still missing"),
    ("14.3", lambda *a: 100, "simulate"),
    ("14.3", 100, "should be a function"),
    ("14.4", lambda *a: weight(*a, newest_first=True), "oldest update counts most"),
    ("14.4", lambda *a: weight(*a, start=0.0), "start is missing"),
    ("14.4", lambda *a: weight(*a, sign=1), "The sign"),
    ("14.4", lambda *a: weight(*a, factor=lambda lr, decay: lr * decay), "not by λη"),
    ("14.4", lambda *a: weight(*a, late=1), "One factor too many"),
    ("14.4", lambda x0, updates, lr, decay: x0 - lr * updates.sum(), "no decay"),
    ("14.4", lambda x0, updates, lr, decay: x0, "Compare with a loop"),
    ("14.4", lambda x0, updates, lr, decay: updates, "should have shape"),
    ("14.4", lambda x0: x0, "raised TypeError"),
    ("14.5", lambda *a: share(*a, distance=lambda x, g, decay: 1 - decay * x.abs()), "must be the"),
    ("14.5", lambda *a: share(*a, weights=torch.ones_like), "counts weights"),
    (
        "14.5",
        lambda *a: share(*a, distance=lambda x, g, decay: 1 - decay * x * g.sign()),
        "positive gradient",
    ),
    ("14.5", lambda *a: 1 - share(*a), "the rest"),
    ("14.5", lambda *a: share(*a, distance=lambda x, g, decay: 1 + x * g.sign()), "λ is missing"),
    ("14.5", lambda x, g, *a: share(x, g, *a) * g.abs().sum(), "Divide by"),
    ("14.5", lambda x, g, *a: torch.tensor(0.5), "right wall is"),
]
