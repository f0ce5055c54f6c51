"""Chapter 12: steepest descent with weight decay as Frank–Wolfe, in the balls of three norms."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.frank_wolfe_norms_claims import CLAIMS
from linfcourse.experiments.frank_wolfe_norms_problem import Problem, make_problem
from linfcourse.experiments.frank_wolfe_norms_results import (
    draw_schedules,
    draw_sparse,
)
from linfcourse.frank_wolfe import frank_wolfe, frank_wolfe_gap, open_loop_step
from linfcourse.norms import L2, LInf, Norm, Spectral
from linfcourse.optim import SteepestDescent

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "PRESETS",
    "Config",
    "Problem",
    "draw_schedules",
    "draw_sparse",
    "make_problem",
    "recorded",
    "run",
    "run_trial",
    "trials",
]

NORMS: dict[str, Norm] = {"linf": LInf(), "l2": L2(), "spectral": Spectral()}


@dataclass(frozen=True)
class Config:
    """Σᵢ (xᵢ − x*ᵢ)² hᵢ/2 with x* inside both balls, so that the least loss is 0; full gradients.

    Args:
        seeds: each seeds x*, and the start, which is inside both balls.
        side: d = side², so that the coordinates are also a square matrix.
        landscapes: `"dense"`, hᵢ = 2/i², |x*ᵢ| = 0.9, and balls through the corners (±1, …, ±1):
            radius 1 in ℓ∞ and √d in ℓ2. `"sparse"`, hᵢ = 2 and x* = ±0.9 on one coordinate, 0
            elsewhere, and both balls of radius 1.
        steps: length of a run.
        lrs: the constant steps, in radii: lr = λη, the part of the way to the vertex.
        checkpoints: the steps whose loss is kept.
        same_path_steps: over how many steps two programs are held against each other. Few: rounding
            errors grow along a path.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    side: int = 10
    landscapes: tuple[str, ...] = ("dense", "sparse")
    steps: int = 3000
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
    checkpoints: tuple[int, ...] = (
        1,
        2,
        3,
        5,
        10,
        20,
        30,
        50,
        100,
        200,
        300,
        500,
        1000,
        2000,
        3000,
    )
    same_path_steps: int = 60


PRESETS = {
    "cpu": Config(),
    "gpu": Config(side=32, lrs=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3)),
    # No setting of the paper is known to us: a larger and longer run than ours.
    "paper": Config(
        seeds=tuple(range(20)),
        side=32,
        steps=100_000,
        lrs=(0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
        checkpoints=(1, 3, 10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000),
    ),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, landscape, norm and schedule, and the tests of the identity."""
    runs = [
        {"seed": seed, "landscape": landscape, "norm": norm, "schedule": schedule, "lr": lr}
        for seed in config.seeds
        for landscape in config.landscapes
        for norm in ("linf", "l2")
        for schedule, lr in [("frank_wolfe", None)] + [("constant", lr) for lr in config.lrs]
    ]
    same = [
        {"seed": seed, "landscape": "dense", "norm": norm, "schedule": "same_path", "lr": None}
        for seed in config.seeds
        for norm in NORMS
    ]
    return runs + same


def descend(problem: Problem, norm: str, steps: int, step_size: Callable[[int], float]):
    """Points of steepest descent with weight decay 1/radius, one after the other, the start first.

    The learning rate of step t is step_size(t)·radius, t = 0, 1, …
    """
    x = torch.nn.Parameter(problem.start.clone())
    optimizer = SteepestDescent([x], lr=1.0, norm=NORMS[norm], weight_decay=1 / problem.radius)
    for t in range(steps + 1):
        yield x.detach()
        x.grad = problem.gradient(x.detach())
        optimizer.param_groups[0]["lr"] = step_size(t) * problem.radius
        optimizer.step()


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    landscape: str,
    norm: str,
    schedule: str,
    lr: float | None,
) -> dict:
    """One run of steepest descent with weight decay.

    Returns:
        `final_loss` and `loss` at the checkpoints; with Frank–Wolfe's steps also `rate`, the
        largest loss over its bound 8Cr²/(t + 2), and `certificate`, the least of gap/loss.
        For `"same_path"`: `deviation` from `frank_wolfe` in radii, and
        `contraction`, the largest factor by which the excess over the ball shrank, over 1 − λη.
    """
    problem = make_problem(config.side**2, landscape, norm, seed, device)
    if schedule == "same_path":
        return _same_path(config, problem, norm)
    step_size = open_loop_step if schedule == "frank_wolfe" else lambda t: lr
    losses, rates, certificates = [], [], []
    for t, x in enumerate(descend(problem, norm, config.steps, step_size)):
        losses.append(problem.loss(x))
        if schedule == "frank_wolfe" and t:
            bound = 8 * problem.smoothness * problem.radius**2 / (t + 2)
            gap = frank_wolfe_gap(x, problem.gradient(x), problem.radius, NORMS[norm])
            rates.append(losses[-1] / bound)
            certificates.append(gap / losses[-1] if losses[-1] else math.inf)
    kept = [float(f"{losses[t]:.4g}") for t in config.checkpoints]
    result = {"final_loss": losses[-1], "loss": kept}
    if rates:
        result |= {"rate": max(rates), "certificate": min(certificates)}
    return result


def _same_path(config: Config, problem: Problem, norm: str) -> dict:
    """Hold the optimizer against the algorithm, from a start far outside the ball."""
    shape = (config.side, config.side)
    far = 100 * problem.radius * problem.start
    problem = Problem(
        *(part.reshape(shape) for part in (problem.curvature, problem.minimum, far)),
        radius=problem.radius,
        smoothness=problem.smoothness,
    )

    def step_size(t: int) -> float:  # never the whole way, so that the start matters
        return min(0.1, open_loop_step(t))

    path = torch.stack(
        [x.clone() for x in descend(problem, norm, config.same_path_steps, step_size)]
    )
    expected = frank_wolfe(
        problem.gradient, problem.start, NORMS[norm], problem.radius,
        config.same_path_steps, step_size,
    )  # fmt: skip
    sizes = torch.stack([NORMS[norm](x) for x in path])
    excess = (sizes / problem.radius - 1).clamp(min=0).tolist()
    factors = [
        after / before / (1 - step_size(t))
        for t, (before, after) in enumerate(pairwise(excess))
        if before > 1e-6
    ]
    return {
        "deviation": float((path - expected).abs().max() / problem.radius),
        "contraction": max(factors),
    }


EXPERIMENT = Experiment(
    name="frank_wolfe_norms",
    title="Steepest descent with weight decay as Frank–Wolfe, in ℓ∞ and in ℓ2",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
