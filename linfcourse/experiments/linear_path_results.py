"""Chapter 10's figures, and its claims with the rules by which a record is held against them."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure

from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.linear_path_theory import expected_ratio, leading_ratio
from linfcourse.figures import INK, STYLES, label_lines, plot_band, style_of
from linfcourse.records import Record

LEVEL = 0.1  # of the first loss: where the claims are judged
LABELS = {
    "sgd": "gradient descent",
    "adam": "Adam",
    "rotated_adam": "rotated Adam",
}
LAYERS = ("first", "second")
R_MED = r"$R_{\mathrm{med}}$"


def usual_lr(record: Record, method: str) -> float:
    """The middle of the method's row of learning rates, fixed before the run."""
    row = record.config["lrs"][record.config["methods"].index(method)]
    return row[len(row) // 2]


def ratios(
    record: Record,
    method: str,
    d: int,
    layer: str = "first",
    level: float = LEVEL,
    lr: float | None = None,
) -> list[float]:
    """R_med of one layer when the loss has fallen to `level`, one value a seed."""
    place = record.config["levels"].index(level)
    lr = usual_lr(record, method) if lr is None else lr
    return [t.result[layer][place] for t in record.select(method=method, d=d, lr=lr)]


def draw_ratios(record: Record) -> Figure:
    """R_med of the first layer against d at equal loss, with the two predictions."""
    figure, ax = plt.subplots()
    ds = record.values("d")
    for method in ("sgd", "adam"):
        columns = [ratios(record, method, d) for d in ds]
        mean, low, high = zip(*map(interval, columns), strict=True)
        style = style_of(method) | {"marker": STYLES[method].marker, "ms": 5}
        (line,) = ax.plot(ds, mean, label=LABELS[method], **style)
        ax.fill_between(ds, low, high, color=line.get_color(), alpha=0.2, lw=0)
        for d, column in zip(ds, columns, strict=True):
            dots = {"color": line.get_color(), "alpha": 0.25, "ms": 4}
            ax.plot([d] * len(column), column, ".", label="_seeds", **dots)
    grid = numpy.geomspace(ds[0], ds[-1], 30).round().astype(int) // 2 * 2
    leading = [leading_ratio(int(d)) for d in grid]
    ax.plot(grid, leading, color=INK, ls=":", lw=1.3, label="2 ln d / 0.455")
    exact = [expected_ratio(int(d)) for d in grid]
    ax.plot(grid, exact, color=INK, ls="--", lw=1.3, label="expected")
    ax.set(
        xscale="log", xlabel="hidden units d", ylabel=f"{R_MED} of the first layer", ylim=(0, 40)
    )
    ax.set_xticks(ds, [str(d) for d in ds])
    ax.minorticks_off()
    label_lines(ax)
    return figure


def draw_prediction(record: Record) -> Figure:
    """R_med that the start foretells for gradient descent against R_med measured, a dot a run."""
    figure, ax = plt.subplots(figsize=(5.0, 4.4))
    place = record.config["levels"].index(LEVEL)
    for method in ("rotated_adam", "sgd", "adam"):
        runs = record.select(method=method, lr=usual_lr(record, method))
        x = [t.result["predicted"] for t in runs]
        y = [t.result["first"][place] for t in runs]
        style = STYLES[method]
        ax.plot(x, y, style.marker, color=style.color, ms=4, alpha=0.7, label="_runs")
        at = {"sgd": (6.3, 3.4), "adam": (14, 1.35), "rotated_adam": (7, 38)}[method]
        ax.text(*at, LABELS[method], color=style.color, fontsize=11)
    ends = [5, 65]
    ax.plot(ends, ends, color=INK, lw=1, ls="--", label="_equal")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel=f"{R_MED} foretold by the start",
        ylabel=f"{R_MED} measured",
    )
    for axis, ticks in ((ax.xaxis, (5, 10, 20, 50)), (ax.yaxis, (1, 2, 5, 10, 20, 50))):
        axis.set_ticks(ticks, [str(t) for t in ticks])
        axis.set_minor_locator(plt.NullLocator())
    return figure


