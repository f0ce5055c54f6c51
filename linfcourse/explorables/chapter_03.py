"""Chapter 3: turn a quadratic of two variables, bend it into a saddle; three constants of it."""

from __future__ import annotations

import math

import altair
import torch
from torch import Tensor

from linfcourse.explorables.lines import apart, circle, end_names
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import STYLES
from linfcourse.hessian.linf_constant import exact_linf_constant

STEEP = 10.0  # the larger curvature
ANGLES = tuple(4.5 * k for k in range(21))
CONTROLS = (
    Control("angle", "turned by", ANGLES, 31.5, tuple(f"{angle:g}°" for angle in ANGLES)),
    Control("flat", "second curvature", (-10.0, -5.0, 0.0, 1.0, 3.0, 6.0, 10.0), 1.0,
            ("−10", "−5", "0", "1", "3", "6", "10")),
)  # fmt: skip
NAMES = {"norm_11": "(1,1)-norm", "sharp": "sharp ℓ∞", "d_spectral": "d‖H‖₂"}
STYLE = {"norm_11": STYLES["adam"], "sharp": STYLES["sign"], "d_spectral": STYLES["sgd"]}
DASHES = {"norm_11": [1, 0], "sharp": [6, 3], "d_spectral": [12, 3, 2, 3]}
AROUND = circle()
OUTSIDE = 2.5  # a radius that no picture reaches


def hessian(angle: float, flat: float) -> Tensor:
    """diag(flat, STEEP), turned by an angle in degrees, (2, 2)."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    R = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    H = R @ torch.diag(torch.tensor([flat, STEEP], dtype=torch.float64)) @ R.T
    return (H + H.T) / 2


def constants(angle: float, flat: float) -> dict[str, float]:
    """The (1,1)-norm, the sharp ℓ∞ constant, and d times the spectral norm."""
    H = hessian(angle, flat)
    return {
        "norm_11": H.abs().sum().item(),
        "sharp": exact_linf_constant(H),
        "d_spectral": len(H) * torch.linalg.matrix_norm(H, 2).item(),
    }


def level(angle: float, flat: float) -> list[dict]:
    """The line on which |sᵀHs| is the spectral norm: it touches the circle of length one."""
    H = hessian(angle, flat)
    heights = ((AROUND @ H) * AROUND).sum(1).abs()
    radius = (torch.linalg.matrix_norm(H, 2) / heights).sqrt().clamp(max=OUTSIDE)
    points = radius[:, None] * AROUND
    corner = list(range(len(points)))
    return [{"corner": corner, "level_x": points[:, 0].tolist(), "level_y": points[:, 1].tolist()}]


def balls() -> list[dict]:
    """The unit balls of ℓ2 and ℓ∞."""
    square = AROUND / AROUND.abs().amax(1, keepdim=True)
    corner = list(range(len(AROUND)))
    return [
        {"ball": name, "place": corner, "x": points[:, 0].tolist(), "y": points[:, 1].tolist()}
        for name, points in (("ℓ2", AROUND), ("ℓ∞", square))
    ]


def curves(flat: float) -> list[dict]:
    """The three constants for every angle."""
    values = [constants(angle, flat) for angle in ANGLES]
    return [
        {"constant": name, "degrees": list(ANGLES), "value": [v[name] for v in values]}
        for name in NAMES
    ]


def names(flat: float) -> list[dict]:
    """Where the names of the curves stand, at their right ends."""
    placed = apart(constants(ANGLES[-1], flat), 2.2)
    return [
        {"constant": name, "name": NAMES[name], "end": ANGLES[-1], "height": placed[name]}
        for name in NAMES
    ]


def here(angle: float, flat: float) -> list[dict]:
    """The three constants now."""
    return [{"constant": name, "now": value} for name, value in constants(angle, flat).items()]


TABLES = {"level": level, "balls": balls, "curves": curves, "names": names, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """The plane with the two balls and a level line; the constants against the angle."""
    bare = {"scale": altair.Scale(domain=[-1.6, 1.6], nice=False), "axis": None}
    line = (
        altair.Chart(table("level"))
        .mark_line(color="#888888", fill="#888888", fillOpacity=0.12, clip=True)
        .encode(altair.X("level_x:Q", **bare), altair.Y("level_y:Q", **bare), order="corner:Q")
    )
    outlines = (
        altair.Chart(table("balls"))
        .mark_line()
        .encode(
            altair.X("x:Q", **bare),
            altair.Y("y:Q", **bare),
            altair.Color(
                "ball:N",
                scale=altair.Scale(
                    domain=["ℓ2", "ℓ∞"], range=[STYLES["sgd"].color, STYLES["sign"].color]
                ),
                legend=None,
            ),
            order="place:Q",
        )
    )
    plane = altair.layer(line, outlines).properties(width=270, height=270)

    color = altair.Color(
        "constant:N",
        scale=altair.Scale(domain=list(NAMES), range=[STYLE[name].color for name in NAMES]),
        legend=None,
    )
    dash = altair.StrokeDash(
        "constant:N",
        scale=altair.Scale(domain=list(NAMES), range=[DASHES[name] for name in NAMES]),
        legend=None,
    )
    x = {
        "title": "turned by (degrees)",
        "scale": altair.Scale(domain=[0, 128], nice=False),
        "axis": altair.Axis(values=[0, 30, 45, 60, 90]),
    }
    y = {"title": "constant", "scale": altair.Scale(domain=[0, 42], nice=False)}
    lines = (
        altair.Chart(table("curves"))
        .mark_line()
        .encode(altair.X("degrees:Q", **x), altair.Y("value:Q", **y), color, dash)
    )
    labels = end_names("names", x, y, color)
    dots = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=90, opacity=1)
        .encode(altair.X("angle:Q", **x), altair.Y("now:Q", **y), color)
    )
    return [plane, altair.layer(lines, labels, dots).properties(width="container", height=240)]


CAPTION = """
A quadratic with curvature 10 and the one you choose; the grey region is where |sᵀHs| is at most
the spectral norm. Turn it: the circle always fits in, and its constant stays (here times d = 2).
The square sticks out, and its constants grow. As long as no curvature is negative the (1,1)-norm
is the square's sharp constant. Choose a negative one, a saddle, and the two part.
"""
ALT = """
Left, the unit circle and the unit square over the region where the quadratic is at most as high as
its spectral norm; the circle touches its edge, and the square's corners stick out once it is
turned. Right, three constants against the angle. d times the spectral norm is a horizontal line.
For positive curvatures the (1,1)-norm and the sharp constant are one curve, an arch that is lowest
along the axes and highest at 45 degrees, where it touches the line. For a saddle with curvatures
10 and −10 the (1,1)-norm rises above the line, most at 22.5 degrees, while the sharp constant
falls below it.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
