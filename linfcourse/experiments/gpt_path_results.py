"""Chapter 11's figures, and its claims with the rules by which a record is held against them."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.figures import INK, STYLES, label_lines, style_of
from linfcourse.records import Record

LABELS = {
    "adam": "Adam",
    "sgd": "SGD",
    "rotated_adam": "rotated Adam",
    "adam_then_sgd": "Adam, then SGD",
    "sgd_then_adam": "SGD, then Adam",
}
R_MED = r"$R_{\mathrm{med}}$"


def measured_lr(record: Record, method: str) -> float:
    """The learning rate of the runs whose Hessian was measured; after a switch the second's."""
    return dict(tuple(pair) for pair in record.config["measured"])[method.split("_then_")[-1]]


def layers(record: Record) -> list[str]:
    """Names of the layers, in the order of the network."""
    measured = next(trial for trial in record.trials if trial.result["largest"])
    return list(measured.result["largest"])


def log_ratios(record: Record, method: str, level: float, layer: str) -> list[float]:
    """ln R_med of a layer where the training loss has fallen to `level`, one value a seed.

    Infinite for a run that did not get there.
    """
    place = record.config["levels"].index(level)
    values = []
    for trial in record.select(method=method, lr=measured_lr(record, method)):
        steps = len(trial.result["steps"])
        # A run that changes its optimizer is measured after the change only: count from the end.
        at = place - steps
        if at >= 0 or layer not in trial.result["largest"]:
            values.append(math.inf)
            continue
        top, middle = (trial.result[what][layer][at] for what in ("largest", "median"))
        values.append(math.log(top / middle) if middle > 0 else math.inf)
    return values


def mean_log_ratios(record: Record, method: str, level: float | None = None) -> list[float]:
    """Mean of ln R_med over the layers at a level (default: the last), one value a seed."""
    level = record.config["levels"][-1] if level is None else level
    columns = [log_ratios(record, method, level, layer) for layer in layers(record)]
    return [math.fsum(row) / len(row) for row in zip(*columns, strict=True)]


def draw_levels(record: Record) -> Figure:
    """Geometric mean of R_med over the layers against the training loss, each path."""
    figure, ax = plt.subplots()
    levels = record.config["levels"]
    for method in record.config["methods"]:
        columns = [mean_log_ratios(record, method, level) for level in levels]
        mean, low, high = (numpy.exp(x) for x in zip(*map(interval, columns), strict=True))
        style = style_of(method) | {"marker": STYLES[method].marker, "ms": 5}
        (line,) = ax.plot(range(len(levels)), mean, label=LABELS[method], **style)
        ax.fill_between(range(len(levels)), low, high, color=line.get_color(), alpha=0.15, lw=0)
    ax.set(yscale="log", xlabel="training loss", ylabel=f"{R_MED}, mean of the layers")
    ax.set_xticks(range(len(levels)), [f"{level:g}" for level in levels])
    _plain_ticks(ax.yaxis, (1.0, 2.0, 5.0))
    label_lines(ax)
    return figure


def draw_layers(record: Record) -> Figure:
    """R_med of each layer at the last level, a row a layer, a mark a seed, bars at the means."""
    figure, ax = plt.subplots(figsize=(6.0, 5.2))
    names, level = layers(record), record.config["levels"][-1]
    for shift, method in ((-0.2, "adam"), (0.2, "sgd")):
        style = STYLES[method]
        for row, layer in enumerate(names):
            values = numpy.exp(log_ratios(record, method, level, layer))
            mean = numpy.exp(numpy.log(values).mean())
            mark = {"color": style.color, "ms": 4, "alpha": 0.5, "linestyle": "none"}
            ax.plot(values, [row + shift] * len(values), marker=style.marker, **mark)
            ax.plot([mean] * 2, [row + shift - 0.18, row + shift + 0.18], color=style.color, lw=3)
    ax.set_yticks(range(len(names)), names)
    ax.set(xscale="log", xlabel=f"{R_MED} at training loss {level:g}", ylim=(len(names), -0.9))
    _plain_ticks(ax.xaxis)
    for method, y in (("adam", 1.06), ("sgd", 1.01)):
        text = f"{LABELS[method]} ({'upper' if method == 'adam' else 'lower'} row of a layer)"
        color = STYLES[method].color
        ax.text(0.0, y, text, transform=ax.transAxes, color=color, fontsize=11)
    return figure


