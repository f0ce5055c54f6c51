"""Chapter 6: one quadratic, turned by more and more; Adam, AdaSGD and SGD on each."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.methods import make_optimizer
from linfcourse.experiments.rotated_quadratic_results import crossings, finals, sharpness
from linfcourse.models import RotationFamily, hard_spectrum, rotation_family
from linfcourse.records import Record
from linfcourse.schedules import constant, warmup_cosine

SCHEDULES = {"constant": constant(), "cosine": warmup_cosine(0, final=0.1)}
NEAR = 3.0  # "near d‖H‖₂" means within this factor, while the (1,1)-norm changes by two hundred


@dataclass(frozen=True)
class Config:
    """½ xᵀHₜx with Hₜ = Rₜ H Rₜᵀ, H diagonal, from x₀ ~ N(0, I) turned along; full gradients.

    Args:
        seeds: each seeds the rotations and the start.
        d, heavy: the spectrum, `heavy` eigenvalues 1 and then 1/k² (`hard_spectrum`).
        steps: length of a run.
        angles: Adam's values of t in Rₜ = exp(tM). SGD and AdaSGD are blind to rotations and run
            at t = 0; at `blind_angle` they run once more, to see that they are.
        beta1s: values of β₁.
        beta2: β₂ of Adam and AdaSGD.
        lrs: the grid, shared by all methods.
        cosine_angles: which t Adam also runs with a cosine schedule, beside AdaSGD.
        blind_angle, blind_lr: of the runs that test the blindness. The lr is one of the grid, and
            small: at the edge of stability a run blows rounding errors up to any size.
        points: how many values of a loss curve are kept.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    d: int = 1000
    heavy: int = 10
    steps: int = 300
    angles: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 1.0, 10.0)
    beta1s: tuple[float, ...] = (0.0, 0.9)
    beta2: float = 0.99
    lrs: tuple[float, ...] = (
        0.00178, 0.00316, 0.00562, 0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562,
        1.0, 1.78, 3.16, 5.62, 10.0, 17.8, 31.6, 56.2,
    )  # fmt: skip
    cosine_angles: tuple[float, ...] = (1.0, 10.0)
    blind_angle: float = 1.0
    blind_lr: float = 0.00178
    points: int = 11


PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=2000, steps=1000),
    # The paper's length and dimension could not be checked: a larger and longer run than ours.
    "paper": Config(d=4000, steps=3000),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, angle, method, β₁, schedule and learning rate."""
    runs = [("constant", "sgd", 0.0), ("constant", "adasgd", 0.0), ("cosine", "adasgd", 0.0)]
    runs += [("constant", "adam", t) for t in config.angles]
    runs += [("cosine", "adam", t) for t in config.cosine_angles]
    blind = [("constant", "sgd", config.blind_angle), ("constant", "adasgd", config.blind_angle)]
    return [
        {"seed": seed, "method": method, "t": t, "beta1": beta1, "schedule": schedule, "lr": lr}
        for seed in config.seeds
        # Sorted by t, so that each matrix is made once.
        for schedule, method, t in sorted(runs + blind, key=lambda run: run[2])
        for beta1 in config.beta1s
        for lr in ((config.blind_lr,) if (schedule, method, t) in blind else config.lrs)
    ]


def quadratic(config: Config, seed: int, t: float, device: torch.device | str = "cpu"):
    """Hₜ, as (d, d), or (d,) at t = 0 where it is diagonal, and the start Rₜx₀."""
    eigenvalues = hard_spectrum(config.d, config.heavy)
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(config.d, generator=generator, dtype=torch.float64)
    if t == 0:
        return eigenvalues.to(device), start.to(device)
    R = _family(config.d, seed)(t).to(device)
    return (R * eigenvalues.to(device)) @ R.T, R @ start.to(device)


@functools.lru_cache(maxsize=1)
def _family(d: int, seed: int) -> RotationFamily:
    return rotation_family(d, seed)


# One matrix at a time: the trials come in the order of seeds and angles.
_cached_quadratic = functools.lru_cache(maxsize=1)(quadratic)


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    method: str,
    t: float,
    beta1: float,
    schedule: str,
    lr: float,
) -> dict:
    """Run once: the loss at the end, some of the curve, and the (1,1)-norm of Hₜ."""
    H, start = _cached_quadratic(config, seed, t, device)
    x = start.clone().requires_grad_()
    optimizer = make_optimizer(method, [x], lr, (beta1, config.beta2))
    multiplier = SCHEDULES[schedule]
    losses = []
    for step in range(config.steps + 1):
        # ∇L = Hx, one product with H; autograd would take two.
        x.grad = _product(H, x.detach())
        losses.append(0.5 * x.detach().dot(x.grad).item())
        if not losses[-1] < 1e12 * losses[0]:
            losses += [math.inf] * (config.steps + 1 - len(losses))
            break
        if step < config.steps:
            optimizer.param_groups[0]["lr"] = lr * multiplier(step, config.steps)
            optimizer.step()
    # Three digits of the curve are more than a figure shows.
    curve = [float(f"{losses[step]:.3g}") for step in curve_steps(config.steps, config.points)]
    return {"final_loss": losses[-1], "norm_11": H.abs().sum().item(), "loss": curve}


def _product(H: Tensor, x: Tensor) -> Tensor:
    return H * x if H.dim() == 1 else H @ x


def curve_steps(steps: int, points: int) -> list[int]:
    """The steps whose loss is kept, from 0 to the last."""
    return [round(k * steps / (points - 1)) for k in range(points)]


def _for_beta1(judge: Callable[[Record, float], Verdict], beta1: float):
    return lambda record: judge(record, beta1)


def _for_each_beta1(judge: Callable[[Record, float], Verdict]) -> Callable[[Record], Verdict]:
    def judge_all(record: Record) -> Verdict:
        verdicts = {f"β₁ = {beta1:g}": judge(record, beta1) for beta1 in record.values("beta1")}
        named = {
            name: Verdict(v.status, f"{name}: {v.reason}", v.figures)
            for name, v in verdicts.items()
        }
        return all_of(named)

    return judge_all


def _judge_rising(record: Record, beta1: float) -> Verdict:
    angles = sorted(record.config["angles"])
    losses = {t: finals(record, "adam", t, beta1=beta1) for t in angles}
    return all_of(
        {
            f"{a:g} < {b:g}": compare(losses[a], losses[b], (f"t={a:g}", f"t={b:g}"), "final loss")
            for a, b in itertools.pairwise(angles)
        }
    )


def _judge_aligned(record: Record, beta1: float) -> Verdict:
    t = min(record.config["angles"])
    adam, adasgd = (finals(record, "adam", t, beta1=beta1), finals(record, "adasgd", beta1=beta1))
    return compare(adam, adasgd, (f"Adam at t={t:g}", "AdaSGD"), "final loss")


def _judge_turned(record: Record, beta1: float, schedule: str = "constant") -> Verdict:
    t = max(record.config["angles"])
    adam = finals(record, "adam", t, beta1=beta1, schedule=schedule)
    adasgd = finals(record, "adasgd", beta1=beta1, schedule=schedule)
    return compare(adasgd, adam, ("AdaSGD", f"Adam at t={t:g}"), "final loss")


def _judge_crossing(record: Record, beta1: float) -> Verdict:
    ratios = [number / sharpness(record) for number in crossings(record, beta1)]
    crossed = [ratio for ratio in ratios if 0 < ratio < math.inf]
    figures = {"crossing / d‖H‖₂": ratios}
    if len(crossed) < len(ratios):
        text = f"the losses cross on {len(crossed)} of {len(ratios)} seeds"
        return Verdict("inconclusive" if crossed else "fails", text, figures)
    mean, low, high = (math.exp(x) for x in interval([math.log(ratio) for ratio in ratios]))
    text = f"the losses cross at {mean:.2g} [{low:.2g}, {high:.2g}] times d‖H‖₂"
    if 1 / NEAR <= low and high <= NEAR:
        return Verdict("holds", text, figures)
    return Verdict("fails" if low > NEAR or high < 1 / NEAR else "inconclusive", text, figures)


def _judge_blind(record: Record, beta1: float) -> Verdict:
    figures = {}
    for method in ("sgd", "adasgd"):
        where = {
            "method": method, "beta1": beta1, "schedule": "constant",
            "lr": record.config["blind_lr"],
        }  # fmt: skip
        plain = record.select(t=0.0, **where)
        turned = record.select(t=record.config["blind_angle"], **where)
        figures[method] = [
            abs(a.result["final_loss"] / b.result["final_loss"] - 1)
            for a, b in zip(plain, turned, strict=True)
        ]
    worst = max(map(max, figures.values()))
    # Records keep seven digits.
    text = f"the final losses differ by at most {worst:.0e} of their size"
    return Verdict("holds" if worst < 1e-5 else "fails", text, figures)


_PAPER, _CHAPTER = "arXiv:2410.08198 (the idea; the setting is ours)", "06_rotating_a_quadratic"
_BEHIND = "Adam is behind AdaSGD on the thoroughly turned quadratic"
_PASSES = (
    f"Adam's loss passes AdaSGD's where the (1,1)-norm is near d‖H‖₂, within a factor {NEAR:g}"
)


def _claim(name: str, statement: str, judge: Callable[[Record], Verdict], source: str = _PAPER):
    return Claim(f"rotated_quadratic.{name}", statement, source, _CHAPTER, judge)


CLAIMS = (
    _claim(
        "norm_orders_losses",
        "The more the quadratic is turned, and the larger its (1,1)-norm, the higher Adam's loss.",
        _for_each_beta1(_judge_rising),
    ),
    _claim(
        "ahead_when_aligned",
        "Adam is ahead of AdaSGD on the quadratic that lies along the axes.",
        _for_each_beta1(_judge_aligned),
    ),
    _claim("behind_when_turned", f"{_BEHIND} (β₁ = 0).", _for_beta1(_judge_turned, 0.0)),
    _claim("crossing", f"{_PASSES} (β₁ = 0).", _for_beta1(_judge_crossing, 0.0), "this course"),
    _claim("behind_with_momentum", f"{_BEHIND} (β₁ = 0.9).", _for_beta1(_judge_turned, 0.9)),
    _claim(
        "crossing_with_momentum",
        f"{_PASSES} (β₁ = 0.9).",
        _for_beta1(_judge_crossing, 0.9),
        "this course",
    ),
    _claim(
        "behind_under_cosine",
        f"{_BEHIND} under a cosine schedule (β₁ = 0.9).",
        lambda record: _judge_turned(record, 0.9, "cosine"),
        "this course",
    ),
    _claim(
        "blind",
        "SGD and AdaSGD end at the same loss on the turned quadratic as on the aligned one.",
        _for_each_beta1(_judge_blind),
        "arXiv:2410.08198, abstract, for SGD; AdaSGD this course",
    ),
)

EXPERIMENT = Experiment(
    name="rotated_quadratic",
    title="A quadratic turned by more and more under Adam, AdaSGD and SGD",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
