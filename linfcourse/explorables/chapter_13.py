"""Chapter 13: AdamW in a box whose walls one can move, beside Adam with a penalty."""

from __future__ import annotations

import functools

import altair
import torch
from torch import Tensor

from linfcourse.explorables.lines import apart, contours, end_names, level_lines
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK, STYLES
from linfcourse.models import BoxQuadratic
from linfcourse.optim import AdamW

# Short: where AdamW is nearly at rest, rounding errors grow to any size (chapter 6).
STEPS, EVERY = 240, 5
START = (-1.8, 1.7)
BETAS = {
    "(0.9, 0.95)": (0.9, 0.95),
    "(0.9, 0.999)": (0.9, 0.999),
    "(0.99, 0.9)": (0.99, 0.9),
}
CONTROLS = (
    Control("weight_decay", "weight decay λ", (0.25, 0.5, 1.0, 2.0, 4.0), 1.0),
    Control("betas", "(β₁, β₂)", tuple(BETAS), "(0.9, 0.95)"),
    Control("lr", "learning rate", (0.02, 0.05, 0.1), 0.05),
)
WALL, PENALTY = STYLES["adam"].color, STYLES["sgd"].color
FLOOR, CEILING = 1e-4, 10.0  # of the axis of distances


def loss(weight_decay: float) -> BoxQuadratic:
    """The chapter's valley, with the box of this λ."""
    H = torch.tensor([[2.0, 1.2], [1.2, 1.6]], dtype=torch.float64)
    center = torch.tensor([2.6, -0.6], dtype=torch.float64)
    return BoxQuadratic(H, center, radius=1 / weight_decay)


@functools.cache
def way(decoupled: bool, weight_decay: float, betas: str, lr: float) -> Tensor:
    """The points of every fifth step of AdamW, or of Adam with λ in the gradient."""
    problem, x = loss(weight_decay), torch.tensor(START, dtype=torch.float64).requires_grad_()
    decay = weight_decay if decoupled else 0.0
    optimizer = AdamW([x], lr=lr, betas=BETAS[betas], weight_decay=decay)
    points = [x.detach().clone()]
    for step in range(1, STEPS + 1):
        penalty = 0.0 if decoupled else weight_decay * x.detach()
        x.grad = problem.gradient(x.detach()) + penalty
        optimizer.step()
        if step % EVERY == 0:
            points.append(x.detach().clone())
    return torch.stack(points)


def distance(x: Tensor, weight_decay: float) -> float:
    """From the best point of the box, in ℓ∞, cut to the axis."""
    away = (x - loss(weight_decay).minimiser()).abs().max().item()
    return min(max(away, FLOOR), CEILING)


def adamw(weight_decay: float, betas: str, lr: float) -> list[dict]:
    """AdamW's path, and how far it is from the best point of the box."""
    points = way(True, weight_decay, betas, lr)
    return [
        {
            "step": list(range(0, STEPS + 1, EVERY)),
            "x": points[:, 0].tolist(),
            "y": points[:, 1].tolist(),
            "distance": [distance(x, weight_decay) for x in points],
        }
    ]


def penalty(weight_decay: float, betas: str, lr: float) -> list[dict]:
    """The path of Adam with a penalty, and the same measure."""
    points = way(False, weight_decay, betas, lr)
    return [
        {
            "penalty_step": list(range(0, STEPS + 1, EVERY)),
            "penalty_x": points[:, 0].tolist(),
            "penalty_y": points[:, 1].tolist(),
            "penalty_distance": [distance(x, weight_decay) for x in points],
        }
    ]


def box(weight_decay: float) -> list[dict]:
    """The box, its best point, and ridge regression's."""
    problem, r = loss(weight_decay), 1 / weight_decay
    best, ridge = problem.minimiser(), problem.ridge(weight_decay)
    return [
        {
            "left": -r, "right": r, "best_x": best[0].item(), "best_y": best[1].item(),
            "ridge_x": ridge[0].item(), "ridge_y": ridge[1].item(),
        }
    ]  # fmt: skip


def levels() -> list[dict]:
    """Level lines of the loss."""
    return level_lines(loss(1.0), (0.1, 0.5, 1.5, 3.0, 6.0, 10.0))


