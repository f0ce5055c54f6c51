"""Chapter 9: where the Hessian is measured decides whether its smoothness orders the partitions."""

from __future__ import annotations

import functools
import math
from statistics import fmean

import altair

from linfcourse.experiments import blockwise_ladder
from linfcourse.experiments.blockwise_ladder_partitions import PARTITIONS
from linfcourse.experiments.blockwise_ladder_results import finals, smoothness
from linfcourse.explorables.lines import apart
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import STYLES
from linfcourse.records import Record

PLACES = {
    "at the start": "start",
    "on AdaSGD's path": "adasgd",
    "on Adam's path": "adam",
}
BEST = "each its best"
RATES = {BEST: None, "0.005": 0.005, "0.01": 0.01, "0.02": 0.02, "0.04": 0.04, "0.08": 0.08}
CONTROLS = (
    Control("place", "Hessian measured", tuple(PLACES), "on Adam's path"),
    Control("rate", "learning rate", tuple(RATES), BEST),
)
LADDER, CONTROL = STYLES["adam"].color, STYLES["rotated_adam"].color
COLORS = {
    name: CONTROL if name in ("random", "random_within", "sorted") else LADDER
    for name in PARTITIONS
}
FLOOR, CEILING = 2.25, 2.75  # of the axis of losses


@functools.cache
def record() -> Record:
    """The chapter's record: five seeds of training, three of smoothness."""
    return blockwise_ladder.recorded()


def losses(partition: str, rate: str) -> list[float]:
    """The final loss of every seed."""
    if rate == BEST:
        return finals(record(), partition)
    chosen = record().select(kind="training", partition=partition, lr=RATES[rate])
    return [trial.result["final_loss"] for trial in chosen]


def height(partition: str, rate: str) -> float:
    """The mean over the seeds, or the edge of the axis if it lies beyond."""
    return min(max(fmean(losses(partition, rate)), FLOOR), CEILING)


def points(place: str, rate: str) -> list[dict]:
    """A point for each partition: middle of its brackets, and mean loss with its range."""
    rows = []
    for name in PARTITIONS:
        brackets = smoothness(record(), name, PLACES[place])
        seeds = losses(name, rate)
        rows.append(
            {
                "partition": PARTITIONS[name].label,
                "ink": COLORS[name],
                "low": min(bracket.low for bracket in brackets),
                "high": max(bracket.high for bracket in brackets),
                "middle": math.exp(fmean(math.log(b.low * b.high) / 2 for b in brackets)),
                "loss": height(name, rate),
                "least": min(max(min(seeds), FLOOR), CEILING),
                "most": min(max(max(seeds), FLOOR), CEILING),
            }
        )
    return rows


def names(rate: str) -> list[dict]:
    """The partitions' names at the right edge, beside their losses."""
    placed = apart({name: height(name, rate) for name in PARTITIONS}, 0.026)
    top = max(placed.values()) - CEILING
    return [
        {
            "name": PARTITIONS[name].label,
            "ink": COLORS[name],
            "place_of_name": at - max(top, 0.0),
        }
        for name, at in placed.items()
    ]


TABLES = {"points": points, "names": names}


def charts() -> altair.TopLevelMixin:
    """Final loss against measured smoothness."""
    x = {
        "title": "measured smoothness H(L, Φ)",
        "scale": altair.Scale(type="log", domain=[3e4, 4e6], nice=False),
        "axis": altair.Axis(values=[3e4, 1e5, 3e5], format="~s"),
    }
    y = {
        "title": "final training loss",
        "scale": altair.Scale(domain=[FLOOR, CEILING], nice=False),
    }
    ink = altair.Color("ink:N", scale=None)
    base = altair.Chart(table("points")).encode(ink)
    across = base.mark_rule(opacity=0.6, clip=True).encode(
        altair.X("low:Q", **x), altair.X2("high:Q"), altair.Y("loss:Q", **y)
    )
    up = base.mark_rule(opacity=0.6).encode(
        altair.X("middle:Q", **x), altair.Y("least:Q", **y), altair.Y2("most:Q")
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        altair.X("middle:Q", **x), altair.Y("loss:Q", **y)
    )
    labels = (
        altair.Chart(table("names"))
        .mark_text(align="left")
        .encode(
            altair.X(datum=7e5, type="quantitative", **x),
            altair.Y("place_of_name:Q", **y),
            ink,
            text="name:N",
        )
    )
    return altair.layer(across, up, dots, labels).properties(width="container", height=320)


CAPTION = """
Each point is a partition of the small GPT's weights; its name stands at the right, at the height
of its loss, the controls' in the second colour. Measured on Adam's path the points nearly lie on a
line. Now move the Hessian back to the start, before the first step: the losses are the same, and
the line is gone. Then give all partitions one learning rate. Bars span the brackets and the seeds;
losses beyond the axis lie on its edge; from the record.
"""
ALT = """
Final loss against measured blockwise smoothness on a logarithmic axis, a point with bars for each
of eight partitions. With the Hessian of Adam's path the points rise from coordinates at the lower
left to one block at the upper right. With the Hessian of the start they do not: one block, with
the highest loss, has one of the smallest values, and coordinates, with the lowest loss, have a
larger one.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
