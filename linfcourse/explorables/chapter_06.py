"""Chapter 6: turn the axes of a quadratic, and watch Adam come up to AdaSGD and SGD."""

from __future__ import annotations

import functools
import math

import altair
import torch

from linfcourse.experiments import rotated_quadratic
from linfcourse.explorables.lines import apart, colors, end_names, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import STYLES

# Short runs: at the edge of stability longer ones blow rounding errors up to any size.
CONFIG = rotated_quadratic.Config(
    d=200, heavy=2, steps=100, points=26, lrs=rotated_quadratic.Config.lrs[0:15:2]
)
NAMES = {"adam": "Adam", "adasgd": "AdaSGD", "sgd": "SGD"}
TURNS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0, 3.0, 10.0)
CONTROLS = (
    Control("t", "how far the axes are turned, t", TURNS, 0.1),
    Control("beta1", "momentum β₁", (0.0, 0.9), 0.0),
)
FLOOR, CEILING = 1e-6, 10.0  # of the axis of losses
GAP = 0.45  # between two names at the ends of lines, in powers of ten


@functools.cache
def best_run(method: str, t: float, beta1: float) -> dict:
    """The run that ends lowest over the grid of learning rates: curve and (1,1)-norm."""
    runs = [
        rotated_quadratic.run_trial(
            CONFIG, torch.device("cpu"), seed=0, method=method, t=t, beta1=beta1,
            schedule="constant", lr=lr,
        )
        for lr in CONFIG.lrs
    ]  # fmt: skip
    return min(runs, key=lambda run: run["final_loss"])


def run_of(method: str, t: float, beta1: float) -> dict:
    """The method's best run; SGD and AdaSGD are blind to rotations and are run unturned."""
    return best_run(method, t if method == "adam" else 0.0, beta1)


def curves(t: float, beta1: float) -> list[dict]:
    """Loss against step for each method."""
    steps = rotated_quadratic.curve_steps(CONFIG.steps, CONFIG.points)
    return [
        {"method": method, "step": steps, "loss": run_of(method, t, beta1)["loss"]}
        for method in NAMES
    ]


def ends(t: float, beta1: float) -> list[dict]:
    """Where each line's name stands."""
    heights = {
        method: math.log10(max(run_of(method, t, beta1)["final_loss"], 1.5 * FLOOR))
        for method in NAMES
    }
    placed = apart(heights, GAP)
    return [
        {
            "method": method,
            "name": NAMES[method],
            "end": CONFIG.steps,
            "height": 10 ** placed[method],
        }
        for method in NAMES
    ]


def ladder(beta1: float) -> list[dict]:
    """Adam's final loss against the (1,1)-norm, all turns."""
    runs = [best_run("adam", t, beta1) for t in TURNS]
    return [
        {
            "norm_11": [run["norm_11"] for run in runs],
            "final_loss": [max(run["final_loss"], FLOOR) for run in runs],
        }
    ]


def rungs(beta1: float) -> list[dict]:
    """The final losses of AdaSGD and SGD, which do not depend on the turn."""
    return [
        {"method": method, "level": run_of(method, 0.0, beta1)["final_loss"]}
        for method in ("adasgd", "sgd")
    ]


def here(t: float, beta1: float) -> list[dict]:
    """Where on the ladder this turn is."""
    run = best_run("adam", t, beta1)
    return [{"here_norm": run["norm_11"], "here_loss": max(run["final_loss"], FLOOR)}]


def sharpness() -> list[dict]:
    """d‖H‖₂, AdaSGD's number."""
    return [{"d_spectral": float(CONFIG.d), "label": "d‖H‖₂"}]


TABLES = {
    "curves": curves, "ends": ends, "ladder": ladder, "rungs": rungs, "here": here,
    "sharpness": sharpness,
}  # fmt: skip


def charts() -> list[altair.TopLevelMixin]:
    """Loss against step; final loss against the (1,1)-norm."""
    styles = line_styles(list(NAMES))
    loss = altair.Scale(type="log", domain=[FLOOR, CEILING], nice=False)
    powers = altair.Axis(format=".0e", values=[1e-6, 1e-4, 1e-2, 1])
    steps = altair.Scale(domain=[0, 128], nice=False)
    lines = (
        altair.Chart(table("curves"))
        .mark_line(clip=True)
        .encode(
            altair.X("step:Q", scale=steps, axis=altair.Axis(values=[0, 25, 50, 75, 100])),
            altair.Y("loss:Q", scale=loss, axis=powers),
            **styles,
        )
    )
    names = end_names(
        "ends",
        {"scale": steps, "title": "step"},
        {"scale": loss, "title": "loss"},
        styles["color"],
    )
    x = {
        "scale": altair.Scale(type="log", domain=[2, 600], nice=False),
        "axis": altair.Axis(values=[3, 10, 30, 100, 300]),
        "title": "(1,1)-norm of the turned Hessian",
    }
    y = {"scale": loss, "axis": powers, "title": "loss after 100 steps"}
    adam = STYLES["adam"].color
    rise = (
        altair.Chart(table("ladder"))
        .mark_line(color=adam, clip=True)
        .encode(altair.X("norm_11:Q", **x), altair.Y("final_loss:Q", **y))
    )
    levels = (
        altair.Chart(table("rungs"))
        .mark_rule(strokeWidth=2)
        .encode(
            altair.Y("level:Q", **y),
            color=colors(list(NAMES)),
            strokeDash=line_styles(list(NAMES))["strokeDash"],
        )
    )
    number = altair.Chart(table("sharpness")).encode(altair.X("d_spectral:Q", **x))
    rule = number.mark_rule(color="#777777", strokeDash=[2, 3])
    name = number.mark_text(align="right", dx=-5, color="#555555").encode(
        y=altair.value(12), text="label:N"
    )
    dot = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=110, opacity=1, color=adam)
        .encode(altair.X("here_norm:Q", **x), altair.Y("here_loss:Q", **y))
    )
    size = {"width": "container", "height": 250}
    return [
        altair.layer(lines, names).properties(**size),
        altair.layer(rule, name, levels, rise, dot).properties(**size),
    ]


CAPTION = """
A quadratic in 200 dimensions. Turn its axes, from t = 0: Adam's curve comes up, while those of
AdaSGD and SGD stay where they are, since they do not notice. The dot is the same run beside its
(1,1)-norm; watch what happens to the curves when it passes the dotted line, where the (1,1)-norm
equals d‖H‖₂. Then do it again with momentum, where Adam comes near the others and stays below.
Each method has the best of eight learning rates for every setting; one seed, 100 steps.
"""
ALT = """
Two panels with logarithmic axes of loss: loss against step for Adam, AdaSGD and SGD, and the loss
after 100 steps against the (1,1)-norm. Unturned, Adam ends orders of magnitude below the two
others. The more the axes are turned, the larger the (1,1)-norm and the higher Adam's curve, until
it lies about where AdaSGD's and SGD's lie, which do not move. Without momentum it gets there near
the place where the (1,1)-norm equals d times the spectral norm.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
