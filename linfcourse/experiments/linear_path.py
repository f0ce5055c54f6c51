"""Chapter 10: how uneven gradient descent and Adam leave a two-layer linear network's curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.linear_path_results import (
    CLAIMS,
    draw_prediction,
    draw_ratios,
    draw_sweep,
    ratios,
)
from linfcourse.experiments.linear_path_theory import growing_mode, ratio_from_start
from linfcourse.experiments.methods import make_optimizer
from linfcourse.hessian import r_med
from linfcourse.models import TwoLayerLinear, two_layer_linear_problem

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "PRESETS",
    "Config",
    "draw_prediction",
    "draw_ratios",
    "draw_sweep",
    "ratios",
]


@dataclass(frozen=True)
class Config:
    """One start a seed, each method from there, measured at equal loss.

    The learning rates are fixed beforehand, not chosen by what they give: every lr of a method's
    row runs at d = `sweep_d`, and the middle one of the row at every other d.

    Args:
        methods: names in `METHODS`.
        lrs: a row for each method, in its order of `methods`, ascending. SGD's are in its usual
            unit, for a momentum that sums gradients; where it averages them, as here, that is
            lr / (1 − β₁).
        ds: numbers of inputs and of hidden units.
        sweep_d: the d at which all learning rates run.
        levels: losses over the first loss, descending, at which the diagonal is measured: at the
            first step whose loss is no larger.
        betas: (β₁, β₂); β₁ is the momentum of gradient descent too.
        steps: at most so many; a level that is not reached by then has an infinite ratio.
        seeds: each seeds A and the start.
    """

    methods: tuple[str, ...] = ("sgd", "adam", "rotated_adam")
    lrs: tuple[tuple[float, ...], ...] = (
        (0.0005, 0.002, 0.008),
        (0.00025, 0.001, 0.004),
        (0.00025, 0.001, 0.004),
    )
    ds: tuple[int, ...] = (50, 100, 200, 400)
    sweep_d: int = 100
    levels: tuple[float, ...] = (0.9, 0.5, 0.1, 0.01)
    betas: tuple[float, float] = (0.9, 0.99)
    steps: int = 5000
    seeds: tuple[int, ...] = tuple(range(40))


PRESETS = {
    "cpu": Config(),
    "gpu": Config(ds=(50, 100, 200, 400, 800, 1600), steps=1000, seeds=tuple(range(20))),
    # The paper proves this for large d and prints no sizes that we could check: a run of ours.
    "paper": Config(ds=(100, 400, 1600, 6400), seeds=tuple(range(10))),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, d, method and learning rate."""
    return [
        {"seed": seed, "d": d, "method": method, "lr": lr}
        for seed in config.seeds
        for d in config.ds
        for method, row in zip(config.methods, config.lrs, strict=True)
        for lr in (row if d == config.sweep_d else row[len(row) // 2 : len(row) // 2 + 1])
    ]


def run_trial(
    config: Config, device: torch.device, seed: int, d: int, method: str, lr: float
) -> dict:
    """Train until the loss has fallen to the last level.

    Returns:
        A list entry for each level: `steps`, the ratios `first` and `second` of the two layers, and
        `alignment`, the |cosine| between W₂ and the growing mode of the start. And the ratio
        `predicted` by the start for gradient descent.
    """
    model = two_layer_linear_problem(d, seed=seed).to(device)
    mode = growing_mode(model.first, model.second, model.target)
    predicted = ratio_from_start(model)
    unit = 1 - config.betas[0] if method == "sgd" else 1.0
    rotation = {"seed": seed} if method.startswith("rotated") else {}
    optimizer = make_optimizer(method, model.parameters(), lr / unit, config.betas, **rotation)
    rows, start = [], None
    for step in range(config.steps + 1):
        optimizer.zero_grad()
        loss = model.loss()
        start = loss.item() if start is None else start
        while len(rows) < len(config.levels) and loss.item() <= config.levels[len(rows)] * start:
            rows.append(measure(model, mode) | {"steps": step})
        if len(rows) == len(config.levels) or not math.isfinite(loss.item()):
            break
        loss.backward()
        optimizer.step()
    missing = {"first": math.inf, "second": math.inf, "alignment": math.nan, "steps": math.inf}
    rows += [missing] * (len(config.levels) - len(rows))
    columns = {name: [row[name] for row in rows] for name in missing}
    return columns | {"predicted": predicted}


def measure(model: TwoLayerLinear, mode: torch.Tensor) -> dict[str, float]:
    """R_med of both layers, from the exact diagonal, and how far W₂ is along `mode`."""
    diagonal = model.hessian_diagonal()
    cosine = torch.nn.functional.cosine_similarity(model.second[0].detach(), mode, dim=0)
    return {
        "first": r_med(diagonal["first"].flatten()).item(),
        "second": r_med(diagonal["second"].flatten()).item(),
        "alignment": cosine.abs().item(),
    }


EXPERIMENT = Experiment(
    name="linear_path",
    title="R_med of a two-layer linear network along gradient descent's path and Adam's",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
