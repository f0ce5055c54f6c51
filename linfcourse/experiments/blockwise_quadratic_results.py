"""What the record of `blockwise_quadratic` says: losses, brackets of the smoothness, drawings."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from linfcourse.experiments.experiment import at_best_lr
from linfcourse.figures import label_lines, plot_band
from linfcourse.records import Record

# Colour, dash and marker of each landscape, the same in all drawings.
LANDSCAPES = {
    "axes": ("#0060a0", "-", "o"),
    "blocks": ("#b04a00", (0, (5, 1.5)), "s"),
    "mixed": ("#00734f", (0, (1.2, 1.2)), "^"),
}


def name_of(blocks: int, shuffled: bool) -> str:
    """What a partition is called in sentences.

    >>> name_of(16, True)
    '16 shuffled blocks'
    """
    if blocks == 1:
        return "1 block"
    return f"{blocks} {'shuffled ' if shuffled else ''}blocks"


def finals(record: Record, **where) -> list[float]:
    """Final losses of blockwise Adam at its best learning rate, one a seed."""
    best = at_best_lr(record, method="adam", **where)
    return [trial.result["final_loss"] for trial in best]


def brackets(record: Record, **where) -> list[tuple[float, float]]:
    """(lower, upper) bound of H(L, Φ), one pair a seed."""
    chosen = record.select(method="descent", **where)
    return [(trial.result["low"], trial.result["high"]) for trial in chosen]


def _partitions(record: Record) -> list[tuple[str, dict]]:
    """Tick label and setting of each partition, the shuffled one last."""
    counts = sorted(record.config["counts"])
    ladder = [(str(n), {"blocks": n, "shuffled": False}) for n in counts]
    hidden = record.config["hidden"]
    return [*ladder, (f"{hidden}\nshuffled", {"blocks": hidden, "shuffled": True})]


def draw_smoothness(record: Record) -> Figure:
    """Brackets of H(L, Φ), over all seeds, against the number of blocks."""
    figure, ax = plt.subplots()
    partitions = _partitions(record)
    for landscape in record.config["landscapes"]:
        pairs = [brackets(record, landscape=landscape, **where) for _, where in partitions]
        lows = [min(low for low, _ in seeds) for seeds in pairs]
        highs = [max(high for _, high in seeds) for seeds in pairs]
        middle = [(low * high) ** 0.5 for low, high in zip(lows, highs, strict=True)]
        _draw_ladder(ax, landscape, [lows, middle, highs])
    ax.set(yscale="log", ylabel="blockwise smoothness H(L, Φ)")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_locator(NullLocator())
    _finish(ax, partitions)
    return figure


def draw_losses(record: Record) -> Figure:
    """Final loss at the best learning rate against the number of blocks; a band spans the seeds."""
    beta1s, partitions = record.config["beta1s"], _partitions(record)
    figure, axes = plt.subplots(
        len(beta1s), 1, figsize=(6.4, 3.1 * len(beta1s)), sharex=True, squeeze=False
    )
    for ax, beta1 in zip(axes[:, 0], beta1s, strict=True):
        for landscape in record.config["landscapes"]:
            columns = [
                finals(record, landscape=landscape, beta1=beta1, **where) for _, where in partitions
            ]
            _draw_ladder(ax, landscape, list(zip(*columns, strict=True)))
        ax.set(yscale="log", ylabel="final loss / first loss", title=f"β₁ = {beta1:g}")
        _finish(ax, partitions)
    for ax in axes[:-1, 0]:
        ax.set_xlabel("")
    return figure


def _draw_ladder(ax: Axes, landscape: str, curves: Sequence[Sequence[float]]) -> None:
    """A line with its band over the ladder, and apart from it the shuffled partition."""
    color, dash, marker = LANDSCAPES[landscape]
    rungs = len(curves[0]) - 1
    style = {"color": color, "linestyle": dash, "marker": marker, "ms": 5}
    plot_band(ax, range(rungs), [curve[:-1] for curve in curves], label="_", **style)
    shuffled = [curve[-1] for curve in curves]
    ax.plot([rungs, rungs], [min(shuffled), max(shuffled)], color=color, lw=6, alpha=0.2)
    ax.plot([rungs], [median(shuffled)], color=color, marker=marker, ms=6, label=landscape)


def _finish(ax: Axes, partitions: list[tuple[str, dict]]) -> None:
    ax.set_xticks(range(len(partitions)), [label for label, _ in partitions])
    ax.set_xlabel("number of blocks")
    label_lines(ax)
