"""Chapter 8: lay a partition over a landscape; see what is predicted, and what it comes to."""

from __future__ import annotations

import functools
import math
from statistics import median

import altair
from torch.nn.functional import avg_pool2d

from linfcourse.experiments import blockwise_quadratic
from linfcourse.experiments.blockwise_quadratic_results import brackets, finals
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.figures import STYLES
from linfcourse.records import Record

PARTITIONS = ("1", "4", "16", "16 shuffled", "64", "256")
CONTROLS = (
    Control("landscape", "landscape", ("axes", "blocks", "mixed"), "blocks"),
    Control("partition", "number of blocks", PARTITIONS, "16"),
    Control("beta1", "momentum β₁", (0.0, 0.9), 0.9),
)
CELL = 8  # coordinates of the picture that become one square
SMALLEST = -4.0  # log₁₀ of what the picture still tells from zero
NOW, OTHER = STYLES["rotated_adam"].color, STYLES["adam"].color
FLOOR = 1e-9  # of the axis of losses


@functools.cache
def record() -> Record:
    """The chapter's record, five seeds."""
    return blockwise_quadratic.recorded()


def blocks_of(partition: str) -> dict:
    """A partition as the record calls it."""
    return {"blocks": int(partition.split()[0]), "shuffled": "shuffled" in partition}


def hessian(landscape: str) -> list[dict]:
    """The size of the Hessian's entries: root mean squares over squares of 8 by 8, as log₁₀."""
    config = blockwise_quadratic.PRESETS["cpu"]
    H = blockwise_quadratic.make_hessian(config, landscape, seed=0)
    sizes = avg_pool2d(H.square()[None], CELL)[0].sqrt().clamp_min(10**SMALLEST).log10()
    count = len(sizes)
    return [
        {
            "row": row,
            "column": list(range(count)),
            "size": [round(x, 2) for x in sizes[row].tolist()],
        }
        for row in range(count)
    ]


def edges(partition: str) -> list[dict]:
    """The blocks of neighbours as squares on the diagonal; shuffled ones cannot be drawn so."""
    chosen, count = blocks_of(partition), record().config["d"] // CELL
    blocks = 1 if chosen["shuffled"] else min(chosen["blocks"], count)
    size = count / blocks
    return [
        {
            "from": k * size,
            "to": (k + 1) * size,
            "stroke": 0.0 if chosen["shuffled"] else 1.0,
        }
        for k in range(blocks)
    ]


def predicted(landscape: str) -> list[dict]:
    """H(L, Φ) of every partition: the range of its bounds over the seeds."""
    rows = []
    for name in PARTITIONS:
        pairs = brackets(record(), landscape=landscape, **blocks_of(name))
        low, high = min(low for low, _ in pairs), max(high for _, high in pairs)
        rows.append({"name": name, "low": low, "high": high})
    return rows


def came_out(landscape: str, beta1: float) -> list[dict]:
    """The final loss of every seed, each partition at its best learning rate."""
    return [
        {"name": name, "seed": seed, "loss": max(loss, FLOOR)}
        for name in PARTITIONS
        for seed, loss in enumerate(_losses(landscape, name, beta1))
    ]


def here(landscape: str, partition: str, beta1: float) -> list[dict]:
    """The chosen partition: the middle of its bounds and of its losses."""
    pairs = brackets(record(), landscape=landscape, **blocks_of(partition))
    losses = _losses(landscape, partition, beta1)
    return [
        {
            "chosen": partition,
            "smoothness": median(math.sqrt(low * high) for low, high in pairs),
            "middle": max(median(losses), FLOOR),
        }
    ]


def _losses(landscape: str, partition: str, beta1: float) -> list[float]:
    return finals(record(), landscape=landscape, beta1=beta1, **blocks_of(partition))


TABLES = {
    "hessian": hessian, "edges": edges, "predicted": predicted, "came_out": came_out, "here": here,
}  # fmt: skip


