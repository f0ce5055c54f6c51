"""Chapter 7: a small ResNet under Adam, rotated Adam, AdaSGD and SGD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from linfcourse.data import Images, cifar10, fashion_mnist
from linfcourse.experiments import first_look
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.hessian_norms import measure_norms
from linfcourse.experiments.judging import Claim
from linfcourse.experiments.methods import make_optimizer
from linfcourse.experiments.rotated_gpt import (
    draw_losses,
    draw_norms,
    in_means,
    judge_pair,
    judge_ratio,
    norms_along,
)
from linfcourse.models import ResNet18, resnet18
from linfcourse.rotations import Hadamard, Identity
from linfcourse.training import train, warmup_cosine

__all__ = ["CLAIMS", "EXPERIMENT", "PRESETS", "Config", "draw_losses", "draw_norms", "norms_along"]


@dataclass(frozen=True)
class Config:
    """A narrow ResNet-18, the same grid of learning rates for each method.

    Args:
        methods, lrs, seeds, batch, steps, warmup, betas, last: as in `first_look.Config`.
        images: "fashion_mnist" or "cifar10".
        pool: side of the squares of pixels that are averaged into one.
        width: channels of the first stage.
        norm: "group", or "batch" as in the original; its Hessian is that of one batch.
        measured, measure_every, probes, points: as in `rotated_gpt.Config`.
        precision, compile: as in `linfcourse.training.train`.
    """

    methods: tuple[str, ...] = first_look.ORDER
    lrs: tuple[float, ...] = (0.0006, 0.0025, 0.01, 0.04, 0.16)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    images: str = "fashion_mnist"
    pool: int = 2
    width: int = 4
    norm: str = "group"
    batch: int = 32
    steps: int = 200
    warmup: int = 20
    betas: tuple[float, float] = (0.9, 0.99)
    last: int = 50
    measured: tuple[tuple[str, float], ...] = (("adam", 0.0025),)
    measure_every: int = 100
    probes: int = 10
    points: int = 40
    precision: str = "fp32"
    compile: str = "off"


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        seeds=(0, 1, 2), pool=1, width=16, batch=128, steps=1000, warmup=100, last=100,
        measure_every=250, precision="auto", compile="auto",
    ),
    # The paper trains a ResNet-18 on CIFAR-10; its schedule could not be checked: this one is ours,
    # about fifty epochs.
    "paper": Config(
        lrs=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3), seeds=(0, 1, 2), images="cifar10",
        pool=1, width=64, batch=128, steps=20_000, warmup=1000, last=400,
        measured=(("adam", 0.001),), measure_every=5000, points=400,
        precision="auto", compile="auto",
    ),
}  # fmt: skip

trials = first_look.trials
_IMAGES: dict[str, Callable[[], Images]] = {"fashion_mnist": fashion_mnist, "cifar10": cifar10}


def make_model(config: Config, seed: int, device: torch.device | str = "cpu") -> ResNet18:
    """The network with the initial weights of that seed, the same for every method."""
    torch.manual_seed(seed)
    channels = 3 if config.images == "cifar10" else 1
    return resnet18(config.width, norm=config.norm, in_channels=channels).to(device)


def make_loss(config: Config) -> Callable[[ResNet18, tuple[Tensor, Tensor]], Tensor]:
    """The mean cross-entropy of a batch of images, pooled first."""

    def loss(model: ResNet18, batch: tuple[Tensor, Tensor]) -> Tensor:
        images, labels = batch
        return model.loss(F.avg_pool2d(images, config.pool), labels)

    return loss


def run_trial(config: Config, device: torch.device, seed: int, method: str, lr: float) -> dict:
    """Train once: the loss, and the Hessian's norms along the run where they are asked for."""
    model, loss = make_model(config, seed, device), make_loss(config)
    images = _IMAGES[config.images]()
    rotated = {"seed": seed} if method.startswith("rotated") else {}
    unit = 1 - config.betas[0] if method == "sgd" else 1.0  # see first_look.Config.lrs
    optimizer = make_optimizer(method, model.parameters(), lr / unit, config.betas, **rotated)
    unseen = images.sampler(config.batch, seed + 1000, device=device)(0)

    def evaluate(model: ResNet18) -> dict[str, float]:
        return measure_norms(
            lambda batch: loss(model, batch),
            unseen,
            model.parameters(),
            {"plain": Identity(), "rotated": Hadamard(seed)},
            probes=config.probes,
            seed=seed,
            lanczos=10,
        )

    measured = (method, lr) in {tuple(pair) for pair in config.measured}
    history = train(
        model,
        loss,
        images.sampler(config.batch, seed, device=device),
        optimizer,
        steps=config.steps,
        schedule=warmup_cosine(config.warmup),
        clip=1.0,
        evaluate=evaluate if measured else None,
        eval_every=config.measure_every if measured else None,
        seed=seed,
        precision=config.precision,
        compile=config.compile,
    )
    return {
        "final_loss": history.final_loss(config.last),
        "loss": [] if history.diverged else in_means(history.loss, config.points),
        "norms": [{"step": step, **norms} for step, norms in history.evaluations],
        **history.engine(),
    }


_CHAPTER, _PAPER = "07_rotating_a_network", "arXiv:2410.08198"


CLAIMS = (
    Claim(
        "rotated_resnet.rotation_hurts_adam",
        "On a ResNet, too, Adam ends at a lower training loss than Adam in a rotated space.",
        _PAPER,
        _CHAPTER,
        judge_pair("adam", "rotated_adam"),
    ),
    Claim(
        "rotated_resnet.adam_before_adasgd",
        "On a ResNet, too, Adam ends lower than AdaSGD.",
        "this course",
        _CHAPTER,
        judge_pair("adam", "adasgd"),
    ),
    Claim(
        "rotated_resnet.norm_grows",
        "On a ResNet, too, the (1,1)-norm along Adam's run is larger in rotated coordinates.",
        _PAPER,
        _CHAPTER,
        judge_ratio("adam", "plain", "rotated", ("the plain (1,1)-norm", "the rotated one")),
    ),
)

EXPERIMENT = Experiment(
    name="rotated_resnet",
    title="A narrow ResNet-18 on images under Adam, rotated Adam, AdaSGD and SGD",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("fashion_mnist_10k.npz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
