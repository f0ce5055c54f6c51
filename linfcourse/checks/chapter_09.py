"""Checks of the exercises of chapter 9."""

from __future__ import annotations

import itertools
import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("9.1")
def small_coordinate_in_a_block(answer):
    """First step, in units of lr, of a coordinate with |g| = 1 among as many with |g| = 3."""
    mistakes = {
        1.0: "That is Adam's step: a coordinate by itself moves by lr.",
        3 / math.sqrt(5): "That is how far a coordinate with the large gradient moves.",
        1 / 3: "That divides by the largest gradient; the block divides by its root mean square.",
        0.5: "That divides by the mean of |g|; the second moment is a mean of squares.",
        0.2: "The root is missing: v is a mean of squares.",
        1 / math.sqrt(10): "That is the root of 1² + 3²; take the mean of the squares.",
        -1 / math.sqrt(5): "How far is asked for: leave the sign away.",
    }
    value = as_number(answer)
    if math.isclose(value, 1 / math.sqrt(5), rel_tol=5e-3):
        return "Less than half of Adam's step; its neighbours make more than Adam's."
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("At the first step m̂ = g and v̂ is the mean of g² over the block.")


@exercise("9.2")
def gpt2_attention(answer):
    """Adam-mini's second moments for a fused QKV weight of shape (2304, 768) with 12 heads."""
    mistakes = {
        2304.0: "One a row everywhere: but the rows of Q and K share one number a head.",
        36.0: "One a head in Q, K and V: but V is cut row by row.",
        24.0: "Q and K are right; V is missing.",
        780.0: "Q and K are two matrices: each has its own 12 heads.",
        768.0: "V is right; the heads of Q and K are missing.",
        2304.0 * 768: "That is one for each weight, as in Adam.",
        768 * 768 + 24: "V is cut by rows, not by single weights.",
        12.0 + 768 + 768: "K is cut by heads, as Q is.",
    }
    value = as_number(answer)
    if math.isclose(value, 792.0, rel_tol=5e-3):
        return "Instead of 1,769,472."
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Count the three matrices of 768 rows: Q by heads, K by heads, V by rows.")


@exercise("9.3")
def fair_control(answer):
    """`control(ids, generator)`: labels with the same block sizes, on random coordinates."""
    sizes = torch.tensor([5, 1, 12, 30, 2])
    ids = torch.arange(len(sizes)).repeat_interleave(sizes)
    ids = ids[torch.randperm(len(ids), generator=torch.Generator().manual_seed(93))]
    given = ids.clone()

    def make(seed):
        return call(answer, ids, torch.Generator().manual_seed(seed))

    draws = [as_tensor(make(seed), ids, "The labels") for seed in range(40)]
    if not torch.equal(ids, given):
        raise Wrong("The labels that were passed in have changed: return new ones.")
    for draw in draws:
        if not torch.equal(torch.bincount(draw, minlength=5).sort().values, sizes.sort().values):
            found = torch.bincount(draw, minlength=5).tolist()
            raise Wrong(
                f"The blocks should have the sizes {torch.bincount(ids).tolist()}, and they have "
                f"{found}: shuffle the labels that there are instead of drawing new ones."
            )

    def partition(labels):
        return (labels[:, None] == labels[None, :]).float()

    if all(torch.equal(partition(draw), partition(ids)) for draw in draws):
        raise Wrong("The blocks have not changed: renaming them is not a control.")
    if all(torch.equal(draws[0], draw) for draw in draws):
        raise Wrong("Another generator should give other labels: hand it to torch.randperm.")
    if not torch.equal(draws[0], as_tensor(make(0), ids)):
        raise Wrong("The same seed should give the same labels: draw from the generator only.")
    together = torch.stack([partition(draw) for draw in draws]).mean(0)
    chance = ((sizes * (sizes - 1)).sum() / (len(ids) * (len(ids) - 1))).item()
    off = together[~torch.eye(len(ids), dtype=torch.bool)]
    # 40 draws: a pair that is together by chance deviates by 0.08; 0.5 is never met.
    if (off - chance).abs().max() > 0.5:
        raise Wrong("Some coordinates always stay together: every one should go anywhere.")
    return "The same memory, other neighbours: what is left of the effect is due to the blocks."


def _cheapest(h, blocks: int) -> float:
    """The smallest Σ_b d_b max h over all partitions in at most `blocks` blocks, by trying all
    cuts of the sorted list."""
    h, d = sorted(h.tolist(), reverse=True), len(h)
    best = math.inf
    for count in range(1, min(blocks, d) + 1):
        for cuts in itertools.combinations(range(1, d), count - 1):
            ends = [0, *cuts, d]
            best = min(best, sum((b - a) * h[a] for a, b in itertools.pairwise(ends)))
    return best


def _in_order(h, blocks: int) -> float:
    """The same without sorting: only blocks of neighbours."""
    h, d = h.tolist(), len(h)
    return min(
        sum((b - a) * max(h[a:b]) for a, b in itertools.pairwise([0, *cuts, d]))
        for cuts in itertools.combinations(range(1, d), blocks - 1)
    )


def _equal_sizes(h, blocks: int) -> float:
    """Sorted, and cut in blocks of equal size."""
    pieces = torch.tensor_split(h.sort(descending=True).values, blocks)
    return sum(len(piece) * piece[0].item() for piece in pieces)


@exercise("9.4")
def best_blocks(answer):
    """`best_blocks(h, B)`: the smallest H(L, Φ) of a diagonal Hessian with B blocks."""
    generator = torch.Generator().manual_seed(94)
    cases = [(torch.tensor([1.0, 9.0, 1.0, 9.0, 5.0]), 2)] + [
        (torch.rand(d, generator=generator) ** 4, blocks)
        for d, blocks in ((6, 2), (7, 3), (10, 3), (12, 4), (5, 5), (8, 1))
    ]
    answers = []
    for h, blocks in ((h.double(), blocks) for h, blocks in cases):
        value = as_number(call(answer, h.clone(), blocks))
        answers.append((h, blocks, value))
    mistakes = (
        (_in_order, "Only neighbours share a block here: any coordinates may. Sort first."),
        (_equal_sizes, "Blocks may have different sizes: try all the places to cut."),
        (lambda h, blocks: h.sum().item(), "That is the trace, which needs d blocks."),
        (
            lambda h, blocks: _cheapest(h, blocks + 1),
            "One block too many: B blocks have B − 1 cuts.",
        ),
        (
            lambda h, blocks: _cheapest(h, max(blocks - 1, 1)),
            "One block too few: B blocks have B − 1 cuts.",
        ),
    )
    if all(math.isclose(v, _cheapest(h, b), rel_tol=1e-6) for h, b, v in answers):
        return "The best that B second moments can do, if the Hessian is diagonal."
    made = [([mistake(h, b) for h, b, _ in answers], message) for mistake, message in mistakes]
    recognise([value for *_, value in answers], made, rtol=1e-6, atol=0)
    for h, blocks, value in answers:
        right = _cheapest(h, blocks)
        if not math.isclose(value, right, rel_tol=1e-6):
            side = "below what is possible" if value < right else "and less is possible"
            raise Wrong(
                f"For h = {[round(x, 2) for x in h.tolist()]} and {blocks} blocks your value is "
                f"{value:.4g}, {side}."
            )
