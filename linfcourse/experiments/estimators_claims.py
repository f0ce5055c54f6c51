"""Chapter 4: the claims about estimators of the (1,1)-norm, and how a record judges them."""

from __future__ import annotations

import math

from linfcourse.experiments.estimators_results import (
    LABELS,
    Z90,
    bound,
    coverage,
    mean_ratio,
    probes_of,
    slope,
    spread,
)
from linfcourse.experiments.judging import Claim, Verdict, all_of
from linfcourse.records import Record

DENSE = ("random PSD", "rotated", "rank one", "GPT, initial", "GPT, trained")


def _percent(value: float) -> str:
    return f"{100 * value:+.1f} %"


def _judge_biased(estimators):
    def judge(record: Record) -> Verdict:
        """Is the mean above the truth, on every Hessian, at the fewest products?"""
        verdicts = {}
        for estimator in estimators:
            for hessian in record.values("hessian"):
                where = {"estimator": estimator, "hessian": hessian}
                fewest = min(t.setting["probes"] for t in record.select(**where))
                mean, error = mean_ratio(record, probes=fewest, **where)
                low, high = mean - 1 - Z90 * error, mean - 1 + Z90 * error
                status = "holds" if low > 0 else "fails" if high < 0 else "inconclusive"
                figures = {"bias": [mean - 1, low, high], "probes": fewest}
                verdicts[f"{estimator}, {hessian}"] = Verdict(status, "", figures)
        biases = [v.figures["bias"][0] for v in verdicts.values()]
        text = f"bias at {fewest} products {_percent(min(biases))} to {_percent(max(biases))}"
        verdict = all_of(verdicts)
        return Verdict(verdict.status, f"{text} over the Hessians", verdict.figures)

    return judge


def _judge_unbiased(record: Record) -> Verdict:
    """Does the whole interval of the mean, over everything, lie within 1 %?"""
    verdicts = {}
    for estimator in ("geometric", "two_stage"):
        mean, error = mean_ratio(record, estimator=estimator)
        low, high = mean - 1 - Z90 * error, mean - 1 + Z90 * error
        inside, outside = -0.01 < low and high < 0.01, high < -0.01 or low > 0.01
        status = "holds" if inside else "fails" if outside else "inconclusive"
        text = f"{LABELS[estimator]} {_percent(mean - 1)} [{_percent(low)}, {_percent(high)}]"
        verdicts[estimator] = Verdict(status, text, {"bias": [mean - 1, low, high]})
    return all_of(verdicts)


def _judge_coverage(least: float, most: float):
    """Does the share of intervals that hold the truth lie in this range, on every Hessian?"""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for estimator in ("geometric", "two_stage"):
            for hessian in record.values("hessian"):
                share, low, high = coverage(record, estimator=estimator, hessian=hessian)
                inside, outside = least <= share <= most, high < least or low > most
                status = "fails" if outside else "holds" if inside else "inconclusive"
                text = f"{LABELS[estimator]} on {hessian} {100 * share:.0f} %"
                verdicts[text] = Verdict(status, text, {"coverage": [share, low, high]})
        odd = [v.reason for v in verdicts.values() if v.status != "holds"]
        shares = [v.figures["coverage"][0] for v in verdicts.values()]
        text = f"coverage from {100 * min(shares):.0f} to {100 * max(shares):.0f} %"
        verdict = all_of(verdicts)
        return Verdict(verdict.status, "; ".join([text, *odd]), verdict.figures)

    return judge


def _judge_half(record: Record) -> Verdict:
    """Is the spread of two_stage at most half of the median's, at 50 products, seed by seed?"""
    verdicts = {}
    for hessian in (h for h in DENSE if h in record.values("hessian")):
        where = {"hessian": hessian, "probes": 50}
        ratio = spread(record, estimator="two_stage", **where) / spread(
            record, estimator="median", **where
        )
        count = sum(t.result["count"] for t in record.select(estimator="median", **where))
        # Two standard deviations from n values each: the logarithm of the ratio to about 1/√n.
        factor = math.exp(Z90 / math.sqrt(count))
        low, high = ratio / factor, ratio * factor
        status = "holds" if high <= 0.5 else "fails" if low > 0.5 else "inconclusive"
        text = f"{hessian} {ratio:.2g}"
        verdicts[hessian] = Verdict(status, text, {"ratio": [ratio, low, high]})
    verdict = all_of(verdicts)
    return Verdict(
        verdict.status,
        "spread of two-stage / median: " + verdict.reason.replace(";", ","),
        verdict.figures,
    )


