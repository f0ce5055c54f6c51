"""Checks of the exercises of chapter 15."""

from __future__ import annotations

import math

import torch

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise


@exercise("15.1")
def steps_for_a_rare_class(answer):
    """100 times rarer: 100 times as many small steps, 4 · 100 = 400."""
    value = as_number(answer)
    mistakes = {
        4.0: "That is sign descent's answer. Gradient descent's rate for a class is η·p_k.",
        40.0: "The square root is not needed: the rate is proportional to p_k itself.",
        0.04: "Turned over: a rare class is slower, not faster.",
        40000.0: "The frequency enters once, by the gradient; there is no square.",
        4000.0: "Compare with the common class, whose frequency is 1/10 and not 1.",
    }
    if math.isclose(value, 400.0, rel_tol=0.02):
        return "And with the same η you cannot hurry: the common class would not stand it."
    recognise(value, mistakes.items(), rtol=0.02)
    raise Wrong("Column k moves as gradient descent on its own loss with the rate η·p_k.")


@exercise("15.2")
def contraction_factors(answer):
    """One rate: (κ − 1)/(κ + 1) with κ = 300; one a block: the larger of 1/3 and 1/2."""
    right = torch.tensor([299 / 301, 1 / 2], dtype=torch.float64)
    got = as_tensor(answer, right)
    if torch.allclose(got, right, rtol=2e-3):
        return "One rate needs hundreds of steps where one a block needs a few."
    mistakes = (
        (right.flip(0), "The two are right, in the wrong order: one rate for all comes first."),
        (
            torch.tensor([299 / 301, 1 / 3]),
            "For one rate a block take the worst block, not the best.",
        ),
        (
            torch.tensor([299 / 301, 299 / 301]),
            "With one rate a block each block has a condition number of its own.",
        ),
        (
            torch.tensor([299 / 300, 2 / 3]),
            "That is 1 − 1/κ, for the rate 1/λ_max; the best rate gives (κ − 1)/(κ + 1).",
        ),
        (torch.tensor([300.0, 3.0]), "Those are the condition numbers; the factors are asked for."),
        (
            torch.tensor([1 / 2, 1 / 2]),
            "One rate for all has to serve curvatures from 1 to 300 at once.",
        ),
    )
    recognise(got, mistakes, rtol=2e-3)
    raise Wrong("The factor is (κ − 1)/(κ + 1); of all blocks together, then of the worst block.")


@exercise("15.3")
def gradient_of_the_table(answer):
    """`gradient(W, p, Q)`: column k is p_k (softmax(W[:, k]) − Q[:, k])."""
    generator = torch.Generator().manual_seed(153)
    W = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    p = torch.rand(5, generator=generator, dtype=torch.float64).softmax(0)
    Q = torch.randn(5, 5, generator=generator, dtype=torch.float64).softmax(0)
    got = as_tensor(call(answer, W.clone(), p.clone(), Q.clone()), W, "The gradient")
    error = W.softmax(0) - Q
    mistakes = (
        (-p * error, "The sign is flipped: too small a probability must ask for a larger logit."),
        (error, "The frequencies p are missing: column k counts p_k times."),
        (
            p[:, None] * error,
            "p multiplies the rows here. The columns are the tokens that occur: column k gets p_k.",
        ),
        (
            p * (W.softmax(1) - Q),
            "The softmax goes along the wrong dimension: the logits of one token are a column.",
        ),
        (p * W.softmax(0), "Subtract Q: at the right probabilities the gradient must be zero."),
        (error / 5, "That is the mean over the tokens; they are weighted by p."),
    )
    if torch.allclose(got, p * error, rtol=1e-5, atol=1e-7):
        return "A rare token's column has a small gradient for no other reason than p."
    recognise(got, mistakes, atol=1e-7)
    raise Wrong("Column k is p_k times (what the model predicts − what follows).")


@exercise("15.4")
def unlikeness(answer):
    """`unlikeness(H, ids)`: the standard deviation over blocks of log₁₀(tr H_bb / d_b)."""
    generator = torch.Generator().manual_seed(154)
    for labels in ([0, 0, 1, 1], [0, 1, 1, 1, 2, 2], [2, 0, 1, 1, 0, 2, 2]):
        ids = torch.tensor(labels)
        A = torch.randn(len(ids), len(ids), generator=generator, dtype=torch.float64)
        A = torch.logspace(0, 2, len(ids), dtype=torch.float64)[:, None] * A
        H = A @ A.T
        sizes = torch.bincount(ids)
        traces = torch.zeros(len(sizes), dtype=H.dtype).index_add(0, ids, H.diag())
        logs = (traces / sizes).log10()
        right = logs.std(unbiased=False)
        got = as_number(call(answer, H.clone(), ids.clone()))
        mistakes = (
            (traces.log10().std(unbiased=False), "Divide each trace by the size of its block."),
            (
                logs.std(),
                "That divides by B − 1; the blocks are all there are, so divide by B.",
            ),
            ((traces / sizes).std(unbiased=False), "Take the logarithm before the deviation."),
            (
                (traces / sizes).log().std(unbiased=False),
                "That is the natural logarithm; powers of ten are asked for.",
            ),
            (logs.var(unbiased=False), "That is the variance; take its root."),
            (logs.max() - logs.min(), "That is the range; the standard deviation is asked for."),
            (
                H.diag().log10().std(unbiased=False),
                "The labels play no part in it: average over each block first.",
            ),
        )
        if not math.isclose(got, right.item(), rel_tol=1e-5, abs_tol=1e-9):
            recognise(got, mistakes, atol=1e-9)
            raise Wrong(f"Off for the labels {labels}: the mean of each block's diagonal, then ….")
    return "It needs the Hessian's diagonal only, which a network can afford."
