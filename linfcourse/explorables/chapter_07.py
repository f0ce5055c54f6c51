"""Chapter 7: one learning rate for four methods on the small GPT, from chapter 1's record."""

from __future__ import annotations

import functools
from statistics import median

import altair

from linfcourse.experiments import first_look
from linfcourse.experiments.methods import METHODS
from linfcourse.explorables.lines import apart, end_names, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.records import Record

WINDOW = 10  # steps of which a point of a curve is the mean
FLOOR, CEILING = 2.0, 4.6  # of the axis of losses
CONTROLS = (Control("lr", "learning rate of all four", (0.003, 0.012, 0.05, 0.2, 0.8), 0.012),)


@functools.cache
def record() -> Record:
    """Chapter 1's record, five seeds."""
    return first_look.recorded()


def runs(method: str, lr: float) -> list[dict]:
    """The results of every seed."""
    return [trial.result for trial in record().select(method=method, lr=lr)]


def shown(loss: float) -> float:
    """A loss, or the edge of the axis if it lies beyond."""
    return min(max(loss, FLOOR), CEILING)


def curves(lr: float) -> list[dict]:
    """Training loss, means of ten steps: median and range over the seeds."""
    rows = []
    for method in first_look.ORDER:
        seeds = [
            [sum(run["loss"][k : k + WINDOW]) / WINDOW for k in range(0, len(run["loss"]), WINDOW)]
            for run in runs(method, lr)
        ]
        together = list(zip(*seeds, strict=True))
        rows.append(
            {
                "method": method,
                "step": [WINDOW * (k + 1) for k in range(len(together))],
                "loss": [shown(median(losses)) for losses in together],
                "low": [shown(min(losses)) for losses in together],
                "high": [shown(max(losses)) for losses in together],
            }
        )
    return rows


def ends(lr: float) -> list[dict]:
    """Where each curve's name stands."""
    last = {row["method"]: row["loss"][-1] for row in curves(lr)}
    # From the top, since what lies beyond it is drawn there.
    placed = apart({method: -loss for method, loss in last.items()}, 0.17)
    return [
        {
            "method": method,
            "name": METHODS[method].label,
            "end": record().config["steps"],
            "height": -height,
        }
        for method, height in placed.items()
    ]


def ladder() -> list[dict]:
    """Final loss against the learning rate: median over the seeds."""
    lrs = sorted(record().values("lr"))
    return [
        {
            "method": method,
            "rate": lrs,
            "final": [shown(median(run["final_loss"] for run in runs(method, lr))) for lr in lrs],
        }
        for method in first_look.ORDER
    ]


def here(lr: float) -> list[dict]:
    """Final loss of every seed at this learning rate."""
    return [
        {"method": method, "seed": seed, "seed_final": shown(run["final_loss"])}
        for method in first_look.ORDER
        for seed, run in enumerate(runs(method, lr))
    ]


TABLES = {"curves": curves, "ends": ends, "ladder": ladder, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """Loss against step at this learning rate; final loss against the learning rate."""
    styles = line_styles(list(first_look.ORDER))
    y = {"scale": altair.Scale(domain=[FLOOR, CEILING], nice=False)}
    x = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 450], nice=False),
        "axis": altair.Axis(values=[0, 100, 200, 300]),
    }
    base = altair.Chart(table("curves")).encode(altair.X("step:Q", **x))
    band = base.mark_area(opacity=0.15).encode(
        altair.Y("low:Q", title="training loss", **y), altair.Y2("high:Q"), styles["color"]
    )
    line = base.mark_line().encode(altair.Y("loss:Q", title="training loss", **y), **styles)
    names = end_names("ends", x, {"title": "training loss", **y}, styles["color"])
    rate = {
        "title": "learning rate",
        "scale": altair.Scale(type="log", domain=[0.002, 1.2], nice=False),
        "axis": altair.Axis(values=[0.003, 0.01, 0.03, 0.1, 0.3, 1]),
    }
    final = {"title": "final loss", **y}
    valleys = (
        altair.Chart(table("ladder"))
        .mark_line()
        .encode(altair.X("rate:Q", **rate), altair.Y("final:Q", **final), **styles)
    )
    dots = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=45, opacity=0.9)
        .encode(altair.X("lr:Q", **rate), altair.Y("seed_final:Q", **final), styles["color"])
    )
    size = {"width": "container", "height": 260}
    return [altair.layer(band, line, names).properties(**size),
            altair.layer(valleys, dots).properties(**size)]  # fmt: skip


CAPTION = """
The small GPT under four methods with the same learning rate; bands and dots are five seeds, and
what lies above the axis is drawn on its upper edge. Go through the rates. At no rate does rotated
Adam come to where Adam comes at its best, and wherever it goes AdaSGD is close by. And compare
where each one is lowest: SGD's rate is another, since its step has another unit.
"""
ALT = """
Training loss against the step for Adam, rotated Adam, AdaSGD and SGD at one learning rate, and the
loss at the end against the learning rate, with the seeds of the present rate as dots. Adam's
lowest point lies clearly below the others'. The curves of rotated Adam and AdaSGD lie nearly on
top of each other, and leave the picture at the two largest rates. SGD's is lowest there, at about
the level of their lowest points.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
