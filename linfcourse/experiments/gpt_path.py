"""Chapter 11: R_med of a GPT's layers along Adam's path, SGD's, and after a change of optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.data import shakespeare
from linfcourse.experiments import first_look
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.gpt_path_results import (
    CLAIMS,
    LABELS,
    draw_bias,
    draw_layers,
    draw_levels,
    draw_switches,
    mean_log_ratios,
)
from linfcourse.experiments.hessian_norms import gpt_loss
from linfcourse.experiments.methods import make_optimizer
from linfcourse.hessian import HessianOperator, diagonal, screened_r_med
from linfcourse.hessian.r_med import _median
from linfcourse.models import GPT

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "LABELS",
    "PRESETS",
    "Config",
    "draw_bias",
    "draw_layers",
    "draw_levels",
    "draw_switches",
    "mean_log_ratios",
]


@dataclass(frozen=True)
class Config:
    """A GPT on characters; each path from one start a seed, measured at equal training loss.

    Args:
        methods: names in `METHODS`; each runs at every learning rate of its row.
        lrs: a row for each method. SGD's are in its usual unit, see `first_look.Config`.
        measured: (method, lr): the runs whose Hessian is measured, at the lr that reaches the last
            level in the fewest steps.
        switches: pairs of methods: the first runs to the level `switch_at`, then the second.
        levels: training losses, descending, at which R_med is measured.
        switch_at: one of the levels.
        seeds: each seeds the initial weights and the batches.
        exact_seeds, exact_methods: for these the whole diagonal is computed too, at the last level,
            and Hutchinson's estimate of it with `hutchinson` numbers of probes.
        n_layer, n_head, width, context, batch: the GPT and its batches.
        warmup: steps of linear warm-up, after which the learning rate is constant; anew after a
            switch.
        steps: at most so many.
        betas: (β₁, β₂) of every method that has them.
        check_every: the training loss, on `check_batch` fixed sequences, is taken that often.
        hessian_batch: sequences of the training text whose Hessian is measured, the same for all.
        probes, candidates, sample: of `screened_r_med`.
    """

    methods: tuple[str, ...] = ("adam", "sgd", "rotated_adam")
    lrs: tuple[tuple[float, ...], ...] = (
        (0.0024, 0.012, 0.06),
        (0.075, 0.3, 1.2),
        (0.004, 0.016, 0.064),
    )
    measured: tuple[tuple[str, float], ...] = (
        ("adam", 0.012),
        ("sgd", 0.3),
        ("rotated_adam", 0.016),
    )
    switches: tuple[tuple[str, str], ...] = (("adam", "sgd"), ("sgd", "adam"))
    levels: tuple[float, ...] = (2.8, 2.5, 2.4)
    switch_at: float = 2.5
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    exact_seeds: tuple[int, ...] = (0,)
    exact_methods: tuple[str, ...] = ("adam", "sgd")
    hutchinson: tuple[int, ...] = (4, 16, 64, 256)
    n_layer: int = 2
    n_head: int = 2
    width: int = 16
    context: int = 16
    batch: int = 32
    warmup: int = 40
    steps: int = 1200
    betas: tuple[float, float] = (0.9, 0.99)
    check_every: int = 10
    check_batch: int = 128
    hessian_batch: int = 64
    probes: int = 64
    candidates: int = 10
    sample: int = 32


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        n_layer=4, n_head=4, width=64, context=64, batch=64, levels=(2.8, 2.5, 2.3), switch_at=2.5,
        steps=4000, seeds=(0, 1, 2), exact_seeds=(), probes=256, candidates=32, sample=100,
    ),
    # The sizes of the paper's language models are not known to us: a run of ours, larger.
    "paper": Config(
        n_layer=6, n_head=6, width=384, context=256, batch=64, levels=(2.8, 2.0, 1.5),
        switch_at=2.0, steps=100_000, warmup=500, seeds=(0, 1, 2), exact_seeds=(),
        lrs=((0.0003, 0.001, 0.003), (0.03, 0.1, 0.3), (0.0006, 0.002, 0.006)),
        measured=(("adam", 0.001), ("sgd", 0.1), ("rotated_adam", 0.002)),
        check_every=100, hessian_batch=256, probes=1024, candidates=64, sample=200,
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, method and learning rate; and the runs that change their optimizer."""
    lr_of = dict(config.measured)
    return [
        setting
        for seed in config.seeds
        for setting in [
            *(
                {"seed": seed, "method": method, "lr": lr}
                for method, row in zip(config.methods, config.lrs, strict=True)
                for lr in row
            ),
            *(
                {"seed": seed, "method": f"{first}_then_{second}", "lr": lr_of[second]}
                for first, second in config.switches
            ),
        ]
    ]


