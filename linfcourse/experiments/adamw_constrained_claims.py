"""The claims of `adamw_constrained`, each with its rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from linfcourse.experiments.adamw_constrained_results import name_of, values
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.records import Record

CLOSE = 0.01  # "at" a point means within this distance, in units of 1/λ; fixed before the runs


def below(numbers: Sequence[float], limit: float, what: str) -> Verdict:
    """Is the mean of one number a seed below a limit, by its 90 % interval?"""
    mean, low, high = interval(numbers)
    text = f"{what} {mean:.2g} [{low:.2g}, {high:.2g}], asked to be below {limit:g}"
    status = "holds" if high < limit else "fails" if low > limit else "inconclusive"
    return Verdict(status, text, {what: list(numbers)})


def above(numbers: Sequence[float], limit: float, what: str) -> Verdict:
    """Is the mean of one number a seed above a limit, by its 90 % interval?"""
    other = below([-number for number in numbers], -limit, what)
    mean, low, high = interval(numbers)
    text = f"{what} {mean:.3g} [{low:.3g}, {high:.3g}], asked to be above {limit:g}"
    return Verdict(other.status, text, {what: list(numbers)})


def _for_pairs(judge: Callable[..., Verdict], which: str) -> Callable[[Record], Verdict]:
    def judge_all(record: Record) -> Verdict:
        pairs = [tuple(betas) for betas in record.config[which]]
        return all_of({name_of("adamw", betas): judge(record, betas) for betas in pairs})

    return judge_all


def _decaying(record: Record, what: str, betas, method: str = "adamw") -> list[float]:
    return values(record, what, method=method, betas=betas, schedule="decaying")


def _constant(record: Record, betas, lr: float) -> list[float]:
    return values(record, "largest", method="adamw", betas=betas, schedule="constant", lr=lr)


def _at_minimiser(record: Record, betas) -> Verdict:
    radius = 1 / record.config["weight_decay"]
    distances = [distance / radius for distance in _decaying(record, "to_box", betas)]
    return below(distances, CLOSE, f"{name_of('adamw', betas)}: distance")


def _kkt(record: Record, betas) -> Verdict:
    radius = 1 / record.config["weight_decay"]
    name = name_of("adamw", betas)
    residuals = [abs(curve[-1]) for curve in _decaying(record, "residual", betas)]
    excesses = [curve[-1] / radius for curve in _decaying(record, "excess", betas)]
    return all_of(
        {
            "residual": below(residuals, CLOSE, f"{name}: residual"),
            "excess": below(excesses, CLOSE, "excess"),
        }
    )


def _ridge(record: Record, betas) -> Verdict:
    radius = 1 / record.config["weight_decay"]
    to_ridge, to_box = (
        [distance / radius for distance in _decaying(record, what, betas, "adam_l2")]
        for what in ("to_ridge", "to_box")
    )
    name = name_of("adamw", betas)
    return all_of(
        {
            "ridge": below(to_ridge, CLOSE, f"{name}: distance from ridge regression"),
            "box": above(to_box, 10 * CLOSE, "from the minimiser in the box"),
        }
    )


def _stays(record: Record, betas) -> Verdict:
    excess = [v - 1 for v in _constant(record, betas, max(record.config["lrs"]))]
    return below(excess, CLOSE, f"{name_of('adamw', betas)}: largest λ‖x‖∞ − 1")


def _leaves(record: Record, betas) -> Verdict:
    excess = [v - 1 for v in _constant(record, betas, max(record.config["lrs"]))]
    return above(excess, CLOSE, f"{name_of('adamw', betas)}: largest λ‖x‖∞ − 1")


def _swings(record: Record) -> Verdict:
    largest = _constant(record, (0.99, 0.9), max(record.config["lrs"]))
    return above(largest, 1.5, "(.99, .9): largest λ‖x‖∞")


def _fades(record: Record) -> Verdict:
    lrs = sorted(record.config["lrs"])
    excess = {lr: [v - 1 for v in _constant(record, (0.99, 0.9), lr)] for lr in lrs}
    return all_of(
        {
            f"{small:g} < {large:g}": compare(
                excess[small], excess[large], (f"lr {small:g}", f"lr {large:g}"), "excess"
            )
            for small, large in pairwise(lrs)
        }
    )


_CHAPTER, _PAPER, _COURSE = "13_what_adamw_optimises", "arXiv:2404.04454", "this course"


def _claim(name: str, statement: str, judge: Callable[[Record], Verdict], source: str = _PAPER):
    return Claim(f"adamw_constrained.{name}", statement, source, _CHAPTER, judge)


CLAIMS = (
    _claim(
        "minimiser",
        "On a convex loss, with β₁ ≤ β₂ and a decaying learning rate, AdamW ends at the minimiser "
        "in the box ‖x‖∞ ≤ 1/λ.",
        _for_pairs(_at_minimiser, "covered"),
    ),
    _claim(
        "kkt",
        "On a convex loss, with β₁ ≤ β₂ and a decaying learning rate, AdamW's KKT residual and its "
        "excess over the box go to zero.",
        _for_pairs(_kkt, "covered"),
    ),
    _claim(
        "penalty_is_ridge",
        "On a convex loss Adam with the penalty ½λ‖x‖² ends at ridge regression, far from the "
        "minimiser in the box.",
        _for_pairs(_ridge, "penalised"),
        f"{_PAPER}, in substance",
    ),
    _claim(
        "stays_in_the_box",
        "With β₁ ≤ β₂ AdamW stays in the box, up to 1 %, at a constant learning rate of 0.01 too.",
        _for_pairs(_stays, "covered"),
        _COURSE,
    ),
    _claim(
        "leaves_the_box",
        "With β₁ > β₂ and a constant learning rate of 0.01 AdamW keeps leaving the box, by more "
        "than 1 % on average over the problems.",
        _for_pairs(_leaves, "others"),
        f"this course: is the condition of {_PAPER} needed here?",
    ),
    _claim(
        "swings",
        "With β = (.99, .9) and a constant learning rate of 0.01 AdamW never comes to rest: still "
        "in the last half of the run it goes more than half again as far as the box.",
        _swings,
        _COURSE,
    ),
    _claim(
        "swing_fades",
        "The smaller the constant learning rate, the less far AdamW with β = (.99, .9) goes out of "
        "the box.",
        _fades,
        _COURSE,
    ),
    _claim(
        "decay_saves",
        "With a decaying learning rate AdamW ends at the minimiser in the box with β₁ > β₂ as "
        "well.",
        _for_pairs(_at_minimiser, "others"),
        _COURSE,
    ),
)
