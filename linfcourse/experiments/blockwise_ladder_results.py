"""What the record of `blockwise_ladder` says: losses, measured smoothness, drawings."""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from linfcourse.experiments.blockwise_ladder_partitions import PARTITIONS
from linfcourse.experiments.experiment import at_best_lr
from linfcourse.experiments.judging import Status
from linfcourse.figures import label_lines, plot_band
from linfcourse.records import Record

LADDER = ("whole", "per_tensor", "adam_mini", "coordinatewise")


class Bracket(NamedTuple):
    """Two numbers for H(L, Φ), and the outer ends of their 90 % intervals."""

    low: float
    high: float
    lowest: float
    highest: float


def finals(record: Record, partition: str) -> list[float]:
    """Final losses of a partition at its best learning rate, one a seed."""
    best = at_best_lr(record, kind="training", partition=partition)
    return [trial.result["final_loss"] for trial in best]


def smoothness(record: Record, partition: str, place: str) -> list[Bracket]:
    """What was measured of H(L, Φ) at a place, one bracket a seed."""
    chosen = record.select(kind="smoothness", partition=partition, place=place)
    return [
        Bracket(
            trial.result["low"],
            trial.result["high"],
            trial.result["low_interval"][0],
            trial.result["high_interval"][1],
        )
        for trial in chosen
    ]


def apart(record: Record, first: str, second: str, place: str) -> Status:
    """Is H(L, Φ) surely smaller for the first partition, on every seed? `fails`: surely larger."""
    brackets = [smoothness(record, partition, place) for partition in (first, second)]
    pairs = list(zip(*brackets, strict=True))
    if all(a.highest < b.lowest for a, b in pairs):
        return "holds"
    return "fails" if all(b.highest < a.lowest for a, b in pairs) else "inconclusive"


def draw_grid(record: Record) -> Figure:
    """Final loss against the learning rate, along the ladder; a band spans the seeds."""
    figure, ax = plt.subplots()
    dashes = ((0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (5, 1.5)), "-")
    for partition, dash in zip(LADDER, dashes, strict=True):
        lrs = record.config["lrs"]
        columns = [
            [
                trial.result["final_loss"]
                for trial in record.select(kind="training", partition=partition, lr=lr)
            ]
            for lr in lrs
        ]
        curves = [
            [value if math.isfinite(value) else math.nan for value in row]
            for row in zip(*columns, strict=True)
        ]
        rung = PARTITIONS[partition]
        style = {"color": rung.color, "marker": rung.marker, "ms": 5, "linestyle": dash}
        plot_band(ax, lrs, curves, label=rung.label, **style)
    ax.set(xlabel="learning rate", ylabel="final training loss", xscale="log")
    ax.set_xticks(record.config["lrs"], [f"{lr:g}" for lr in record.config["lrs"]])
    ax.minorticks_off()
    label_lines(ax)
    return figure


def draw_smoothness(record: Record) -> Figure:
    """Measured H(L, Φ) along the ladder, at each place; a band spans brackets and seeds."""
    figure, ax = plt.subplots()
    looks = {
        "start": ("at the start", "#444444", (0, (1.2, 1.2)), "^"),
        "adam": ("Adam's path", "#0060a0", "-", "o"),
        "adasgd": ("AdaSGD's path", "#00734f", (0, (5, 1.5)), "s"),
    }
    rungs = range(len(LADDER))
    for place in record.config["places"]:
        label, color, dash, marker = looks[place]
        columns = [smoothness(record, partition, place) for partition in LADDER]
        lows = [min(bracket.low for bracket in brackets) for brackets in columns]
        highs = [max(bracket.high for bracket in brackets) for brackets in columns]
        middles = [median(math.sqrt(b.low * b.high) for b in brackets) for brackets in columns]
        style = {"color": color, "linestyle": dash, "marker": marker, "ms": 5}
        plot_band(ax, rungs, [lows, middles, highs], label=label, **style)
    ax.set(yscale="log", ylabel="blockwise smoothness H(L, Φ)")
    ax.set_xticks(rungs, [PARTITIONS[partition].label for partition in LADDER])
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:,.0f}k")
    ax.yaxis.set_minor_locator(NullLocator())
    label_lines(ax)
    return figure


def draw_memory(record: Record) -> Figure:
    """Final loss against the numbers kept for the second moment."""
    figure, ax = plt.subplots(figsize=(6.4, 4.2))
    points = {}
    for partition in record.values("partition"):
        runs = at_best_lr(record, kind="training", partition=partition)
        points[partition] = [(run.result["blocks"], run.result["final_loss"]) for run in runs]
    _draw_points(ax, points)
    ax.set(xscale="log", xlabel="second moments kept", ylabel="final training loss")
    ax.set_xlim(right=ax.get_xlim()[1] * 4)
    _label_points(ax, points)
    return figure


def draw_prediction(record: Record, place: str = "adam") -> Figure:
    """Final loss against the measured H(L, Φ) (the middle of its bracket), one point a seed."""
    figure, ax = plt.subplots(figsize=(6.4, 4.2))
    seeds = record.config["measuring_seeds"]
    points = {}
    for partition in record.values("partition"):
        runs = at_best_lr(record, kind="training", partition=partition)
        losses = {run.setting["seed"]: run.result["final_loss"] for run in runs}
        brackets = smoothness(record, partition, place)
        middles = [math.sqrt(bracket.low * bracket.high) for bracket in brackets]
        points[partition] = [
            (middle, losses[seed]) for seed, middle in zip(seeds, middles, strict=True)
        ]
    _draw_points(ax, points)
    ax.set(xscale="log", xlabel="blockwise smoothness H(L, Φ)", ylabel="final loss")
    ax.set_xlim(right=ax.get_xlim()[1] * 2)
    _label_points(ax, points)
    return figure


def _draw_points(ax: Axes, points: dict[str, list[tuple[float, float]]]) -> None:
    """Small points for the seeds, a large one at their mean."""
    for partition, pairs in points.items():
        rung = PARTITIONS[partition]
        x, y = zip(*pairs, strict=True)
        ax.plot(x, y, rung.marker, color=rung.color, ms=4, alpha=0.4, mec="none")
        ax.plot(median(x), fmean(y), rung.marker, color=rung.color, ms=9)


def _label_points(ax: Axes, points: dict[str, list[tuple[float, float]]]) -> None:
    """Names to the right of the large points, moved up where two would overlap."""
    ax.figure.canvas.draw()
    scale = 72.0 / ax.figure.dpi
    places = {
        partition: (median(x for x, _ in pairs), fmean(y for _, y in pairs))
        for partition, pairs in points.items()
    }
    taken: list[tuple[float, float]] = []
    for partition in sorted(places, key=lambda name: places[name][1]):
        x, y = (value * scale for value in ax.transData.transform(places[partition]))
        up = y
        while any(abs(up - b) < 12 and abs(x - a) < 90 for a, b in taken):
            up += 1
        taken.append((x, up))
        ax.annotate(
            PARTITIONS[partition].label,
            places[partition],
            xytext=(9, up - y),
            textcoords="offset points",
            color=PARTITIONS[partition].color,
            fontsize=11,
            va="center",
        )
