"""Chapter 8: quadratics with blocks in them, under blockwise Adam with finer and finer partitions.

Three landscapes have the same eigenvalues and differ in where the eigenvectors lie: along the axes,
mixed within hidden blocks, or mixed all together. The blockwise smoothness H(L, Φ) of each
partition can be bracketed, and says which one should do best on which landscape.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from linfcourse.experiments.blockwise_quadratic_problem import make_hessian, make_ids
from linfcourse.experiments.blockwise_quadratic_results import (
    draw_losses,
    draw_smoothness,
    finals,
    name_of,
)
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, tally, threshold
from linfcourse.hessian import blockwise_norm
from linfcourse.norms import Blockwise
from linfcourse.optim import BlockwiseAdam, SteepestDescent
from linfcourse.partitions import from_ids
from linfcourse.records import Record

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "PRESETS",
    "Config",
    "draw_losses",
    "draw_smoothness",
    "make_hessian",
    "make_ids",
    "recorded",
    "run",
    "run_trial",
    "trials",
]


@dataclass(frozen=True)
class Config:
    """½ xᵀHx from x₀ ~ N(0, I) with full gradients.

    Args:
        seeds: each seeds the eigenvectors, the start and the shuffled partition.
        d: dimension.
        hidden: number of hidden blocks, of equal size; divides d.
        decades: the steepest curvature of the hidden blocks falls from 1 by this many powers of
            ten. Within a block half the eigenvalues are at its steepest, the others go down to a
            hundredth of it.
        landscapes: `"axes"`, `"blocks"`, `"mixed"`; see `make_hessian`.
        counts: the partitions, by their numbers of equal blocks of neighbouring coordinates.
        steps: length of a run.
        beta1s, beta2: betas of blockwise Adam.
        lrs: the grid, shared by all partitions.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    d: int = 256
    hidden: int = 16
    decades: float = 3.0
    landscapes: tuple[str, ...] = ("axes", "blocks", "mixed")
    counts: tuple[int, ...] = (1, 4, 16, 64, 256)
    steps: int = 200
    beta1s: tuple[float, ...] = (0.0, 0.9)
    beta2: float = 0.99
    lrs: tuple[float, ...] = (
        0.01, 0.0178, 0.0316, 0.0562, 0.1, 0.178, 0.316, 0.562, 1.0, 1.78, 3.16,
        5.62,
    )  # fmt: skip


PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=1024, hidden=32, counts=(1, 8, 32, 128, 1024), steps=1000),
    # None of the papers has this experiment: `paper` is a larger one of ours.
    "paper": Config(
        d=4096, hidden=64, counts=(1, 8, 64, 512, 4096), steps=3000, seeds=tuple(range(10))
    ),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, landscape, partition, and run: β₁ and lr, or the theorem's own method."""
    shuffled = [(config.hidden, True)]
    return [
        {"seed": seed, "landscape": landscape, "blocks": blocks, "shuffled": shuffle, **run}
        for seed in config.seeds
        for landscape in config.landscapes
        for blocks, shuffle in [(count, False) for count in config.counts] + shuffled
        for run in [{"method": "descent"}]
        + [
            {"method": "adam", "beta1": beta1, "lr": lr}
            for beta1 in config.beta1s
            for lr in config.lrs
        ]
    ]


@functools.lru_cache(maxsize=1)
def _problem(config: Config, landscape: str, seed: int, device: torch.device):
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(config.d, generator=generator, dtype=torch.float64)
    return make_hessian(config, landscape, seed).to(device), start.to(device)


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    landscape: str,
    blocks: int,
    shuffled: bool,
    method: str,
    beta1: float | None = None,
    lr: float | None = None,
) -> dict:
    """One run of blockwise Adam, or of blockwise normalised descent held against its theorem.

    Returns:
        For `"adam"` the final loss over the first. For `"descent"` the bracket `low`, `high` of
        H(L, Φ), and `promised`, the theorem's bound on the smallest dual norm of a gradient, with
        what came out as a fraction of it, `fraction`.
    """
    H, start = _problem(config, landscape, seed, device)
    ids = make_ids(config, blocks, shuffled, seed).to(device)
    first = 0.5 * (start @ (H @ start)).item()
    x = start.clone().requires_grad_()
    if method == "descent":
        low, high = blockwise_norm(H, ids)
        promised = math.sqrt(2 * first * high / config.steps)
        optimizer = SteepestDescent(
            [x], lr=math.sqrt(2 * first / (high * config.steps)), norm=Blockwise(ids)
        )
        norm, smallest = Blockwise(ids), math.inf
        for _ in range(config.steps):
            x.grad = H @ x.detach()
            smallest = min(smallest, norm.dual(x.grad).item())
            optimizer.step()
        return {"low": low, "high": high, "promised": promised, "fraction": smallest / promised}
    optimizer = BlockwiseAdam(
        [x], lr=lr, betas=(beta1, config.beta2), partition=from_ids({x: ids.cpu()})
    )
    for _ in range(config.steps):
        x.grad = H @ x.detach()
        optimizer.step()
    x = x.detach()
    final = 0.5 * (x @ (H @ x)).item() / first
    return {"final_loss": final if math.isfinite(final) else math.inf}


