"""Chapter 2: turn a gradient, and bend the ball on which the steepest step of length one lies."""

from __future__ import annotations

import math

import altair
import torch
from torch import Tensor

from linfcourse.explorables.lines import circle
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK, STYLES
from linfcourse.norms import L1, L2, LInf, Norm

BALL, STEP = STYLES["adam"].color, STYLES["rotated_adam"].color
LENGTH = 1.3  # of the gradient
ANGLES = tuple(range(0, 361, 5))
CONTROLS = (
    Control("angle", "direction of the gradient", ANGLES, 20, tuple(f"{a}°" for a in ANGLES)),
    # By 1/p, which is finite.
    Control("q", "the ruler ℓp: p", (1.0, 0.8, 0.67, 0.5, 0.33, 0.2, 0.1, 0.0), 0.0,
            ("1", "1.25", "1.5", "2", "3", "5", "10", "∞")),
)  # fmt: skip


class LP(Norm):
    """‖s‖ₚ for 1 < p < ∞, given q = 1/p; its dual is the norm with 1/r = 1 − q.

    The oracle is Hölder's case of equality, sᵢ = −sign(gᵢ) (|gᵢ| / ‖g‖ᵣ)^(r−1).

    >>> g = torch.tensor([3.0, -4.0])
    >>> LP(0.5)(g), LP(0.5).lmo(g)
    (tensor(5.), tensor([-0.6000,  0.8000]))
    """

    def __init__(self, q: float) -> None:
        self.p, self.r = 1 / q, 1 / (1 - q)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x, self.p)

    def dual(self, g: Tensor) -> Tensor:
        return torch.linalg.vector_norm(g, self.r)

    def lmo(self, g: Tensor) -> Tensor:
        return -g.sign() * (g.abs() / self.dual(g)) ** (self.r - 1)


def ruler(q: float) -> Norm:
    """The norm ℓp with p = 1/q."""
    return {1.0: L1(), 0.5: L2(), 0.0: LInf()}.get(q) or LP(q)


def gradient(angle: float) -> Tensor:
    """The gradient in this direction (degrees), (2,)."""
    g = [LENGTH * math.cos(math.radians(angle)), LENGTH * math.sin(math.radians(angle))]
    # On an axis: an entry that is rounding only would have a sign.
    return torch.tensor([round(x, 9) for x in g], dtype=torch.float64)


def ball(q: float) -> list[dict]:
    """The outline of the unit ball."""
    norm = ruler(q)
    points = torch.stack([ray / norm(ray) for ray in circle()])
    corners = list(range(len(points)))
    return [{"corner": corners, "ball_x": points[:, 0].tolist(), "ball_y": points[:, 1].tolist()}]


def step(angle: float, q: float) -> list[dict]:
    """The gradient, the steepest step, the level line through its tip, and how far down it goes."""
    g, norm = gradient(angle), ruler(q)
    s = norm.lmo(g)
    across = 3 * torch.stack([-g[1], g[0]])
    left, right = (s - across).tolist(), (s + across).tolist()
    return [
        {
            "gx": g[0].item(), "gy": g[1].item(), "sx": s[0].item(), "sy": s[1].item(),
            "left": left[0], "bottom": left[1], "right": right[0], "top": right[1],
            # Vega turns clockwise from a triangle that points up.
            "turn": math.degrees(math.atan2(s[0].item(), s[1].item())),
            "down": norm.dual(g).item(),
        }
    ]  # fmt: skip


def depth(q: float) -> list[dict]:
    """The dual norm for every direction of the gradient."""
    reached = [ruler(q).dual(gradient(angle)).item() for angle in ANGLES]
    return [{"direction": list(ANGLES), "reached": reached}]


TABLES = {"ball": ball, "step": step, "depth": depth}


def charts() -> list[altair.TopLevelMixin]:
    """The plane with ball, gradient and step; and the dual norm against the direction."""
    frame = altair.Scale(domain=[-1.6, 1.6])
    bare = {"scale": frame, "axis": None}
    outline = (
        altair.Chart(table("ball"))
        .mark_line(color=BALL, fill=BALL, fillOpacity=0.12)
        .encode(altair.X("ball_x:Q", **bare), altair.Y("ball_y:Q", **bare), order="corner:Q")
    )
    now = altair.Chart(table("step"))
    level = now.mark_rule(color="#888888", clip=True).encode(
        altair.X("left:Q", **bare), altair.Y("bottom:Q", **bare), x2="right:Q", y2="top:Q"
    )
    start = {"x2": altair.datum(0), "y2": altair.datum(0)}
    g = now.mark_rule(color=INK, strokeDash=[5, 4], strokeWidth=1.5).encode(
        altair.X("gx:Q", **bare), altair.Y("gy:Q", **bare), **start
    )
    g_name = now.mark_text(text="g", dx=9, dy=-9, fontSize=15, fontStyle="italic").encode(
        altair.X("gx:Q", **bare), altair.Y("gy:Q", **bare)
    )
    at_tip = {"x": altair.X("sx:Q", **bare), "y": altair.Y("sy:Q", **bare)}
    s = now.mark_rule(color=STEP, strokeWidth=3).encode(**at_tip, **start)
    tip = now.mark_point(shape="triangle", filled=True, size=140, opacity=1, color=STEP).encode(
        **at_tip, angle=altair.Angle("turn:Q", scale=None)
    )
    plane = altair.layer(outline, level, g, g_name, s, tip).properties(width=290, height=290)

    direction = altair.X(
        "direction:Q",
        title="direction of the gradient (degrees)",
        scale=altair.Scale(domain=[0, 360], nice=False),
        axis=altair.Axis(values=[0, 90, 180, 270, 360]),
    )
    heights = altair.Scale(domain=[0.8, 2.0])
    curve = (
        altair.Chart(table("depth"))
        .mark_line(color=BALL)
        .encode(direction, altair.Y("reached:Q", scale=heights, title="the step goes down by"))
    )
    here = now.encode(
        altair.X("angle:Q"), altair.Y("down:Q", scale=heights, title="the step goes down by")
    )
    dot = here.mark_point(filled=True, size=110, opacity=1, color=STEP)
    number = here.mark_text(dy=-15, color=STEP, fontWeight="bold").encode(
        text=altair.Text("down:Q", format=".2f")
    )
    return [
        plane,
        altair.layer(curve, dot, number).properties(width="container", height=230),
    ]


CAPTION = """
Turn the gradient (dashed) with p = ∞: the steepest step sits in a corner, waits there for a
quarter of a turn, and jumps to the next corner. With p = 2 it turns along. In between, watch the
corner become a bend. The curve: how far down a step of length one goes, which is the dual norm of
the gradient. The rounder the ball, the less it matters where the gradient points.
"""
ALT = """
Left, a unit ball in the plane with a gradient and the steepest step, which ends where the lowest
level line touches the ball. Right, the dual norm of the gradient against its direction. With p = ∞
the ball is a square and the step ends in one of its corners, the same one for all directions
within a quadrant; the curve has four humps, at the diagonals. With p = 2 the ball is a circle, the
step points opposite to the gradient, and the curve is flat. With p = 1 the ball is a diamond, the
step goes along one axis, and the curve peaks where the gradient lies on an axis.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
