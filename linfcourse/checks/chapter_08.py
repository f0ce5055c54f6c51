"""Checks of the exercises of chapter 8."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("8.1")
def dual_norm_by_hand(answer):
    """Σ_b √d_b ‖g_b‖₂ for {1,2,3,4} {5} and g = (3, −3, 3, −3, 2)."""
    value = as_number(answer)
    if math.isclose(value, 14.0, rel_tol=5e-3):
        return "The same as ‖g‖₁ here: within the block of four all entries are as large."
    mistakes = {
        math.sqrt(5 * 40): "That is the dual norm for one block of five: √5·‖g‖₂.",
        8.0: "The blocks' lengths are added without their factors √d_b.",
        12.0: "That is the largest block's share. The dual of a maximum is a sum.",
        3.0: "That is ‖g‖_Φ, the norm of a step; the dual norm is asked for.",
        26.0: "The factors are the sizes d_b; they should be the roots √d_b.",
        math.sqrt(40): "That is ‖g‖₂; the blocks play no part in it.",
        5.0: "Multiply by √d_b: dividing belongs to the norm of a step.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Take √d_b times the ℓ2 length of each of the two blocks, and add.")


@exercise("8.2")
def three_smoothnesses(answer):
    """H(L, Φ) of diag(4, 1, 1, 1) for one block, two pairs and singletons."""
    right = torch.tensor([16.0, 10.0, 7.0], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=1e-6):
        return "The finer, the smaller: the curvature lies along the axes."
    mistakes = (
        (right.flip(0), "The three are right, in the wrong order: one block comes first."),
        (torch.tensor([4.0, 5.0, 7.0]), "The sizes are missing: a block counts d_b times."),
        (
            torch.tensor([7.0, 7.0, 7.0]),
            "The trace does not depend on Φ. A block is charged with its steepest coordinate.",
        ),
        (
            torch.tensor([4.0, 4.0, 4.0]),
            "That is ‖H‖₂ each time. H(L, Φ) is a sum over the blocks.",
        ),
        (
            torch.tensor([8.0, 4 * math.sqrt(2) + math.sqrt(2), 7.0]),
            "√d_b is there twice, once for the gradient and once for the step: together d_b.",
        ),
    )
    recognise(got, mistakes, rtol=1e-3)
    names = ("one block", "the two pairs", "singletons")
    wrong = [name for name, a, b in zip(names, got, right, strict=True) if not torch.isclose(a, b)]
    raise Wrong(f"Off for {' and '.join(wrong)}: it is Σ_b d_b · ‖H_bb‖₂ for a diagonal H.")


@exercise("8.3")
def blockwise_step(answer):
    """`step(x, g, ids, lr)`: x − lr √d_b g_b/‖g_b‖₂ on each block."""
    generator = torch.Generator().manual_seed(83)
    lr = 0.1
    for labels in ([0, 0, 0, 1, 1, 2], [1, 0, 1, 0, 0, 2, 2], [0, 0, 0], [0, 1, 2, 3]):
        ids = torch.tensor(labels)
        x = torch.randn(len(ids), generator=generator, dtype=torch.float64)
        g = torch.randn(len(ids), generator=generator, dtype=torch.float64)
        got = as_tensor(call(answer, x.clone(), g.clone(), ids.clone(), lr), x, "The new x")
        sizes = torch.bincount(ids)
        lengths = torch.zeros(len(sizes), dtype=g.dtype).index_add(0, ids, g**2).sqrt()
        direction = (sizes.sqrt() / lengths)[ids] * g
        right = x - lr * direction
        mistakes = (
            (x + lr * direction, "The step goes up the slope: its sign is flipped."),
            (-lr * direction, "That is the step; the new x is asked for."),
            (x - direction, "The learning rate is missing."),
            (x - lr * g / lengths[ids], "The factor √d_b is missing: the root mean square is 1."),
            (
                x - lr * (sizes / lengths)[ids] * g,
                "The factor is d_b here; the length of a block of root mean square 1 is √d_b.",
            ),
            (
                x - lr * g / (lengths * sizes.sqrt())[ids],
                "√d_b divides here, and it should multiply: larger blocks make longer steps.",
            ),
            (
                x - lr * math.sqrt(len(g)) * g / g.norm(),
                "All coordinates are one block here: use the labels.",
            ),
            (x - lr * g.sign(), "Each coordinate is a block of its own here: use the labels."),
            (x - lr * g, "The gradient is not normalised at all."),
        )
        if not torch.allclose(got, right, rtol=1e-5, atol=1e-6):  # room for float32
            recognise(got, mistakes)
            raise Wrong(f"Off for the labels {labels}: look at one block at a time.")
    x, g, ids = torch.ones(4).double(), torch.tensor([0.0, 0.0, 3.0, 4.0]).double(), [0, 0, 1, 1]
    got = as_tensor(call(answer, x.clone(), g, torch.tensor(ids), lr), x, "The new x")
    if not torch.equal(got[:2], x[:2]):
        raise Wrong(
            "A block whose gradient is zero should stay where it is, and it became "
            f"{got[:2].tolist()}: 0/0 is not a number."
        )
    return "Two lines, and every method of this chapter is in them."


def _costs(h, share, total=torch.add):
    """A cost for each cut n = 1 … d − 1: `share(size, largest entry)` of both parts, combined."""
    d = len(h)
    return torch.stack(
        [total(share(n, h[:n].max()), share(d - n, h[n:].max())) for n in range(1, d)]
    )


def _right_costs(h):
    return _costs(h, lambda size, top: size * top)


# Each mistake: does the answer n (from 1) make it for this h? And what to say if always.
_CUT_MISTAKES = (
    (lambda h, n: n == _right_costs(h).argmax() + 1, "That is the worst cut: minimise the sum."),
    (
        lambda h, n: n == max(int(_right_costs(h).argmin()), 1),
        "One too few: index 0 of the list of costs belongs to n = 1.",
    ),
    (
        lambda h, n: n == _costs(h, lambda size, top: top).argmin() + 1,
        "That minimises max + max: each block counts as many times as it has members.",
    ),
    (
        lambda h, n: n == _costs(h, lambda size, top: size * top, torch.maximum).argmin() + 1,
        "That minimises the larger of the two shares; their sum is asked for.",
    ),
    (
        lambda h, n: n == len(h) // 2,
        "That cuts in the middle whatever h is: H(L, Φ) depends on where the steep ones are.",
    ),
)


@exercise("8.4")
def best_cut(answer):
    """`best_cut(h)`: the n with the smallest n·max(h[:n]) + (d − n)·max(h[n:])."""
    generator = torch.Generator().manual_seed(84)
    cases = [
        torch.tensor([4.0, 1.0, 1.0, 1.0]),
        torch.tensor([1.0, 1.0, 1.0, 5.0, 1.0]),
        *(torch.rand(d, generator=generator) ** 3 for d in (2, 5, 9, 30)),
        torch.linspace(0, 1, 12) ** 4,
    ]
    answers = []
    for h in (case.double() for case in cases):
        n = as_number(call(answer, h.clone()))
        if n != int(n) or not 1 <= n <= len(h) - 1:
            raise Wrong(f"n should be a whole number from 1 to d − 1 = {len(h) - 1}; it is {n:g}.")
        answers.append((h, int(n)))
    off = [
        (h, n)
        for h, n in answers
        if not torch.isclose(_right_costs(h)[n - 1], _right_costs(h).min(), rtol=1e-9)
    ]
    if not off:
        return "Two numbers instead of d: that is what Adam-mini does, with better blocks."
    for made, message in _CUT_MISTAKES:
        if all(made(h, n) for h, n in answers):
            raise Wrong(message)
    h, n = off[0]
    raise Wrong(
        f"For h = {[round(v, 2) for v in h.tolist()]} your n = {n} gives H(L, Φ) = "
        f"{_right_costs(h)[n - 1]:.3g}; {_right_costs(h).min():.3g} is possible."
    )
