"""Chapter 5: Adam's knobs and its learning rate in a narrow valley that can be turned."""

from __future__ import annotations

import math

import altair
import torch

from linfcourse import optim
from linfcourse.explorables.lines import apart, end_names, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK
from linfcourse.models import narrow_valley

CONDITION, STEPS = 20.0, 50
START = (-2.03, 0.87)  # no whole number of steps from the lowest point
LEVELS = (0.1, 0.5, 2.0, 6.0)
CONTROLS = (
    Control("beta1", "β₁ (direction)", (0.0, 0.9, 0.95), 0.9),
    Control("beta2", "β₂ (size)", (0.0, 0.9, 0.99, 0.999), 0.99),
    Control("lr", "learning rate", (0.03, 0.1, 0.3), 0.1),
    Control("angle", "valley turned by", (0, 15, 30, 45), 15, ("0°", "15°", "30°", "45°")),
)
NAMES = {"adam": "Adam", "sign": "sign descent"}
FLOOR, CEILING = 1e-8, 1e2  # of the axis of losses


def turned(x: float, y: float, angle: float) -> tuple[float, float]:
    """A point that is turned with the valley."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return c * x - s * y, s * x + c * y


def run(make, angle: float) -> tuple[list, list, list, list]:
    """An optimizer's way down the valley: steps, first weight, second weight, loss."""
    valley = narrow_valley(CONDITION, math.radians(angle), turned(*START, angle))
    optimizer = make(valley.parameters())
    points, losses = [], []
    for step in range(STEPS + 1):
        optimizer.zero_grad()
        loss = valley.loss()
        points.append(valley.x.detach().clone())
        losses.append(min(max(loss.item(), FLOOR), CEILING))
        if step < STEPS:
            loss.backward()
            optimizer.step()
    first, second = torch.stack(points).T.tolist()
    return list(range(STEPS + 1)), first, second, losses


def adam(beta1: float, beta2: float, lr: float, angle: int) -> list[dict]:
    """Adam's way."""
    way = run(lambda params: optim.Adam(params, lr=lr, betas=(beta1, beta2)), angle)
    return [dict(zip(("step", "first", "second", "adam_loss"), way, strict=True))]


def sign(lr: float, angle: int) -> list[dict]:
    """The way of sign descent."""
    way = run(lambda params: optim.SignSGD(params, lr=lr), angle)
    return [dict(zip(("sign_step", "sign_first", "sign_second", "sign_loss"), way, strict=True))]


def ends(beta1: float, beta2: float, lr: float, angle: int) -> list[dict]:
    """Where the names of the two curves of loss stand."""
    last = {
        "adam": adam(beta1, beta2, lr, angle)[0]["adam_loss"][-1],
        "sign": sign(lr, angle)[0]["sign_loss"][-1],
    }
    placed = apart({name: math.log10(max(loss, 2 * FLOOR)) for name, loss in last.items()}, 0.8)
    return [
        {"method": method, "name": NAMES[method], "end": STEPS, "height": 10**height}
        for method, height in placed.items()
    ]


def levels(angle: int) -> list[dict]:
    """Four level lines of the valley."""
    turns = torch.arange(0, 361, 10, dtype=torch.float64).deg2rad().tolist()
    rows = []
    for level in LEVELS:
        long, wide = math.sqrt(2 * level), math.sqrt(2 * level / CONDITION)
        points = [turned(long * math.cos(t), wide * math.sin(t), angle) for t in turns]
        x, y = zip(*points, strict=True)
        rows.append({"level": level, "corner": list(range(len(turns))), "x": list(x), "y": list(y)})
    return rows


TABLES = {"adam": adam, "sign": sign, "ends": ends, "levels": levels}


def charts() -> list[altair.TopLevelMixin]:
    """The valley with the two paths; the two curves of loss."""
    styles = line_styles(list(NAMES))
    looks = {
        method: {"color": styles["color"], "strokeDash": styles["strokeDash"]} for method in NAMES
    }
    bare = {"scale": altair.Scale(domain=[-2.5, 2.5], nice=False), "axis": None}

    def path(method: str, x: str, y: str, order: str) -> altair.LayerChart:
        chart = altair.Chart(table(method)).transform_calculate(method=f"'{method}'")
        where = {
            "x": altair.X(x, **bare),
            "y": altair.Y(y, **bare),
            "color": looks[method]["color"],
        }
        line = chart.mark_line(clip=True).encode(
            **where, strokeDash=looks[method]["strokeDash"], order=order
        )
        return altair.layer(line, chart.mark_point(filled=True, size=18, clip=True).encode(**where))

    valley = (
        altair.Chart(table("levels"))
        .mark_line(color="#999999", strokeWidth=1, clip=True)
        .encode(
            altair.X("x:Q", **bare), altair.Y("y:Q", **bare), detail="level:N", order="corner:Q"
        )
    )
    lowest = (
        altair.Chart(altair.Data(values=[{"x": 0, "y": 0}]))
        .mark_point(filled=True, size=50, opacity=1, color=INK)
        .encode(altair.X("x:Q", **bare), altair.Y("y:Q", **bare))
    )
    plane = altair.layer(
        valley,
        lowest,
        path("sign", "sign_first:Q", "sign_second:Q", "sign_step:Q"),
        path("adam", "first:Q", "second:Q", "step:Q"),
    ).properties(width=300, height=300)

    x = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 77], nice=False),
        "axis": altair.Axis(values=[0, 10, 20, 30, 40, 50]),
    }
    y = {
        "title": "loss",
        "scale": altair.Scale(type="log", domain=[FLOOR, CEILING], nice=False),
        "axis": altair.Axis(format=".0e", values=[1e-8, 1e-6, 1e-4, 1e-2, 1, 1e2]),
    }

    def curve(method: str, step: str, loss: str) -> altair.Chart:
        chart = altair.Chart(table(method)).transform_calculate(method=f"'{method}'")
        return chart.mark_line().encode(altair.X(step, **x), altair.Y(loss, **y), **looks[method])

    names = end_names("ends", x, y, styles["color"])
    losses = altair.layer(
        curve("sign", "sign_step:Q", "sign_loss:Q"), curve("adam", "step:Q", "adam_loss:Q"), names
    )
    return [plane, losses.properties(width="container", height=250)]


CAPTION = """
Fifty steps of Adam (solid) and of sign descent (dashed) in a valley twenty times as steep across
as along; the black dot is its lowest point. With both betas 0 they are the same. Raise β₂ alone to
0.9: the zigzag goes, and the path comes closer. Raise β₁: it swings. Set β₁ above β₂: single steps
become huge. Then turn the valley to 45°, and look for a setting that gets as low as the best one
at 0°. There is none here.
"""
ALT = """
Left, level lines of a long narrow valley with the paths of Adam and of sign descent, from the same
point. Right, both losses against the step on a logarithmic axis. Along an axis both go straight to
the floor and along it. In a turned valley sign descent gets stuck in a zigzag as wide as its
learning rate. Adam with a long memory of the size comes lower; with a long memory of the direction
it overshoots and swings; with β₁ above β₂ it is thrown out of the picture.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