def _several(record: Record) -> list[str]:
    return [h for h in record.values("hessian") if len(probes_of(record, h)) > 2]


def _judge_slopes(estimators, low_end: float, high_end: float):
    """Do the slopes of log spread against log K lie in a range that theory fixed?"""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for estimator in estimators:
            for hessian in _several(record):
                power, error = slope(record, estimator, hessian)
                inside = low_end <= power <= high_end
                outside = power - Z90 * error > high_end or power + Z90 * error < low_end
                status = "holds" if inside else "fails" if outside else "inconclusive"
                text = f"{LABELS[estimator]} on {hessian}: K^{power:.2f}"
                verdicts[text] = Verdict(status, text, {"power": [power, error]})
        verdict = all_of(verdicts)
        powers = [v.figures["power"][0] for v in verdicts.values()]
        odd = [v.reason for v in verdicts.values() if v.status != "holds"]
        text = f"powers of K from {min(powers):.2f} to {max(powers):.2f}"
        return Verdict(verdict.status, "; ".join([text, *odd]), verdict.figures)

    return judge


def _judge_bound(record: Record) -> Verdict:
    """Is the measured spread of two_stage below the bound, at every K on every Hessian?"""
    figures = {}
    for hessian in record.values("hessian"):
        for k in probes_of(record, hessian):
            if k >= 6:
                measured = spread(record, estimator="two_stage", hessian=hessian, probes=k)
                figures[f"{hessian}, {k}"] = measured / bound(k)
    worst = max(figures, key=figures.get)
    status = "holds" if figures[worst] < 1 else "fails"
    text = f"largest measured/bound: {figures[worst]:.2f} ({worst} products)"
    return Verdict(status, text, figures)


_CHAPTER = "04_measuring_a_hessian_you_cannot_store"


def _claim(name: str, statement: str, judge, source: str = "this course") -> Claim:
    return Claim(f"estimators.{name}", statement, source, _CHAPTER, judge)


CLAIMS = (
    _claim(
        "quantiles_biased",
        "With few products the median and the quartiles overestimate the (1,1)-norm, on every "
        "Hessian.",
        _judge_biased(("median", "iqr")),
    ),
    _claim(
        "unbiased",
        "The geometric mean and the two-stage estimate are right on average, within 1 %.",
        _judge_unbiased,
    ),
    _claim(
        "covers",
        "The 90 % intervals of the geometric mean and of two_stage hold the truth in at least 85 % "
        "of cases, on every Hessian.",
        _judge_coverage(0.85, 1.0),
    ),
    _claim(
        "not_too_wide",
        "They do so in at most 96 % of cases: the intervals are not wider than they say.",
        _judge_coverage(0.0, 0.96),
    ),
    _claim(
        "half_the_spread",
        "With 50 products two_stage spreads at most half as much as the median, on dense Hessians "
        "and on those of networks.",
        _judge_half,
    ),
    _claim(
        "square_root_rate",
        "The spread of the median and of the geometric mean falls like 1/√K (a power of K between "
        "−0.65 and −0.4).",
        _judge_slopes(("geometric", "median"), -0.65, -0.4),
    ),
    _claim(
        "inverse_rate",
        "The spread of two_stage falls like 1/K or faster (a power of K of −0.85 or less), on "
        "every Hessian.",
        _judge_slopes(("two_stage",), -math.inf, -0.85),
    ),
    _claim(
        "below_the_bound",
        "The spread of two_stage stays below the bound proved for its plain form, which falls like "
        "1/K.",
        _judge_bound,
    ),
)
