"""What we want a ratio to be, written down beside what it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.timing import ratios

MET, MISSED, ON_THE_LINE = "met", "not met", "on the line"


@dataclass(frozen=True)
class Aim:
    """`entrant` takes at most `limit` times as long as `peer`, in every case that has both.

    Args:
        text: the aim as a sentence without its end.
        entrant, peer: names in a case's times.
        limit: of the ratio; 0.5 is "twice as fast".
        peers: how many of the peer's times count as one, where the peer does part of the work.
    """

    text: str
    entrant: str
    peer: str
    limit: float
    peers: float = 1.0

    def judge(self, case: dict[str, Any]) -> dict[str, Any]:
        """One row: the aim, the case, both ratios, and the verdict."""
        found = ratios(case["times"][self.entrant], case["times"][self.peer])
        by_median, by_min = (ratio / self.peers for ratio in found)
        return {
            "case": case["case"],
            "aim": self.text,
            "limit": self.limit,
            "ratio_of_medians": by_median,
            "ratio_of_minima": by_min,
            "verdict": verdict((by_median, by_min), self.limit),
        }


def verdict(measured: Sequence[float], limit: float) -> str:
    """Met if every way of measuring says so, not met if none does, else on the line."""
    met = [value <= limit for value in measured]
    return MET if all(met) else ON_THE_LINE if any(met) else MISSED


def judge_all(aims: Sequence[Aim], cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every aim on every case that has its two entrants."""
    return [
        aim.judge(case)
        for aim in aims
        for case in cases
        if aim.entrant in case["times"] and aim.peer in case["times"]
    ]
