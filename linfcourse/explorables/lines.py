"""What the figures draw alike: lines in their colours, with names at their ends; level lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import altair
import torch
from torch import Tensor

from linfcourse.explore import table
from linfcourse.figures import STYLES
from linfcourse.models import BoxQuadratic

WIDTH = 2.0  # of a line in pixels; matplotlib's dashes are in units of it


def line_styles(methods: Sequence[str]) -> dict[str, object]:
    """Encodings that give each method of the column `method` its colour and its dash.

    >>> sorted(line_styles(["adam", "sgd"]))
    ['color', 'strokeDash']
    """
    dashes = []
    for method in methods:
        dash = STYLES[method].dash
        dashes.append([1, 0] if dash == "-" else [WIDTH * length for length in dash[1]])
    return {
        "color": colors(methods),
        "strokeDash": altair.StrokeDash(
            "method:N", scale=altair.Scale(domain=list(methods), range=dashes), legend=None
        ),
    }


def colors(methods: Sequence[str]) -> altair.Color:
    """The encoding that gives each method of the column `method` its colour."""
    scale = altair.Scale(domain=list(methods), range=[STYLES[method].color for method in methods])
    return altair.Color("method:N", scale=scale, legend=None)


def apart(heights: Mapping[str, float], gap: float) -> dict[str, float]:
    """Push heights apart, upwards, so that no two labels overlap.

    Args:
        heights: name -> height, on a linear scale (pass logarithms for a logarithmic one).
        gap: least distance between two.

    >>> apart({"a": 0.0, "b": 0.1, "c": 5.0}, 1.0)
    {'a': 0.0, 'b': 1.0, 'c': 5.0}
    """
    placed, last = {}, float("-inf")
    for name in sorted(heights, key=heights.get):
        last = placed[name] = max(heights[name], last + gap)
    return placed


def end_names(
    rows: str, x: Mapping, y: Mapping, color: altair.Color | None = None, dx: int = 5
) -> altair.Chart:
    """The names of lines, right of their ends.

    Args:
        rows: the table with the columns `name`, `end` and `height`.
        x, y: options of the axes.
        color: its encoding; by default the column `ink` holds each name's colour.
        dx: distance from the end in pixels.
    """
    ink = altair.Color("ink:N", scale=None) if color is None else color
    across, up = altair.X("end:Q", **x), altair.Y("height:Q", **y)
    names = altair.Chart(table(rows)).mark_text(align="left", dx=dx)
    return names.encode(across, up, ink, text="name:N")


def circle(every: int = 5) -> Tensor:
    """Points of the unit circle, every so many degrees, from the first back to it: (n, 2).

    >>> circle(90).round().tolist()
    [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [-0.0, -1.0], [1.0, -0.0]]
    """
    turns = torch.arange(0, 361, every, dtype=torch.float64).deg2rad()
    return torch.stack([turns.cos(), turns.sin()], 1)


def level_lines(problem: BoxQuadratic, levels: Sequence[float]) -> list[dict]:
    """The ellipses on which a loss of two variables has these values, a row each.

    In the direction u, |u| = 1, the loss is ℓ at c + u √(2ℓ / uᵀHu).
    """
    around = circle()
    heights = (around @ problem.hessian * around).sum(1)
    rows = []
    for level in levels:
        x, y = (problem.center + (2 * level / heights).sqrt()[:, None] * around).T.tolist()
        place = list(range(len(around)))
        rows.append({"level": level, "place": place, "level_x": x, "level_y": y})
    return rows


def contours(at: Callable[[str, str], tuple[altair.X, altair.Y]]) -> altair.Chart:
    """The table `levels`, made by `level_lines`, in the plane whose axes `at` gives."""
    return (
        altair.Chart(table("levels"))
        .mark_line(color="#999999", strokeWidth=1, clip=True)
        .encode(*at("level_x", "level_y"), detail="level:N", order="place:Q")
    )
