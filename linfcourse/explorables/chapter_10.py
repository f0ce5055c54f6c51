"""Chapter 10: fifty hidden units on their way, under gradient descent and under Adam."""

from __future__ import annotations

import functools

import altair
from torch import Tensor

from linfcourse.experiments.methods import make_optimizer
from linfcourse.explorables.lines import line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.models import two_layer_linear_problem

UNITS = 50
RATES = {"sgd": 0.02, "adam": 0.001}  # the chapter's
NAMES = {"sgd": "gradient descent", "adam": "Adam"}
LEVELS = (1.0, 0.999, 0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1, 0.01)
LOW, HIGH = 1e-4, 1e2  # of the axis of curvatures
CONTROLS = (
    Control("level", "loss, as a share of the first", LEVELS, 0.1),
    Control("seed", "start", (0, 1, 2, 3, 4), 0, ("first", "second", "third", "fourth", "fifth")),
)


@functools.cache
def stations(method: str, seed: int) -> dict[float, Tensor]:
    """Each unit's curvature in the first layer, (50,), where the loss first is at most a level."""
    model = two_layer_linear_problem(UNITS, seed=seed)
    optimizer = make_optimizer(method, model.parameters(), RATES[method])
    first, found = model.loss().item(), {}
    while len(found) < len(LEVELS):
        loss = model.loss()
        for level in LEVELS:
            if level not in found and loss.item() <= level * first:
                found[level] = model.hessian_diagonal()["first"][:, 0].detach().clone()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return found


def relative(method: str, seed: int, level: float) -> list[float]:
    """The curvatures over their median, sorted; beyond the axis they lie on its edge."""
    sizes = stations(method, seed)[level]
    shares = (sizes / sizes.quantile(0.5)).clamp(LOW, HIGH)
    return shares.sort().values.tolist()


def units(level: float, seed: int) -> list[dict]:
    """Every unit's curvature over the median."""
    return [{"method": method, "share": relative(method, seed, level)} for method in RATES]


def ratio(method: str, seed: int, level: float) -> float:
    """R_med: the largest curvature over the median."""
    sizes = stations(method, seed)[level]
    return (sizes.max() / sizes.quantile(0.5)).item()


def ladder(seed: int) -> list[dict]:
    """R_med at every level of the loss."""
    return [
        {
            "method": method,
            "loss": list(LEVELS),
            "r_med": [ratio(method, seed, level) for level in LEVELS],
        }
        for method in RATES
    ]


def here(level: float, seed: int) -> list[dict]:
    """R_med now."""
    return [
        {"method": method, "name": NAMES[method], "now": ratio(method, seed, level)}
        for method in RATES
    ]


TABLES = {"units": units, "ladder": ladder, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """The units as ticks; R_med against the loss."""
    styles = line_styles(list(RATES))
    share = {
        "title": "a unit's curvature / the median",
        "scale": altair.Scale(type="log", domain=[LOW, HIGH], nice=False),
        "axis": altair.Axis(values=[1e-4, 1e-2, 1, 1e2], format="~g"),
    }
    row = {
        "sort": list(RATES),
        "title": None,
        "scale": altair.Scale(domain=list(RATES)),
        "axis": altair.Axis(labelExpr="datum.value == 'sgd' ? 'gradient descent' : 'Adam'"),
    }
    ticks = (
        altair.Chart(table("units"))
        .mark_tick(thickness=1.5, height=44, opacity=0.55)
        .encode(altair.X("share:Q", **share), altair.Y("method:N", **row), styles["color"])
    )
    now = altair.Chart(table("here"))
    largest = now.mark_text(dy=-34, fontWeight="bold").encode(
        altair.X("now:Q", **share),
        altair.Y("method:N", **row),
        styles["color"],
        altair.Text("now:Q", format=".3g"),
    )
    x = {
        "title": "loss, as a share of the first",
        "scale": altair.Scale(type="log", domain=[1.3, 0.007], nice=False),
        "axis": altair.Axis(values=[1, 0.3, 0.1, 0.03, 0.01], format="~g"),
    }
    y = {
        "title": "R_med",
        "scale": altair.Scale(type="log", domain=[0.9, 100], nice=False),
        "axis": altair.Axis(values=[1, 3, 10, 30, 100]),
    }
    lines = (
        altair.Chart(table("ladder"))
        .mark_line(clip=True)
        .encode(altair.X("loss:Q", **x), altair.Y("r_med:Q", **y), **styles)
    )
    dots = now.mark_point(filled=True, size=90, opacity=1, clip=True).encode(
        altair.X("level:Q", **x), altair.Y("now:Q", **y), styles["color"]
    )
    size = {"width": "container", "height": 220}
    return [
        altair.layer(ticks, largest).properties(**size),
        altair.layer(lines, dots).properties(**size),
    ]


CAPTION = """
Fifty hidden units, each a tick at its curvature over the median; the number is the largest, R_med.
Train: move the loss from 1 down to a hundredth. Both methods start with the same ticks. Under
gradient descent the ticks soon stop moving against each other: what is multiplied keeps its
ratios. Under Adam they run together into one. Then try other starts: the number that gradient
descent keeps is another one each time, and Adam's is not.
"""
ALT = """
Two rows of fifty ticks on a logarithmic axis, for gradient descent and for Adam, and beside them
R_med against the loss. At the first weights both rows are the same, spread over powers of ten. As
the loss falls gradient descent's ticks stay spread, and its R_med is constant, at a value that
depends on the start. Adam's ticks contract to one line, and its R_med falls to nearly one.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
