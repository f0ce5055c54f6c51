"""Chapter 14: what a record of `adamw_language_model` says: its claims and its figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from linfcourse.experiments.judging import Claim, Verdict, compare, interval
from linfcourse.records import Record, Trial

# Fixed before the first run.
TOLERANCE = 0.01  # as far outside of 1/λ, relatively, still counts as the boundary
SMALL_RESIDUAL = 0.1  # of the KKT conditions, whose residual lies in [0, 2] in the box
# Fixed after a first run with one seed, from the chapter's theorem on the two memories.
SHORT_MEMORY = 0.1  # λη/(1 − β₂): the memory of v, in units of that of the weights


def runs(
    record: Record, *, decayed: bool, ordered: bool | None = None, schedule: str = "constant"
) -> dict[int, list[Trial]]:
    """The trials of each seed with or without weight decay.

    Args:
        record: of this experiment.
        decayed: AdamW, or Adam without decay.
        ordered: only pairs with β₁ ≤ β₂ (True), only the others (False), or all (None).
        schedule: "constant" or "cosine".
    """
    chosen: dict[int, list[Trial]] = {seed: [] for seed in record.values("seed")}
    for trial in record.select(schedule=schedule):
        s = trial.setting
        if (s["weight_decay"] > 0) == decayed and ordered in (None, s["beta1"] <= s["beta2"]):
            chosen[s["seed"]].append(trial)
    return chosen


def memory_ratio(record: Record, trial: Trial) -> float:
    """λη/(1 − β₂): how long v remembers, in units of how long the weights do."""
    s = trial.setting
    return s["weight_decay"] * record.config["lr"] / (1 - s["beta2"])


def second_half(trial: Trial, what: str) -> list[float]:
    """The values of a series in the second half of the run."""
    last = trial.result["step"][-1]
    pairs = zip(trial.result["step"], trial.result[what], strict=True)
    return [value for step, value in pairs if 2 * step >= last]


def overshoot(trial: Trial) -> float:
    """λ‖x‖∞ at its largest in the second half; without decay the box of λ = 1, at the end."""
    decay = trial.setting["weight_decay"]
    return decay * max(second_half(trial, "linf")) if decay else trial.result["linf"][-1]


def residual_at_the_end(trial: Trial) -> float:
    """Mean KKT residual of the last tenth of the run: a single moment may be lucky."""
    last = trial.result["step"][-1]
    pairs = zip(trial.result["step"], trial.result["residual"], strict=True)
    values = [value for step, value in pairs if 10 * step >= 9 * last]
    return math.fsum(values) / len(values)


def _per_seed(
    record: Record,
    measure: Callable[[Trial], float],
    over: Callable[[Sequence[float]], float],
    **which,
) -> list[float]:
    """The least favourable (`over`) of each seed's runs."""
    return [over([measure(t) for t in trials]) for trials in runs(record, **which).values()]


def _below(values: Sequence[float], limit: float, what: str) -> Verdict:
    """Is the mean over the seeds at most the limit?"""
    mean, low, high = interval(values)
    reason = f"{what}: {mean:.4g} [{low:.4g}, {high:.4g}] over {len(values)} seeds, limit {limit:g}"
    status = "holds" if high <= limit else "fails" if low > limit else "inconclusive"
    return Verdict(status, reason, {what: list(values)})


def _above(values: Sequence[float], limit: float, what: str) -> Verdict:
    opposite = {"holds": "fails", "fails": "holds", "inconclusive": "inconclusive"}
    verdict = _below(values, limit, what)
    return Verdict(opposite[verdict.status], verdict.reason, verdict.figures)


def judge_into_the_box(record: Record) -> Verdict:
    worst = _per_seed(record, overshoot, max, decayed=True, ordered=True)
    return _below(worst, 1 + TOLERANCE, "largest λ‖x‖∞ in the second half, β₁ ≤ β₂")


def judge_short_memory(record: Record) -> Verdict:
    worst = [
        max(overshoot(t) for t in trials if memory_ratio(record, t) <= SHORT_MEMORY)
        for trials in runs(record, decayed=True, ordered=True).values()
    ]
    return _below(worst, 1 + TOLERANCE, "largest λ‖x‖∞ in the second half, short memory of v")


