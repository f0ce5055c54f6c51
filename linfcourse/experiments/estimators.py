"""Chapter 4: bias, spread and coverage of the estimators of the (1,1)-norm, where it is known."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

from linfcourse.data import shakespeare
from linfcourse.experiments import first_look
from linfcourse.experiments.estimators_claims import CLAIMS
from linfcourse.experiments.estimators_results import (
    LABELS,
    coverage,
    draw_bias,
    draw_rates,
    draw_spread,
    mean_ratio,
    spread,
)
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.methods import make_optimizer
from linfcourse.hessian import DenseOperator, HessianOperator, norm_11
from linfcourse.models import GPT, example_hessians
from linfcourse.training import train, warmup_cosine

NETWORKS = ("GPT, initial", "GPT, trained")


@dataclass(frozen=True)
class Config:
    """Hessians whose (1,1)-norm is known, and how often it is estimated.

    Args:
        d: dimension of the `example_hessians`.
        hessians: names among them, and among `NETWORKS`.
        estimators: names that `norm_11` knows.
        probes: Hessian-vector products of one estimate.
        repetitions: estimates of each kind and seed, all from different random numbers.
        network_probes, network_repetitions: the same for the networks.
        width, n_head, context, batch: of chapter 1's GPT, made so small that all rows of its
            Hessian can be computed, in one layer; the loss is the mean over one batch.
        steps, lr: how long and how fast Adam trains it.
        kept: of how many estimates of a seed the ratio to the truth is kept one by one.
        seeds: each seeds the matrices, the network and the batches.
    """

    d: int = 400
    hessians: tuple[str, ...] = (
        "diagonal",
        "heavy-tailed rows",
        "random PSD",
        "rotated",
        "rank one",
        *NETWORKS,
    )
    estimators: tuple[str, ...] = ("two_stage", "geometric", "median", "iqr")
    probes: tuple[int, ...] = (10, 20, 50, 100)
    repetitions: int = 100
    network_probes: tuple[int, ...] = (10, 50)
    network_repetitions: int = 40
    width: int = 8
    n_head: int = 2
    context: int = 16
    batch: int = 32
    steps: int = 200
    lr: float = 0.02
    kept: int = 40
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        d=2000, probes=(10, 20, 50, 100, 200, 500), repetitions=200,
        network_probes=(10, 20, 50, 100, 200), network_repetitions=80,
        width=32, n_head=4, context=32, steps=300,
    ),
    # The papers do not study their estimator. `paper` is larger: the Hessian of its network has
    # 62,144 rows and takes 15 GB, so that a large GPU can hold it.
    "paper": Config(
        d=4000, probes=(10, 20, 50, 100, 200, 500, 1000), repetitions=200,
        network_probes=(10, 20, 50, 100, 200), network_repetitions=80,
        width=64, n_head=4, context=32, steps=300, lr=0.012,
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, Hessian, number of products and estimator."""
    return [
        {"seed": seed, "hessian": hessian, "probes": probes, "estimator": estimator}
        for seed in config.seeds
        for hessian in config.hessians
        for probes in (config.network_probes if hessian in NETWORKS else config.probes)
        for estimator in config.estimators
    ]


def trained_gpt(config: Config, seed: int, steps: int, device: torch.device | str = "cpu") -> GPT:
    """Chapter 1's GPT at this configuration's size, after so many steps of Adam."""
    size = dataclasses.replace(
        first_look.PRESETS["cpu"],
        n_layer=1,
        width=config.width,
        n_head=config.n_head,
        context=config.context,
    )
    model = first_look.make_model(size, seed, device)
    if steps:
        train(
            model,
            lambda model, batch: model.loss(*batch),
            shakespeare().sampler(config.batch, config.context, seed, device=device),
            make_optimizer("adam", model.parameters(), config.lr, (0.9, 0.99)),
            steps=steps,
            schedule=warmup_cosine(steps // 8),
            clip=1.0,
            seed=seed,
        )
    return model


@functools.lru_cache(maxsize=1)
def hessian_matrix(config: Config, name: str, seed: int, device: torch.device) -> Tensor:
    """The matrix itself, (d, d): float64, of a network float32."""
    if name not in NETWORKS:
        return example_hessians(config.d, seed=seed)[name].to(device)
    model = trained_gpt(config, seed, 0 if name == NETWORKS[0] else config.steps, device)
    batches = shakespeare().sampler(config.batch, config.context, seed + 1, device=device)
    op = HessianOperator(model.loss(*batches(0)), list(model.parameters()))
    H = op.dense(max_dim=100_000)
    for start in range(0, len(H), 4096):  # symmetric to the last digit, without a second copy
        block = H[start : start + 4096, start:]
        block += H[start:, start : start + 4096].T.clone()
        block /= 2
        H[start:, start : start + 4096] = block.T.clone()
    return H


def run_trial(
    config: Config, device: torch.device, seed: int, hessian: str, probes: int, estimator: str
) -> dict:
    """Estimate many times, and compare with the sum over all entries.

    The estimators see the same random numbers; each Hessian, seed and number of products has
    its own.

    Returns:
        `truth`, `d`; of the estimates divided by the truth their `mean`, `sd`, `count` and the
        first `kept` of them, `ratios`; and in how many cases the interval ended `below` the truth
        or began `above` it.
    """
    H = hessian_matrix(config, hessian, seed, device)
    op, truth = DenseOperator(H), float(H.abs().sum(dtype=torch.float64))
    count = config.network_repetitions if hessian in NETWORKS else config.repetitions
    ratios, below, above = [], 0, 0
    for repetition in range(count):
        own = zlib.crc32(f"{hessian}/{probes}/{seed}/{repetition}".encode())
        generator = torch.Generator().manual_seed(own)
        estimate = norm_11(op, probes, estimator, generator)
        ratios.append(estimate.value / truth)
        # Rounding counts for neither side.
        below += estimate.interval[1] < truth * (1 - 1e-5)
        above += estimate.interval[0] > truth * (1 + 1e-5)
    return {
        "truth": truth,
        "d": len(H),
        "mean": float(numpy.mean(ratios)),
        "sd": float(numpy.std(ratios, ddof=1)),
        "count": count,
        "below": below,
        "above": above,
        "ratios": [float(f"{ratio:.4g}") for ratio in ratios[: config.kept]],
    }


EXPERIMENT = Experiment(
    name="estimators",
    title="Estimating a (1,1)-norm that is known: bias, spread, coverage",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded

__all__ = [
    "CLAIMS",
    "EXPERIMENT",
    "LABELS",
    "NETWORKS",
    "PRESETS",
    "Config",
    "coverage",
    "draw_bias",
    "draw_rates",
    "draw_spread",
    "hessian_matrix",
    "mean_ratio",
    "recorded",
    "run",
    "run_trial",
    "spread",
    "trained_gpt",
    "trials",
]