def draw_switches(record: Record) -> Figure:
    """Where four runs end: two that keep their optimizer and two that change it halfway."""
    figure, ax = plt.subplots(figsize=(6.0, 3.2))
    rows = ("adam", "sgd_then_adam", "adam_then_sgd", "sgd")
    for row, method in enumerate(rows):
        style = STYLES[method.split("_then_")[-1]]
        values = mean_log_ratios(record, method)
        mean, low, high = interval(values)
        ax.plot(numpy.exp(values), [row] * len(values), style.marker, color=style.color, alpha=0.4)
        ax.plot(numpy.exp([low, high]), [row] * 2, color=style.color, lw=1.5)
        ax.plot(numpy.exp([mean] * 2), [row - 0.2, row + 0.2], color=style.color, lw=3)
    ax.set_yticks(range(len(rows)), [LABELS[method] for method in rows])
    level = record.config["levels"][-1]
    ax.set(xscale="log", xlabel=f"{R_MED} at loss {level:g}, mean of the layers", ylim=(3.6, -0.6))
    _plain_ticks(ax.xaxis, (1.0, 2.0, 3.0, 5.0, 7.0))
    return figure


def estimates(record: Record, method: str) -> dict[str, dict[str, list[float]]]:
    """The exact diagonal's ends ("0") and Hutchinson's ("16", …), layer by layer, first seed."""
    runs = record.select(method=method, lr=measured_lr(record, method))
    return next(trial.result["exact"] for trial in runs if trial.result["exact"])


def draw_bias(record: Record) -> Figure:
    """Hutchinson's maximum, median and ratio over the exact ones, against the probes."""
    figure, axes = plt.subplots(1, 3, figsize=(6.8, 3.3), sharey=True)
    probes = record.config["hutchinson"]
    titles = ("maximum", "median", "their ratio")
    for method in record.config["exact_methods"]:
        found = estimates(record, method)
        ends = {
            k: [numpy.array(v[what]) for what in ("largest", "median")] for k, v in found.items()
        }
        ratio = {k: [top, middle, top / middle] for k, (top, middle) in ends.items()}
        for place, ax in enumerate(axes):
            curves = numpy.array([ratio[str(k)][place] / ratio["0"][place] for k in probes])
            for curve in curves.T:
                ax.plot(probes, curve, lw=0.8, alpha=0.4, label="_layer", **style_of(method))
            mean = numpy.exp(numpy.log(curves).mean(axis=1))
            label = LABELS[method] if place == 2 else "_"
            ax.plot(probes, mean, **style_of(method) | {"lw": 2.6}, label=label)
    for ax, title in zip(axes, titles, strict=True):
        ax.axhline(1, color=INK, lw=1)
        ax.set(xscale="log", yscale="log", title=title, xlabel="probes")
        _plain_ticks(ax.yaxis)
        ax.set_xticks(probes, [str(k) for k in probes])
        ax.minorticks_off()
    axes[0].set_ylabel("estimate / exact")
    figure.tight_layout()
    label_lines(axes[2])
    return figure


def _plain_ticks(axis, subs: tuple[float, ...] = (1.0,)) -> None:
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(plt.NullFormatter())


