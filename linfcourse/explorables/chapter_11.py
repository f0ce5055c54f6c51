"""Chapter 11: who trains first and who afterwards; whose diagonal, and whose speed?"""

from __future__ import annotations

import functools
import math
from statistics import fmean

import altair

from linfcourse.experiments import gpt_path
from linfcourse.experiments.gpt_path_results import layers, log_ratios, measured_lr
from linfcourse.experiments.judging import interval
from linfcourse.explorables.lines import apart, colors, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.records import Record

CONFIG = gpt_path.PRESETS["cpu"]
METHODS = {"Adam": "adam", "SGD": "sgd"}
LEVELS = CONFIG.levels  # of the training loss, descending
AT = CONFIG.switch_at
CONTROLS = (
    Control("first", f"down to the loss {AT:g}", tuple(METHODS), "Adam"),
    Control("second", f"from {AT:g} to {LEVELS[-1]:g}", tuple(METHODS), "SGD"),
    Control("level", "look at the training loss", LEVELS, LEVELS[-1]),
)


@functools.cache
def record() -> Record:
    """The chapter's record, five seeds."""
    return gpt_path.recorded()


def run_of(first: str, second: str, level: float) -> str:
    """The run in the record: before the change of optimizer it is the first one's own."""
    first, second = METHODS[first], METHODS[second]
    return first if level >= AT or first == second else f"{first}_then_{second}"


@functools.cache
def ratios(run: str, level: float) -> dict[str, list[float]]:
    """ln R_med of each layer, one value a seed."""
    return {layer: log_ratios(record(), run, level, layer) for layer in layers(record())}


def mean_ratios(run: str, level: float) -> list[float]:
    """Mean of ln R_med over the layers, one value a seed."""
    return [fmean(row) for row in zip(*ratios(run, level).values(), strict=True)]


@functools.cache
def steps(run: str, level: float) -> float:
    """Steps from the start to the level, mean over the seeds."""
    place = LEVELS.index(level)
    runs = record().select(method=run, lr=measured_lr(record(), run))
    return fmean(trial.result["steps"][place] for trial in runs)


def layer_marks(first: str, second: str, level: float) -> list[dict]:
    """R_med of each layer, geometric mean over the seeds."""
    found = ratios(run_of(first, second, level), level)
    method = METHODS[first if level >= AT else second]
    return [
        {"layer": layer, "method": method, "ratio": math.exp(fmean(values))}
        for layer, values in found.items()
    ]


def layer_references(level: float) -> list[dict]:
    """The same for the two that keep their optimizer."""
    return [
        {"layer": layer, "method": method, "own_ratio": math.exp(fmean(values))}
        for method in METHODS.values()
        for layer, values in ratios(method, level).items()
    ]


def legs(first: str, second: str) -> list[dict]:
    """Mean R_med and steps along the run, each leg by itself, and at the change both."""
    rows = []
    for name, method, part in (
        ("first", first, [level for level in LEVELS if level >= AT]),
        ("second", second, [level for level in LEVELS if level <= AT]),
    ):
        runs = [run_of(first, second, level) for level in part]
        rows.append(
            {
                "leg": name,
                "method": METHODS[method],
                "loss": [f"{level:g}" for level in part],
                "mean": [
                    math.exp(fmean(mean_ratios(run, level)))
                    for run, level in zip(runs, part, strict=True)
                ],
                "steps": [steps(run, level) for run, level in zip(runs, part, strict=True)],
            }
        )
    return rows


def references() -> list[dict]:
    """The same for the two that keep their optimizer."""
    return [
        {
            "method": method,
            "own_loss": [f"{level:g}" for level in LEVELS],
            "own_mean": [math.exp(fmean(mean_ratios(method, level))) for level in LEVELS],
            "own_steps": [steps(method, level) for level in LEVELS],
        }
        for method in METHODS.values()
    ]


def now(first: str, second: str, level: float) -> list[dict]:
    """Where the run is at this loss, with the 90 % interval of the mean over the seeds."""
    run = run_of(first, second, level)
    mean, low, high = (math.exp(x) for x in interval(mean_ratios(run, level)))
    return [
        {
            "method": METHODS[first if level >= AT else second],
            "loss_now": f"{level:g}", "mean_now": mean, "low": low, "high": high,
            "steps_now": steps(run, level),
        }
    ]  # fmt: skip


def names() -> list[dict]:
    """The two names, at the ends of their lines."""
    last = LEVELS[-1]
    heights = {m: fmean(mean_ratios(m, last)) for m in METHODS.values()}
    placed = apart(heights, 0.3)
    return [
        {
            "method": m, "name": f"{label} alone", "loss_end": f"{last:g}",
            "mean_end": math.exp(placed[m]), "steps_end": steps(m, last),
        }
        for label, m in METHODS.items()
    ]  # fmt: skip


