"""Chapter 13: where AdamW ends on convex problems, and when it does not end.

All runs of all seeds and methods are one batch: 200,000 steps of one small problem after the other
would take hours.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.experiments.adamw_constrained_claims import CLAIMS
from linfcourse.experiments.adamw_constrained_results import (
    draw_convergence,
    draw_swing,
    name_of,
)
from linfcourse.experiments.experiment import Experiment
from linfcourse.models import BoxQuadratic, box_quadratic

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "PRESETS",
    "Config",
    "adamw_step",
    "draw_convergence",
    "draw_swing",
    "make_problem",
    "name_of",
    "recorded",
    "run",
    "run_batch",
    "run_trial",
    "trials",
]


@dataclass(frozen=True)
class Config:
    """Least squares with a minimum partly outside the box ‖x‖∞ ≤ 1/λ; full gradients, ε = 0.

    Args:
        seeds: each seeds the problem, `box_quadratic`, and the start, which is outside the box.
        d, rows: the size of the least-squares problem.
        weight_decay: λ.
        steps: length of all runs.
        first_lr, power: of the decaying learning rate ηₜ = first_lr·t^−power. With a power of at
            most 1 it sums to infinity, as the theorem asks.
        lrs: the constant learning rates.
        covered: pairs (β₁, β₂) with β₁ ≤ β₂ < 1, which the theorem covers; (0, 0) is SignSGD.
        others: pairs with β₁ > β₂.
        penalised: the pairs for Adam with the penalty ½λ‖x‖₂² in its loss, for comparison.
        checkpoints: the steps at which distance and residual are kept.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    d: int = 20
    rows: int = 40
    weight_decay: float = 1.0
    steps: int = 200_000
    first_lr: float = 0.5
    power: float = 0.75
    lrs: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    covered: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.9, 0.95), (0.9, 0.999), (0.99, 0.99))
    others: tuple[tuple[float, float], ...] = ((0.9, 0.7), (0.9, 0.5), (0.95, 0.8), (0.99, 0.9))
    penalised: tuple[tuple[float, float], ...] = ((0.9, 0.95), (0.9, 0.999))
    checkpoints: tuple[int, ...] = (
        10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000,
    )  # fmt: skip


PRESETS = {
    "cpu": Config(),
    "gpu": Config(seeds=tuple(range(20)), d=100, rows=200),
    # The problem of the paper is not known to us: a larger and longer run than ours.
    "paper": Config(
        seeds=tuple(range(20)),
        d=100,
        rows=200,
        steps=1_000_000,
        checkpoints=(10, 100, 1000, 10_000, 100_000, 1_000_000),
    ),
}


def make_problem(config: Config, seed: int) -> BoxQuadratic:
    """The problem of one seed; its radius is 1/λ."""
    return box_quadratic(config.d, config.rows, radius=1 / config.weight_decay, seed=seed)


