"""The (1,1)-norm in two stages: a Cauchy sketch says where to look, exact rows say what is there.

Write rᵢ = Σⱼ|Hᵢⱼ| and S = Σᵢ rᵢ = ‖H‖₁,₁. One product Heᵢ gives one rᵢ exactly. Rows drawn with
chances pᵢ give the unbiased estimate mean(rᵢ/pᵢ) of S, with variance (Σ rᵢ²/pᵢ − S²)/n: none at
all if pᵢ = rᵢ/S. So half of the products go into a sketch of the shares rᵢ/S, half into rows.

**Unbiased.** The draws use fresh random numbers, so given the sketch, E[rᵢ/pᵢ] = Σ pᵢ·rᵢ/pᵢ = S,
whatever the sketch says, as long as no pᵢ is 0 where rᵢ is not (each is mixed with a small uniform
share γ).

**Variance bound.** Let r̂ᵢ be the geometric mean of k Cauchy products and pᵢ ≥ (1−γ) r̂ᵢ/Σr̂. Then

    Var ≤ S²/n · (sec(π/k)ᵏ/(1−γ) − 1)        for k ≥ 3, for every symmetric H.

Proof. Σᵢ rᵢ²/pᵢ ≤ (1−γ)⁻¹ Σᵢⱼ rᵢ² r̂ⱼ/r̂ᵢ. By Cauchy–Schwarz, E[r̂ⱼ/r̂ᵢ] ≤ √(E r̂ⱼ² · E r̂ᵢ⁻²), and since
E|C|ˢ = sec(πs/2) for a standard Cauchy C, both expectations are known: E r̂ⱼ² = rⱼ² sec(π/k)ᵏ and
E r̂ᵢ⁻² = rᵢ⁻² sec(π/k)ᵏ. So E Σ rᵢ²/pᵢ ≤ sec(π/k)ᵏ (1−γ)⁻¹ Σᵢⱼ rᵢ rⱼ, which is the claim. ∎
As sec(π/k)ᵏ ≈ exp(π²/2k), the relative deviation is at most about π/√(2kn), so K products are best
split evenly, and the error falls like 1/K and not 1/√K. What all rows share in their sketch errors
cancels in the proportions; the bound does not count on that.

Three refinements, none of which touches unbiasedness, because each is decided by the sketch alone:

* **Certain rows.** Rows that would be drawn about twice or more are not drawn but taken, once. By
  symmetry they also settle their columns, so the draws estimate only the part of H outside both.
  Diagonal and heavy-tailed Hessians are then nearly exact.
* **Shrinkage.** Where rows differ less than the sketch's noise, r̂ is noise. The sketch's two
  halves show how much it is, and log r̂ is shrunk towards its mean accordingly (empirical Bayes).
  Rotated Hessians, whose rows are alike, are then sampled almost uniformly. (The bound above is for
  the rule without it.)
* **Interval.** The variance of the few draws is pooled with the one that the sketch's disagreement
  predicts, worth at most 4 degrees of freedom, and the t-interval is taken on the log scale.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from linfcourse.hessian.cauchy import double_device, log_sums
from linfcourse.hessian.estimate import Estimate
from linfcourse.hessian.sampling import certain, draw, probabilities, shares, summary
from linfcourse.hessian.symmetric import SymmetricOperator, finite


def two_stage(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None = None
) -> Estimate:
    """‖H‖₁,₁ from a Cauchy sketch and exact rows drawn in proportion to it. Unbiased.

    With `probes` ≥ d all rows are computed, by d products, and the value is exact.
    Memory: a few vectors and one block of products.

    Args:
        op: the Hessian.
        probes: products in all, at least 1; below 3 there is no interval.
        generator: for the sketch and the draws.
    """
    if probes >= op.dim:
        total = float(_row_sums(op, torch.arange(op.dim))[0].sum())
        return Estimate(total, 0.0, (total, total), op.dim, "two_stage")
    k = probes // 2
    sums, sizes = log_sums(op, k, 2, generator)
    sketch = shares(sums, sizes)
    del sums
    taken = certain(sketch.weights, probes - k) if k else torch.arange(0)

    known = 0.0
    if len(taken):
        whole, inside = _row_sums(op, taken, taken)
        known = float((2 * whole - inside).sum())  # rows and columns, their common part once

    chances = probabilities(sketch.weights, taken, uniform=0.1 / max(k, 1) ** 2)
    drawn = draw(chances, probes - k - len(taken), generator)
    chances, sketch = chances[drawn], replace(sketch, weights=sketch.weights[drawn])
    whole, inside = _row_sums(op, drawn, taken)
    terms = (whole - inside) / chances
    value, stderr, interval = summary(terms, known, sketch)
    return Estimate(value, stderr, interval, probes, "two_stage")


def _row_sums(
    op: SymmetricOperator, rows: Tensor, part: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Σⱼ|Hᵢⱼ| over all j and over j in `part`, for i in `rows`, in float64: one product a row."""
    whole, inside = [], []
    for block in rows.split(op.block):
        columns = finite(op.columns(block)).abs().to(double_device(op))
        whole.append(columns.sum(0, dtype=torch.float64))
        if part is not None:
            inside.append(columns[part].sum(0, dtype=torch.float64))
        del columns  # before the next block is computed
    return torch.cat(whole), torch.cat(inside) if inside else torch.zeros(())
