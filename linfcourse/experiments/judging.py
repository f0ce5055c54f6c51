"""From figures to verdicts: does a claim hold on this record, fail, or stay open?

A verdict never rests on one run. Two methods are compared seed by seed, each at the learning rate
that was best for it on a grid shared by all, and the difference has to be larger than its own
uncertainty (a 90 % Student interval of the paired differences) before a claim `holds` or `fails`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy

from linfcourse.hessian.estimate import t_quantile
from linfcourse.records import Record

Status = Literal["holds", "fails", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """`holds`, `fails` or `inconclusive`, the reason in one sentence, and the figures used."""

    status: Status
    reason: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A sentence that a paper (or this course) states, and how a record judges it.

    Args:
        id: short stable name, `experiment.what`.
        statement: the claim in plain words.
        source: where it is stated, such as `"arXiv:2410.08198"` or `"this course"`.
        chapter: file stem of the chapter that treats it.
        judge: `record -> Verdict`; must be a pure function of the record.
    """

    id: str
    statement: str
    source: str
    chapter: str
    judge: Callable[[Record], Verdict]


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and 90 % Student interval of independent values: (mean, low, high).

    With one value, or one that is not finite, the interval is the whole line.

    >>> interval([1.0, 2.0, 3.0])
    (2.0, 0.314..., 3.685...)
    """
    values = numpy.asarray(values, dtype=float)
    mean = float(values.mean())
    if len(values) < 2 or not numpy.isfinite(values).all():
        return mean, -math.inf, math.inf
    half = t_quantile(len(values) - 1) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def compare(
    lower: Sequence[float], higher: Sequence[float], names: tuple[str, str], what: str = "loss"
) -> Verdict:
    """Is the first quantity smaller than the second, seed by seed?

    A run that diverged counts as an infinite loss: it loses against any finite one.

    Args:
        lower, higher: one value a seed, in the same order of seeds.
        names: what to call the two in the reason.
        what: the quantity compared.

    Raises:
        ValueError: the two have different lengths, or none.
    """
    if len(lower) != len(higher) or not len(lower):
        raise ValueError(
            f"compare needs one value a seed for both, got {len(lower)} and {len(higher)}"
        )
    if not all(map(math.isfinite, [*lower, *higher])):
        return _compare_with_divergence(lower, higher, names, what)
    difference = [b - a for a, b in zip(lower, higher, strict=True)]
    mean, low, high = interval(difference)
    figures = {names[0]: list(lower), names[1]: list(higher), "difference": [mean, low, high]}
    text = (
        f"{what} of {names[1]} minus {names[0]}: {mean:.3g} [{low:.3g}, {high:.3g}] "
        f"over {len(lower)} seed{'s' if len(lower) > 1 else ''}"
    )
    if low > 0:
        return Verdict("holds", text, figures)
    if high < 0:
        return Verdict("fails", text, figures)
    return Verdict("inconclusive", text, figures)


def _compare_with_divergence(lower, higher, names, what) -> Verdict:
    figures = {names[0]: list(lower), names[1]: list(higher)}
    if all(map(math.isfinite, lower)) and not any(map(math.isfinite, higher)):
        return Verdict("holds", f"{names[1]} diverged on every seed", figures)
    if not any(map(math.isfinite, lower)) and all(map(math.isfinite, higher)):
        return Verdict("fails", f"{names[0]} diverged on every seed", figures)
    return Verdict("inconclusive", f"{what}: some runs diverged", figures)


def all_of(verdicts: dict[str, Verdict]) -> Verdict:
    """A claim of several parts: fails if one part fails, holds if all hold."""
    if not verdicts:
        raise ValueError("all_of needs at least one verdict")
    statuses = [v.status for v in verdicts.values()]
    status: Status = (
        "fails" if "fails" in statuses else
        "holds" if all(s == "holds" for s in statuses) else "inconclusive"
    )  # fmt: skip
    reason = "; ".join(v.reason for v in verdicts.values())
    return Verdict(status, reason, {name: v.figures for name, v in verdicts.items()})


def tally(verdicts: dict[str, Verdict], parts: str, where: str = "") -> Verdict:
    """As `all_of`, for predictions with too many parts to give the reasons of all.

    Args:
        verdicts: of the parts.
        parts: what they are called, such as `"pairs"`.
        where: under which condition all of them stand, such as `"β₁ = 0.9"`.
    """
    verdict, statuses = all_of(verdicts), [v.status for v in verdicts.values()]
    reason = (
        f"{where + ': ' if where else ''}{statuses.count('holds')} of {len(statuses)} {parts} "
        f"as predicted, {statuses.count('fails')} the other way"
    )
    return Verdict(verdict.status, reason, verdict.figures)


def threshold(value: float, low: float, high: float, what: str) -> Verdict:
    """Does a single computed figure lie in a range that was fixed beforehand?"""
    inside = low <= value <= high
    text = f"{what} is {value:.3g}, asked to lie in [{low:.3g}, {high:.3g}]"
    return Verdict("holds" if inside else "fails", text, {what: value})