def adamw_step(
    x: Tensor,
    g: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    *,
    lr: Tensor | float,
    beta1: Tensor | float,
    beta2: Tensor | float,
    weight_decay: Tensor | float = 0.0,
    penalty: Tensor | float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""One step of AdamW with ε = 0 for a whole batch of problems; step numbers t = 1, 2, …

    .. math::
        m \leftarrow \beta_1 m + (1-\beta_1)\,g, \quad
        v \leftarrow \beta_2 v + (1-\beta_2)\,g^2, \quad
        x \leftarrow (1-\lambda\eta)\,x - \eta\,\hat m/\sqrt{\hat v}

    Args:
        x, g, m, v: of one shape (..., d). A coordinate whose gradients were all 0 only decays.
        t: the number of the step, for the bias corrections.
        lr, beta1, beta2, weight_decay, penalty: numbers, or tensors (..., 1) with one for each
            problem. The penalty is that of ½·penalty·‖x‖₂², added to the gradient.

    Returns:
        The new x, m and v.

    >>> x = torch.tensor([1.0, -1.0])
    >>> adamw_step(x, x, 0 * x, 0 * x, 1, lr=0.1, beta1=0.9, beta2=0.99, weight_decay=1.0)[0]
    tensor([ 0.8000, -0.8000])
    """
    g = g + penalty * x
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    update = torch.where(v > 0, (m / (1 - beta1**t)) / (v / (1 - beta2**t)).sqrt(), 0.0)
    return (1 - lr * weight_decay) * x - lr * update, m, v


def methods(config: Config) -> list[dict]:
    """What is run on each problem."""
    decaying, pairs = {"schedule": "decaying", "lr": None}, config.covered + config.others
    return (
        [{"method": "adamw", "betas": betas, **decaying} for betas in pairs]
        + [{"method": "adam_l2", "betas": betas, **decaying} for betas in config.penalised]
        + [
            {"method": "adamw", "betas": betas, "schedule": "constant", "lr": lr}
            for betas in pairs
            for lr in config.lrs
        ]
    )


def trials(config: Config) -> list[dict]:
    """One trial per seed and method."""
    return [{"seed": seed, **method} for seed in config.seeds for method in methods(config)]


@functools.lru_cache(maxsize=1)
def run_batch(config: Config, device: torch.device) -> dict[tuple, dict]:
    """All runs of all seeds at once; the result of each under (seed, method, betas, schedule, lr).

    x has the shape (seeds, methods, d).
    """
    kinds, problems = methods(config), [make_problem(config, seed) for seed in config.seeds]

    def column(values: list[float]) -> Tensor:  # one number for each method
        return torch.tensor(values, dtype=torch.float64, device=device)[:, None]

    def stack(tensors: list[Tensor]) -> Tensor:
        return torch.stack(tensors).to(device)

    beta1, beta2 = (column([kind["betas"][i] for kind in kinds]) for i in (0, 1))
    is_decaying = column([kind["schedule"] == "decaying" for kind in kinds])
    constant = column([kind["lr"] or 0.0 for kind in kinds])
    decoupled = column([kind["method"] == "adamw" for kind in kinds])
    decays = {
        "weight_decay": config.weight_decay * decoupled,
        "penalty": config.weight_decay * (1 - decoupled),
    }
    hessian, center, box, ridge = (
        stack([problem.hessian for problem in problems]),
        stack([problem.center for problem in problems])[:, None],
        stack([problem.minimiser() for problem in problems])[:, None],
        stack([problem.ridge(config.weight_decay) for problem in problems])[:, None],
    )
    pull = center @ hessian
    x = stack([_start(config, seed) for seed in config.seeds])[:, None].repeat(1, len(kinds), 1)
    m, v, largest = torch.zeros_like(x), torch.zeros_like(x), x.new_zeros(x.shape[:2])
    curves: dict[str, list[Tensor]] = {"distance": [], "residual": [], "excess": []}
    for t in range(1, config.steps + 1):
        lr = is_decaying * config.first_lr * t**-config.power + constant
        x, m, v = adamw_step(
            x, x @ hessian - pull, m, v, t, lr=lr, beta1=beta1, beta2=beta2, **decays
        )
        if 2 * t > config.steps:
            largest = torch.maximum(largest, x.abs().amax(-1))
        if t in config.checkpoints:
            g, size = x @ hessian - pull, x.abs().amax(-1)
            inner = config.weight_decay * (x * g).sum(-1)
            curves["residual"].append(1 + inner / g.abs().sum(-1))
            curves["excess"].append(size - 1 / config.weight_decay)
            curves["distance"].append((x - box).abs().amax(-1))
    to_ridge = (x - ridge).abs().amax(-1)
    results = {}
    for i, seed in enumerate(config.seeds):
        for j, kind in enumerate(kinds):
            results[_key(seed=seed, **kind)] = {
                "to_box": (x[i, j] - box[i, 0]).abs().max().item(),
                "to_ridge": to_ridge[i, j].item(),
                "largest": largest[i, j].item() * config.weight_decay,
                **{
                    name: [_short(curve[i, j].item()) for curve in curve_list]
                    for name, curve_list in curves.items()
                },
            }
    return results


def _key(seed: int, method: str, betas, schedule: str, lr: float | None) -> tuple:
    return seed, method, tuple(betas), schedule, lr


def _start(config: Config, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(1000 + seed)
    start = torch.randn(config.d, generator=generator, dtype=torch.float64)
    return 3 * start / config.weight_decay


def _short(value: float) -> float:
    return float(f"{value:.3g}") if math.isfinite(value) else value


def run_trial(config: Config, device: torch.device, **setting) -> dict:
    """One run out of the batch, which the first trial computes.

    Returns:
        `to_box` and `to_ridge`, the ℓ∞ distance of the last point from the minimiser in the box and
        from that of the penalised loss; `largest`, the largest λ‖x‖∞ over the last half of the
        run; at the checkpoints `distance` from the minimiser in the box, the KKT `residual`, and
        the `excess` ‖x‖∞ − 1/λ.
    """
    return run_batch(config, device)[_key(**setting)]


EXPERIMENT = Experiment(
    name="adamw_constrained",
    title="AdamW against the minimiser in the box ‖x‖∞ ≤ 1/λ",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
