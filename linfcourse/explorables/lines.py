"""Lines in the colours and dashes of the course's figures, with their names at their ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import altair

from linfcourse.figures import STYLES

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
