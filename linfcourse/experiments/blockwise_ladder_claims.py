"""What `blockwise_ladder` claims, and how its record judges each claim."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from linfcourse.experiments.blockwise_ladder_partitions import PARTITIONS
from linfcourse.experiments.blockwise_ladder_results import LADDER, apart, finals
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval, tally
from linfcourse.records import Record


def _below(record: Record, lower: str, higher: str) -> Verdict:
    names = PARTITIONS[lower].label, PARTITIONS[higher].label
    return compare(finals(record, lower), finals(record, higher), names, "final loss")


def _judge_pairs(pairs: Sequence[tuple[str, str]]) -> Callable[[Record], Verdict]:
    return lambda record: all_of({f"{a} < {b}": _below(record, a, b) for a, b in pairs})


def _judge_half(record: Record) -> Verdict:
    """Of the way from AdaSGD's loss to Adam's, Adam-mini goes more than half."""
    whole, mini, adam = (finals(record, p) for p in ("whole", "adam_mini", "coordinatewise"))
    if not all(map(math.isfinite, [*whole, *mini, *adam])):
        return Verdict("inconclusive", "some runs diverged")
    beyond = [w - m - (w - a) / 2 for w, m, a in zip(whole, mini, adam, strict=True)]
    mean, low, high = interval(beyond)
    text = f"Adam-mini lies {mean:.3g} [{low:.3g}, {high:.3g}] below the middle of the two"
    status = "holds" if low > 0 else "fails" if high < 0 else "inconclusive"
    return Verdict(status, text, {"beyond the middle": beyond})


def _judge_smoothness(places: Sequence[str], ladder: Sequence[str] = LADDER) -> Callable:
    """Is each finer partition of the ladder smoother, at these places and on all seeds?"""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for place, (coarse, fine) in itertools.product(places, itertools.pairwise(ladder)):
            status = apart(record, fine, coarse, place)
            names = f"{PARTITIONS[fine].label} < {PARTITIONS[coarse].label}"
            verdicts[f"{place}: {names}"] = Verdict(status, f"{place}: {names}: {status}")
        return all_of(verdicts)

    return judge


def _judge_prediction(place: str) -> Callable[[Record], Verdict]:
    """Of two partitions whose brackets at a place are apart, does the smoother one end lower?"""

    def judge(record: Record) -> Verdict:
        verdicts = {
            f"{a} < {b}": _below(record, a, b)
            for a, b in itertools.permutations(record.config["partitions"], 2)
            if apart(record, a, b, place) == "holds"
        }
        if not verdicts:
            return Verdict("inconclusive", "no two brackets are apart")
        return tally(verdicts, "pairs")

    return judge


def _claim(name: str, statement: str, judge: Callable, source: str = "this course") -> Claim:
    return Claim(f"blockwise_ladder.{name}", statement, source, "09_choosing_the_blocks", judge)


CLAIMS = (
    _claim(
        "finer_is_smoother",
        "On Adam's path H(L, Φ) falls along the ladder: one block, tensors, Adam-mini, Adam.",
        _judge_smoothness(["adam"]),
        "arXiv:2410.08198, in substance, for the two ends",
    ),
    _claim(
        "finer_is_smoother_for_adasgd",
        "On AdaSGD's path, too, it falls along the whole ladder.",
        _judge_smoothness(["adasgd"]),
    ),
    _claim(
        "adam_is_smoother",
        "On either path H(L, Φ) is smaller for Adam than for AdaSGD.",
        _judge_smoothness(["adam", "adasgd"], ["whole", "coordinatewise"]),
        "arXiv:2410.08198, in substance",
    ),
    _claim(
        "adam_is_smoother_at_the_start",
        "Already at the initial weights it is smaller for Adam than for AdaSGD.",
        _judge_smoothness(["start"], ["whole", "coordinatewise"]),
    ),
    _claim(
        "finer_is_better",
        "The final loss falls along the ladder.",
        _judge_pairs([(fine, coarse) for coarse, fine in itertools.pairwise(LADDER)]),
    ),
    _claim(
        "bound_orders",
        "Of any two partitions whose H(L, Φ), measured on Adam's path, are apart, the one with the "
        "smaller value ends at the lower loss.",
        _judge_prediction("adam"),
    ),
    _claim(
        "bound_orders_at_the_start",
        "Measured at the initial weights, H(L, Φ) orders the final losses as well.",
        _judge_prediction("start"),
    ),
    _claim(
        "adam_mini_beats_random",
        "Adam-mini's blocks end at a lower loss than random blocks of the same sizes.",
        _judge_pairs([("adam_mini", "random_within"), ("adam_mini", "random")]),
        "arXiv:2406.16793, in substance",
    ),
    _claim(
        "adam_mini_is_most_of_adam",
        "Adam-mini's blocks bring more than half of Adam's gain over AdaSGD.",
        _judge_half,
        "arXiv:2406.16793, in substance",
    ),
    _claim(
        "sorted_beats_adam_mini",
        "Blocks of the same sizes, sorted by the size of the gradient, end below Adam-mini's.",
        _judge_pairs([("sorted", "adam_mini")]),
    ),
)
