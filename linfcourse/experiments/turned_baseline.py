"""Chapter 6: AdaSGD in the turned coordinates, too: is a blind method blind at its best rate?

In real numbers AdaSGD ends at the same loss however a quadratic is turned, and `rotated_quadratic`
runs it along the axes only. In floating point an instability can grow rounding to the size of the
thing. Here AdaSGD is run in the same turned coordinates as Adam, and chooses its rate there.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from linfcourse.experiments import rotated_quadratic
from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, compare, interval
from linfcourse.records import Record

WITHIN = 1.25  # two losses count as the same within this factor


@dataclass(frozen=True)
class Config:
    """`rotated_quadratic`'s problem, thoroughly turned.

    Args:
        seeds, d, heavy, steps, beta1s, beta2: as in `rotated_quadratic.Config`.
        angle: t of the turned problem.
        lrs: the grid, shared by all.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    d: int = 1000
    heavy: int = 10
    steps: int = 300
    angle: float = 10.0
    beta1s: tuple[float, ...] = (0.0, 0.9)
    beta2: float = 0.99
    lrs: tuple[float, ...] = (
        0.00316, 0.00562, 0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562,
    )  # fmt: skip


PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=2000, steps=1000),
    "paper": Config(d=4000, steps=3000),  # ours, as in `rotated_quadratic`
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, method with its angle, β₁ and learning rate."""
    return [
        {"seed": seed, "method": method, "t": t, "beta1": beta1, "lr": lr}
        for seed in config.seeds
        for method, t in (("adasgd", 0.0), ("adasgd", config.angle), ("adam", config.angle))
        for beta1 in config.beta1s
        for lr in config.lrs
    ]


@functools.lru_cache(maxsize=1)
def _as_quadratic(config: Config) -> rotated_quadratic.Config:
    return rotated_quadratic.Config(
        d=config.d, heavy=config.heavy, steps=config.steps, beta2=config.beta2
    )


def run_trial(
    config: Config, device: torch.device, seed: int, method: str, t: float, beta1: float, lr: float
) -> dict:
    """Run once: the final loss."""
    result = rotated_quadratic.run_trial(
        _as_quadratic(config), device, seed, method, t, beta1, "constant", lr
    )
    return {"final_loss": result["final_loss"]}


def finals(record: Record, method: str, t: float, beta1: float) -> list[float]:
    """Final loss of every seed at the best learning rate."""
    best = at_best_lr(record, method=method, t=t, beta1=beta1)
    return [trial.result["final_loss"] for trial in best]


def _judge_behind(beta1: float) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        t = record.config["angle"]
        losses = [finals(record, method, t, beta1) for method in ("adasgd", "adam")]
        return compare(*losses, ("AdaSGD turned", "Adam turned"), "final loss")

    return judge


def _judge_blind(beta1: float) -> Callable[[Record], Verdict]:
    """Is the ratio of the final losses, turned over plain, near one?"""

    def judge(record: Record) -> Verdict:
        plain, turned = (finals(record, "adasgd", t, beta1) for t in (0.0, record.config["angle"]))
        if not all(map(math.isfinite, [*plain, *turned])):
            return Verdict("inconclusive", "some runs diverged")
        ratios = [b / a for a, b in zip(plain, turned, strict=True)]
        mean, low, high = map(math.exp, interval([math.log(ratio) for ratio in ratios]))
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        text = f"turned over plain {mean:.3g} [{low:.3g}, {high:.3g}]; single seeds {each}"
        inside, outside = 1 / WITHIN <= low and high <= WITHIN, low > WITHIN or high < 1 / WITHIN
        status = "holds" if inside else "fails" if outside else "inconclusive"
        return Verdict(status, text, {"ratios": ratios})

    return judge


def _claim(name: str, statement: str, judge: Callable, source: str = "this course") -> Claim:
    return Claim(f"turned_baseline.{name}", statement, source, "06_rotating_a_quadratic", judge)


_PAPER = "arXiv:2410.08198 (the idea; the setting is ours)"
_BEHIND = "On the thoroughly turned quadratic Adam is behind AdaSGD run in the same coordinates"
_BLIND = (
    "At its best learning rate AdaSGD ends at the same loss turned and not, within a factor "
    f"{WITHIN:g}"
)
CLAIMS = (
    _claim("adam_behind", f"{_BEHIND} (β₁ = 0).", _judge_behind(0.0), _PAPER),
    _claim("adam_behind_with_momentum", f"{_BEHIND} (β₁ = 0.9).", _judge_behind(0.9), _PAPER),
    _claim("blind", f"{_BLIND} (β₁ = 0).", _judge_blind(0.0)),
    _claim("blind_with_momentum", f"{_BLIND} (β₁ = 0.9).", _judge_blind(0.9)),
)

EXPERIMENT = Experiment(
    name="turned_baseline",
    title="AdaSGD on the thoroughly turned quadratic: is it blind at its best rate, too?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
