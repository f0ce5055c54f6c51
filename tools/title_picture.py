"""Draw the picture of the title page: two methods in a valley, plain and turned.

    python tools/title_picture.py book/_static/two_valleys.svg

The runs are those of the first chapter's first figure. Colours come from the library's styles, and
everything is drawn dark on nothing, so that the book can turn it over for its dark pages.
"""

import math
import sys
from pathlib import Path

import torch

from linfcourse.explorables.front_page import CURVATURE, LEVELS, path
from linfcourse.explorables.front_page import NAMES as METHODS
from linfcourse.figures import INK, STYLES

SIZE, GAP, REACH = 340, 20, 1.75  # pixels a panel, pixels between the two, half a panel's width
TITLES = ("a valley along an axis", "the same valley, turned")
NAMES = (("SGD", "sgd", 10, 112), ("Adam", "adam", 92, 148))  # with the places of their left ends
TURNED_NAMES = (("SGD", "sgd", 456, 290), ("Adam", "adam", 403, 186))


def to_pixels(point: torch.Tensor, left: float) -> tuple[float, float]:
    """Where a point of the plane lies in the picture, whose y axis points down."""
    x, y = (point / REACH).tolist()
    return left + SIZE / 2 * (1 + x), SIZE / 2 * (1 - y)


def polyline(points: torch.Tensor, left: float, method: str) -> list[str]:
    """A path as a line with a dot at each step."""
    color = STYLES[method].color
    at = [to_pixels(point, left) for point in points]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = "".join(f"M{x:.1f},{y:.1f}h0" for x, y in at)
    return [
        f'<polyline points="{corners}" stroke="{color}" stroke-width="1.8"/>',
        f'<path d="{dots}" stroke="{color}" stroke-width="5" stroke-linecap="round"/>',
    ]


def panel(angle: float, left: float, title: str) -> list[str]:
    """One valley with its level lines and the two paths."""
    centre = left + SIZE / 2
    lines = [f'<g clip-path="url(#panel{left})">']
    for level in LEVELS:
        rx, ry = (SIZE / 2 / REACH * math.sqrt(2 * level / c) for c in CURVATURE)
        lines.append(
            f'<ellipse cx="{centre}" cy="{SIZE / 2}" rx="{rx:.1f}" ry="{ry:.1f}" '
            'stroke="#aaa" fill="#0060a0" fill-opacity="0.05" '
            f'transform="rotate({-math.degrees(angle):g} {centre} {SIZE / 2})"/>'
        )
    for method in METHODS:
        lines += polyline(path(method, angle), left, method)
    lines += [
        "</g>",
        f'<circle cx="{centre}" cy="{SIZE / 2}" r="4" fill="{INK}"/>',
        f'<text x="{centre}" y="{SIZE - 8}" text-anchor="middle" fill="{INK}">{title}</text>',
    ]
    clip = (
        f'<clipPath id="panel{left}"><rect x="{left}" width="{SIZE}" height="{SIZE}"/></clipPath>'
    )
    return [clip, *lines]


def picture() -> str:
    """The whole file."""
    width = 2 * SIZE + GAP
    names = [
        f'<text x="{x}" y="{y}" fill="{STYLES[method].color}" font-weight="bold">{name}</text>'
        for name, method, x, y in NAMES + TURNED_NAMES
    ]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {SIZE}" '
            f'width="{width}" height="{SIZE}" fill="none" '
            'font-family="Helvetica, Arial, sans-serif" font-size="19">',
            *panel(0.0, 0, TITLES[0]),
            *panel(math.pi / 4, SIZE + GAP, TITLES[1]),
            *names,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(), encoding="utf-8")
