"""Chapter 14: figures from a record of `adamw_language_model`."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy
from matplotlib.figure import Figure

from linfcourse.experiments.adamw_language_model_measures import EDGES, KINDS
from linfcourse.figures import INK, STYLES, label_lines, plot_band
from linfcourse.records import Record, Trial

# One hue for AdamW throughout; pairs of betas differ in dash and darkness.
_BETAS = {
    (0.9, 0.95): {"color": STYLES["adam"].color, "linestyle": "-"},
    (0.9, 0.99): {"color": "#2b86c5", "linestyle": (0, (1.2, 1.2))},
    (0.9, 0.999): {"color": "#3f6f8f", "linestyle": (0, (5, 1.5))},
    (0.99, 0.9): {"color": "#444444", "linestyle": (0, (6, 1.5, 1.2, 1.5))},
}
_WALL = "#b04a00"


def _select(
    record: Record, weight_decay: float, betas: tuple[float, float], schedule: str = "constant"
) -> list[Trial]:
    """The seeds of one run of the grid; none if the record does not have it."""
    return record.select(
        weight_decay=weight_decay, beta1=betas[0], beta2=betas[1], schedule=schedule
    )


def draw_walls(
    record: Record, weight_decay: float = 2.0, betas: tuple[float, float] = (0.9, 0.95)
) -> Figure:
    """Histograms of the weights at several moments of AdamW's runs, one above the other.

    The height is the square root of the count, so that the few weights on the walls can be seen.
    """
    chosen = _select(record, weight_decay, betas)
    figure, ax = plt.subplots(figsize=(6.2, 4.2))
    centres = (numpy.array(EDGES[:-1]) + numpy.array(EDGES[1:])) / 2 / weight_decay
    moments = [h["step"] for h in chosen[0].result["histograms"]]
    for row in range(len(moments)):
        counts = sum(numpy.array(t.result["histograms"][row]["counts"]) for t in chosen)
        height = numpy.sqrt(counts / counts.sum())
        base = len(moments) - 1 - row
        ax.fill_between(
            centres, base, base + 0.9 * height / 0.6, step="mid", lw=0.8,
            facecolor=STYLES["adam"].color + "66", edgecolor=STYLES["adam"].color,
        )  # fmt: skip
    for side in (-1, 1):
        ax.axvline(side / weight_decay, color=_WALL, ls="--", lw=1.4)
        sign = "−" if side < 0 else ""
        ax.annotate(
            f"{sign}1/λ", (side / weight_decay, 1.0), xycoords=("data", "axes fraction"),
            xytext=(0, 3), textcoords="offset points", ha="center", color=_WALL, fontsize=11,
        )  # fmt: skip
    ax.set_yticks(range(len(moments)), [f"{step:,}" for step in reversed(moments)])
    ax.set(xlabel="weight", ylabel="after steps", xlim=(-1.5 / weight_decay, 1.5 / weight_decay))
    ax.grid(axis="y", visible=False)
    return figure


def draw_box(record: Record, weight_decays: Sequence[float] = (0.0, 1.0, 2.0)) -> Figure:
    """The largest weight in units of the box along training, a panel for each λ."""
    figure, axes = plt.subplots(
        1, len(weight_decays), figsize=(6.4, 3.8), sharey=True, squeeze=False
    )
    end = record.config["steps"]
    for ax, decay in zip(axes[0], weight_decays, strict=True):
        for betas, style in _BETAS.items():
            chosen = _select(record, decay, betas)
            if chosen:
                curves = [[(decay or 1.0) * v for v in t.result["linf"]] for t in chosen]
                length = min(map(len, curves))
                plot_band(
                    ax, chosen[0].result["step"][:length], [c[:length] for c in curves],
                    label="_", **style,
                )  # fmt: skip
        ax.axhline(1.0, color=_WALL, ls="--", lw=1.4)
        ax.set(
            title="Adam, no decay" if decay == 0 else f"AdamW, λ = {decay:g}",
            yscale="log", ylim=(0.8, 12), yticks=[1, 2, 5, 10], xlabel="step",
            xticks=[0, end],
        )  # fmt: skip
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("")
    axes[0, 0].set_ylabel("largest weight / box")
    figure.legend(
        handles=[
            plt.Line2D([], [], label=f"({b1:g}, {b2:g})", lw=1.9, **style)
            for (b1, b2), style in _BETAS.items()
        ],
        loc="lower center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=11,
    )  # fmt: skip
    figure.tight_layout()
    return figure


def draw_residual(record: Record, betas: tuple[float, float] = (0.9, 0.95)) -> Figure:
    """The KKT residual along training for two learning-rate schedules, a panel for each λ."""
    decays = sorted(d for d in record.values("weight_decay") if d > 0)
    figure, axes = plt.subplots(1, len(decays), figsize=(6.8, 3.4), sharey=True, squeeze=False)
    styles = {
        "constant": {"color": STYLES["adam"].color, "linestyle": "-", "label": "constant"},
        "cosine": {"color": "#444444", "linestyle": (0, (5, 1.5)), "label": "cosine\nto zero"},
    }
    for ax, decay in zip(axes[0], decays, strict=True):
        for schedule, style in styles.items():
            chosen = _select(record, decay, betas, schedule)
            if chosen:
                label = style["label"] if ax is axes[0, -1] else "_"
                plot_band(
                    ax, chosen[0].result["step"], [t.result["residual"] for t in chosen],
                    **{**style, "label": label},
                )  # fmt: skip
        ax.set(xlabel="step", title=f"λ = {decay:g}", ylim=(0, 1.1))
    axes[0, 0].set_ylabel("KKT residual")
    figure.tight_layout()
    label_lines(axes[0, -1], gap=30)
    return figure


def draw_kinds(record: Record, betas: tuple[float, float] = (0.9, 0.95)) -> Figure:
    """The share of each kind of weights that sits on the boundary at the end, for each λ."""
    decays = sorted(d for d in record.values("weight_decay") if d > 0)
    figure, ax = plt.subplots(figsize=(6.2, 3.9))
    kinds = list(KINDS.values())
    marks = dict(zip(decays, ("o", "s", "^", "v"), strict=False))
    for decay in decays:
        chosen = _select(record, decay, betas)
        for row, kind in enumerate(reversed(kinds)):
            shares = [100 * t.result["kinds"][kind]["near"] for t in chosen]
            y = row + 0.16 * (1 if decay == decays[-1] else -1)
            ax.plot(
                shares, [y] * len(shares), marks[decay], ms=6, alpha=0.8,
                color=STYLES["adam"].color if decay == decays[-1] else "#444444",
                mfc="none" if decay != decays[-1] else None,
                label=f"λ = {decay:g}" if row == 0 else "_",
            )  # fmt: skip
    ax.set_yticks(range(len(kinds)), list(reversed(kinds)))
    ax.set(xlabel="on the boundary, % of the weights", xlim=(-4, 104))
    ax.legend(loc="center right", labelcolor=INK)
    return figure
