"""Chapter 6: what a record of `rotated_quadratic` says, in numbers and in figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.experiments.experiment import at_best_lr, best_lr
from linfcourse.figures import STYLES, label_lines, plot_band, style_of
from linfcourse.models import hard_spectrum
from linfcourse.records import Record


def sharpness(record: Record) -> float:
    """d‖H‖₂, the number on which AdaSGD's guarantee rests; the same for every rotation."""
    d, heavy = record.config["d"], record.config["heavy"]
    return d * hard_spectrum(d, heavy).max().item()


def norms_11(record: Record, t: float) -> list[float]:
    """‖Hₜ‖₁,₁ of every seed."""
    first = record.select(method="adam", t=t)[0].setting
    like = {name: first[name] for name in ("beta1", "schedule", "lr")}
    return [x.result["norm_11"] for x in record.select(method="adam", t=t, **like)]


def finals(
    record: Record, method: str, t: float = 0.0, *, beta1: float, schedule: str = "constant"
) -> list[float]:
    """Final loss of every seed at the method's best learning rate."""
    where = {"method": method, "t": t, "beta1": beta1, "schedule": schedule}
    return [trial.result["final_loss"] for trial in at_best_lr(record, **where)]


def table(record: Record, schedule: str = "constant") -> list[dict]:
    """Rows of the chapter's table: method, t, its number, and loss and best lr for each β₁."""
    rows = []
    runs = dict.fromkeys(
        (trial.setting["method"], trial.setting["t"])
        for trial in record.select(schedule=schedule)
        if trial.setting["method"] == "adam" or trial.setting["t"] == 0.0
    )
    order = ("sgd", "adasgd", "adam")
    for method, t in sorted(runs, key=lambda run: (order.index(run[0]), run[1])):
        number = _mean(norms_11(record, t)) if method == "adam" else sharpness(record)
        row = {"method": method, "t": t, "number": number}
        for beta1 in record.values("beta1"):
            where = {"method": method, "t": t, "beta1": beta1, "schedule": schedule}
            row[beta1] = _mean(finals(record, method, t, beta1=beta1, schedule=schedule))
            row[f"lr {beta1}"] = best_lr(record, **where)
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def crossing(numbers: Sequence[float], losses: Sequence[float], level: float) -> float:
    """Where a rising curve of losses passes a level: straight lines between logarithms.

    Args:
        numbers: abscissae, increasing, positive.
        losses: ordinates, positive.
        level: the level to pass, positive.

    Returns:
        The abscissa of the last upward crossing; infinite if the curve ends below the level, 0 if
        it lies above it everywhere.

    >>> round(crossing([10.0, 100.0, 1000.0], [1e-4, 1e-3, 1e-2], 3.1622777e-3), 3)
    316.228
    """
    if losses[-1] < level:
        return math.inf
    for k in reversed(range(len(losses) - 1)):
        if losses[k] < level:
            share = math.log(level / losses[k]) / math.log(losses[k + 1] / losses[k])
            return numbers[k] * (numbers[k + 1] / numbers[k]) ** share
    return 0.0


def crossings(record: Record, beta1: float) -> list[float]:
    """For each seed, the (1,1)-norm at which Adam's loss passes AdaSGD's."""
    angles = sorted(record.config["angles"])
    numbers = zip(*(norms_11(record, t) for t in angles), strict=True)
    losses = zip(*(finals(record, "adam", t, beta1=beta1) for t in angles), strict=True)
    levels = finals(record, "adasgd", beta1=beta1)
    return [crossing(n, y, level) for n, y, level in zip(numbers, losses, levels, strict=True)]


def draw_losses(record: Record, floor: float = 1e-6) -> Figure:
    """Final loss against ‖Hₜ‖₁,₁, one panel for each β₁; AdaSGD and SGD are horizontal bands.

    Args:
        record: with several seeds or one.
        floor: points below it are drawn on it, as arrows.
    """
    beta1s = record.values("beta1")
    figure, axes = plt.subplots(1, len(beta1s), figsize=(6.6, 3.7), sharey=True, squeeze=False)
    for ax, beta1 in zip(axes[0], beta1s, strict=True):
        angles = sorted({trial.setting["t"] for trial in record.select(method="adam")})
        numbers = [_mean(norms_11(record, t)) for t in angles]
        curves = numpy.array([finals(record, "adam", t, beta1=beta1) for t in angles])  # (t, seeds)
        shown = numpy.maximum(curves, floor)
        plot_band(ax, numbers, shown.T, label="_Adam", marker="o", ms=4, **style_of("adam"))
        for number, values in zip(numbers, curves, strict=True):
            if numpy.median(values) < floor:
                power = round(math.log10(numpy.median(values)))
                ax.annotate(
                    f"↓ $10^{{{power}}}$", (number, floor), xytext=(7, -1),
                    textcoords="offset points", va="center", color=STYLES["adam"].color,
                )  # fmt: skip
        ends = [1.1 * sharpness(record) * 3, min(numbers)]
        for method in ("adasgd", "sgd"):
            values = finals(record, method, beta1=beta1)
            plot_band(ax, ends, [[v, v] for v in values], label=f"_{method}", **style_of(method))
        ax.axvline(sharpness(record), color="#777777", lw=1, ls=":")
        ax.set(title=f"β₁ = {beta1:g}", xlabel="(1,1)-norm", xscale="log", yscale="log")
    first = axes[0, 0]
    first.set(ylabel="final loss", ylim=(0.5 * floor, 0.5))
    labels = (("adasgd", "AdaSGD (dotted)"), ("sgd", "SGD (dash-dotted)"), ("adam", "Adam"))
    for height, (method, label) in zip((0.93, 0.86, 0.55), labels, strict=True):
        where = {"color": STYLES[method].color, "transform": first.transAxes}
        first.text(0.4 if method == "adam" else 0.04, height, label, **where)
    first.text(
        0.85 * sharpness(record), floor, "$d\\,\\|H\\|_2$", rotation=90, ha="right", color="#555555"
    )
    figure.tight_layout()
    return figure