TABLES = {
    "layer_marks": layer_marks, "layer_references": layer_references, "legs": legs,
    "references": references, "now": now, "names": names,
}  # fmt: skip


def charts() -> list[altair.TopLevelMixin]:
    """R_med of each layer; its mean, and the steps, along the run."""
    methods = list(METHODS.values())
    color, styles = colors(methods), line_styles(methods)
    shape = altair.Shape(
        "method:N", scale=altair.Scale(domain=methods, range=["circle", "diamond"]), legend=None
    )
    row = altair.Y("layer:N", sort=layers(record()), title=None, axis=altair.Axis(grid=True))
    x = {
        "title": "largest over median entry",
        "scale": altair.Scale(type="log", domain=[4, 700], nice=False),
        "axis": altair.Axis(values=[5, 10, 20, 50, 100, 200, 500], format="~g"),
    }
    own = (
        altair.Chart(table("layer_references"))
        .mark_point(size=60, strokeWidth=1.5, opacity=0.8)
        .encode(altair.X("own_ratio:Q", **x), row, color, shape)
    )
    marks = (
        altair.Chart(table("layer_marks"))
        .mark_point(filled=True, size=110, opacity=1)
        .encode(altair.X("ratio:Q", **x), row, color, shape)
    )
    panels = [altair.layer(own, marks).properties(width="container", height=240)]
    scales = {
        "mean": {
            "title": "mean of the layers",
            "scale": altair.Scale(type="log", domain=[8, 90], nice=False),
            "axis": altair.Axis(values=[10, 20, 40, 80], format="~g"),
        },
        "steps": {
            "title": "steps so far",
            "scale": altair.Scale(domain=[0, 1000], nice=False),
            "axis": altair.Axis(values=[0, 500, 1000], format="d"),
        },
    }
    order = {
        "title": "training loss",
        "scale": altair.Scale(domain=[f"{level:g}" for level in LEVELS] + [" "], padding=0.2),
        "axis": altair.Axis(labelAngle=0, values=[f"{level:g}" for level in LEVELS]),
    }
    for what, y in scales.items():
        pale = (
            altair.Chart(table("references"))
            .mark_line(strokeWidth=1.2, opacity=0.8)
            .encode(altair.X("own_loss:O", **order), altair.Y(f"own_{what}:Q", **y), **styles)
        )
        run = (
            altair.Chart(table("legs"))
            .mark_line(strokeWidth=4)
            .encode(altair.X("loss:O", **order), altair.Y(f"{what}:Q", **y), color, detail="leg:N")
        )
        place = altair.Chart(table("now")).encode(altair.X("loss_now:O", **order), color)
        dot = place.mark_point(filled=True, size=110, opacity=1).encode(
            altair.Y(f"{what}_now:Q", **y), shape
        )
        bar = place.mark_rule(strokeWidth=1.5).encode(altair.Y("low:Q", **y), altair.Y2("high:Q"))
        labels = (
            altair.Chart(table("names"))
            .mark_text(align="left", dx=9)
            .encode(
                altair.X("loss_end:O", **order),
                altair.Y(f"{what}_end:Q", **y),
                color,
                text="name:N",
            )
        )
        parts = [pale, run, *([bar] if what == "mean" else []), dot, labels]
        height = 240 if what == "mean" else 150
        panels.append(altair.layer(*parts).properties(width="container", height=height))
    return panels


CAPTION = """
Choose who trains down to the loss 2.5 and who goes on from there. First the unevenness of every
layer at the loss that you look at, filled, beside those of Adam and of SGD alone, open; then its
mean, with a 90 % interval, and the steps. Before you turn, guess: Adam first and then SGD, whose
unevenness is it at the end, and whose speed? Then the other way round. Then go back to 2.8 and 2.5
and see in which layers the gap opened, and in which it never did. Means over five seeds, geometric
ones of the ratios; from the record.
"""
ALT = """
Three pictures. Twelve layers with the ratio of the largest to the median entry of the Hessian's
diagonal, for the chosen run and for Adam and SGD alone; the mean of the layers against the
training loss; the steps against the training loss. With Adam first and SGD afterwards the ratio
ends near that of Adam alone, and the last part of the way takes far more steps than Adam would
need. With SGD first and Adam afterwards the ratio ends between the two, and the last part is
quick. Alone, SGD's ratio ends several times as large as Adam's; at the loss 2.8 they are close.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
