"""Chapter 15: one rate for common and rare classes; how heavy may the tail be?"""

from __future__ import annotations

import functools
import math

import altair
import torch
from torch import Tensor

from linfcourse.explorables.lines import apart, line_styles
from linfcourse.explore import Control, Explorable, explorable, grid, table
from linfcourse.optim import SignSGD

CLASSES = 127
RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 127)  # those drawn
CERTAIN = 0.9  # of what follows a token; the rest is spread over all
MARKS = (3, 10, 30)  # longer at the large rates, rounding errors grow to any size
RATES = {
    "sgd": (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0),
    "sign": (0.01, 0.03, 0.1, 0.3, 1.0),
}
MAKERS = {"sgd": torch.optim.SGD, "sign": SignSGD}
NAMES = {"sgd": "gradient descent", "sign": "sign descent"}
FLOOR, CEILING = 1e-3, 10.0  # of the shares of loss left
TAILS = {0.0: "all equal", 0.5: "as k⁻⁰·⁵", 1.0: "as k⁻¹", 1.5: "as k⁻¹·⁵"}
CONTROLS = (
    Control("tail", "frequency of the class k", tuple(TAILS), 1.0, tuple(TAILS.values())),
    Control("lr", "gradient descent's learning rate", RATES["sgd"], 10.0),
    Control("steps", "after steps", MARKS, 30),
)


def frequencies(tail: float) -> Tensor:
    """p_k ∝ k^−tail, (classes,)."""
    p = torch.arange(1, CLASSES + 1, dtype=torch.float64) ** -tail
    return p / p.sum()


def excess(W: Tensor, Q: Tensor) -> Tensor:
    """Cross-entropy of each class above its entropy, (classes,)."""
    return (Q * (Q.log() - W.log_softmax(0))).sum(0)


@functools.cache
def left(method: str, tail: float, lr: float) -> dict[int, Tensor]:
    """The share of its first loss that each class has left after each of MARKS, (classes,).

    The chapter's table: column k of W has the logits of what follows k.
    """
    p = frequencies(tail)
    Q = (1 - CERTAIN) / CLASSES + CERTAIN * torch.eye(CLASSES, dtype=torch.float64)
    W = torch.zeros_like(Q, requires_grad=True)
    optimizer = MAKERS[method]([W], lr=lr)
    first, found = excess(W.detach(), Q), {}
    for step in range(1, MARKS[-1] + 1):
        W.grad = p * (W.detach().softmax(0) - Q)
        optimizer.step()
        if step in MARKS:
            found[step] = excess(W.detach(), Q) / first
    return found


def total(method: str, tail: float, lr: float, steps: int) -> float:
    """The share of the whole loss that is left: every class counts as often as it occurs."""
    return (frequencies(tail) @ left(method, tail, lr)[steps]).item()


@functools.cache
def best(method: str, tail: float, steps: int) -> float:
    """The learning rate that leaves the least of the whole loss after that many steps."""
    return min(RATES[method], key=lambda lr: total(method, tail, lr, steps))


def rates(tail: float, lr: float, steps: int) -> dict[str, float]:
    """Gradient descent's as chosen, sign descent's the best of its own."""
    return {"sgd": lr, "sign": best("sign", tail, steps)}


def cut(value: float) -> float:
    """The value, or the axis' edge."""
    return min(max(value, FLOOR), CEILING)


def classes(tail: float, lr: float, steps: int) -> list[dict]:
    """Loss left against the rank of the class."""
    rows = []
    for method, rate in rates(tail, lr, steps).items():
        shares = left(method, tail, rate)[steps].tolist()
        rows.append(
            {"method": method, "rank": list(RANKS), "left": [cut(shares[k - 1]) for k in RANKS]}
        )
    return rows


def whole(tail: float, steps: int) -> list[dict]:
    """All of the loss that is left, against gradient descent's rate."""
    return [
        {
            "method": "sgd",
            "rate": list(RATES["sgd"]),
            "all_left": [cut(total("sgd", tail, lr, steps)) for lr in RATES["sgd"]],
        }
    ]


