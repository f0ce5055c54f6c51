"""Chapter 1: choose the learning rates that are tried, and with them the winner."""

from __future__ import annotations

import functools
import math
from statistics import fmean

import altair

from linfcourse.experiments import METHODS, first_look
from linfcourse.explorables.lines import apart, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK, smooth
from linfcourse.records import Record

RATES = first_look.PRESETS["cpu"].lrs
REACH = {"this rate alone": 0, "it and its neighbours": 1, "all five rates": len(RATES)}
FLOOR, CEILING = 2.2, 4.6  # of the axes of losses
EVERY = 6  # steps between two points of a curve
CONTROLS = (
    Control("rate", "learning rate", RATES, 0.05),
    Control("tried", "each method is given the best of", tuple(REACH), "this rate alone"),
)


@functools.cache
def record() -> Record:
    """The chapter's record, five seeds."""
    return first_look.recorded()


@functools.cache
def final(method: str, rate: float) -> float:
    """The final loss, mean over the seeds."""
    return fmean(trial.result["final_loss"] for trial in record().select(method=method, lr=rate))


@functools.cache
def curve(method: str, rate: float) -> list[float]:
    """The training loss, mean over the seeds of running means over 15 steps."""
    runs = record().select(method=method, lr=rate)
    smoothed = [smooth(trial.result["loss"], 15) for trial in runs]
    return [fmean(losses) for losses in zip(*smoothed, strict=True)]


def allowed(rate: float, tried: str) -> tuple[float, ...]:
    """The learning rates that every method may try."""
    place, reach = RATES.index(rate), REACH[tried]
    return RATES[max(place - reach, 0) : place + reach + 1]


def taken(method: str, rate: float, tried: str) -> float:
    """The best of these for one method."""
    return min(allowed(rate, tried), key=lambda lr: final(method, lr))


def cut(loss: float) -> float:
    """The loss, or the axis' edge."""
    return min(max(loss, FLOOR), CEILING)


def curves(rate: float, tried: str) -> list[dict]:
    """The training loss of every method at the rate that it takes."""
    rows = []
    for method in first_look.ORDER:
        losses = curve(method, taken(method, rate, tried))
        steps = list(range(EVERY, len(losses) + 1, EVERY))
        rows.append({"method": method, "step": steps, "loss": [cut(losses[s - 1]) for s in steps]})
    return rows


def names(rate: float, tried: str) -> list[dict]:
    """The methods' names at the ends of their curves."""
    ends = {m: math.log(cut(final(m, taken(m, rate, tried)))) for m in first_look.ORDER}
    placed = apart(ends, 0.045)
    down = max(max(placed.values()) - math.log(CEILING), 0.0)
    return [
        {
            "method": m,
            "name": METHODS[m].label,
            "end": len(curve(m, rate)),
            "height": math.exp(at - down),
        }
        for m, at in placed.items()
    ]


def grid_losses() -> list[dict]:
    """The final loss of every method at every rate."""
    return [
        {"method": m, "lr": list(RATES), "final": [cut(final(m, lr)) for lr in RATES]}
        for m in first_look.ORDER
    ]


def window(rate: float, tried: str) -> list[dict]:
    """The rates that may be tried, as a stripe."""
    rates = allowed(rate, tried)
    return [{"from": rates[0] / 1.5, "to": rates[-1] * 1.5}]


def chosen(rate: float, tried: str) -> list[dict]:
    """The rate that each method takes, and its final loss there."""
    rates = {m: taken(m, rate, tried) for m in first_look.ORDER}
    return [{"method": m, "taken": lr, "result": cut(final(m, lr))} for m, lr in rates.items()]


TABLES = {
    "curves": curves, "names": names, "grid_losses": grid_losses, "window": window,
    "chosen": chosen,
}  # fmt: skip


def charts() -> list[altair.TopLevelMixin]:
    """Final losses over the grid of rates; training curves at the rates taken."""
    styles = line_styles(first_look.ORDER)
    loss = {"scale": altair.Scale(type="log", domain=[FLOOR, CEILING], nice=False)}
    axis = altair.Axis(values=[2.5, 3, 3.5, 4, 4.5], format="~g")
    lr = {
        "title": "learning rate",
        "scale": altair.Scale(type="log", domain=[0.0018, 1.3], nice=False),
        "axis": altair.Axis(values=list(RATES), format="~g"),
    }
    stripe = (
        altair.Chart(table("window"))
        .mark_rect(color=INK, opacity=0.1)
        .encode(altair.X("from:Q", **lr), altair.X2("to:Q"))
    )
    valleys = (
        altair.Chart(table("grid_losses"))
        .mark_line(clip=True, strokeWidth=1.5)
        .encode(
            altair.X("lr:Q", **lr),
            altair.Y("final:Q", title="final loss", axis=axis, **loss),
            **styles,
        )
    )
    dots = (
        altair.Chart(table("chosen"))
        .mark_point(filled=True, size=90, opacity=0.9)
        .encode(altair.X("taken:Q", **lr), altair.Y("result:Q", **loss), styles["color"])
    )
    step = {
        "title": "step",
        "scale": altair.Scale(domain=[0, 480], nice=False),
        "axis": altair.Axis(values=[0, 100, 200, 300]),
    }
    lines = (
        altair.Chart(table("curves"))
        .mark_line(clip=True)
        .encode(
            altair.X("step:Q", **step),
            altair.Y("loss:Q", title="training loss", axis=axis, **loss),
            **styles,
        )
    )
    labels = (
        altair.Chart(table("names"))
        .mark_text(align="left", dx=5)
        .encode(
            altair.X("end:Q", **step), altair.Y("height:Q", **loss), styles["color"], text="name:N"
        )
    )
    size = {"width": "container", "height": 250}
    return [
        altair.layer(stripe, valleys, dots).properties(**size),
        altair.layer(lines, labels).properties(**size),
    ]


CAPTION = """
First the final loss of every method at every learning rate; the stripe holds the rates that each
may try, a dot the best that it finds there. Then its training curve at that rate. With one rate for
all you can choose the winner: move it, and note who is first. Let each try the neighbouring rates
too, and you still can. Given all five, each has its best rate inside the grid, and there is nothing
left to choose. Means over five seeds; losses beyond the axis lie on its edge; from the record.
"""
ALT = """
Two pictures. Final loss against learning rate, four curves with their lowest points at different
rates, Adam's lowest and farthest left with rotated Adam's and AdaSGD's, SGD's far to the right;
a stripe over the rates that may be tried, and a dot on each curve. Beside it four training curves
at these rates. At the smallest two rates Adam ends lowest. At 0.05 the order is the other way
round, with SGD first and Adam last, and at larger rates SGD is far ahead. With all five rates Adam
ends lowest, rotated Adam and AdaSGD together behind it, SGD last.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