def judge_memory(record: Record) -> Verdict:
    """At the largest λ, the two largest β₂ with β₁ ≤ β₂ are compared."""
    shorter, longer = [], []
    for trials in runs(record, decayed=True, ordered=True).values():
        strongest = max(t.setting["weight_decay"] for t in trials)
        trials = [t for t in trials if t.setting["weight_decay"] == strongest]
        trials = sorted(trials, key=lambda t: t.setting["beta2"])
        shorter.append(overshoot(trials[-2]))
        longer.append(overshoot(trials[-1]))
    names = tuple(f"β₂ = {t.setting['beta2']:g}" for t in trials[-2:])
    return compare(shorter, longer, names, "largest λ‖x‖∞ in the second half")


def judge_adam_leaves(record: Record) -> Verdict:
    least = _per_seed(record, overshoot, min, decayed=False, ordered=True)
    return _above(least, 1 + TOLERANCE, "smallest ‖x‖∞ of Adam at the end, β₁ ≤ β₂")


def judge_large_beta1(record: Record) -> Verdict:
    least = _per_seed(record, overshoot, min, decayed=True, ordered=False)
    return _above(least, 1 + TOLERANCE, "λ‖x‖∞ in the second half, β₁ > β₂, the smaller of both λ")


def judge_residual(record: Record) -> Verdict:
    worst = _per_seed(record, residual_at_the_end, max, decayed=True, ordered=True)
    return _below(worst, SMALL_RESIDUAL, "largest KKT residual at the end, β₁ ≤ β₂")


def judge_decay_to_zero(record: Record) -> Verdict:
    def mean(values: Sequence[float]) -> float:
        return math.fsum(values) / len(values)

    falling, constant = (
        _per_seed(record, residual_at_the_end, mean, decayed=True, ordered=True, schedule=schedule)
        for schedule in ("cosine", "constant")
    )
    return compare(falling, constant, ("a cosine to zero", "a constant lr"), "KKT residual")


_CHAPTER, _PAPER = "14_adamw_on_a_language_model", "arXiv:2404.04454"
CLAIMS = (
    Claim(
        "adamw_language_model.into_the_box",
        "AdamW with β₁ ≤ β₂ brings a transformer's weights into the box ‖x‖∞ ≤ 1/λ and keeps them "
        "there, though the loss is not convex.",
        _PAPER,
        _CHAPTER,
        judge_into_the_box,
    ),
    Claim(
        "adamw_language_model.short_memory",
        "AdamW with β₁ ≤ β₂ keeps the weights in the box where v forgets at least ten times as "
        "fast as they do, λη ≤ (1 − β₂)/10.",
        "this course, asked after a first run",
        _CHAPTER,
        judge_short_memory,
    ),
    Claim(
        "adamw_language_model.memory",
        "At the same λ, the weights are farther outside the box with β₂ = 0.999 than with 0.99.",
        "this course, asked after a first run",
        _CHAPTER,
        judge_memory,
    ),
    Claim(
        "adamw_language_model.adam_leaves",
        "Adam without weight decay, from the same start, ends outside the box of λ = 1.",
        f"{_PAPER}, in substance",
        _CHAPTER,
        judge_adam_leaves,
    ),
    Claim(
        "adamw_language_model.large_beta1_overshoots",
        "With β₁ > β₂, which the theorem excludes, AdamW's weights are outside the box even late "
        "in the run.",
        "this course: is the condition needed here?",
        _CHAPTER,
        judge_large_beta1,
    ),
    Claim(
        "adamw_language_model.kkt_residual",
        f"At a constant learning rate AdamW comes near a KKT point of the box: a residual below "
        f"{SMALL_RESIDUAL:g}.",
        f"{_PAPER}, which proves it of a limit; the number is ours",
        _CHAPTER,
        judge_residual,
    ),
    Claim(
        "adamw_language_model.decay_to_zero",
        "With the same sum of learning rates, one that falls to zero leaves a smaller KKT residual "
        "than a constant one.",
        "this course",
        _CHAPTER,
        judge_decay_to_zero,
    ),
)
