"""Chapter 14: the weights of a language model between the walls ±1/λ, as training goes."""

from __future__ import annotations

import functools
from statistics import median

import altair

from linfcourse.experiments import adamw_language_model
from linfcourse.experiments.adamw_language_model_measures import EDGES
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import STYLES
from linfcourse.records import Record, Trial

BETAS = {"(0.9, 0.95)": (0.9, 0.95), "(0.9, 0.999)": (0.9, 0.999), "(0.99, 0.9)": (0.99, 0.9)}
MOMENTS = (0, 200, 500, 1000, 2000, 5000)
COLOR, WALL = STYLES["adam"].color, STYLES["rotated_adam"].color
CEILING = 12.0  # of the axis of λ‖x‖∞
CONTROLS = (
    Control("weight_decay", "weight decay λ", (0.0, 1.0, 2.0), 2.0),
    Control("betas", "(β₁, β₂)", tuple(BETAS), "(0.9, 0.95)"),
    Control("moment", "after steps", MOMENTS, 5000),
)


@functools.cache
def record() -> Record:
    """The chapter's record, three seeds."""
    return adamw_language_model.recorded()


def runs(weight_decay: float, betas: str) -> list[Trial]:
    """The seeds of one run, at a constant learning rate."""
    beta1, beta2 = BETAS[betas]
    return record().select(weight_decay=weight_decay, beta1=beta1, beta2=beta2, schedule="constant")


def box(weight_decay: float) -> float:
    """λ of the box; without decay the box of λ = 1, for comparison."""
    return weight_decay or 1.0


def weights(weight_decay: float, betas: str, moment: int) -> list[dict]:
    """How many weights are where: roots of the shares, so that single ones can be seen.

    A run that broke off stands as it stood last.
    """
    chosen = [
        [h["counts"] for h in trial.result["histograms"] if h["step"] <= moment][-1]
        for trial in runs(weight_decay, betas)
    ]
    counts = [sum(column) for column in zip(*chosen, strict=True)]
    edges = [edge / box(weight_decay) for edge in EDGES]
    total = sum(counts)
    return [
        {
            "left": edges[:-1],
            "right": edges[1:],
            "height": [(count / total) ** 0.5 for count in counts],
        }
    ]


def walls(weight_decay: float) -> list[dict]:
    """The walls ±1/λ; none without decay."""
    if weight_decay == 0:
        return [{"wall": 9.0, "wall_name": ""}]  # outside the picture
    return [
        {"wall": side / weight_decay, "wall_name": name}
        for side, name in ((-1.0, "−1/λ"), (1.0, "1/λ"))
    ]


def sizes(weight_decay: float, betas: str) -> list[dict]:
    """The largest weight in units of the box, along training: median over the seeds."""
    chosen = runs(weight_decay, betas)
    steps = max((trial.result["step"] for trial in chosen), key=len)
    series = [trial.result["linf"] for trial in chosen]
    series = [values + [values[-1]] * (len(steps) - len(values)) for values in series]
    middle = [box(weight_decay) * median(values) for values in zip(*series, strict=True)]
    return [{"step": steps, "size": [min(value, CEILING) for value in middle]}]


def here(weight_decay: float, betas: str, moment: int) -> list[dict]:
    """The largest weight now."""
    (row,) = sizes(weight_decay, betas)
    return [{"size_now": row["size"][row["step"].index(moment)]}]


TABLES = {"weights": weights, "walls": walls, "sizes": sizes, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """The histogram between its walls; the largest weight along training."""
    x = {"title": "weight", "scale": altair.Scale(domain=[-1.6, 1.6], nice=False)}
    y = {
        "title": "√share of the weights",
        "scale": altair.Scale(domain=[0, 0.75], nice=False),
        "axis": altair.Axis(values=[0, 0.2, 0.4, 0.6]),
    }
    bars = (
        altair.Chart(table("weights"))
        .mark_rect(color=COLOR, opacity=0.8, clip=True)
        .encode(
            altair.X("left:Q", **x),
            altair.X2("right:Q"),
            altair.Y("height:Q", **y),
            y2=altair.datum(0),
        )
    )
    wall = altair.Chart(table("walls"))
    rules = wall.mark_rule(color=WALL, strokeDash=[6, 4], strokeWidth=1.5, clip=True).encode(
        altair.X("wall:Q", **x)
    )
    names = wall.mark_text(color=WALL, dx=4, align="left", clip=True).encode(
        altair.X("wall:Q", **x), y=altair.value(10), text="wall_name:N"
    )
    step = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 5200], nice=False),
        "axis": altair.Axis(values=[0, 1000, 2000, 3000, 4000, 5000]),
    }
    size = {
        "title": "largest weight / half the box",
        "scale": altair.Scale(type="log", domain=[0.4, CEILING], nice=False),
        "axis": altair.Axis(values=[0.5, 1, 2, 5, 10], format="~g"),
    }
    line = (
        altair.Chart(table("sizes"))
        .mark_line(color=COLOR, clip=True)
        .encode(altair.X("step:Q", **step), altair.Y("size:Q", **size))
    )
    limit = (
        altair.Chart(altair.Data(values=[{"limit": 1}]))
        .mark_rule(color=WALL, strokeDash=[6, 4], strokeWidth=1.5)
        .encode(altair.Y("limit:Q", **size))
    )
    dot = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=90, opacity=1, color=COLOR, clip=True)
        .encode(altair.X("moment:Q", **step), altair.Y("size_now:Q", **size))
    )
    shape = {"width": "container", "height": 230}
    return [
        altair.layer(bars, rules, names).properties(**shape),
        altair.layer(limit, line, dot).properties(**shape),
    ]


CAPTION = """
Where the weights of the small transformer are, and the walls ±1/λ. Train it, by the steps: the
weights spread, and some come to stand at the walls. Halve λ, and the walls move apart; set it to
0, and nothing holds. Then take the other betas, a long memory of the size or β₁ above β₂, and see
which walls still do. Heights are roots of shares, so that a few weights at a wall can be seen;
three seeds together, from the record; a run that broke off stands as it stood last.
"""
ALT = """
A histogram of the weights with dashed lines at plus and minus one over lambda, and the largest
weight over half the box against the step, with a dashed line at one. At the start nearly all
weights are near zero. With weight decay and betas (0.9, 0.95) they spread up to the dashed lines,
a pile grows there for lambda 2, and the largest weight ends at one or just below. Without decay
nothing stops it at the box of lambda 1. With the other betas it ends above one.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
