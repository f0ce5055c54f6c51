"""Chapter 4: what a record of `estimators` says, in numbers, in figures and in verdicts."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure

from linfcourse.experiments.judging import Claim, Verdict, all_of
from linfcourse.figures import LineStyle, label_lines
from linfcourse.records import Record

STYLES = {
    "two_stage": LineStyle("#0060a0", "-", "o"),
    "geometric": LineStyle("#00734f", (0, (5, 1.5)), "s"),
    "median": LineStyle("#b04a00", (0, (1.2, 1.2)), "^"),
    "iqr": LineStyle("#a03c78", (0, (6, 1.5, 1.2, 1.5)), "D"),
}
LABELS = {
    "two_stage": "two-stage",
    "geometric": "geometric mean",
    "median": "median",
    "iqr": "quartiles",
}
DENSE = ("random PSD", "rotated", "rank one", "GPT, initial", "GPT, trained")
_Z = 1.645  # a normal deviate lies within it in 90 % of cases


def mean_ratio(record: Record, **where) -> tuple[float, float]:
    """Mean of estimate/truth over all repetitions and seeds of a setting, and its standard error.

    Trials count in proportion to their products: more products, smaller error.
    """
    chosen = record.select(**where)
    weights = [t.setting["probes"] for t in chosen]
    mean = _weighted([t.result["mean"] for t in chosen], weights)
    variance = math.fsum(
        (w * t.result["sd"]) ** 2 / t.result["count"] for w, t in zip(weights, chosen, strict=True)
    )
    return mean, math.sqrt(variance) / math.fsum(weights)


def spread(record: Record, **where) -> float:
    """Relative standard deviation of the estimates of one kind, about the mean of each seed."""
    chosen = record.select(**where)
    return math.sqrt(_weighted([t.result["sd"] ** 2 for t in chosen], [1.0] * len(chosen)))


def coverage(record: Record, **where) -> tuple[float, float, float]:
    """Share of the intervals that held the truth, and the 90 % Wilson interval of that share."""
    chosen = record.select(**where)
    count = sum(t.result["count"] for t in chosen)
    share = 1 - sum(t.result["below"] + t.result["above"] for t in chosen) / count
    center = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    half *= _Z / (1 + _Z**2 / count)
    return share, center - half, center + half


def slope(record: Record, estimator: str, hessian: str) -> tuple[float, float]:
    """Power of the number of products with which the spread falls, and its standard error.

    A straight line through the logarithms; the logarithm of a standard deviation from n values is
    known to about 1/√(2n), taken twice as large here because the values have heavy tails.
    """
    probes = _probes(record, hessian)
    x = numpy.log(probes)
    y = numpy.log([spread(record, estimator=estimator, hessian=hessian, probes=k) for k in probes])
    count = sum(
        t.result["count"]
        for t in record.select(estimator=estimator, hessian=hessian, probes=probes[0])
    )
    x = x - x.mean()
    return float(x @ y / (x @ x)), float(2 / math.sqrt(2 * count * (x @ x)))


def bound(probes: int) -> float:
    """The proven bound on the relative standard deviation of the two-stage estimate."""
    k = probes // 2
    if k < 3:
        return math.inf
    uniform = 0.1 / k**2
    factor = math.cos(math.pi / k) ** -k
    return math.sqrt((factor / (1 - uniform) - 1) / (probes - k))


def _weighted(values, weights) -> float:
    pairs = zip(values, weights, strict=True)
    return math.fsum(v * w for v, w in pairs) / math.fsum(weights)


def _probes(record: Record, hessian: str) -> list[int]:
    return sorted({t.setting["probes"] for t in record.select(hessian=hessian)})


def _curve(ax, estimator: str, x, y) -> None:
    style = STYLES[estimator]
    ax.plot(
        x, y, color=style.color, linestyle=style.dash, marker=style.marker, ms=5,
        label=LABELS[estimator],
    )  # fmt: skip


def draw_bias(record: Record) -> Figure:
    """Mean of estimate/truth against the number of products, over all matrices of the record."""
    figure, ax = plt.subplots()
    matrices = [h for h in record.values("hessian") if not h.startswith("GPT")]
    for estimator in record.values("estimator"):
        probes = _probes(record, matrices[0])
        cells = [
            [mean_ratio(record, estimator=estimator, probes=k, hessian=h) for h in matrices]
            for k in probes
        ]
        means = numpy.array([numpy.mean([m for m, _ in row]) for row in cells])
        errors = [_Z * math.sqrt(sum(e**2 for _, e in row)) / len(row) for row in cells]
        _curve(ax, estimator, probes, 100 * (means - 1))
        low, high = (100 * (means - 1 + s * numpy.array(errors)) for s in (-1, 1))
        ax.fill_between(probes, low, high, color=STYLES[estimator].color, alpha=0.15, lw=0)
    ax.set(xscale="log", xticks=probes, xlabel="products K", ylabel="bias, % of the truth")
    ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter("{x:g}")
    label_lines(ax)
    return figure


def draw_spread(record: Record, probes: int = 50) -> Figure:
    """Estimates divided by the truth, a dot each, one row an estimator, one panel a Hessian."""
    hessians = [h for h in record.values("hessian") if probes in _probes(record, h)]
    estimators = record.values("estimator")
    rows = math.ceil(len(hessians) / 2)
    figure, axes = plt.subplots(
        rows, 2, figsize=(6.4, 1.5 * rows + 0.6), sharex=True, sharey=True, squeeze=False
    )
    jitter = numpy.random.default_rng(0)
    for ax, hessian in zip(axes.flat, hessians, strict=False):
        for place, estimator in enumerate(reversed(estimators)):
            where = {"hessian": hessian, "estimator": estimator, "probes": probes}
            ratios = numpy.concatenate([t.result["ratios"] for t in record.select(**where)])
            heights = place + jitter.uniform(-0.3, 0.3, len(ratios))
            style = STYLES[estimator]
            ax.plot(ratios, heights, ".", color=style.color, ms=2.5, alpha=0.6, rasterized=True)
        ax.axvline(1.0, color="#1b1b1b", lw=0.8)
        ax.set_title(hessian)
        ax.set_yticks(range(len(estimators)), [LABELS[e] for e in reversed(estimators)])
        ax.grid(axis="y", visible=False)
    for ax in axes.flat[len(hessians) :]:
        ax.set_visible(False)
    for ax in axes.T.flat:
        below = [other for other in axes.T.flat if other.get_visible()]
        ax.tick_params(labelbottom=ax in (below[-1], axes[-1, 0]))
    axes[0, 0].set(xlim=(0.4, 1.9), xticks=[0.5, 1, 1.5])
    for ax in axes[-1]:
        ax.set_xlabel("estimate / truth")
    figure.tight_layout()
    return figure


def draw_rates(record: Record, hessians=("heavy-tailed rows", "rotated")) -> Figure:
    """Spread against the number of products on logarithmic axes, with the proven bound."""
    figure, axes = plt.subplots(1, len(hessians), figsize=(6.8, 3.6), sharex=True, sharey=True)
    for ax, hessian in zip(axes, hessians, strict=True):
        probes = _probes(record, hessian)
        for estimator in ("two_stage", "geometric", "median"):
            y = [spread(record, estimator=estimator, hessian=hessian, probes=k) for k in probes]
            _curve(ax, estimator, probes, y)
        ax.plot(probes, [bound(k) for k in probes], color="#666666", lw=1.2, label="_bound")
        ax.set(xscale="log", yscale="log", title=hessian, xlabel="products K", xticks=probes)
        ax.set_xticks([], minor=True)
        ax.xaxis.set_major_formatter("{x:g}")
    axes[0].set_ylabel("relative standard deviation")
    axes[0].legend(fontsize=10, loc="lower left")
    axes[0].annotate(
        "bound",
        (probes[1], bound(probes[1])),
        xytext=(4, 4),
        textcoords="offset points",
        color="#666666",
    )
    figure.tight_layout()
    return figure


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
                low, high = mean - 1 - _Z * error, mean - 1 + _Z * error
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
        low, high = mean - 1 - _Z * error, mean - 1 + _Z * error
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
        factor = math.exp(_Z / math.sqrt(count))
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
    return [h for h in record.values("hessian") if len(_probes(record, h)) > 2]


def _judge_slopes(estimators, low_end: float, high_end: float):
    """Do the slopes of log spread against log K lie in a range that theory fixed?"""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for estimator in estimators:
            for hessian in _several(record):
                power, error = slope(record, estimator, hessian)
                inside = low_end <= power <= high_end
                outside = power - _Z * error > high_end or power + _Z * error < low_end
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
        for k in _probes(record, hessian):
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
