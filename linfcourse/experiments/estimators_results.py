"""Chapter 4: what a record of `estimators` says, in numbers and in figures."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure

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
Z90 = 1.645  # a normal deviate lies within it in 90 % of cases


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
    center = (share + Z90**2 / (2 * count)) / (1 + Z90**2 / count)
    half = math.sqrt(share * (1 - share) / count + (Z90 / (2 * count)) ** 2)
    half *= Z90 / (1 + Z90**2 / count)
    return share, center - half, center + half


def slope(record: Record, estimator: str, hessian: str) -> tuple[float, float]:
    """Power of the number of products with which the spread falls, and its standard error.

    A straight line through the logarithms; the logarithm of a standard deviation from n values is
    known to about 1/√(2n), taken twice as large here because the values have heavy tails.
    """
    probes = probes_of(record, hessian)
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


def probes_of(record: Record, hessian: str) -> list[int]:
    """The numbers of products with which this Hessian was measured."""
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
        probes = probes_of(record, matrices[0])
        cells = [
            [mean_ratio(record, estimator=estimator, probes=k, hessian=h) for h in matrices]
            for k in probes
        ]
        means = numpy.array([numpy.mean([m for m, _ in row]) for row in cells])
        errors = [Z90 * math.sqrt(sum(e**2 for _, e in row)) / len(row) for row in cells]
        _curve(ax, estimator, probes, 100 * (means - 1))
        low, high = (100 * (means - 1 + s * numpy.array(errors)) for s in (-1, 1))
        ax.fill_between(probes, low, high, color=STYLES[estimator].color, alpha=0.15, lw=0)
    ax.set(xscale="log", xticks=probes, xlabel="products K", ylabel="bias, % of the truth")
    ax.set_xticks([], minor=True)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_locator(plt.MultipleLocator(5))
    label_lines(ax)
    return figure


def draw_spread(record: Record, probes: int = 50, leave_out: str = "random PSD") -> Figure:
    """Estimates divided by the truth, a dot each, one row an estimator, one panel a Hessian."""
    hessians = [h for h in record.values("hessian") if h != leave_out]
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
    axes[0, 0].set(xlim=(0.4, 1.9), xticks=[0.5, 1, 1.5])
    for ax in axes[-1]:
        ax.set_xlabel("estimate / truth")
    figure.tight_layout()
    return figure


def draw_rates(record: Record, hessians=("heavy-tailed rows", "rotated")) -> Figure:
    """Spread against the number of products on logarithmic axes, with the proven bound."""
    figure, axes = plt.subplots(1, len(hessians), figsize=(6.8, 3.6), sharex=True, sharey=True)
    for ax, hessian in zip(axes, hessians, strict=True):
        probes = probes_of(record, hessian)
        for estimator in ("two_stage", "geometric", "median"):
            y = [spread(record, estimator=estimator, hessian=hessian, probes=k) for k in probes]
            _curve(ax, estimator, probes, y)
        ax.plot(probes, [bound(k) for k in probes], color="#666666", lw=1.2, label="_bound")
        ax.set(xscale="log", yscale="log", title=hessian, xlabel="products K", xticks=probes)
        ax.set_xticks([], minor=True)
        ax.set_xticklabels([f"{k}" for k in probes])
    axes[0].set(ylabel="relative standard deviation", yticks=[0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
    axes[0].set_yticks([], minor=True)
    axes[0].yaxis.set_major_formatter("{x:g}")
    axes[0].annotate(
        "bound",
        (probes[1], bound(probes[1])),
        xytext=(4, 4),
        textcoords="offset points",
        color="#666666",
    )
    figure.tight_layout()
    label_lines(axes[-1])
    return figure