def names(weight_decay: float, betas: str, lr: float) -> list[dict]:
    """Where the names of the two curves stand."""
    last = {
        "AdamW": adamw(weight_decay, betas, lr)[0]["distance"][-1],
        "Adam + ℓ2": penalty(weight_decay, betas, lr)[0]["penalty_distance"][-1],
    }
    logs = {name: torch.tensor(value).log10().item() for name, value in last.items()}
    return [
        {"name": name, "end": STEPS, "height": 10**at, "ink": WALL if name == "AdamW" else PENALTY}
        for name, at in apart(logs, 0.3).items()
    ]


TABLES = {"adamw": adamw, "penalty": penalty, "box": box, "levels": levels, "names": names}


def charts() -> list[altair.TopLevelMixin]:
    """The plane with box and paths; how far each is from the best point of the box."""
    across = {"scale": altair.Scale(domain=[-2.3, 3.7], nice=False), "axis": None}
    up = {"scale": altair.Scale(domain=[-2.4, 2.6], nice=False), "axis": None}

    def at(x: str, y: str) -> tuple[altair.X, altair.Y]:
        return altair.X(f"{x}:Q", **across), altair.Y(f"{y}:Q", **up)

    place = altair.Chart(table("box"))
    square = place.mark_rect(
        stroke=INK, strokeWidth=1.5, fill="#888888", fillOpacity=0.12, clip=True
    ).encode(*at("left", "left"), altair.X2("right:Q"), altair.Y2("right:Q"))
    best = place.mark_point(shape="diamond", filled=True, size=150, color=WALL, opacity=1).encode(
        *at("best_x", "best_y")
    )
    ridge = place.mark_point(shape="diamond", size=110, color=PENALTY, strokeWidth=2).encode(
        *at("ridge_x", "ridge_y")
    )
    walk = altair.Chart(table("adamw"))
    other = altair.Chart(table("penalty"))
    dash = [12, 3, 2.4, 3]
    plane = altair.layer(
        contours(at),
        square,
        other.mark_line(color=PENALTY, strokeDash=dash, clip=True).encode(
            *at("penalty_x", "penalty_y"), order="penalty_step:Q"
        ),
        walk.mark_line(
            color=WALL, clip=True, point={"color": WALL, "size": 16, "filled": True}
        ).encode(*at("x", "y"), order="step:Q"),
        best,
        ridge,
    )
    x = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 350], nice=False),
        "axis": altair.Axis(values=[0, 80, 160, 240]),
    }
    y = {
        "title": "distance from the best point",
        "scale": altair.Scale(type="log", domain=[FLOOR, CEILING], nice=False),
        "axis": altair.Axis(values=[1e-4, 1e-3, 1e-2, 0.1, 1, 10], format="~g"),
    }
    curves = [
        walk.mark_line(color=WALL).encode(altair.X("step:Q", **x), altair.Y("distance:Q", **y)),
        other.mark_line(color=PENALTY, strokeDash=dash).encode(
            altair.X("penalty_step:Q", **x), altair.Y("penalty_distance:Q", **y)
        ),
    ]
    return [
        plane.properties(width=310, height=258),
        altair.layer(*curves, end_names("names", x, y)).properties(width="container", height=240),
    ]


CAPTION = """
AdamW (solid) in the box of radius 1/λ, and Adam with the penalty ½λ‖x‖² (dashed), from one start.
Move the walls by λ: AdamW goes where the loss is least between them (filled diamond), and once the
free minimum is inside, λ moves that point no more. The penalty's goal (open diamond) moves with
every λ. Then choose betas: a long memory of the size makes it slow, and with β₁ above β₂ it need
not come to rest. The curves show how far each is from the filled diamond; how close it gets is up
to the learning rate.
"""
ALT = """
Level lines of a valley, a square box around the origin, and the paths of AdamW and of Adam with a
penalty; beside them how far each is from the best point of the box, on a logarithmic axis. For
small lambda the box contains the lowest point of the valley, and AdamW goes there. For larger ones
the box shrinks and AdamW ends on its edge. The penalised path ends elsewhere, and its curve stays
high. With betas (0.9, 0.95) AdamW's curve falls far; with beta1 above beta2 it goes on swinging at
large learning rates.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
