"""The (1,1)-norm of a Hessian: the sum of the magnitudes of its entries."""

from __future__ import annotations

from typing import Any

import torch

from linfcourse.hessian import cauchy
from linfcourse.hessian.estimate import Estimate, check_probes
from linfcourse.hessian.symmetric import as_operator
from linfcourse.hessian.two_stage import two_stage

# The estimator, and how many products it needs at least, and why.
ESTIMATORS = {
    "two_stage": (two_stage, 1, ""),
    "geometric": (cauchy.geometric, 2, "the mean of a single Cauchy magnitude is infinite"),
    "median": (cauchy.median, 1, ""),
    "iqr": (cauchy.iqr, 2, "quartiles need two samples"),
}


def norm_11(
    op: Any,
    probes: int = 50,
    estimator: str = "two_stage",
    generator: torch.Generator | None = None,
) -> Estimate:
    """Estimates ‖H‖₁,₁ = Σᵢⱼ|Hᵢⱼ| from Hessian-vector products alone.

    * "two_stage": half of the products sketch each row's share, the others compute exact rows drawn
      in proportion. Unbiased, 2 to 10 times tighter than the others. With `probes` ≥ d it computes
      every row, and is exact. See two_stage.py for the derivation and the variance bound.
    * "geometric": corrected geometric means of Cauchy products. Unbiased.
    * "median", "iqr": order statistics of Cauchy products. Biased upward (by 16 % at 10 probes and
      3 % at 50), and all samples are kept: d × probes numbers. The others take O(d) memory.

    Args:
        op: a HessianOperator or DenseOperator, anything with `dim` and `matmat`, or a matrix.
        probes: Hessian-vector products in all, whatever they are used for.
        estimator: one of the four names.
        generator: for every random draw; on any device. Without it torch's global one is used.

    Returns:
        Estimate with the value, its standard error and a 90 % interval, all from the spread over
        products: rows share the probes, so more rows do not make the total surer.

    Raises:
        TypeError: op, probes or generator of another type.
        ValueError: unknown estimator; probes < 1 (2 for "geometric" and "iqr"); a product that is
            not finite.

    Source: arXiv 2410.08198 (Cauchy probes with order statistics); 1-stability: Li, Hastie, Church,
    JMLR 2007.

    Example:
        >>> from linfcourse.hessian import DenseOperator
        >>> H = torch.diag(1 / torch.arange(1.0, 201.0) ** 2)
        >>> estimate = norm_11(DenseOperator(H), generator=torch.Generator().manual_seed(0))
        >>> abs(estimate.value / H.sum().item() - 1) < 0.05
        True
        >>> norm_11(H[:30, :30]).interval == (norm_11(H[:30, :30]).value,) * 2  # 50 ≥ d: exact
        True
    """
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator must be one of {', '.join(ESTIMATORS)}; not {estimator!r}")
    estimate, least, why = ESTIMATORS[estimator]
    probes = check_probes(probes, least, f"{estimator}: {why}" if why else "")
    cauchy.check_generator(generator)
    return estimate(as_operator(op), probes, generator)
