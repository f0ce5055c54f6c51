"""What an estimator returns: a value with its uncertainty."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

# 95 % quantiles of Student's t for 1, 2, … 30 degrees of freedom: two-sided intervals of 90 %.
_T95 = (
    *(6.3138, 2.9200, 2.3534, 2.1318, 2.0150, 1.9432, 1.8946, 1.8595, 1.8331, 1.8125),
    *(1.7959, 1.7823, 1.7709, 1.7613, 1.7531, 1.7459, 1.7396, 1.7341, 1.7291, 1.7247),
    *(1.7207, 1.7171, 1.7139, 1.7109, 1.7081, 1.7056, 1.7033, 1.7011, 1.6991, 1.6973),
)


@dataclass(frozen=True)
class Estimate:
    """An estimated number and how well it is known.

    Attributes:
        value: the estimate. `float(estimate)` gives it too.
        stderr: its standard error; 0 where the value is exact, infinite where the probes are too
            few to tell.
        interval: (low, high), meant to hold the truth in 90 % of runs.
        probes: the Hessian-vector products that were used.
        estimator: the estimator's name.

    Example:
        >>> estimate = Estimate(2.0, 0.1, (1.8, 2.2), probes=50, estimator="two_stage")
        >>> print(estimate)
        2 ± 0.1 (90 %: 1.8 to 2.2; two_stage, 50 products)
    """

    value: float
    stderr: float
    interval: tuple[float, float]
    probes: int
    estimator: str

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.value:.4g} ± {self.stderr:.2g} (90 %: {low:.4g} to {high:.4g}; "
            f"{self.estimator}, {self.probes} products)"
        )


def t_quantile(degrees: float) -> float:
    """The 95 % quantile of Student's t, for at least one degree of freedom.

    Between whole degrees it is interpolated; above 30 it is the Cornish–Fisher series, whose error
    there is below 1e-4.
    """
    if degrees < 1:
        return math.inf
    if degrees < len(_T95):
        below = int(degrees)
        return _T95[below - 1] + (degrees - below) * (_T95[below] - _T95[below - 1])
    z = 1.6448536
    if math.isinf(degrees):
        return z
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def log_interval(value: float, stderr: float, degrees: float) -> tuple[float, float]:
    """A t-interval on the logarithm: (v/f, v f) with f = exp(t · stderr/v).

    Totals of positive terms are skewed to the right; on the log scale they nearly are not, and the
    interval stays positive.

    Args:
        value: v ≥ 0.
        stderr: its standard error.
        degrees: degrees of freedom behind the standard error.
    """
    if stderr == 0:
        return value, value
    if value == 0 or not math.isfinite(stderr) or degrees < 1:
        return 0.0, math.inf
    exponent = t_quantile(degrees) * stderr / value
    factor = math.exp(exponent) if exponent < 700 else math.inf
    return value / factor, value * factor


def spread(logs: Sequence[float]) -> float:
    """Standard error of the mean of independent numbers: sd/√n."""
    n = len(logs)
    mean = sum(logs) / n
    return math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)


def check_probes(probes: int, least: int = 1, why: str = "", name: str = "probes") -> int:
    """`probes` as an int, or an error that names it and says how many are needed."""
    if isinstance(probes, bool) or not isinstance(probes, Integral):
        raise TypeError(f"{name} must be an integer, not {probes!r}")
    if probes < least:
        reason = f": {why}" if why else ""
        raise ValueError(f"{name} must be at least {least}, not {probes}{reason}")
    return int(probes)