def bar(tail: float, steps: int) -> list[dict]:
    """All of the loss that sign descent leaves."""
    return [{"method": "sign", "bar": cut(total("sign", tail, best("sign", tail, steps), steps))}]


def here(tail: float, lr: float, steps: int) -> list[dict]:
    """The chosen rate."""
    return [{"method": "sgd", "all_now": cut(total("sgd", tail, lr, steps))}]


def names(tail: float, lr: float, steps: int) -> list[dict]:
    """The names at the rarest class."""
    chosen = rates(tail, lr, steps)
    ends = {m: math.log10(cut(left(m, tail, rate)[steps][-1].item())) for m, rate in chosen.items()}
    return [
        {"method": m, "name": NAMES[m], "end": RANKS[-1], "height": 10**at}
        for m, at in apart(ends, 0.3).items()
    ]


TABLES = {"classes": classes, "whole": whole, "bar": bar, "here": here, "names": names}


def charts() -> list[altair.TopLevelMixin]:
    """Loss left for each class; all of it against the rate."""
    styles = line_styles(list(NAMES))
    y = {
        "scale": altair.Scale(type="log", domain=[FLOOR / 1.6, CEILING], nice=False),
        "axis": altair.Axis(values=[1e-3, 1e-2, 0.1, 1, 10], format="~g"),
    }
    x = {
        "title": "rank of the class, the commonest first",
        "scale": altair.Scale(type="log", domain=[0.9, 20000], nice=False),
        "axis": altair.Axis(values=[1, 10, 100], format="~g"),
    }
    lines = (
        altair.Chart(table("classes"))
        .mark_line(point={"filled": True, "size": 30})
        .encode(
            altair.X("rank:Q", **x),
            altair.Y("left:Q", title="share of its loss left", **y),
            **styles,
        )
    )
    labels = (
        altair.Chart(table("names"))
        .mark_text(align="left", dx=8)
        .encode(altair.X("end:Q", **x), altair.Y("height:Q", **y), styles["color"], text="name:N")
    )
    rate = {
        "title": "gradient descent's learning rate",
        "scale": altair.Scale(type="log", domain=[0.7, 4300], nice=False),
        "axis": altair.Axis(values=[1, 10, 100, 1000], format="~s"),
    }
    curve = (
        altair.Chart(table("whole"))
        .mark_line()
        .encode(
            altair.X("rate:Q", **rate),
            altair.Y("all_left:Q", title="share of all loss left", **y),
            **styles,
        )
    )
    rule = (
        altair.Chart(table("bar")).mark_rule(strokeWidth=2).encode(altair.Y("bar:Q", **y), **styles)
    )
    dot = (
        altair.Chart(table("here"))
        .mark_point(filled=True, size=100, opacity=1)
        .encode(altair.X("lr:Q", **rate), altair.Y("all_now:Q", **y), styles["color"])
    )
    size = {"width": "container", "height": 250}
    return [
        altair.layer(lines, labels).properties(**size),
        altair.layer(curve, rule, dot).properties(**size),
    ]


CAPTION = """
The table with 127 tokens. First what each class has left of its loss; then what is left of all of
it, against gradient descent's learning rate, with sign descent as the level line, at its best rate
on a grid of its own. Raise gradient descent's rate: what it learns is a window of ranks, which
moves to the rare ones and leaves the common ones behind, thrown off their minimum. Is there a rate
at which all classes are in it? With equal frequencies there is; the heavier the tail, the more
stays outside. Values beyond the axes lie on their edges.
"""
ALT = """
Two pictures on logarithmic axes. The share of the loss that is left against the rank of the class:
sign descent's line is level; gradient descent's rises from the common classes to the rare ones,
moves to the right as its learning rate grows, and at large rates stands high at the common end
instead. Beside it the share of the whole loss against gradient descent's learning rate, a valley,
and a level line for sign descent. With equal frequencies all lines of the first picture are level,
and after 30 steps the valley goes down as far as sign descent's line; with heavier tails its
bottom lies higher and higher above it.
"""


def figure() -> Explorable:
    """The chapter's figure to turn."""
    return explorable(
        charts(), grid(CONTROLS, **TABLES), controls=CONTROLS, caption=CAPTION, alt=ALT
    )
