"""Chapter 12: Frank–Wolfe on a ball, step by step: the iterate, the vertex, and the gap."""

from __future__ import annotations

import functools
import math

import altair
import torch
from torch import Tensor

from linfcourse.explorables.lines import apart, circle, contours, end_names, level_lines
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK, STYLES
from linfcourse.frank_wolfe import frank_wolfe, frank_wolfe_gap, open_loop_step
from linfcourse.models import BoxQuadratic
from linfcourse.norms import L1, L2, LInf, Norm

STEPS = 30
START = (-0.7, -0.6)
NORMS: dict[str, Norm] = {"ℓ∞, a square": LInf(), "ℓ2, a disc": L2(), "ℓ1, a diamond": L1()}
SIZES = {
    "2/(t + 2)": open_loop_step,
    "0.5, constant": 0.5,
    "0.25, constant": 0.25,
    "0.1, constant": 0.1,
}
CONTROLS = (
    Control("ball", "ball", tuple(NORMS), "ℓ∞, a square"),
    Control("size", "step size γ", tuple(SIZES), "0.25, constant"),
    Control("t", "step t", tuple(range(STEPS + 1)), 8),
)
FLOOR, CEILING = 1e-5, 20.0  # of the axis of the gap
GAP, LEFT = STYLES["rotated_adam"].color, STYLES["adam"].color


def loss() -> BoxQuadratic:
    """The chapter's valley; its lowest point lies to the right of the balls."""
    H = torch.tensor([[2.0, 0.5], [0.5, 1.2]], dtype=torch.float64)
    return BoxQuadratic(H, torch.tensor([1.8, -0.1], dtype=torch.float64))


def rim(norm: Norm, points: Tensor) -> Tensor:
    """Points of the plane, (n, 2), pulled to the ball's edge."""
    return points / torch.stack([norm(point) for point in points])[:, None]


@functools.cache
def best(ball: str) -> Tensor:
    """The point of the ball where the loss is least: on its edge, found by ever finer search."""
    low, high = -math.pi / 2, math.pi / 2
    for _ in range(12):
        turns = torch.linspace(low, high, 201, dtype=torch.float64)
        points = rim(NORMS[ball], torch.stack([turns.cos(), turns.sin()], 1))
        k = int(loss().loss(points).argmin())
        low, high = turns[max(k - 1, 0)].item(), turns[min(k + 1, 200)].item()
    return points[k]


@functools.cache
def way(ball: str, size: str) -> Tensor:
    """The points that Frank–Wolfe visits, (STEPS + 1, 2)."""
    return frank_wolfe(
        loss().gradient,
        torch.tensor(START, dtype=torch.float64),
        NORMS[ball],
        radius=1.0,
        steps=STEPS,
        step_size=SIZES[size],
    )


def shown(value: float) -> float:
    """A value, or the edge of the axis if it lies beyond."""
    return min(max(value, FLOOR), CEILING)


def gap_at(ball: str, x: Tensor) -> float:
    """The Frank–Wolfe gap."""
    return shown(frank_wolfe_gap(x, loss().gradient(x), 1.0, NORMS[ball]))


def left_at(ball: str, x: Tensor) -> float:
    """What is left of the loss, on the ball."""
    return shown((loss().loss(x) - loss().loss(best(ball))).item())


def edge(ball: str) -> list[dict]:
    """The ball's outline, and its best point."""
    outline = {
        "ℓ∞, a square": torch.tensor([[1.0, 1], [-1, 1], [-1, -1], [1, -1], [1, 1]]),
        "ℓ2, a disc": circle(),
        "ℓ1, a diamond": torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1], [1, 0]]),
    }[ball]
    return [
        {
            "corner": list(range(len(outline))),
            "edge_x": outline[:, 0].tolist(),
            "edge_y": outline[:, 1].tolist(),
        }
    ]


def star(ball: str) -> list[dict]:
    """The least loss on the ball."""
    x, y = best(ball).tolist()
    return [{"best_x": x, "best_y": y}]


def path(ball: str, size: str) -> list[dict]:
    """The whole path, with gap and what is left at every step."""
    points = way(ball, size)
    return [
        {
            "step": list(range(STEPS + 1)),
            "x": points[:, 0].tolist(),
            "y": points[:, 1].tolist(),
            "gap": [gap_at(ball, x) for x in points],
            "left": [left_at(ball, x) for x in points],
        }
    ]


def here(ball: str, size: str, t: int) -> list[dict]:
    """The iterate, the vertex that the oracle names there, the gap and what is left."""
    x = way(ball, size)[t]
    vertex = NORMS[ball].lmo(loss().gradient(x))
    return [
        {
            "now_x": x[0].item(), "now_y": x[1].item(),
            "vertex_x": vertex[0].item(), "vertex_y": vertex[1].item(),
            "gap_now": gap_at(ball, x), "left_now": left_at(ball, x),
        }
    ]  # fmt: skip