def _judge_pair(lower: str, higher: str):
    """Is the mean over the layers of ln R_med the smaller one, at the last level?"""

    def judge(record: Record) -> Verdict:
        names = (LABELS[lower], LABELS[higher])
        low, high = (mean_log_ratios(record, method) for method in (lower, higher))
        verdict = compare(low, high, names, "ln R_med")
        if "difference" not in verdict.figures:
            return verdict
        factor, least, most = (math.exp(x) for x in verdict.figures["difference"])
        reason = (
            f"R_med of {names[1]} over that of {names[0]}, geometric mean of the layers: "
            f"{factor:.2f} [{least:.2f}, {most:.2f}], {len(low)} seeds"
        )
        return Verdict(verdict.status, reason, verdict.figures)

    return judge


def _judge_layers(record: Record) -> Verdict:
    """Adam's R_med smaller than SGD's in each layer by itself?"""
    level = record.config["levels"][-1]
    parts = {
        layer: compare(
            log_ratios(record, "adam", level, layer),
            log_ratios(record, "sgd", level, layer),
            ("Adam", "SGD"),
            "ln R_med",
        )
        for layer in layers(record)
    }
    verdict = all_of(parts)
    sides = {
        side: [name for name, part in parts.items() if part.status == status]
        for side, status in (("smaller", "holds"), ("larger", "fails"))
    }
    reason = "; ".join(
        f"Adam's is {side} in {len(names)} of {len(parts)} layers"
        + (f" ({', '.join(names)})" if names else "")
        for side, names in sides.items()
    )
    return Verdict(verdict.status, reason, verdict.figures)


def _judge_screening(record: Record) -> Verdict:
    """Screened and confirmed: within a factor of 1.25 of exact, on the mean over the layers?"""
    errors = {}
    for method in record.config["exact_methods"]:
        found, probes = estimates(record, method), str(record.config["probes"])
        run = next(t for t in record.select(method=method) if t.result["exact"]).result
        exact = numpy.log(found["0"]["largest"]) - numpy.log(found["0"]["median"])
        noisy = numpy.log(found[probes]["largest"]) - numpy.log(found[probes]["median"])
        ours = [math.log(run["largest"][n][-1] / run["median"][n][-1]) for n in layers(record)]
        errors[method] = (float(numpy.mean(ours - exact)), float(numpy.mean(noisy - exact)))
    worst = max(abs(ours) for ours, _ in errors.values())
    text = ", ".join(
        f"{LABELS[m]} {math.exp(a):.2f} (Hutchinson's alone {math.exp(b):.2f})"
        for m, (a, b) in errors.items()
    )
    reason = f"estimate over exact, geometric mean of the layers: {text}; asked for: 0.8 to 1.25"
    return Verdict("holds" if worst < math.log(1.25) else "fails", reason, {"errors": errors})


_CHAPTER, _PAPER = "11_on_a_transformer", "arXiv:2211.02254"
CLAIMS = (
    Claim(
        "gpt_path.adam_even",
        "On a small GPT, at equal training loss, R_med is smaller along Adam's path than along "
        "SGD's, on the geometric mean of the layers.",
        _PAPER,
        _CHAPTER,
        _judge_pair("adam", "sgd"),
    ),
    Claim(
        "gpt_path.every_layer",
        "The same holds in each layer by itself.",
        "this course",
        _CHAPTER,
        _judge_layers,
    ),
    Claim(
        "gpt_path.follows_optimizer",
        "R_med follows the optimizer, not the place: with a change of optimizer halfway, the run "
        "that ends with Adam has the smaller R_med at the end.",
        "this course",
        _CHAPTER,
        _judge_pair("sgd_then_adam", "adam_then_sgd"),
    ),
    Claim(
        "gpt_path.rotation",
        "In a randomly rotated space Adam's R_med, measured in the GPT's own coordinates, is "
        "larger than plain Adam's at equal training loss.",
        "this course",
        _CHAPTER,
        _judge_pair("adam", "rotated_adam"),
    ),
    Claim(
        "gpt_path.screening",
        "Screening by random signs and confirming exactly gives R_med within a quarter, on the "
        "geometric mean of the layers.",
        "this course",
        _CHAPTER,
        _judge_screening,
    ),
)
