"""Chapter 17: turn the axes away from a gradient's own, and see what a sign step forgets."""

from __future__ import annotations

import functools
import math

import altair
import torch
from torch import Tensor

from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK, STYLES
from linfcourse.norms import L2, LInf, Norm, Spectral

TURNS = tuple(range(0, 76, 15))
RULERS: dict[str, Norm] = {"gradient": L2(), "sign": LInf(), "spectral": Spectral()}
STROKES = {"gradient": STYLES["sgd"], "sign": STYLES["sign"], "spectral": STYLES["adam"]}
POINTS = 24  # of a circle
CONTROLS = (
    Control("weak", "weak singular value", (0.02, 0.1, 0.3, 0.7), 0.1),
    Control("rows", "rows turned by", TURNS, 0, tuple(f"{turn}°" for turn in TURNS)),
    Control("columns", "columns turned by", TURNS, 0, tuple(f"{turn}°" for turn in TURNS)),
)


def turn(degrees: float) -> Tensor:
    """The rotation by an angle, (2, 2)."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return torch.tensor([[c, -s], [s, c]], dtype=torch.float64)


def gradient(weak: float, rows: int, columns: int) -> Tensor:
    """A matrix with the singular values 1 and `weak`, its own axes turned, (2, 2)."""
    values = torch.diag(torch.tensor([1.0, weak], dtype=torch.float64))
    return turn(rows) @ values @ turn(columns).T


@functools.cache
def step(ruler: str, weak: float, rows: int, columns: int) -> Tensor:
    """Steepest descent's step, without its sign, scaled to the largest singular value 1, (2, 2)."""
    S = -RULERS[ruler].lmo(gradient(weak, rows, columns))
    return S / torch.linalg.matrix_norm(S, 2)


def images(weak: float, rows: int, columns: int) -> list[dict]:
    """What each step makes of the unit circle; the spectral one makes it a circle again."""
    turns = torch.linspace(0, 2 * math.pi, POINTS + 1, dtype=torch.float64)
    circle = torch.stack([turns.cos(), turns.sin()])
    found = []
    for ruler in ("gradient", "sign"):
        x, y = (step(ruler, weak, rows, columns) @ circle).tolist()
        found.append({"ruler": ruler, "corner": list(range(POINTS + 1)), "x": x, "y": y})
    return found


def axes(rows: int) -> list[dict]:
    """The gradient's own directions among the outputs, u₁ and u₂."""
    found = []
    for which, (x, y) in zip(("strong", "weak"), turn(rows).T.tolist(), strict=True):
        row = {"which": which, "from_x": -x, "from_y": -y, "to_x": x, "to_y": y}
        found.append(row | {"name_x": 1.3 * x, "name_y": 1.18 * y})
    return found


def gains(weak: float, rows: int, columns: int) -> list[dict]:
    """How far each step moves along each pair of the gradient's own directions, uₖᵀ S vₖ."""
    left, right = turn(rows), turn(columns)
    found = []
    for ruler in RULERS:
        strong, weakly = (left.T @ step(ruler, weak, rows, columns) @ right).diag().tolist()
        found.append({"ruler": ruler, "strong": strong, "along_weak": weakly})
    return found


TABLES = {"images": images, "axes": axes, "gains": gains}


def charts() -> list[altair.TopLevelMixin]:
    """The unit circle under each step; how far each step moves along the gradient's directions."""
    rulers = list(RULERS)
    color = altair.Color(
        "ruler:N",
        scale=altair.Scale(domain=rulers, range=[STROKES[r].color for r in rulers]),
        legend=None,
    )
    across = {"scale": altair.Scale(domain=[-1.5, 1.5], nice=False), "axis": None}
    own = altair.Chart(table("axes"))
    lines = own.mark_rule(color="#777777", strokeDash=[4, 4]).encode(
        altair.X("from_x:Q", **across),
        altair.Y("from_y:Q", **across),
        altair.X2("to_x:Q"),
        altair.Y2("to_y:Q"),
    )
    labels = own.mark_text(color="#5f5f5f").encode(
        altair.X("name_x:Q", **across), altair.Y("name_y:Q", **across), text="which:N"
    )
    turns = [2 * math.pi * k / 72 for k in range(73)]
    circle = (
        altair.Chart(
            altair.Data(
                values=[
                    {"k": k, "cx": round(math.cos(t), 4), "cy": round(math.sin(t), 4)}
                    for k, t in enumerate(turns)
                ]
            )
        )
        .mark_line(color=STROKES["spectral"].color, strokeWidth=2)
        .encode(altair.X("cx:Q", **across), altair.Y("cy:Q", **across), order="k:Q")
    )
    ellipses = (
        altair.Chart(table("images"))
        .mark_line(strokeWidth=2.5)
        .encode(
            altair.X("x:Q", **across),
            altair.Y("y:Q", **across),
            color,
            altair.StrokeDash(
                "ruler:N",
                scale=altair.Scale(domain=rulers, range=[[10, 3, 2, 3], [6, 2], [1, 0]]),
                legend=None,
            ),
            order="corner:Q",
        )
    )
    which = altair.X("ruler:N", sort=rulers, title=None, axis=altair.Axis(labelAngle=0))
    size = altair.Y(
        "along_weak:Q",
        title="moved along the gradient's directions",
        scale=altair.Scale(domain=[-0.6, 1.1], nice=False),
    )
    moved = altair.Chart(table("gains")).encode(which, color)
    bars = moved.mark_bar(width=26).encode(size)
    ticks = moved.mark_tick(thickness=3, width=40).encode(
        altair.Y("strong:Q", scale=altair.Scale(domain=[-0.6, 1.1], nice=False))
    )
    zero = altair.Chart(altair.Data(values=[{"zero": 0}])).mark_rule(color=INK).encode(y="zero:Q")
    return [
        altair.layer(lines, labels, circle, ellipses).properties(width=280, height=280),
        altair.layer(bars, ticks, zero).properties(width="container", height=250),
    ]


CAPTION = """
A 2 × 2 gradient with the singular values one, its strong direction, and a small one, its weak
direction; and what three steps make of the unit circle:
the gradient itself, its sign, and the spectral step, solid, which is always a circle. Beside it how
far each moves along the strong direction (tick) and along the weak one (bar). Each is scaled to the
largest singular value one. At first the axes are the gradient's own, and sign and spectral step are
one. Turn the rows: the sign step is still a circle. Now turn the columns as well, and see what is
left of the weak direction; find a turn at which the sign step moves it the wrong way.
"""
ALT = """
Three images of the unit circle around the gradient's two directions, and bars for how far each
step moves along them. The spectral step's image is the circle, and both its movements are one, for
every turn. The gradient's is a narrow ellipse along the strong direction. The sign step's is a
circle when only the rows or only the columns are turned; with both turned and a weak direction
that is weak enough it is a line, the bar for the weak direction is near zero, and below zero when
one of the two is turned by less than 45 degrees and the other by more.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