def layers_of(model: GPT) -> tuple[list[Tensor], dict[str, int]]:
    """The matrices of the blocks, and the size of each *layer* in the vector of their entries.

    The fused matrix of queries, keys and values counts as three layers: its thirds differ so much
    in curvature that one ratio of all three would say only that.

    Returns:
        The parameters, and {"1 query": entries, "1 key": …, "1 value": …, "1 out": …, "1 up": …,
        "1 down": …, "2 query": …} in the order of the parameters' entries.
    """
    params, sizes = [], {}
    for number, block in enumerate(model.blocks, start=1):
        fused = block.attention.qkv.weight
        params += [fused, block.attention.proj.weight, block.mlp.up.weight, block.mlp.proj.weight]
        third = fused.numel() // 3
        sizes |= {f"{number} {name}": third for name in ("query", "key", "value")}
        sizes |= {
            f"{number} {name}": p.numel()
            for name, p in zip(("out", "up", "down"), params[-3:], strict=True)
        }
    return params, sizes


def follow(
    config: Config, device: torch.device, seed: int, method: str, lr: float
) -> Iterator[tuple[int, float, GPT]]:
    """Train, and stop at each level: (steps so far, training loss, the model as it is there).

    Ends after the last level, or without it where the steps run out or the loss is not finite.
    """
    model = first_look.make_model(config, seed, device)
    text = shakespeare()
    batches = text.sampler(config.batch, config.context, seed, device=device)
    check = text.sampler(config.check_batch, config.context, seed + 1000, device=device)(0)
    first, _, second = method.partition("_then_")
    optimizer = _make(config, model, first, dict(config.measured)[first] if second else lr, seed)
    levels, since, base = list(config.levels), 0, [g["lr"] for g in optimizer.param_groups]
    for step in range(config.steps):
        for group, full in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = full * min(1.0, (step - since + 1) / config.warmup)
        optimizer.zero_grad()
        loss = model.loss(*batches(step))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % config.check_every:
            continue
        with torch.no_grad():
            now = model.loss(*check).item()
        if not math.isfinite(now):
            return
        while levels and now <= levels[0]:
            level = levels.pop(0)
            yield step + 1, now, model
            if second and level == config.switch_at:
                optimizer = _make(config, model, second, lr, seed)
                since, base = step + 1, [g["lr"] for g in optimizer.param_groups]
        if not levels:
            return


def _make(config, model, method, lr, seed):
    unit = 1 - config.betas[0] if method == "sgd" else 1.0
    rotation = {"seed": seed} if method.startswith("rotated") else {}
    return make_optimizer(method, model.parameters(), lr / unit, config.betas, **rotation)


def hessian_of(config: Config, model: GPT) -> tuple[HessianOperator, dict[str, int]]:
    """The Hessian of the training loss by the blocks' matrices, and the sizes of their layers."""
    params, sizes = layers_of(model)
    device = params[0].device
    # The same sequences for every seed and method.
    batch = shakespeare().sampler(config.hessian_batch, config.context, 5000, device=device)(0)
    return HessianOperator(gpt_loss(model, batch), params), sizes


def run_trial(config: Config, device: torch.device, seed: int, method: str, lr: float) -> dict:
    """Follow one path.

    Returns:
        `reached`: steps to the last level, infinite if it was not reached; `steps` to each level
        that was. In the measured runs `largest` and `median`, for each layer a list over levels,
        after a switch only from there on; and `exact`, see `compare_estimates`.
    """
    switched = "_then_" in method
    measured = switched or (method, lr) in {tuple(pair) for pair in config.measured}
    steps, largest, median, exact = [], {}, {}, {}
    for level, (step, _, model) in zip(
        config.levels, follow(config, device, seed, method, lr), strict=False
    ):
        steps.append(step)
        if not measured or (switched and level >= config.switch_at):
            continue
        op, sizes = hessian_of(config, model)
        generator = torch.Generator().manual_seed(seed)
        found = screened_r_med(
            op, sizes.values(), config.probes, config.candidates, config.sample, generator
        )
        for name, top, middle in zip(sizes, found.largest, found.median, strict=True):
            largest.setdefault(name, []).append(top.item())
            median.setdefault(name, []).append(middle.item())
        exactly = seed in config.exact_seeds and method in config.exact_methods
        if exactly and level == config.levels[-1]:
            exact = compare_estimates(config, op, sizes, generator)
    reached = steps[-1] if len(steps) == len(config.levels) else math.inf
    return {
        "reached": reached,
        "steps": steps,
        "largest": largest,
        "median": median,
        "exact": exact,
    }


def compare_estimates(
    config: Config, op: HessianOperator, sizes: dict[str, int], generator: torch.Generator
) -> dict:
    """Each layer's largest and median |Hᵢᵢ|: from the whole diagonal, and from Hutchinson's.

    Returns:
        {"0": …} for the exact diagonal and {"16": …} for 16 probes, each {"largest", "median"} of
        lists over the layers.
    """
    found = {"0": _ends(diagonal(op), sizes)}
    for probes in config.hutchinson:
        found[str(probes)] = _ends(diagonal(op, "hutchinson", probes, generator), sizes)
    return found


def _ends(values: Tensor, sizes: dict[str, int]) -> dict[str, list[float]]:
    parts = values.abs().cpu().double().split(list(sizes.values()))
    return {
        "largest": [part.max().item() for part in parts],
        "median": [_median(part).item() for part in parts],
    }


EXPERIMENT = Experiment(
    name="gpt_path",
    title="R_med of a small GPT along Adam's path, SGD's, and after a change of optimizer",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
