"""Checks of the exercises of chapter 4."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from linfcourse.checks.check import Wrong, as_number, as_tensor, call, exercise, recognise

GPT2 = 124e6  # parameters, as the exercise says
MEDIAN_OF_THREE = 1.6282  # ∫₀¹ 6u(1−u) tan(πu/2) du


@exercise("4.1")
def petabytes(answer):
    """The Hessian of GPT-2 in float32, in petabytes: 4 d² / 10¹⁵."""
    value, right = as_number(answer), 4 * GPT2**2 / 1e15
    if math.isclose(value, right, rel_tol=0.02):
        return "One product with it takes half a gigabyte."
    mistakes = (
        (right / 4, "That counts the entries; each takes 4 bytes."),
        (right * 2, "That is float64; in float32 each entry takes 4 bytes."),
        (right / 2, "Half of it would do, by symmetry; the question is about the whole matrix."),
        (right * 1e3, "Those are terabytes; a petabyte is 10¹⁵ bytes."),
        (right * 1e6, "Those are gigabytes; a petabyte is 10¹⁵ bytes."),
        (right * 1e15, "Those are bytes; a petabyte is 10¹⁵ bytes."),
        (4 * GPT2 / 1e15, "That is one row. How many rows are there?"),
    )
    recognise(value, mistakes, rtol=0.02, atol=1e-9)
    raise Wrong("d² entries of 4 bytes each, for d = 124 million; a petabyte is 10¹⁵ bytes.")


@exercise("4.2")
def hessian_vector_product(answer):
    """`hvp(loss, x, v)` is ∇²loss(x) v for any twice differentiable loss."""
    generator = torch.Generator().manual_seed(42)
    A = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    v = torch.randn(5, generator=generator, dtype=torch.float64)

    def loss(x: Tensor) -> Tensor:
        return (A @ x).tanh().pow(2).sum() + x.pow(4).sum() + x.prod()

    for point in (torch.linspace(-1, 1, 5).double(), torch.linspace(0.2, 0.9, 5).double()):
        x = point.clone().requires_grad_()
        got = as_tensor(call(answer, loss, x, v.clone()), v, "H v")
        H = torch.autograd.functional.hessian(loss, point)
        if torch.allclose(got, H @ v):
            if x.grad is not None:
                raise Wrong("H v is right, but x.grad was written: use torch.autograd.grad.")
            continue
        gradient = torch.autograd.functional.jacobian(loss, point)
        mistakes = (
            (gradient, "That is the gradient: v is not used, and one more derivative is missing."),
            (gradient * v, "That is the gradient times v: differentiate ⟨∇L, v⟩ once more."),
            (H.diagonal() * v, "That uses the diagonal of H alone."),
            (H.sum(0), "That is H times the vector of ones; where does v come in?"),
            (v * (H @ v), "That is v ⊙ Hv: the elementwise product is one step too many."),
            (2 * H @ v, "Twice H v: L itself has no factor of its own here."),
        )
        recognise(got, mistakes, atol=1e-8)
        raise Wrong("H v is wrong on a loss that is not quadratic. Where is H taken?")
    return "Two reverse passes, whatever the loss."


@exercise("4.3")
def scale(answer):
    """`scale(samples)` of shape (k, d): corrected geometric means, one a column."""
    generator = torch.Generator().manual_seed(43)
    for k, d in ((3, 2), (7, 4), (50, 1)):
        u = torch.rand(k, d, generator=generator, dtype=torch.float64)
        samples = torch.tan(math.pi * (u - 0.5)) * torch.arange(1, d + 1)
        log_mean = samples.abs().log().mean(0)
        c = math.cos(math.pi / (2 * k))
        right = c**k * log_mean.exp()
        result = call(answer, samples.clone())
        if d > 1 and torch.is_tensor(result) and result.shape == (k,) and k != d:
            raise Wrong("One estimate a column is asked for: average over the probes, dimension 0.")
        got = as_tensor(result, right, "The estimate")
        if torch.allclose(got, right):
            continue
        if torch.isnan(got).any():
            raise Wrong("There is NaN in it: samples have both signs, take |·| before the log.")
        mistakes = (
            (
                log_mean.exp(),
                "The geometric mean is right; the factor that removes its bias is missing",
            ),
            (c * log_mean.exp(), "One factor cos(π/2k) a probe: k of them"),
            (log_mean.exp() / c**k, "The geometric mean is too large on average, not too small"),
            (
                math.cos(math.pi / k) ** k * log_mean.exp(),
                "The power of |C| in each factor is 1/k, so the angle is π/(2k)",
            ),
            (samples.abs().median(0).values, "That is the median, whose bias is the point here"),
            (samples.abs().mean(0), "That is the mean of |·|, which has no expectation"),
            (c**k * log_mean, "exp is missing: that is the mean of the logarithms"),
        )
        mistakes = [(wrong, f"{message} (k = {k}).") for wrong, message in mistakes]
        recognise(got, mistakes, atol=1e-8)
        raise Wrong(f"For k = {k} and d = {d} the estimate is {got.tolist()}; compare the theorem.")
    return "Unbiased for every k ≥ 2."


@exercise("4.4")
def median_of_three(answer):
    """E median(|C₁|, |C₂|, |C₃|) = ∫ 6u(1−u) tan(πu/2) du."""
    value = as_number(answer)
    if abs(value - MEDIAN_OF_THREE) < 0.006:
        return "With three products the median is too large by more than half."
    mistakes = (
        (1.0, "That is the median of |C| itself; the median of a sample of three is a variable."),
        (1.3124, "That is for five probes: the middle of three has the density 6u(1 − u)."),
        (2 / 3 * MEDIAN_OF_THREE, "Does the density integrate to one?"),
        (MEDIAN_OF_THREE / 6, "The density needs its factor, 6: does it integrate to one?"),
        (MEDIAN_OF_THREE - 1, "That is the bias; the mean is asked for."),
        (1.1547**3, "That is the geometric mean of three without its correction."),
    )
    recognise(value, mistakes, rtol=0, atol=0.006)
    if value < 1:
        raise Wrong("By the lemma the mean is above 1.")
    raise Wrong("Integrate tan(πu/2) against the density of the middle of three uniforms.")


@exercise("4.5")
def variance(answer):
    """`variance(r, p, n)` = (Σ rᵢ²/pᵢ − (Σ rᵢ)²)/n."""
    r = torch.tensor([5.0, 1.0, 3.0, 0.5], dtype=torch.float64)
    p = torch.tensor([0.4, 0.2, 0.3, 0.1], dtype=torch.float64)
    for chances, n in ((p, 1), (p, 6), (r / r.sum(), 3)):
        total = r.sum()
        second = (r**2 / chances).sum()
        right = float((second - total**2) / n)
        got = as_number(call(answer, r.clone(), chances.clone(), n))
        if math.isclose(got, right, rel_tol=1e-6, abs_tol=1e-9):
            continue
        ratio = r / chances
        mistakes = (
            (second / n, "That is the second moment: subtract the square of the mean."),
            (second - total**2, "That is the variance of one draw; n of them are averaged."),
            ((second - total**2) / n**2, "The variance of a mean falls like 1/n, not 1/n²."),
            (ratio.var() / n, "That counts all rows alike; row i is drawn with chance p_i."),
            (
                ratio.var(correction=0) / n,
                "That counts all rows alike; row i is drawn with chance p_i.",
            ),
            (math.sqrt(max(right, 0)), "That is the standard deviation."),
            ((second - (r**2).sum()) / n, "The mean is Σr, and its square is not Σr²."),
        )
        recognise(got, mistakes, rtol=1e-6, atol=1e-9)
        raise Wrong(f"For p = {chances.tolist()} and n = {n} you return {got:.4g}.")
    return "And with p in proportion to r it is zero."
