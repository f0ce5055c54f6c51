"""What the record of `adamw_constrained` says: distances, residuals, drawings."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from linfcourse.figures import INK, label_lines, plot_band
from linfcourse.records import Record

# Adam and the sign look as everywhere in the book; the other pairs get what is left.
_LOOKS = {
    (0.0, 0.0): ("#8a6a00", (0, (3, 1, 1, 1, 1, 1)), "X"),
    (0.9, 0.95): ("#0060a0", "-", "o"),
    (0.9, 0.999): ("#00734f", (0, (5, 1.5)), "^"),
    (0.99, 0.99): ("#6f5f9f", (0, (1.2, 1.2)), "v"),
    (0.9, 0.7): ("#00734f", (0, (5, 1.5)), "^"),
    (0.9, 0.5): ("#8a6a00", (0, (3, 1, 1, 1, 1, 1)), "X"),
    (0.95, 0.8): ("#6f5f9f", (0, (1.2, 1.2)), "v"),
    (0.99, 0.9): ("#b04a00", (0, (5, 1.5)), "s"),
}


def name_of(method: str, betas: Sequence[float]) -> str:
    """What a run is called in sentences and figures.

    >>> name_of("adamw", (0.9, 0.99))
    '(.9, .99)'
    """
    if tuple(betas) == (0.0, 0.0):
        return "sign"
    pair = "(" + ", ".join(f"{beta:g}".lstrip("0") for beta in betas) + ")"
    return pair if method == "adamw" else f"Adam + ℓ2 {pair}"


def values(record: Record, what: str, *, betas: Sequence[float], **where) -> list:
    """One measured quantity of one method, a value a seed.

    Raises:
        ValueError: no trial has that setting.
    """
    chosen = record.select(betas=list(betas), **where)
    if not chosen:
        raise ValueError(f"no trial of {record.experiment} has betas = {betas} and {where}")
    return [trial.result[what] for trial in chosen]


def draw_convergence(record: Record) -> Figure:
    """Distance from the minimiser in the box, and KKT residual, under the decaying schedule."""
    figure, axes = plt.subplots(2, 1, figsize=(6.4, 7.2), sharex=True)
    runs = [("adamw", betas) for betas in record.config["covered"]]
    for ax, what in zip(axes, ("distance", "residual"), strict=True):
        for method, betas in [*runs, ("adam_l2", (0.9, 0.95))]:
            curves = values(record, what, method=method, betas=betas, schedule="decaying")
            color, dash, marker = _LOOKS[tuple(betas)]
            if method == "adam_l2":
                color, dash, marker = "#a03c78", (0, (6, 1.5, 1.2, 1.5)), "D"
            # Outside the box a residual can be negative, and says nothing.
            shown = [[max(abs(v), 1e-7) for v in curve] for curve in curves]
            label = "Adam + ℓ2" if method == "adam_l2" else name_of(method, betas)
            style = {"color": color, "linestyle": dash, "marker": marker, "ms": 4}
            plot_band(ax, record.config["checkpoints"], shown, label=label, **style)
        ax.set(xscale="log", yscale="log")
        label_lines(ax)
    axes[0].set_ylabel("distance")
    axes[1].set(ylabel="KKT residual", xlabel="step")
    return figure


def draw_swing(record: Record) -> Figure:
    """The largest |xᵢ|λ over the last half of a run against the constant learning rate."""
    figure, ax = plt.subplots(figsize=(6.4, 4.0))
    lrs = sorted(record.config["lrs"])
    for betas in [(0.9, 0.95), *record.config["others"]]:
        betas = tuple(betas)
        columns = [
            values(record, "largest", method="adamw", betas=betas, schedule="constant", lr=lr)
            for lr in lrs
        ]
        color, dash, marker = _LOOKS[betas]
        style = {"color": color, "linestyle": dash, "marker": marker, "ms": 5}
        curves = list(zip(*columns, strict=True))
        plot_band(ax, lrs, curves, label=name_of("adamw", betas), **style)
    ax.plot(lrs, [1] * len(lrs), color=INK, ls="--", lw=1, label="_the box")
    ax.set(xscale="log", yscale="log", xlabel="constant learning rate", ylabel="largest λ‖x‖∞")
    ax.set_yticks([1, 1.5, 2, 3, 4], ["1", "1.5", "2", "3", "4"])
    ax.minorticks_off()
    label_lines(ax)
    return figure