def _cases(record: Record) -> list[tuple[int, bool]]:
    settings = (trial.setting for trial in record.trials)
    return list(dict.fromkeys((s["blocks"], s["shuffled"]) for s in settings))


def _pair(record: Record, landscape: str, beta1: float, lower, higher) -> Verdict:
    """Does the first partition end lower? In powers of ten: the losses span many."""
    losses = [
        [math.log10(loss) if loss > 0 else -math.inf for loss in finals(record, **where)]
        for where in (
            {"landscape": landscape, "beta1": beta1, "blocks": blocks, "shuffled": shuffled}
            for blocks, shuffled in (lower, higher)
        )
    ]
    names = (name_of(*lower), name_of(*higher))
    return compare(*losses, names, f"β₁ = {beta1:g}: log₁₀ loss")


def _judge(landscape: str, winner: str, losers: Sequence[str], beta1: float | None = None):
    """Does the winner end below each loser, for one β₁ or for all?"""

    def judge(record: Record) -> Verdict:
        hidden, counts = record.config["hidden"], sorted(record.config["counts"])
        case = {
            "whole": (counts[0], False),
            "hidden": (hidden, False),
            "shuffled": (hidden, True),
            "singles": (counts[-1], False),
        }
        return all_of(
            {
                f"β₁ = {b:g}, {loser}": _pair(record, landscape, b, case[winner], case[loser])
                for b in (record.config["beta1s"] if beta1 is None else [beta1])
                for loser in losers
            }
        )

    return judge


def _judge_theorem(record: Record) -> Verdict:
    worst = max(trial.result["fraction"] for trial in record.select(method="descent"))
    return threshold(worst, 0.0, 1.0, "the largest dual norm reached, over the promised one,")


def _judge_order(beta1: float) -> Callable[[Record], Verdict]:
    """Of two partitions with brackets apart by a factor, the one with the smaller ends lower."""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for landscape in record.config["landscapes"]:
            for a, b in itertools.permutations(_cases(record), 2):
                where = [
                    {"landscape": landscape, "method": "descent", "blocks": n, "shuffled": s}
                    for n, s in (a, b)
                ]
                highest = max(t.result["high"] for t in record.select(**where[0]))
                lowest = min(t.result["low"] for t in record.select(**where[1]))
                if APART * highest < lowest:
                    verdict = _pair(record, landscape, beta1, a, b)
                    verdicts[f"{landscape}: {name_of(*a)} < {name_of(*b)}"] = verdict
        return tally(verdicts, "pairs", f"β₁ = {beta1:g}")

    return judge


APART = 1.5  # brackets count as apart when this factor lies between them, on every seed
_CHAPTER = "08_one_theorem_many_optimizers"


def _claim(name: str, statement: str, judge: Callable, source: str = "this course") -> Claim:
    return Claim(f"blockwise_quadratic.{name}", statement, source, _CHAPTER, judge)


_ORDER = (
    f"Of any two partitions whose H(L, Φ) differ by more than a factor {APART:g}, the one with the "
    "smaller value ends at the lower loss"
)
_HIDDEN = (
    "Where curvature lies in hidden blocks, blockwise Adam with these blocks ends below AdaSGD, "
    "below Adam, and below shuffled blocks of the same sizes"
)
_RIVALS = ("whole", "singles", "shuffled")
CLAIMS = (
    _claim(
        "theorem",
        "Blockwise normalised descent keeps the theorem's promise for every partition.",
        _judge_theorem,
    ),
    _claim(
        "hidden_blocks_win",
        f"{_HIDDEN} (β₁ = 0).",
        _judge("blocks", "hidden", _RIVALS, 0.0),
        "arXiv:2406.16793, in substance",
    ),
    _claim(
        "hidden_blocks_win_with_momentum",
        f"{_HIDDEN} (β₁ = 0.9).",
        _judge("blocks", "hidden", _RIVALS, 0.9),
        "arXiv:2406.16793, in substance",
    ),
    _claim(
        "single_coordinates_win_on_axes",
        "Where curvature lies along the axes, Adam ends below AdaSGD and below 16 blocks.",
        _judge("axes", "singles", ("whole", "hidden")),
        "arXiv:2410.08198, in substance",
    ),
    _claim(
        "adam_loses_when_mixed",
        "Where the axes mean nothing, AdaSGD ends below Adam.",
        _judge("mixed", "whole", ("singles",)),
        "arXiv:2410.08198, in substance",
    ),
    _claim(
        "blocks_lose_when_mixed",
        "Where the axes mean nothing, AdaSGD ends below 16 blocks.",
        _judge("mixed", "whole", ("hidden",)),
    ),
    _claim("bound_orders", f"{_ORDER} (β₁ = 0).", _judge_order(0.0)),
    _claim("bound_orders_with_momentum", f"{_ORDER} (β₁ = 0.9).", _judge_order(0.9)),
)

EXPERIMENT = Experiment(
    name="blockwise_quadratic",
    title="Quadratics with hidden blocks under blockwise Adam: does H(L, Φ) order the partitions?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
