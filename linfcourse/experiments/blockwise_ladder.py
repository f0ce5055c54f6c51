"""Chapter 9: a small GPT under blockwise Adam with a ladder of partitions, and with controls.

Every partition is trained on the same grid of learning rates, and its blockwise smoothness is
measured at common places: the initial weights, and those after some steps of Adam or AdaSGD.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch

from linfcourse.data import shakespeare
from linfcourse.experiments.blockwise_ladder_claims import CLAIMS
from linfcourse.experiments.blockwise_ladder_partitions import PARTITIONS, make_partition
from linfcourse.experiments.blockwise_ladder_results import (
    LADDER,
    draw_grid,
    draw_memory,
    draw_prediction,
    draw_smoothness,
    finals,
    smoothness,
)
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.first_look import make_model
from linfcourse.experiments.hessian_norms import gpt_loss
from linfcourse.hessian import HessianOperator, blockwise_norm
from linfcourse.models import GPT
from linfcourse.optim import BlockwiseAdam
from linfcourse.training import train, warmup_cosine

__all__ = [
    "CLAIMS", "EXPERIMENT", "LADDER", "PARTITIONS", "PLACES", "PRESETS", "Config", "draw_grid",
    "draw_memory", "draw_prediction", "draw_smoothness", "finals", "make_model",
    "make_partition", "recorded", "run", "run_trial", "smoothness", "trials",
]  # fmt: skip

# Where the smoothness is measured: the partition that training goes there with, if any.
PLACES = {"start": None, "adam": "coordinatewise", "adasgd": "whole"}


@dataclass(frozen=True)
class Config:
    """A small GPT on characters of Shakespeare, untied, the same lrs for each partition.

    Args:
        partitions: names in `PARTITIONS`.
        lrs: the grid, shared by all partitions.
        seeds: each seeds the initial weights, the batches and the random partitions.
        n_layer, n_head, width, context: the GPT.
        batch: sequences a step.
        steps, warmup: length of the run and of the linear warm-up; then a cosine to a tenth.
        betas: (β₁, β₂).
        last: the final loss is the mean training loss of this many last steps.
        places: where the smoothness is measured; keys of `PLACES`.
        measured_after: how many steps lead to a place that is not the start.
        measuring_lr: the lr on the way there.
        measuring_seeds: on which seeds.
        probes: Hessian-vector products for each measurement.
        precision, compile: as in `linfcourse.training.train`.
    """

    partitions: tuple[str, ...] = tuple(PARTITIONS)
    lrs: tuple[float, ...] = (0.005, 0.01, 0.02, 0.04, 0.08)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_layer: int = 1
    n_head: int = 4
    width: int = 32
    context: int = 32
    batch: int = 32
    steps: int = 300
    warmup: int = 60
    betas: tuple[float, float] = (0.9, 0.99)
    last: int = 50
    places: tuple[str, ...] = ("start", "adam", "adasgd")
    measured_after: int = 150
    measuring_lr: float = 0.02
    measuring_seeds: tuple[int, ...] = (0, 1, 2)
    probes: int = 384
    precision: str = "fp32"
    compile: str = "off"


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        lrs=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05), seeds=(0, 1, 2),
        n_layer=2, n_head=4, width=64, context=64, batch=32, steps=500, warmup=50, last=50,
        measured_after=250, measuring_lr=0.005, probes=512,
        precision="auto", compile="auto",
    ),
    # The paper's setting for this comparison could not be checked: a GPT-2 on the embedded text.
    "paper": Config(
        lrs=(0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03), seeds=(0, 1, 2),
        n_layer=12, n_head=12, width=768, context=256, batch=64, steps=5000, warmup=500,
        betas=(0.9, 0.95), last=200, measured_after=2500, measuring_lr=0.001, probes=1024,
        precision="auto", compile="auto",
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """First the measurements, one per seed, place and partition; then the runs."""
    return [
        {"kind": "smoothness", "seed": seed, "place": place, "partition": partition}
        for seed in config.measuring_seeds
        for place in config.places
        for partition in config.partitions
    ] + [
        {"kind": "training", "seed": seed, "partition": partition, "lr": lr}
        for seed in config.seeds
        for partition in config.partitions
        for lr in config.lrs
    ]


def run_trial(
    config: Config,
    device: torch.device,
    kind: str,
    seed: int,
    partition: str,
    lr: float | None = None,
    place: str | None = None,
) -> dict:
    """Train once, or measure once.

    Returns:
        For `"training"` the loss and the number of second moments kept, `blocks`. For
        `"smoothness"` the two numbers of `blockwise_norm`, each with its 90 % interval.
    """
    if kind == "training":
        model = make_model(config, seed, device)
        rule = make_partition(partition, config, model, seed)
        history = _train(config, model, seed, rule, lr, config.steps)
        final = math.inf if history.diverged else history.final_loss(config.last)
        blocks = int(rule.ids(list(model.parameters())).max()) + 1
        return {"final_loss": final, "blocks": blocks, **history.engine()}
    # Cut as for training, by the initial weights: "sorted" looks at gradients there.
    initial = make_model(config, seed, device)
    ids = make_partition(partition, config, initial, seed).ids(initial.parameters())
    model = _model_at(config, seed, place, device)
    batch = shakespeare().sampler(config.batch, config.context, 1000 + seed, device=device)(0)
    norm = blockwise_norm(
        HessianOperator(gpt_loss(model, batch), list(model.parameters())),
        ids,
        probes=config.probes,
        generator=torch.Generator().manual_seed(seed),
    )
    return {
        "low": norm.lower,
        "high": norm.upper,
        "low_interval": norm.lower_estimate.interval,
        "high_interval": norm.upper_estimate.interval,
        "method": norm.method,
    }


def _train(config: Config, model: GPT, seed: int, rule, lr: float, steps: int):
    device = next(model.parameters()).device
    return train(
        model,
        lambda model, batch: model.loss(*batch),
        shakespeare().sampler(config.batch, config.context, seed, device=device),
        BlockwiseAdam(model.parameters(), lr=lr, betas=config.betas, partition=rule),
        steps=steps,
        schedule=warmup_cosine(config.warmup),
        clip=1.0,
        seed=seed,
        precision=config.precision,
        compile=config.compile,
    )


@functools.lru_cache(maxsize=1)
def _model_at(config: Config, seed: int, place: str, device: torch.device) -> GPT:
    """The GPT at a place of `PLACES`; the trials come in an order that makes it once."""
    model = make_model(config, seed, device)
    if PLACES[place] is not None:
        rule = make_partition(PLACES[place], config, model, seed)
        _train(config, model, seed, rule, config.measuring_lr, config.measured_after)
    return model


EXPERIMENT = Experiment(
    name="blockwise_ladder",
    title="A small GPT under blockwise Adam: which blocks, and does H(L, Φ) say so?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