def charts() -> list[altair.TopLevelMixin]:
    """The Hessian with the partition's blocks; prediction and outcome for every partition."""
    count = record().config["d"] // CELL
    side = {"scale": altair.Scale(domain=[0, count], nice=False), "axis": None}
    down = {"scale": altair.Scale(domain=[count, 0], nice=False), "axis": None}
    squares = (
        altair.Chart(table("hessian"))
        .mark_rect()
        .transform_calculate(right="datum.column + 1", bottom="datum.row + 1")
        .encode(
            altair.X("column:Q", **side),
            altair.X2("right:Q"),
            altair.Y("row:Q", **down),
            altair.Y2("bottom:Q"),
            altair.Opacity(
                "size:Q", scale=altair.Scale(domain=[SMALLEST, 0], range=[0, 1]), legend=None
            ),
            color=altair.value("#1b1b1b"),
        )
    )
    blocks = (
        altair.Chart(table("edges"))
        .mark_rect(fillOpacity=0, stroke=NOW, strokeWidth=2)
        .encode(
            altair.X("from:Q", **side),
            altair.X2("to:Q"),
            altair.Y("from:Q", **down),
            altair.Y2("to:Q"),
            altair.StrokeOpacity("stroke:Q", scale=None),
        )
    )
    picture = altair.layer(squares, blocks).properties(width=250, height=250)

    def x(field: str) -> altair.X:
        return altair.X(
            f"{field}:N", sort=list(PARTITIONS), title="number of blocks",
            axis=altair.Axis(labelAngle=-40), scale=altair.Scale(domain=list(PARTITIONS)),
        )  # fmt: skip

    powers = altair.Axis(format=".0e", values=[1e-8, 1e-6, 1e-4, 1e-2])
    smooth = {
        "title": "predicted: H(L, Φ)",
        "scale": altair.Scale(type="log", domain=[10, 2000], nice=False),
        "axis": altair.Axis(values=[10, 30, 100, 300, 1000]),
    }
    loss = {
        "title": "final loss",
        "scale": altair.Scale(type="log", domain=[FLOOR, 1e-1], nice=False),
        "axis": powers,
    }
    ladder = altair.Chart(table("predicted")).encode(x("name"))
    bounds = ladder.mark_rule(strokeWidth=6, color=OTHER, opacity=0.6).encode(
        altair.Y("low:Q", **smooth), altair.Y2("high:Q")
    )
    bound = ladder.mark_tick(color=OTHER, thickness=2, width=16).encode(
        altair.Y("high:Q", **smooth)
    )
    outcome = (
        altair.Chart(table("came_out"))
        .mark_point(filled=True, size=28, color=OTHER, opacity=0.6)
        .encode(x("name"), altair.Y("loss:Q", **loss))
    )
    chosen = altair.Chart(table("here")).mark_point(
        filled=False, size=190, strokeWidth=2.5, color=NOW, opacity=1
    )
    size = {"width": "container", "height": 190}
    return [
        picture,
        altair.layer(bounds, bound, chosen.encode(x("chosen"), altair.Y("smoothness:Q", **smooth)))
        .properties(**size),
        altair.layer(outcome, chosen.encode(x("chosen"), altair.Y("middle:Q", **loss)))
        .properties(**size),
    ]  # fmt: skip


CAPTION = """
First the Hessian (the darker, the larger), with the partition's blocks drawn over it: one second
moment for each square. Then what its smoothness promises, and what came out in five seeds. Lay the
16 blocks over the landscape with blocks: they fit, and both numbers fall. Shuffle them: same
number, same memory, nothing gained. Then look where each landscape is lowest, and whether the two
pictures agree. Finer blocks than can be drawn are shown as 32.
"""
ALT = """
A picture of the Hessian with the blocks of the chosen partition as squares on its diagonal; the
blockwise smoothness of six partitions; their final losses. On the landscape with hidden blocks the
16 squares cover the dark blocks exactly, the smoothness is lowest there, and with momentum the
loss lies orders of magnitude below those of one block and of 16 shuffled blocks. On the landscape
of axes the finest partition is lowest in both. On the mixed landscape the smoothness grows with
the number of blocks, and the losses are about level.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
