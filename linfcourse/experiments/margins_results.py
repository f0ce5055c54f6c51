"""What the record of `margins` says: its claims, and its drawings."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from linfcourse.experiments.experiment import at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval, tally
from linfcourse.figures import label_lines, plot_band, style_of
from linfcourse.records import Record

NORM_NAMES = {"l2": "ℓ2", "linf": "ℓ∞", "spectral": "spectral"}
METHOD_NAMES = {
    "l2": "gradient descent",
    "linf": "sign descent",
    "spectral": "spectral descent",
    "adam": "Adam",
}
_STYLES = {
    "l2": {**style_of("sgd"), "marker": "D"},
    "linf": {**style_of("sign"), "marker": "X"},
    "spectral": {**style_of("adasgd"), "marker": "^"},
    "adam": {**style_of("adam"), "marker": "o"},
}


def shortfalls(record: Record, method: str, norm: str) -> list[float]:
    """1 − margin/largest margin in that norm, at the learning rate best for it, one a seed."""
    return [t.result[norm] for t in at_best_lr(record, norm, method=method)]


def smoothed(record: Record, epsilon: float, norm: str, level: float) -> list[float]:
    """The same for smoothed sign descent, where the loss first is at the level."""
    place = record.config["levels"].index(level)
    chosen = record.select(method="smoothed", epsilon=epsilon)
    return [t.result["shortfall"][norm][place] for t in chosen]


def draw_table(record: Record) -> Figure:
    """Each method's margin in each norm, as a share of the largest possible."""
    norms, methods = list(NORM_NAMES), record.config["methods"]
    figure, ax = plt.subplots(figsize=(6.4, 3.6))
    for m, method in enumerate(methods):
        for n, norm in enumerate(norms):
            shares = [1 - s for s in shortfalls(record, method, norm)]
            place = n + 0.2 * (m - (len(methods) - 1) / 2)
            style = _STYLES[method]
            ax.plot(
                [place] * len(shares), shares, style["marker"], color=style["color"], ms=7,
                alpha=0.7, mec="none", label=METHOD_NAMES[method] if n == 0 else "_",
            )  # fmt: skip
    ax.axhline(1.0, color="#555555", lw=1)
    ax.set_xticks(range(len(norms)), [f"{NORM_NAMES[n]} margin" for n in norms])
    ax.set(ylabel="share of the largest margin", xlim=(-0.6, len(norms) - 0.4))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.25), ncols=2)
    return figure


def draw_smoothed(record: Record) -> Figure:
    """Smoothed sign descent: its ℓ∞ and its ℓ2 margin while the loss falls, for some ε."""
    figure, axes = plt.subplots(2, 1, figsize=(6.0, 6.4), sharex=True)
    dashes = itertools.cycle(style["linestyle"] for style in _STYLES.values())
    for epsilon, dash in zip(record.config["epsilons"], dashes, strict=False):
        chosen = record.select(method="smoothed", epsilon=epsilon)
        for ax, norm in zip(axes, ("linf", "l2"), strict=True):
            curves = [[1 - s for s in t.result["shortfall"][norm]] for t in chosen]
            label, levels = f"ε = {epsilon:g}", record.config["levels"]
            plot_band(ax, levels, curves, label=label, linestyle=dash)
    for ax, norm in zip(axes, ("linf", "l2"), strict=True):
        ax.set(xscale="log", ylabel=f"share of the largest\n{NORM_NAMES[norm]} margin")
        ax.minorticks_off()
    axes[0].invert_xaxis()
    axes[1].set(xlabel="loss", xticks=record.config["levels"][1::2])
    axes[1].set_ylim(top=1.2)  # the labels of curves that end together need room
    axes[1].set_yticks([0.6, 0.8, 1.0])
    for ax in axes:
        label_lines(ax)
    return figure


def _within(values: list[float], limit: float, what: str) -> Verdict:
    """Is the mean of the values at most the limit, with its interval?"""
    mean, low, high = interval(values)
    status = "holds" if high <= limit else "fails" if low > limit else "inconclusive"
    text = f"{what} {mean:.3f} [{low:.3f}, {high:.3f}], asked for at most {limit:g}"
    return Verdict(status, text, {what: [mean, low, high]})


def _judge_theorem(record: Record) -> Verdict:
    slacks = [t.result["slack"] for m in NORM_NAMES for t in record.select(method=m)]
    worst = min(slacks)
    text = f"the smallest margin above the promised one is {worst:.3g}, over {len(slacks)} runs"
    return Verdict("holds" if worst >= 0 else "fails", text, {"slack": worst})


