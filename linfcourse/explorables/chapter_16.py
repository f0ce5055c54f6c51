"""Chapter 16: turn the data, and see whose line turns along; margins in two rulers."""

from __future__ import annotations

import functools
import math

import altair
import torch
from torch import Tensor

from linfcourse.experiments.margins_problem import margin
from linfcourse.explorables.lines import apart, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK
from linfcourse.norms import L2, LInf, Norm
from linfcourse.optim import Adam, SteepestDescent

POINTS = ((1.2, 0.2), (1.5, 0.7), (2.3, 0.3), (1.9, 1.3))  # the chapter's; −points: other class
LR = 0.3  # divided by the root of the step, as in the chapter
MARKS = (1, 3, 10, 30, 100, 300, 1000)
ANGLES = tuple(7.5 * k for k in range(13))
NAMES = {"sgd": "gradient descent", "sign": "sign descent", "adam": "Adam"}
MAKERS = {
    "sgd": lambda W: SteepestDescent([W], lr=LR, norm=L2()),
    "sign": lambda W: SteepestDescent([W], lr=LR, norm=LInf()),
    "adam": lambda W: Adam([W], lr=LR, betas=(0.9, 0.95), eps=1e-300),
}
RULERS: dict[str, Norm] = {"ℓ2": L2(), "ℓ∞": LInf()}
CONTROLS = (
    Control("angle", "the data, turned by", ANGLES, 0.0, tuple(f"{angle:g}°" for angle in ANGLES)),
    Control("steps", "after steps", MARKS, 1000),
    Control("ruler", "margin measured in", tuple(RULERS), "ℓ∞"),
)


def data(angle: float) -> Tensor:
    """The points of the first class, turned, (4, 2)."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return torch.tensor(POINTS, dtype=torch.float64) @ turn.T


@functools.cache
def weights(method: str, angle: float) -> dict[int, Tensor]:
    """The classifier's weights after each of MARKS, (1, 2)."""
    Z = data(angle)[:, None, :]
    W = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    optimizer, found = MAKERS[method](W), {}
    for step in range(1, MARKS[-1] + 1):
        optimizer.param_groups[0]["lr"] = LR / math.sqrt(step)
        p = torch.exp(-torch.einsum("ikd,kd->i", Z, W.detach()))
        W.grad = -torch.einsum("i,ikd->kd", p, Z) / len(Z)  # of the mean exponential loss
        optimizer.step()
        if step in MARKS:
            found[step] = W.detach().clone()
    return found


@functools.cache
def largest(angle: float, ruler: str) -> float:
    """The largest margin that a direction of the plane has, by ever finer search."""
    Z, low, high = data(angle)[:, None, :], 0.0, 2 * math.pi
    for _ in range(8):
        turns = torch.linspace(low, high, 181, dtype=torch.float64).tolist()
        margins = [
            margin(
                torch.tensor([[math.cos(a), math.sin(a)]], dtype=torch.float64), Z, RULERS[ruler]
            )
            for a in turns
        ]
        best = max(margins)
        k = margins.index(best)
        low, high = turns[max(k - 1, 0)], turns[min(k + 1, 180)]
    return best


def points(angle: float) -> list[dict]:
    """Both classes."""
    first = data(angle)
    return [
        {"kind": kind, "x": x, "y": y}
        for kind, part in (("first", first), ("second", -first))
        for x, y in part.tolist()
    ]


def lines(angle: float, steps: int) -> list[dict]:
    """Where each classifier is undecided."""
    rows = []
    for method in NAMES:
        w = weights(method, angle)[steps][0]
        along = 4 * torch.stack([-w[1], w[0]]) / w.norm()
        x, y = along.tolist()
        rows.append({"method": method, "from_x": -x, "from_y": -y, "to_x": x, "to_y": y})
    return rows


def highest(ruler: str) -> list[dict]:
    """The largest margin for every angle."""
    return [{"degrees": list(ANGLES), "largest": [largest(angle, ruler) for angle in ANGLES]}]


def reached(angle: float, steps: int, ruler: str) -> list[dict]:
    """The margin of each classifier, below zero if it does not separate; and its name's place."""
    Z = data(angle)[:, None, :]
    found = {m: margin(weights(m, angle)[steps], Z, RULERS[ruler]) for m in NAMES}
    placed = apart(found, 0.08)
    return [
        {"method": method, "name": NAMES[method], "margin": found[method], "height": placed[method]}
        for method in NAMES
    ]


TABLES = {"lines": lines, "points": points, "highest": highest, "reached": reached}


def charts() -> list[altair.TopLevelMixin]:
    """The plane with data and lines; margins against the angle."""
    styles = line_styles(list(NAMES))
    bare = {"scale": altair.Scale(domain=[-2.8, 2.8], nice=False), "axis": None}
    dots = (
        altair.Chart(table("points"))
        .mark_point(size=90, color=INK, strokeWidth=2, opacity=1)
        .encode(
            altair.X("x:Q", **bare),
            altair.Y("y:Q", **bare),
            altair.Shape(
                "kind:N",
                scale=altair.Scale(domain=["first", "second"], range=["circle", "cross"]),
                legend=None,
            ),
        )
    )
    rules = (
        altair.Chart(table("lines"))
        .mark_rule(strokeWidth=2, clip=True)
        .encode(
            altair.X("from_x:Q", **bare),
            altair.Y("from_y:Q", **bare),
            altair.X2("to_x:Q"),
            altair.Y2("to_y:Q"),
            **styles,
        )
    )
    x = {
        "title": "the data, turned by (degrees)",
        "scale": altair.Scale(domain=[0, 150], nice=False),
        "axis": altair.Axis(values=[0, 30, 60, 90]),
    }
    y = {"title": "margin", "scale": altair.Scale(domain=[0.6, 1.9], nice=False)}
    curve = (
        altair.Chart(table("highest"))
        .mark_line(color="#777777")
        .encode(altair.X("degrees:Q", **x), altair.Y("largest:Q", **y))
    )
    now = altair.Chart(table("reached")).encode(styles["color"])
    marks = now.mark_point(filled=True, size=80, opacity=0.9, clip=True).encode(
        altair.X("angle:Q", **x), altair.Y("margin:Q", **y)
    )
    names = now.mark_text(align="left", dx=9, clip=True).encode(
        altair.X("angle:Q", **x), altair.Y("height:Q", **y), text="name:N"
    )
    return [
        altair.layer(dots, rules).properties(width=280, height=280),
        altair.layer(curve, marks, names).properties(width="container", height=240),
    ]


CAPTION = """
Two classes, circles and crosses, and the lines on which three classifiers are undecided. Turn the
data: gradient descent's line turns along, stiffly, and those of sign descent and Adam do not. The
grey curve is the largest margin there is. Measured in ℓ∞, sign descent and Adam reach it, or
nearly, wherever the data are turned, and gradient descent falls short; measured in ℓ2, it is the
other way round. Then go back to a few steps, and see how long the directions take to settle.
"""
ALT = """
The plane with four circles, four crosses and three lines through the origin, and the margin of the
three classifiers against the angle of the data, with the largest possible margin as a curve. The
line of gradient descent keeps its place among the points as they turn. Those of sign descent and
Adam nearly coincide and jump to another place as the data turn. In l-infinity the largest margin
depends on the angle, and sign descent and Adam lie on it; in l2 it does not, and gradient descent
lies on it.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