def draw_sweep(record: Record) -> Figure:
    """R_med of both layers against how far the loss has fallen, a band over seeds and rates."""
    figure, axes = plt.subplots(1, 2, figsize=(6.8, 3.4), sharey=True)
    levels, d = record.config["levels"], record.config["sweep_d"]
    places = range(len(levels))
    for ax, layer in zip(axes, LAYERS, strict=True):
        for k, method in enumerate(record.config["methods"]):
            curves = [
                t.result[layer]
                for lr in record.config["lrs"][k]
                for t in record.select(method=method, d=d, lr=lr)
            ]
            style = style_of(method) | {"marker": STYLES[method].marker, "ms": 4}
            label = LABELS[method] if layer == LAYERS[-1] else "_"
            plot_band(ax, places, curves, label=label, **style)
        ax.set(yscale="log", title=f"{layer} layer", xlabel="loss / first loss")
        ax.set_xticks(places, [f"{level:g}" for level in levels])
        ax.minorticks_off()
        ax.set_yticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes[0].set_ylabel(R_MED)
    figure.tight_layout()
    label_lines(axes[1])
    return figure


def _logs(values: list[float]) -> list[float]:
    return [math.log(value) for value in values]


def _judge_order(lower: str, higher: str):
    """Is one method's R_med the smaller one at equal loss, for each d and both layers?"""

    def judge(record: Record) -> Verdict:
        names = (LABELS[lower], LABELS[higher])
        parts = {
            f"d = {d}, {layer}": compare(
                _logs(ratios(record, lower, d, layer)),
                _logs(ratios(record, higher, d, layer)),
                names,
                f"d = {d}, {layer} layer: log R_med",
            )
            for d in record.values("d")
            for layer in LAYERS
        }
        verdict = all_of(parts)
        quotients = [math.exp(part.figures["difference"][0]) for part in parts.values()
                     if "difference" in part.figures]  # fmt: skip
        if len(quotients) < len(parts):
            return verdict
        count = len(ratios(record, lower, record.values("d")[0]))
        reason = (
            f"R_med of {names[1]} over that of {names[0]}, geometric mean of {count} seeds: "
            f"{min(quotients):.2g} to {max(quotients):.2g} over all d and both layers"
        )
        return Verdict(verdict.status, reason, verdict.figures)

    return judge


def _judge_any_lr(record: Record) -> Verdict:
    """The same for every pair of learning rates, at the d where all of them ran."""
    d, methods = record.config["sweep_d"], record.config["methods"]
    rows = dict(zip(methods, record.config["lrs"], strict=True))
    parts = {}
    for layer in LAYERS:
        for a in rows["adam"]:
            for g in rows["sgd"]:
                parts[f"{layer}, Adam {a:g}, gradient descent {g:g}"] = compare(
                    _logs(ratios(record, "adam", d, layer, lr=a)),
                    _logs(ratios(record, "sgd", d, layer, lr=g)),
                    ("Adam", "gradient descent"),
                    "log R_med",
                )
    verdict = all_of(parts)
    held = sum(part.status == "holds" for part in parts.values())
    reason = f"holds for {held} of {len(parts)} pairs of learning rates and layers at d = {d}"
    return Verdict(verdict.status, reason, verdict.figures)


def _judge_start(record: Record) -> Verdict:
    """Is R_med of gradient descent what the start foretells, run by run, within 5 %?"""
    errors = [
        abs(measured / t.result["predicted"] - 1)
        for d in record.values("d")
        for measured, t in zip(
            ratios(record, "sgd", d),
            record.select(method="sgd", d=d, lr=usual_lr(record, "sgd")),
            strict=True,
        )
    ]
    worst = max(errors)
    reason = f"largest relative error over {len(errors)} runs: {worst:.1e}, asked for: below 0.05"
    return Verdict("holds" if worst < 0.05 else "fails", reason, {"errors": errors})


