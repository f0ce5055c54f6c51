"""Chapter 16: on separable data, which margin does each optimizer make large?

A linear classifier of several classes under the exponential loss L(W) = mean exp(−⟨W, Zᵢ⟩), which
has no minimum: the weights grow for ever, and the question is in which direction. Steepest descent
in three norms, and Adam, with the learning rate lr/√t; and smoothed sign descent, g/(|g| + ε),
whose direction lies between that of sign descent (ε → 0) and of gradient descent (ε → ∞).
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.margins_problem import largest_margin, make_margins, margin
from linfcourse.experiments.margins_results import CLAIMS, draw_smoothed, draw_table
from linfcourse.norms import L2, LInf, Spectral
from linfcourse.optim import Adam, SteepestDescent

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "NORMS",
    "PRESETS",
    "Config",
    "draw_smoothed",
    "draw_table",
    "largest_margin",
    "make_margins",
    "margin",
    "recorded",
    "run",
    "run_trial",
    "trials",
]

NORMS = {"l2": L2(), "linf": LInf(), "spectral": Spectral()}


@dataclass(frozen=True)
class Config:
    """The data and the runs.

    Args:
        seeds: each seeds the data.
        classes, d, samples, decades: see `make_margins`.
        methods: `"l2"`, `"linf"`, `"spectral"` (steepest descent in that norm), `"adam"`.
        lrs: one grid for all; the learning rate at step t = 1, 2, … is lr/√t.
        marks: the margins are noted after these numbers of steps; the last one ends the run.
        betas: Adam's; its ε is zero as far as float64 goes.
        epsilons: of smoothed sign descent.
        step: length of its steps in ℓ∞, constant, so short that its path is nearly the flow's.
        levels: its margins are noted when the loss first is at or below these.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    classes: int = 5
    d: int = 20
    samples: int = 20
    decades: float = 1.0
    methods: tuple[str, ...] = ("l2", "linf", "spectral", "adam")
    lrs: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
    marks: tuple[int, ...] = (10, 30, 100, 300, 1000, 3000, 5000)
    betas: tuple[float, float] = (0.9, 0.95)
    epsilons: tuple[float, ...] = (1e-12, 1e-8, 1e-6, 1e-4, 1e-2, 1.0)
    step: float = 0.005
    levels: tuple[float, ...] = (1e-2, 1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 1e-16)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(classes=10, d=100, samples=100, marks=(10, 100, 1000, 10_000)),
    # None of the papers has this experiment: `paper` is a larger one of ours.
    "paper": Config(
        seeds=tuple(range(10)),
        classes=10,
        d=200,
        samples=200,
        marks=(10, 100, 1000, 10_000, 50_000),
    ),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed and run; the largest margins themselves are a trial of each seed."""
    runs = [{"method": method, "lr": lr} for method in config.methods for lr in config.lrs]
    runs += [{"method": "smoothed", "epsilon": epsilon} for epsilon in config.epsilons]
    return [{"seed": s, **run} for s in config.seeds for run in [{"method": "largest"}, *runs]]


def make_problem(config: Config, seed: int) -> tuple[Tensor, dict[str, tuple[float, float]]]:
    """Z (n, classes, d), and the bracket of the largest margin in each norm."""
    return _problem(config.classes, config.d, config.samples, config.decades, seed)


@functools.lru_cache(maxsize=16)
def _problem(*sizes: float) -> tuple[Tensor, dict[str, tuple[float, float]]]:
    Z = make_margins(*sizes)
    brackets = {name: largest_margin(Z, norm) for name, norm in NORMS.items()}
    return Z, {name: (bracket.low, bracket.high) for name, bracket in brackets.items()}


def make_optimizer(config: Config, method: str, W: Tensor, lr: float) -> torch.optim.Optimizer:
    """Steepest descent in the norm of that name, or Adam."""
    if method == "adam":
        return Adam([W], lr=lr, betas=config.betas, eps=1e-300)
    return SteepestDescent([W], lr=lr, norm=NORMS[method])


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    method: str,
    lr: float | None = None,
    epsilon: float | None = None,
) -> dict:
    """One run.

    Returns:
        For `"largest"` the brackets of the largest margins by norm. For the others, at each mark or
        level, `shortfall` by norm: 1 − margin/largest margin (infinite if the run diverged). For
        the optimizers also the last ones by themselves, `l2`, `linf`, `spectral`; and for steepest
        descent `slack`, the margin above what the theorem promises at the last step.
    """
    Z, brackets = make_problem(config, seed)
    if method == "largest":
        return {name: list(bracket) for name, bracket in brackets.items()}
    Z = Z.to(device)
    if method == "smoothed":
        return {"shortfall": _follow_smoothed(config, Z, brackets, epsilon)}
    W = torch.zeros_like(Z[0], requires_grad=True)
    optimizer = make_optimizer(config, method, W, lr)
    series, length, squares = [], 0.0, 0.0
    for step in range(1, config.marks[-1] + 1):
        rate = lr / math.sqrt(step)
        for group in optimizer.param_groups:
            group["lr"] = rate
        length, squares = length + rate, squares + rate**2
        W.grad = _gradient(W.detach(), Z, scaled=method != "adam")
        optimizer.step()
        if step in config.marks:
            series.append(_shortfalls(W.detach(), Z, brackets))
    result = {"shortfall": {name: [s[name] for s in series] for name in NORMS}, **series[-1]}
    if method in NORMS:
        norm, low = NORMS[method], brackets[method][0]
        D = max(norm.dual(z).item() for z in Z)
        promised = low - (D**2 * squares / 2 + math.log(len(Z))) / length
        result["slack"] = margin(W.detach(), Z, norm) - promised
    return result


def _gradient(W: Tensor, Z: Tensor, scaled: bool) -> Tensor:
    """∇L = −mean exp(−⟨W, Zᵢ⟩) Zᵢ, or scaled ∇L/L: the same direction, and no underflow."""
    negative = -torch.einsum("ikd,kd->i", Z, W)
    weights = negative.softmax(0) if scaled else negative.exp() / len(Z)
    return -torch.einsum("i,ikd->kd", weights, Z)


def _shortfalls(W: Tensor, Z: Tensor, brackets: dict[str, tuple[float, float]]) -> dict[str, float]:
    shortfalls = {n: 1.0 - margin(W, Z, norm) / brackets[n][1] for n, norm in NORMS.items()}
    return {n: s if math.isfinite(s) else math.inf for n, s in shortfalls.items()}


def smoothed_sign(g: Tensor, epsilon: float) -> Tensor:
    """g/(|g| + ε): about sign(g) where |g| is above ε, and about g/ε where it is below.

    >>> smoothed_sign(torch.tensor([3.0, -1e-3]), 1.0)
    tensor([ 0.7500, -0.0010])
    """
    return g / (g.abs() + epsilon)


def _follow_smoothed(config: Config, Z: Tensor, brackets: dict, epsilon: float) -> dict:
    W, levels, series = torch.zeros_like(Z[0]), list(config.levels), []
    for _ in range(200_000):
        loss = (-torch.einsum("ikd,kd->i", Z, W)).exp().mean().item()
        while levels and loss <= levels[0]:
            levels.pop(0)
            series.append(_shortfalls(W, Z, brackets))
        if not levels:
            break
        s = smoothed_sign(_gradient(W, Z, scaled=False), epsilon)
        W = W - config.step * s / s.abs().max()
    series += [dict.fromkeys(NORMS, math.inf)] * len(levels)  # never got there
    return {name: [s[name] for s in series] for name in NORMS}


EXPERIMENT = Experiment(
    name="margins",
    title="Separable data: which margin does each optimizer make large?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