def draw_curves(record: Record, beta1: float, angles: Sequence[float]) -> Figure:
    """Loss against step at the best learning rates: AdaSGD, and Adam at a few angles."""
    figure, ax = plt.subplots()
    runs = [("adasgd", 0.0, "AdaSGD", style_of("adasgd"))]
    for t, color in zip(angles, shades(len(angles)), strict=True):
        runs.append(("adam", t, f"Adam, t = {t:g}", {"color": color, "linestyle": "-"}))
    for method, t, label, style in runs:
        where = {"method": method, "t": t, "beta1": beta1, "schedule": "constant"}
        curves = [trial.result["loss"] for trial in at_best_lr(record, **where)]
        steps = numpy.linspace(0, record.config["steps"], len(curves[0]))
        plot_band(ax, steps, curves, label=label, **style)
    ax.set(xlabel="step", ylabel="loss", yscale="log")
    label_lines(ax)
    return figure


def shades(count: int) -> list[tuple[float, ...]]:
    """Colours from Adam's to rotated Adam's."""
    start, end = (
        numpy.array(to_rgb(STYLES["adam"].color)),
        numpy.array(to_rgb(STYLES["rotated_adam"].color)),
    )
    return [tuple(start + (end - start) * k / max(1, count - 1)) for k in range(count)]


def draw_matrices(matrices: Mapping[str, Tensor], corner: int = 40) -> Figure:
    """|Hᵢⱼ| of the first coordinates as grey values on a logarithmic scale, side by side.

    Args:
        matrices: title -> (d, d).
        corner: how many rows and columns are shown.
    """
    figure, axes = plt.subplots(
        1, len(matrices), figsize=(6.6, 2.3), layout="constrained", squeeze=False
    )
    for ax, (title, H) in zip(axes[0], matrices.items(), strict=True):
        sizes = H[:corner, :corner].abs().clamp_min(1e-6).log10()
        picture = ax.imshow(sizes, cmap="Greys", vmin=-5, vmax=0, interpolation="nearest")
        ax.set(title=title, xticks=[], yticks=[])
    bar = figure.colorbar(picture, ax=axes[0].tolist(), shrink=0.75, pad=0.02)
    bar.set_ticks([-4, -2, 0], labels=["$10^{-4}$", "$10^{-2}$", "1"])
    return figure


def draw_schedules(record: Record, beta1: float, t: float) -> Figure:
    """Final loss against lr for AdaSGD and for Adam at one angle, constant lr and cosine."""
    figure, axes = plt.subplots(1, 2, figsize=(6.6, 3.4), sharey=True)
    runs = (("adasgd", 0.0, "AdaSGD", "adasgd"), ("adam", t, "rotated Adam", "rotated_adam"))
    for ax, schedule in zip(axes, ("constant", "cosine"), strict=True):
        for method, angle, label, style in runs:
            where = {"method": method, "t": angle, "beta1": beta1, "schedule": schedule}
            _draw_grid(ax, record, where, label, style)
        ax.set(title=schedule, xlabel="learning rate", xscale="log", yscale="log")
    axes[0].set(ylabel="final loss", ylim=(2e-3, 1))
    axes[1].legend(loc="upper center", fontsize=11)
    figure.tight_layout()
    return figure


def _draw_grid(ax: Axes, record: Record, where: dict, label: str, style: str) -> None:
    lrs = sorted({trial.setting["lr"] for trial in record.select(**where)})
    columns = [[x.result["final_loss"] for x in record.select(lr=lr, **where)] for lr in lrs]
    plot_band(ax, lrs, numpy.array(columns).T, label=label, **style_of(style))
