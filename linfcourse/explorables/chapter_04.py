"""Chapter 4: a hundred estimates of a (1,1)-norm that is known, by three estimators."""

from __future__ import annotations

import functools
import zlib
from statistics import median

import altair
import torch

from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import INK
from linfcourse.hessian import DenseOperator, norm_11
from linfcourse.models import example_hessians

D, REPETITIONS = 100, 100
HESSIANS = ("diagonal", "heavy-tailed rows", "random PSD", "rotated", "rank one")
CONTROLS = (
    Control("hessian", "kind of Hessian", HESSIANS, "rotated"),
    Control("probes", "Hessian-vector products", (5, 10, 20, 50, 100), 20),
)
# In the chapter's figures, too: the paper's, the corrected one, the course's.
NAMES = {"median": "median", "geometric": "geometric mean", "two_stage": "two stages"}
COLORS = {"median": "#a03c78", "geometric": "#00734f", "two_stage": "#0060a0"}
LOW, HIGH = 0.3, 3.0  # of the axis of ratios


@functools.cache
def matrices() -> dict[str, torch.Tensor]:
    """The chapter's example Hessians, small."""
    return example_hessians(D)


@functools.cache
def ratios(hessian: str, probes: int, estimator: str) -> list[float]:
    """Estimates over the truth, sorted; beyond the axis they lie on its edge."""
    H = matrices()[hessian]
    truth = H.abs().sum().item()
    seed = zlib.crc32(f"{hessian} {probes} {estimator}".encode())
    generator = torch.Generator().manual_seed(seed)
    estimates = [
        norm_11(DenseOperator(H), probes=probes, estimator=estimator, generator=generator).value
        for _ in range(REPETITIONS)
    ]
    return sorted(min(max(value / truth, LOW), HIGH) for value in estimates)


def estimates(hessian: str, probes: int) -> list[dict]:
    """All estimates."""
    return [{"estimator": NAMES[name], "ratio": ratios(hessian, probes, name)} for name in NAMES]


def middle(hessian: str, probes: int) -> list[dict]:
    """Median, and the range in which nine of ten lie."""
    rows = []
    for name in NAMES:
        values = ratios(hessian, probes, name)
        cut = REPETITIONS // 20
        rows.append(
            {
                "estimator": NAMES[name],
                "middle": median(values),
                "low": values[cut],
                "high": values[-cut - 1],
            }
        )
    return rows


def spread(hessian: str) -> list[dict]:
    """The factor between the two ends of that range, against the number of products."""
    budgets = list(CONTROLS[1].values)
    rows = []
    for name in NAMES:
        ends = [(values[5], values[-6]) for values in (ratios(hessian, k, name) for k in budgets)]
        rows.append(
            {
                "estimator": NAMES[name],
                "budget": budgets,
                "factor": [high / low for low, high in ends],
            }
        )
    return rows


def here(hessian: str, probes: int) -> list[dict]:
    """The same at the chosen number of products."""
    return [
        {"estimator": row["estimator"], "now": row["high"] / row["low"]}
        for row in middle(hessian, probes)
    ]


TABLES = {"estimates": estimates, "middle": middle, "spread": spread, "here": here}


def charts() -> list[altair.TopLevelMixin]:
    """The estimates as ticks around the truth; the spread against the number of products."""
    color = altair.Color(
        "estimator:N",
        scale=altair.Scale(domain=list(NAMES.values()), range=list(COLORS.values())),
        legend=None,
    )
    x = {
        "title": "estimate / truth",
        "scale": altair.Scale(type="log", domain=[LOW, HIGH], nice=False),
        "axis": altair.Axis(values=[0.3, 0.5, 0.7, 1, 1.5, 2, 3], format="~g"),
    }
    y = altair.Y(
        "estimator:N",
        sort=list(NAMES.values()),
        title=None,
        scale=altair.Scale(domain=list(NAMES.values())),
    )
    ticks = (
        altair.Chart(table("estimates"))
        .mark_tick(thickness=1.5, height=30, opacity=0.35)
        .encode(altair.X("ratio:Q", **x), y, color)
    )
    summary = altair.Chart(table("middle"))
    ranges = summary.mark_rule(strokeWidth=3, yOffset=26).encode(
        altair.X("low:Q", **x), altair.X2("high:Q"), y, color
    )
    dots = summary.mark_point(filled=True, size=80, opacity=1, yOffset=26).encode(
        altair.X("middle:Q", **x), y, color
    )
    truth = (
        altair.Chart(altair.Data(values=[{"truth": 1}]))
        .mark_rule(color=INK, strokeDash=[4, 3])
        .encode(altair.X("truth:Q", **x))
    )
    strips = altair.layer(truth, ticks, ranges, dots).properties(width="container", height=240)

    budget = {
        "title": "Hessian-vector products",
        "scale": altair.Scale(type="log", domain=[4, 125], nice=False),
        "axis": altair.Axis(values=[5, 10, 20, 50, 100]),
    }
    factor = {
        "title": "spread (factor)",
        "scale": altair.Scale(type="log", domain=[1, 10], nice=False),
        "axis": altair.Axis(values=[1, 1.2, 1.5, 2, 3, 5, 10], format="~g"),
    }
    lines = (
        altair.Chart(table("spread"))
        .mark_line(clip=True)
        .encode(altair.X("budget:Q", **budget), altair.Y("factor:Q", **factor), color)
    )
    points = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=90, opacity=1, clip=True)
        .encode(altair.X("probes:Q", **budget), altair.Y("now:Q", **factor), color)
    )
    return [strips, altair.layer(lines, points).properties(width="container", height=240)]


CAPTION = """
Each tick is one estimate of the same (1,1)-norm, a hundred for each estimator; the dot is their
median, and the bar holds nine tenths. The lines show the factor between the ends of the bar, in
the same colours. On the diagonal matrix with five products, most estimates by the median lie right
of the truth, and the two stages are lost: five products are too few for both. Raise the number,
and go through the other kinds. The matrices have 100 rows: a hundred products could read them off.
"""
ALT = """
Three strips of a hundred ticks each, estimates over the truth on a logarithmic axis, with a
vertical line at one; beside it the spread of each against the number of products, falling. The
strip of the two-stage estimator is the narrowest on most kinds of Hessian, above all on the
rank-one matrix; on the diagonal one it is the widest for few products and exact from fifty on.
There the median's strip is shifted to the right for few products.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
