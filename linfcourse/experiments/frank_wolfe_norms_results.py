"""What the record of `frank_wolfe_norms` says: losses by step, drawings."""

from __future__ import annotations

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from linfcourse.experiments.experiment import best_lr
from linfcourse.figures import label_lines, plot_band
from linfcourse.records import Record

# Sign descent and gradient descent look as they do everywhere in the book.
LOOKS = {
    "linf": ("ℓ∞", "#8a6a00", (0, (3, 1, 1, 1, 1, 1)), "X"),
    "l2": ("ℓ2", "#a03c78", (0, (6, 1.5, 1.2, 1.5)), "D"),
}


def losses_at(record: Record, **where) -> list[list[float]]:
    """The loss at the checkpoints, one list a seed; a constant step is the best one if not given.

    Best is what has the least mean loss at the last step.
    """
    if where.get("schedule") == "constant" and "lr" not in where:
        where["lr"] = best_lr(record, **where)
    return [trial.result["loss"] for trial in record.select(**where)]


def at_step(record: Record, step: int, **where) -> list[float]:
    """The loss at one checkpoint, a value a seed."""
    place = list(record.config["checkpoints"]).index(step)
    return [losses[place] for losses in losses_at(record, **where)]


def draw_schedules(record: Record, lr: float = 0.001) -> Figure:
    """The dense landscape: Frank–Wolfe's steps, and constant ones, both norms in each panel."""
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 6.4), sharex=True, sharey=True)
    _draw(axes[0], record, "dense", schedule="frank_wolfe")
    axes[0].set_title("Frank–Wolfe's steps, λη = 2/(t + 1)")
    _draw(axes[1], record, "dense", schedule="constant", lr=lr)
    axes[1].set_title(f"a constant step, λη = {lr:g}")
    axes[0].set_xlabel("")
    return figure


def draw_sparse(record: Record) -> Figure:
    """The sparse landscape with Frank–Wolfe's steps."""
    figure, ax = plt.subplots(figsize=(6.4, 3.4))
    _draw(ax, record, "sparse", schedule="frank_wolfe")
    return figure


def _draw(ax: Axes, record: Record, landscape: str, **where) -> None:
    steps = record.config["checkpoints"]
    for norm, (label, color, dash, marker) in LOOKS.items():
        curves = losses_at(record, landscape=landscape, norm=norm, **where)
        style = {"color": color, "linestyle": dash, "marker": marker, "ms": 4}
        plot_band(ax, steps, curves, label=label, **style)
    ax.set(xscale="log", yscale="log", xlabel="step", ylabel="loss")
    label_lines(ax)