def _judge_expected(record: Record) -> Verdict:
    """Mean over the d of measured / expected, a value a seed: inside [0.8, 1.25]?"""
    ds = record.values("d")
    quotients = [
        math.fsum(r / expected_ratio(d) for r, d in zip(row, ds, strict=True)) / len(ds)
        for row in zip(*(ratios(record, "sgd", d) for d in ds), strict=True)
    ]
    mean, low, high = interval(quotients)
    reason = f"measured over expected: {mean:.2f} [{low:.2f}, {high:.2f}], {len(quotients)} seeds"
    inside, outside = 0.8 <= low and high <= 1.25, high < 0.8 or low > 1.25
    status = "holds" if inside else "fails" if outside else "inconclusive"
    return Verdict(status, reason, {"measured over expected": quotients})


def _judge_flat(record: Record) -> Verdict:
    """Is Adam's mean R_med below 1.5 for each d and both layers?"""
    parts = {
        f"d = {d}, {layer}": interval(ratios(record, "adam", d, layer))
        for d in record.values("d")
        for layer in LAYERS
    }
    name, (mean, low, high) = max(parts.items(), key=lambda part: part[1][0])
    reason = f"largest mean of Adam's R_med: {mean:.2f} [{low:.2f}, {high:.2f}], {name} layer"
    status = (
        "holds" if all(part[2] < 1.5 for part in parts.values()) else
        "fails" if low > 1.5 else "inconclusive"
    )  # fmt: skip
    return Verdict(status, reason, {key: list(part) for key, part in parts.items()})


def _judge_growth(record: Record) -> Verdict:
    """R_med gained per doubling of d: more for gradient descent than for Adam?"""
    ds = record.values("d")

    def gains(method):
        rows = list(zip(*(ratios(record, method, d) for d in ds), strict=True))
        if not numpy.isfinite(rows).all():  # a run that did not get there
            return [math.inf] * len(rows)
        return [float(numpy.polyfit(numpy.log2(ds), row, 1)[0]) for row in rows]

    names = ("Adam", "gradient descent")
    return compare(gains("adam"), gains("sgd"), names, "R_med gained per doubling of d")


_CHAPTER, _PAPER = "10_the_geometry_you_make_yourself", "arXiv:2211.02254"
CLAIMS = (
    Claim(
        "linear_path.adam_even",
        "On a two-layer linear network, at equal loss, R_med is smaller along Adam's path than "
        "along gradient descent's, in both layers and for each width.",
        _PAPER,
        _CHAPTER,
        _judge_order("adam", "sgd"),
    ),
    Claim(
        "linear_path.any_lr",
        "The same holds for every pair of learning rates from a range of a factor of sixteen.",
        "this course",
        _CHAPTER,
        _judge_any_lr,
    ),
    Claim(
        "linear_path.start_foretells",
        "Gradient descent's R_med is max u²/median u² of u = W₂ᵀ + W₁a, read off the start.",
        "this course, after arXiv:2211.02254",
        _CHAPTER,
        _judge_start,
    ),
    Claim(
        "linear_path.expected",
        "Over random starts it is on average that of d Gaussian numbers, about 2 ln d/0.455.",
        "this course, after arXiv:2211.02254",
        _CHAPTER,
        _judge_expected,
    ),
    Claim(
        "linear_path.adam_flat",
        "Adam's R_med stays near 1: on average below 1.5 for each width and layer.",
        "this course, after arXiv:2211.02254",
        _CHAPTER,
        _judge_flat,
    ),
    Claim(
        "linear_path.growth",
        "Gradient descent's R_med grows faster with the width than Adam's.",
        "this course, after arXiv:2211.02254",
        _CHAPTER,
        _judge_growth,
    ),
    Claim(
        "linear_path.rotation",
        "In a randomly rotated space Adam's R_med, measured in the network's own coordinates, is "
        "larger than that of plain Adam.",
        "this course",
        _CHAPTER,
        _judge_order("adam", "rotated_adam"),
    ),
)
