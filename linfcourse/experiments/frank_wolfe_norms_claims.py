"""The claims of `frank_wolfe_norms`, each with its rule."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy

from linfcourse.experiments.frank_wolfe_norms_results import at_step
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, threshold
from linfcourse.records import Record


def _ahead(winner: str, loser: str, steps: tuple[int, ...] | None, **where):
    """Is the first norm ahead of the second at these steps? In powers of ten."""

    def judge(record: Record) -> Verdict:
        names = {"linf": "ℓ∞", "l2": "ℓ2"}
        at = [record.config["steps"]] if steps is None else steps
        logs = {
            (norm, t): [math.log10(max(v, 1e-300)) for v in at_step(record, t, norm=norm, **where)]
            for norm in (winner, loser)
            for t in at
        }
        return all_of(
            {
                f"step {t}": compare(
                    logs[winner, t], logs[loser, t], (names[winner], names[loser]),
                    f"step {t}: log₁₀ loss",
                )
                for t in at
            }
        )  # fmt: skip

    return judge


def _worst(values: Iterable[float]) -> float:
    """The largest value; NaN if there is one, which max() may drop."""
    return float(numpy.max(list(values)))


def _judge_same_path(record: Record) -> Verdict:
    chosen = record.select(schedule="same_path")
    worst = _worst(trial.result["deviation"] for trial in chosen)
    text = f"the two paths differ by at most {worst:.0e} radii, in 3 norms"
    # Not the usual 1e-15: the sign and the polar factor amplify rounding errors along the path.
    return Verdict("holds" if worst < 1e-9 else "fails", text, {"deviation": worst})


def _judge_contraction(record: Record) -> Verdict:
    worst = _worst(trial.result["contraction"] for trial in record.select(schedule="same_path"))
    what = "the largest factor by which the excess over the ball changed, over 1 − λη,"
    return threshold(worst, 0.0, 1 + 1e-6, what)


def _judge_rate(record: Record) -> Verdict:
    worst = _worst(trial.result["rate"] for trial in record.select(schedule="frank_wolfe"))
    return threshold(worst, 0.0, 1.0, "the largest loss over its bound 8Cr²/(t + 2)")


def _judge_certificate(record: Record) -> Verdict:
    least = -_worst(-trial.result["certificate"] for trial in record.select(schedule="frank_wolfe"))
    return threshold(least, 1.0, math.inf, "the least gap over what is left of the loss")


_CHAPTER, _COURSE = "12_frank_wolfe", "this course"
_DENSE, _FW = {"landscape": "dense"}, {"schedule": "frank_wolfe"}
_PAPER = "arXiv:2404.04454"


def _claim(name: str, statement: str, judge: Callable[[Record], Verdict], source: str = _COURSE):
    return Claim(f"frank_wolfe_norms.{name}", statement, source, _CHAPTER, judge)


CLAIMS = (
    _claim(
        "same_path",
        "Normalised steepest descent with weight decay λ takes the path of Frank–Wolfe on the ball "
        "of radius 1/λ with step λη, in ℓ∞, ℓ2 and the spectral norm.",
        _judge_same_path,
        _PAPER,
    ),
    _claim(
        "contraction",
        "Outside the ball the excess ‖x‖ − 1/λ shrinks by the factor 1 − λη or more, every step.",
        _judge_contraction,
        _PAPER,
    ),
    _claim(
        "rate",
        "With η = 2/(λ(t + 1)) the loss is within 8C/(λ²(t + 2)) of the least one in the ball, C "
        "the smoothness in the norm of the ball.",
        _judge_rate,
        f"{_PAPER}, in substance, and Jaggi 2013; the constant is that of our proof",
    ),
    _claim(
        "certificate",
        "The Frank–Wolfe gap is never smaller than what is left of the loss.",
        _judge_certificate,
        "Jaggi 2013",
    ),
    _claim(
        "linf_ahead",
        "On Σ(xᵢ − x*ᵢ)²/i² with x* ∈ {±0.9}^100 and Frank–Wolfe's steps, ℓ∞ is ahead of ℓ2.",
        _ahead("linf", "l2", (10, 100, 1000), **_DENSE, **_FW),
        f"this course, after {_PAPER}",
    ),
    _claim(
        "l2_ahead_at_first",
        "On that Σ(xᵢ − x*ᵢ)²/i², with a constant step of 0.001 radii, ℓ2 is ahead of ℓ∞ at step "
        "100.",
        _ahead("l2", "linf", (100,), **_DENSE, schedule="constant", lr=0.001),
    ),
    _claim(
        "linf_ahead_at_best_constant",
        "On that Σ(xᵢ − x*ᵢ)²/i², each at its best constant step, ℓ∞ is ahead of ℓ2 at the end.",
        _ahead("linf", "l2", None, **_DENSE, schedule="constant"),
    ),
    _claim(
        "l2_ahead_when_sparse",
        "Where the curvature is flat and x* is one coordinate, ℓ2 is ahead with Frank–Wolfe's "
        "steps.",
        _ahead("l2", "linf", (10, 100, 1000), landscape="sparse", **_FW),
    ),
)
