"""The look of every figure in the course: one colour and dash per optimizer, labels on the lines.

Figures are drawn in dark ink on a transparent ground as SVG: sharp at any width, small, and the
book inverts them for its dark pages.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy
from matplotlib.axes import Axes
from matplotlib.lines import Line2D


@dataclass(frozen=True)
class LineStyle:
    """How one method is drawn everywhere: colour (safe for colour-blind readers), dash, marker."""

    color: str
    dash: str | tuple
    marker: str


# Hues after Okabe and Ito, darkened so that text in that colour stays readable on white.
STYLES = {
    "adam": LineStyle("#0060a0", "-", "o"),
    "rotated_adam": LineStyle("#b04a00", (0, (5, 1.5)), "s"),
    "adasgd": LineStyle("#00734f", (0, (1.2, 1.2)), "^"),
    "rotated_adasgd": LineStyle("#5f7d00", (0, (1.2, 2.4)), "v"),
    "sgd": LineStyle("#a03c78", (0, (6, 1.5, 1.2, 1.5)), "D"),
    "rotated_sgd": LineStyle("#6f5f9f", (0, (3, 3)), "P"),
    "sign": LineStyle("#8a6a00", (0, (3, 1, 1, 1, 1, 1)), "X"),
}
INK = "#1b1b1b"
_PALETTE = ("#0060a0", "#b04a00", "#00734f", "#a03c78", "#8a6a00", "#6f5f9f", "#444444")


def use_style() -> None:
    """Set the course's look; in a notebook also ask for SVG figures. Call once, in a first cell."""
    plt.rcParams.update(
        {
            "figure.figsize": (6.0, 3.7),
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            "savefig.facecolor": "none",
            "savefig.bbox": "tight",
            # Large for a page, so that it is still readable on a phone, at 60 % of this size.
            "font.size": 12,
            "axes.titlesize": 12,
            "legend.fontsize": 11,
            "axes.labelcolor": INK,
            "axes.edgecolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#8888884d",
            "grid.linewidth": 0.6,
            "lines.linewidth": 1.9,
            "legend.frameon": False,
            "axes.prop_cycle": plt.cycler(color=_PALETTE),
            # The same figure gives the same file: no random ids (see also Date below).
            "svg.hashsalt": "linfcourse",
        }
    )
    try:
        from IPython import get_ipython
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # plain Python without IPython: the style alone
        return
    if get_ipython() is not None:
        set_matplotlib_formats("svg", metadata={"Date": None})


def style_of(method: str) -> dict[str, object]:
    """Keyword arguments of `Axes.plot` for a method.

    Raises:
        ValueError: a method without a style.

    >>> style_of("adam")["color"]
    '#0060a0'
    """
    if method not in STYLES:
        raise ValueError(f"method must be one of {sorted(STYLES)}, got {method!r}")
    style = STYLES[method]
    return {"color": style.color, "linestyle": style.dash}


def smooth(values: Sequence[float], window: int) -> numpy.ndarray:
    """Running mean over the last `window` values, shorter at the start.

    >>> smooth([1.0, 3.0, 5.0], 2).tolist()
    [1.0, 2.0, 4.0]
    """
    values = numpy.asarray(values, dtype=float)
    total = numpy.cumsum(numpy.concatenate([[0.0], values]))
    end = numpy.arange(1, len(values) + 1)
    start = numpy.maximum(end - window, 0)
    return (total[end] - total[start]) / (end - start)


def plot_band(
    ax: Axes,
    x: Sequence[float],
    curves: Sequence[Sequence[float]],
    *,
    label: str,
    **style: object,
) -> Line2D:
    """Median of several seeds' curves, with a band from the smallest to the largest.

    Args:
        ax: where to draw.
        x: (n,) abscissae.
        curves: one curve of length n a seed.
        label: name of the line; drawn by `label_lines`.
        style: passed to `Axes.plot`.
    """
    curves = numpy.asarray(curves, dtype=float)
    (line,) = ax.plot(x, numpy.median(curves, axis=0), label=label, **style)
    if len(curves) > 1:
        ax.fill_between(
            x, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.15, lw=0
        )
    return line


def label_lines(ax: Axes, *, gap: float = 14.0) -> None:
    """Write each line's label at its right end, pushed apart so that no two overlap.

    Args:
        ax: its lines with a label that does not start with "_" are labelled.
        gap: least distance between two labels, in points.
    """
    lines = [line for line in ax.get_lines() if not line.get_label().startswith("_")]
    ends = []
    for line in lines:
        x, y = numpy.asarray(line.get_xdata()), numpy.asarray(line.get_ydata(), dtype=float)
        seen = numpy.flatnonzero(numpy.isfinite(y))
        if len(seen):
            ends.append((line, x[seen[-1]], y[seen[-1]]))
    ax.figure.canvas.draw()  # fixes the limits, hence where the ends are on paper
    points = 72.0 / ax.figure.dpi
    order = sorted(ends, key=lambda end: ax.transData.transform(end[1:])[1])
    last = -math.inf
    for line, x, y in order:
        at = ax.transData.transform((x, y))[1] * points
        place = max(at, last + gap)
        last = place
        ax.annotate(
            line.get_label(),
            (x, y),
            xytext=(6, place - at),
            textcoords="offset points",
            color=line.get_color(),
            va="center",
            fontsize=11,
            annotation_clip=False,
        )
