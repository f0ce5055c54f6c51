"""Right answers of chapter 9, and usual mistakes with words of what is said about them."""

import math
from functools import cache

import torch


def control(ids, generator):
    return ids[torch.randperm(len(ids), generator=generator)]


def best_blocks(h, blocks):
    """Dynamic programming over the sorted list."""
    h = sorted(h.tolist(), reverse=True)

    @cache
    def cost(start, left):
        if start == len(h):
            return 0.0
        if left == 1:
            return (len(h) - start) * h[start]
        ends = range(start + 1, len(h) + 1)
        return min((end - start) * h[start] + cost(end, left - 1) for end in ends)

    return cost(0, blocks)


def neighbours(h, blocks):
    h = h.tolist()

    @cache
    def cost(start, left):
        if left == 1:
            return (len(h) - start) * max(h[start:])
        ends = range(start + 1, len(h) - left + 2)
        return min((end - start) * max(h[start:end]) + cost(end, left - 1) for end in ends)

    return cost(0, blocks)


def equal(h, blocks):
    return sum(len(p) * p.max().item() for p in h.sort(descending=True).values.tensor_split(blocks))


def half(ids, generator):
    out, n = ids.clone(), len(ids) // 2
    out[:n] = control(ids[:n], generator)
    out[n:] = ids[n:]
    return out


def writes_into_its_argument(ids, generator):
    ids[:] = control(ids, generator)
    return ids


RIGHT = {"9.1": 0.4472, "9.2": 792, "9.3": control, "9.4": best_blocks}
WRONG = [
    ("9.1", 1, "Adam's step"),
    ("9.1", 1.3416, "large gradient moves"),
    ("9.1", 1 / 3, "largest gradient"),
    ("9.1", 0.5, "mean of |g|"),
    ("9.1", 0.2, "root is missing"),
    ("9.1", 1 / math.sqrt(10), "take the mean"),
    ("9.1", -0.4472, "leave the sign"),
    ("9.1", 7.0, "over the block"),
    ("9.1", "small", "A number is asked for"),
    ("9.2", 2304, "rows of Q and K share"),
    ("9.2", 36, "V is cut row by row"),
    ("9.2", 24, "V is missing"),
    ("9.2", 780, "two matrices"),
    ("9.2", 768, "heads of Q and K are missing"),
    ("9.2", 2304 * 768, "as in Adam"),
    ("9.2", 768**2 + 24, "not by single weights"),
    ("9.2", 12 + 2 * 768, "K is cut by heads"),
    ("9.2", 5, "Count the three"),
    ("9.3", lambda ids, g: torch.randint(5, (len(ids),), generator=g), "shuffle the labels"),
    ("9.3", lambda ids, g: 4 - ids, "renaming"),
    ("9.3", lambda ids, g: ids, "have not changed"),
    ("9.3", lambda ids, g: ids.flip(0).roll(3), "Another generator"),
    ("9.3", lambda ids, g: ids[torch.randperm(len(ids))], "same seed"),
    ("9.3", half, "always stay together"),
    ("9.3", writes_into_its_argument, "passed in have changed"),
    ("9.3", lambda ids, g: ids[:3], "should have shape"),
    ("9.3", lambda ids: ids, "raised TypeError"),
    ("9.4", neighbours, "Sort first"),
    ("9.4", equal, "different sizes"),
    ("9.4", lambda h, blocks: h.sum(), "the trace"),
    ("9.4", lambda h, blocks: best_blocks(h, blocks + 1), "too many"),
    ("9.4", lambda h, blocks: best_blocks(h, max(blocks - 1, 1)), "too few"),
    ("9.4", lambda h, blocks: 0.0, "below what is possible"),
    ("9.4", lambda h, blocks: 1e3, "less is possible"),
    ("9.4", 7, "should be a function"),
]