def names(ball: str, size: str) -> list[dict]:
    """Where the names of the two curves stand."""
    last = way(ball, size)[-1]
    heights = {"gap": gap_at(ball, last), "left": left_at(ball, last)}
    placed = apart({name: math.log10(value) for name, value in heights.items()}, 0.5)
    return [
        {"name": name, "end": STEPS, "height": 10**height, "ink": GAP if name == "gap" else LEFT}
        for name, height in placed.items()
    ]


def levels() -> list[dict]:
    """Level lines of the loss around its lowest point."""
    return level_lines(loss(), (0.1, 0.4, 1.0, 2.0, 3.5, 6.0))


TABLES = {
    "path": path, "here": here, "edge": edge, "star": star, "names": names, "levels": levels,
}  # fmt: skip


def charts() -> list[altair.TopLevelMixin]:
    """The plane with the ball and the path; gap and what is left against the step."""
    across = {"scale": altair.Scale(domain=[-1.3, 2.1], nice=False), "axis": None}
    up = {"scale": altair.Scale(domain=[-1.5, 1.5], nice=False), "axis": None}

    def at(x: str, y: str) -> tuple[altair.X, altair.Y]:
        return altair.X(f"{x}:Q", **across), altair.Y(f"{y}:Q", **up)

    outline = (
        altair.Chart(table("edge"))
        .mark_line(color=INK, fill="#888888", fillOpacity=0.12)
        .encode(*at("edge_x", "edge_y"), order="corner:Q")
    )
    whole = altair.Chart(table("path"))
    faint = whole.mark_line(color=GAP, opacity=0.25).encode(*at("x", "y"), order="step:Q")
    so_far = (
        whole.transform_filter("datum.step <= t")
        .mark_line(color=GAP, point={"color": GAP, "size": 22, "filled": True})
        .encode(*at("x", "y"), order="step:Q")
    )
    target = (
        altair.Chart(table("star"))
        .mark_point(shape="diamond", filled=True, size=130, color=LEFT, opacity=1)
        .encode(*at("best_x", "best_y"))
    )
    now = altair.Chart(table("here"))
    arrow = now.mark_rule(color=INK, strokeDash=[4, 3]).encode(
        *at("now_x", "now_y"), altair.X2("vertex_x:Q"), altair.Y2("vertex_y:Q")
    )
    vertex = now.mark_point(shape="square", size=110, color=INK, strokeWidth=2).encode(
        *at("vertex_x", "vertex_y")
    )
    dot = now.mark_point(filled=True, size=100, color=GAP, opacity=1).encode(*at("now_x", "now_y"))
    plane = altair.layer(contours(at), outline, target, faint, so_far, arrow, vertex, dot)

    x = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 37], nice=False),
        "axis": altair.Axis(values=[0, 10, 20, 30]),
    }
    y = {
        "title": "in units of the loss",
        "scale": altair.Scale(type="log", domain=[FLOOR, CEILING], nice=False),
        "axis": altair.Axis(values=[1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10], format="~g"),
    }
    curves = [
        whole.mark_line(color=color, strokeDash=dash).encode(
            altair.X("step:Q", **x), altair.Y(f"{column}:Q", **y)
        )
        for column, color, dash in (("gap", GAP, [10, 3]), ("left", LEFT, [1, 0]))
    ]
    dots = [
        now.mark_point(filled=True, size=90, color=color, opacity=1).encode(
            altair.X("t:Q", **x), altair.Y(f"{column}:Q", **y)
        )
        for column, color in (("gap_now", GAP), ("left_now", LEFT))
    ]
    labels = end_names("names", x, y, dx=6)
    return [
        plane.properties(width=310, height=273),
        altair.layer(*curves, *dots, labels).properties(width="container", height=240),
    ]


CAPTION = """
Step forward: the oracle names a vertex (square), and the iterate goes the part γ of the way there.
On the square the best point (diamond) lies between two corners, and with a constant γ the iterate
hops between them for ever: the gap stops falling, at a height that γ sets. With 2/(t + 2) it goes
on falling. On the disc every point of the rim can be a vertex. Watch that what is left of the loss
never passes the gap, which one can compute without knowing the best point.
"""
ALT = """
Level lines of a loss whose lowest point lies to the right of a ball, a path inside the ball, and a
dashed line from the present iterate to the vertex that the oracle names; beside it the Frank–Wolfe
gap and what is left of the loss, against the step on a logarithmic axis, the latter always below.
On the square the path zigzags between two corners. With a constant step size both curves level
off, the lower the smaller the step size; with the shrinking one they keep falling.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
