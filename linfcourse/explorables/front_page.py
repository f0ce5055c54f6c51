"""The front page: one valley, turned under SGD and Adam. The still picture draws the same runs."""

from __future__ import annotations

import functools
import math

import altair
import torch
from torch import Tensor

from linfcourse import optim
from linfcourse.explorables.lines import apart, circle, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK

CURVATURE = (1.0, 100.0)
START = (-1.5, 0.35)
STEPS = 24
MAKERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.018),
    "adam": lambda params: optim.Adam(params, lr=0.15, betas=(0.0, 0.9)),
}
NAMES = {"sgd": "SGD", "adam": "Adam"}
LEVELS = (16, 7.5, 2.6, 0.5)  # of the loss: the ellipses
ANGLES = tuple(range(0, 91, 5))
CONTROLS = (Control("angle", "turn the valley", ANGLES, 0, tuple(f"{a}°" for a in ANGLES)),)


def turn(angle: float) -> Tensor:
    """The rotation by an angle in radians, (2, 2)."""
    c, s = math.cos(angle), math.sin(angle)
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


@functools.cache
def path(method: str, angle: float) -> Tensor:
    """The points that a method visits, (STEPS + 1, 2), in the valley turned by `angle` radians."""
    R, curvature = turn(angle), torch.tensor(CURVATURE, dtype=torch.float64)
    x = (R @ torch.tensor(START, dtype=torch.float64)).requires_grad_()
    optimizer = MAKERS[method]([x])
    points = [x.detach().clone()]
    for _ in range(STEPS):
        optimizer.zero_grad()
        (0.5 * (curvature * (R.T @ x) ** 2).sum()).backward()
        optimizer.step()
        points.append(x.detach().clone())
    return torch.stack(points)


def left(method: str, angle: int) -> float:
    """The distance from the lowest point after the last step."""
    return path(method, math.radians(angle))[-1].norm().item()


def paths(angle: int) -> list[dict]:
    """Both paths."""
    rows = []
    for method in NAMES:
        x, y = path(method, math.radians(angle)).T.tolist()
        rows.append({"method": method, "step": list(range(STEPS + 1)), "x": x, "y": y})
    return rows


def valley(angle: int) -> list[dict]:
    """Four level lines."""
    around, rows = circle(10), []
    for level in LEVELS:
        radii = torch.tensor([math.sqrt(2 * level / c) for c in CURVATURE], dtype=torch.float64)
        x, y = ((around * radii) @ turn(math.radians(angle)).T).T.tolist()
        rows.append({"level": level, "corner": list(range(len(x))), "level_x": x, "level_y": y})
    return rows


def distances() -> list[dict]:
    """How far each method still is from the lowest point, for every angle."""
    return [
        {
            "method": method,
            "degrees": list(ANGLES),
            "distance": [left(method, angle) for angle in ANGLES],
        }
        for method in NAMES
    ]


def here(angle: int) -> list[dict]:
    """The same at this angle, and where the names stand."""
    found = {method: left(method, angle) for method in NAMES}
    placed = apart(found, 0.12)
    return [
        {"method": method, "name": NAMES[method], "now": found[method], "height": placed[method]}
        for method in NAMES
    ]


TABLES = {"paths": paths, "valley": valley, "distances": distances, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """The valley with both paths; the distance that is left against the angle."""
    styles = line_styles(list(NAMES))
    bare = {"scale": altair.Scale(domain=[-1.9, 1.9], nice=False), "axis": None}
    levels = (
        altair.Chart(table("valley"))
        .mark_line(color="#aaaaaa", strokeWidth=1, fill="#0060a0", fillOpacity=0.05, clip=True)
        .encode(
            altair.X("level_x:Q", **bare),
            altair.Y("level_y:Q", **bare),
            detail="level:N",
            order="corner:Q",
        )
    )
    lowest = (
        altair.Chart(altair.Data(values=[{"x": 0, "y": 0}]))
        .mark_point(filled=True, size=45, color=INK, opacity=1)
        .encode(altair.X("x:Q", **bare), altair.Y("y:Q", **bare))
    )
    walk = altair.Chart(table("paths")).encode(
        altair.X("x:Q", **bare), altair.Y("y:Q", **bare), styles["color"]
    )
    plane = altair.layer(
        levels,
        lowest,
        walk.mark_line(strokeWidth=1.8, clip=True).encode(order="step:Q"),
        walk.mark_point(filled=True, size=22, opacity=1, clip=True),
    )
    x = {
        "title": "the valley, turned by (degrees)",
        "scale": altair.Scale(domain=[0, 112], nice=False),
        "axis": altair.Axis(values=[0, 30, 45, 60, 90]),
    }
    y = {
        "title": "distance left after 24 steps",
        "scale": altair.Scale(domain=[0, 1.2], nice=False),
    }
    lines = (
        altair.Chart(table("distances"))
        .mark_line()
        .encode(altair.X("degrees:Q", **x), altair.Y("distance:Q", **y), **styles)
    )
    now = altair.Chart(table("here")).encode(altair.X("angle:Q", **x), styles["color"])
    dots = now.mark_point(filled=True, size=100, opacity=1).encode(altair.Y("now:Q", **y))
    names = now.mark_text(align="left", dx=8, dy=-9, fontWeight="bold").encode(
        altair.Y("height:Q", **y), text="name:N"
    )
    return [
        plane.properties(width=310, height=310),
        altair.layer(lines, dots, names).properties(width="container", height=240),
    ]


CAPTION = """
Twenty-four steps of SGD and of Adam down the same valley (the lone dot is its lowest point). Turn
it. SGD takes the same path, turned, and ends as far from the dot as before. Adam loses its way.
"""
ALT = """
A long narrow valley seen from above with the paths of SGD and of Adam from the same starting
point, and the distance that is left after the last step against the angle of the valley. Along an
axis SGD bounces from wall to wall and creeps, and Adam walks straight to the lowest point. As the
valley turns, SGD's path turns with it and its distance is a horizontal line. Adam's path begins to
bounce, and its distance grows; it is small again only where the valley lies along the other axis.
"""


def figure() -> Explorable:
    """The front page's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