def _judge_own(record: Record) -> Verdict:
    return all_of(
        {
            norm: _within(shortfalls(record, norm, norm), 0.05, f"{name} shortfall")
            for norm, name in NORM_NAMES.items()
        }
    )


def _judge_best(record: Record) -> Verdict:
    verdicts = {
        f"{norm}: {rival}": compare(
            shortfalls(record, norm, norm),
            shortfalls(record, rival, norm),
            (METHOD_NAMES[norm], METHOD_NAMES[rival]),
            f"{NORM_NAMES[norm]} shortfall",
        )
        for norm, rival in itertools.permutations(NORM_NAMES, 2)
    }
    verdict = all_of(verdicts)
    held = [v.status for v in verdicts.values()].count("holds")
    least = min(v.figures["difference"][0] for v in verdicts.values() if "difference" in v.figures)
    text = (
        f"{held} of {len(verdicts)} comparisons, the closest by {least:.2g} of the largest margin"
    )
    return Verdict(verdict.status, text, verdict.figures)


def _judge_adam(record: Record) -> Verdict:
    names = ("Adam", "gradient descent")
    return all_of(
        {
            "linf": compare(
                shortfalls(record, "adam", "linf"),
                shortfalls(record, "l2", "linf"),
                names,
                "ℓ∞ shortfall",
            ),
            "l2": compare(
                shortfalls(record, "l2", "l2"),
                shortfalls(record, "adam", "l2"),
                names[::-1],
                "ℓ2 shortfall",
            ),
            "reach": _within(shortfalls(record, "adam", "linf"), 0.1, "Adam's ℓ∞ shortfall"),
        }
    )


LEVEL = 1e-8  # where the ends of the ladder of ε are compared


def _judge_between(record: Record) -> Verdict:
    epsilons, verdicts = record.config["epsilons"], {}
    for a, b in itertools.pairwise(epsilons):
        for norm, (first, second) in {"linf": (a, b), "l2": (b, a)}.items():
            verdicts[f"{norm}, {a:g} to {b:g}"] = compare(
                smoothed(record, first, norm, LEVEL),
                smoothed(record, second, norm, LEVEL),
                (f"ε = {first:g}", f"ε = {second:g}"),
                f"{NORM_NAMES[norm]} shortfall",
            )
    return tally(verdicts, "steps of the ladder", f"at a loss of {LEVEL:g}")


def _judge_turns(record: Record) -> Verdict:
    epsilon, (first, last) = 1e-8, (LEVEL, record.config["levels"][-1])
    return all_of(
        {
            "linf": compare(
                smoothed(record, epsilon, "linf", first),
                smoothed(record, epsilon, "linf", last),
                (f"at a loss of {first:g}", f"at {last:g}"),
                f"ε = {epsilon:g}: ℓ∞ shortfall",
            ),
            "l2": compare(
                smoothed(record, epsilon, "l2", last),
                smoothed(record, epsilon, "l2", first),
                (f"at {last:g}", f"at a loss of {first:g}"),
                f"ε = {epsilon:g}: ℓ2 shortfall",
            ),
        }
    )


def _claim(name: str, statement: str, source: str, judge: Callable[[Record], Verdict]) -> Claim:
    return Claim(f"margins.{name}", statement, source, "16_where_does_it_go", judge)


CLAIMS = (
    _claim(
        "theorem",
        "On separable data steepest descent keeps the promised margin, in all three norms and at "
        "every learning rate",
        "this course",
        _judge_theorem,
    ),
    _claim(
        "own_norm",
        "Steepest descent in ℓ2, ℓ∞ and the spectral norm comes within 5 % of the largest margin "
        "of its own norm",
        "arXiv:2410.22069, in substance",
        _judge_own,
    ),
    _claim(
        "best_in_its_norm",
        "In each of the three norms, its own steepest descent has a larger margin than the other "
        "two, which take the learning rate that is best for this very margin",
        "arXiv:2410.22069, in substance",
        _judge_best,
    ),
    _claim(
        "adam_goes_to_linf",
        "Adam with ε = 0 comes within 10 % of the largest ℓ∞ margin; it has a larger ℓ∞ margin and "
        "a smaller ℓ2 margin than gradient descent",
        "arXiv:2406.10650; the 10 % are ours",
        _judge_adam,
    ),
    _claim(
        "smoothing_interpolates",
        "The larger ε in smoothed sign descent, the smaller its ℓ∞ margin and the larger its ℓ2 "
        "margin, at the same loss",
        "this course",
        _judge_between,
    ),
    _claim(
        "smoothing_turns",
        "With a fixed small ε smoothed sign descent turns as the loss falls: from a large ℓ∞ "
        "margin to a large ℓ2 margin",
        "this course",
        _judge_turns,
    ),
)
