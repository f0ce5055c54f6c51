"""Right answers of chapter 8, and usual mistakes with words of what is said about them."""

import math

import torch


def lengths_of(g, ids):
    return torch.stack([g[ids == b].norm() for b in range(int(ids.max()) + 1)])


def step(x, g, ids, lr, *, power=0.5, sign=-1, zero=0.0):
    sizes, lengths = torch.bincount(ids).double(), lengths_of(g, ids)
    factor = torch.where(lengths > 0, sizes**power / lengths, torch.tensor(zero).double())
    return x + sign * lr * factor[ids] * g


def naive_step(x, g, ids, lr):
    return x - lr * torch.bincount(ids).sqrt()[ids] * g / lengths_of(g, ids)[ids]


def cost(h, n):
    return n * h[:n].max() + (len(h) - n) * h[n:].max()


def cut(measure, choose=min):
    return lambda h: choose(range(1, len(h)), key=lambda n: measure(h, n).item())


RIGHT = {
    "8.1": 14.0,
    "8.2": (16.0, 10.0, 7.0),
    "8.3": step,
    "8.4": cut(cost),
}
WRONG = [
    ("8.1", math.sqrt(200), "one block of five"),
    ("8.1", 8.0, "without their factors"),
    ("8.1", 3.0, "norm of a step"),
    ("8.1", 26, "the roots"),
    ("8.1", math.sqrt(40), "play no part"),
    ("8.1", 12.0, "largest block's share"),
    ("8.1", 5.0, "dividing belongs"),
    ("8.1", 100, "and add"),
    ("8.1", "seven", "A number is asked for"),
    ("8.2", (7.0, 10.0, 16.0), "wrong order"),
    ("8.2", (4.0, 5.0, 7.0), "sizes are missing"),
    ("8.2", (7.0, 7.0, 7.0), "steepest coordinate"),
    ("8.2", (4, 4, 4), "sum over the blocks"),
    ("8.2", (8.0, 5 * math.sqrt(2), 7.0), "once for the step"),
    ("8.2", (16.0, 9.0, 7.0), "Off for the two pairs:"),
    ("8.2", 7.0, "should have shape (3,)"),
    ("8.3", lambda *a: step(*a, sign=1), "sign is flipped"),
    ("8.3", lambda x, g, ids, lr: step(x, g, ids, lr) - x, "the new x is asked for"),
    ("8.3", lambda x, g, ids, lr: step(x, g, ids, 1.0), "learning rate is missing"),
    ("8.3", lambda *a: step(*a, power=0.0), "factor √d_b is missing"),
    ("8.3", lambda *a: step(*a, power=1.0), "The factor is d_b here"),
    ("8.3", lambda *a: step(*a, power=-0.5), "it should multiply"),
    ("8.3", lambda x, g, ids, lr: step(x, g, 0 * ids, lr), "All coordinates are one block"),
    ("8.3", lambda x, g, ids, lr: x - lr * g.sign(), "a block of its own"),
    ("8.3", lambda x, g, ids, lr: x - lr * g, "not normalised"),
    ("8.3", lambda x, g, ids, lr: x, "one block at a time"),
    ("8.3", naive_step, "0/0 is not a number"),
    ("8.3", lambda x: x, "raised TypeError"),
    ("8.4", cut(cost, max), "worst cut"),
    ("8.4", lambda h: cut(cost)(h) - 1 or 1, "One too few"),
    ("8.4", lambda h: len(h) // 2, "in the middle"),
    ("8.4", lambda h: 0, "from 1 to d − 1"),
    ("8.4", lambda h: 1.5, "whole number"),
    ("8.4", cut(lambda h, n: h[:n].max() + h[n:].max()), "max + max"),
    ("8.4", cut(lambda h, n: max(n * h[:n].max(), (len(h) - n) * h[n:].max())), "their sum"),
    ("8.4", lambda h: min(2, len(h) - 1), "is possible"),
    ("8.4", 3, "should be a function"),
]
