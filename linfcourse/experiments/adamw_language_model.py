"""Chapter 14: full-batch Adam and AdamW on a small transformer, and the box ‖x‖∞ ≤ 1/λ."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from linfcourse import optim
from linfcourse.data import CharText, TokenText, openwebtext, shakespeare
from linfcourse.experiments.adamw_language_model_figures import (  # noqa: F401
    draw_box,
    draw_kinds,
    draw_residual,
    draw_walls,
)
from linfcourse.experiments.adamw_language_model_measures import measure_in_box, summarise
from linfcourse.experiments.adamw_language_model_results import CLAIMS
from linfcourse.experiments.experiment import Experiment
from linfcourse.models import GPT, GPTConfig
from linfcourse.training import train, warmup_cosine


def _each(
    decays: Sequence[float], betas: Sequence[tuple[float, float]], schedule: str = "constant"
) -> list[tuple[float, float, float, str]]:
    """Every weight decay with every pair of betas."""
    return [(decay, *pair, schedule) for decay in decays for pair in betas]


@dataclass(frozen=True)
class Config:
    """A two-layer transformer on a fixed text, all of it at every step, without dropout.

    Args:
        seeds: each has its own initial weights and its own slice of the text.
        runs: (λ, β₁, β₂, schedule) of each; λ = 0 is Adam without weight decay.
        lr: of the constant schedule. The other one, "cosine", starts at twice that and falls to
            zero, so that both have the same sum of learning rates.
        steps: updates.
        eps: far below every gradient, as the theorem has ε = 0.
        n_layer, n_head, width, context: the GPT.
        windows: of the text in the full batch, side by side; None for as many as there are.
        batch: windows in memory at a time; divides `windows`.
        files: text files to learn from; without any, the embedded Shakespeare by characters.
        near: a weight is counted as on the boundary where λ|x| is at least this.
        measure_every: in updates.
        moments: updates after which a histogram of the weights is kept.
        checkpoints: folder for the state of unfinished trials; None keeps none.
        compile: as in `linfcourse.training.train`. The precision is float32 everywhere: rounding
            gradients to half precision would be the noise that the full batch is there to avoid.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    runs: tuple[tuple[float, float, float, str], ...] = (
        *_each((0.0, 1.0, 2.0), ((0.9, 0.95), (0.9, 0.999), (0.99, 0.9))),
        *_each((1.0, 2.0), ((0.9, 0.95), (0.9, 0.999)), "cosine"),
        *_each((2.0,), ((0.9, 0.99),)),
    )
    lr: float = 1e-3
    steps: int = 5000
    eps: float = 1e-12
    n_layer: int = 2
    n_head: int = 2
    width: int = 16
    context: int = 16
    windows: int | None = 32
    batch: int = 32
    files: tuple[str, ...] = ()
    near: float = 0.95
    measure_every: int = 100
    moments: tuple[int, ...] = (0, 200, 500, 1000, 2000, 5000)
    checkpoints: str | None = None
    compile: str = "off"


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        runs=(
            *_each((0.0, 1.0, 2.0), ((0.9, 0.999), (0.99, 0.9))),
            *_each((1.0, 2.0), ((0.9, 0.999),), "cosine"),
            *_each((2.0,), ((0.9, 0.95), (0.9, 0.99))),
        ),
        n_head=4, width=48, context=32, windows=128, batch=128, compile="auto",
    ),
    # What we know of the paper's setting: two layers, Penn Treebank, full batch, no dropout,
    # lr 1e-3, 12,800 steps, λ = 1 and 2. Sizes and pairs of betas are ours. Penn Treebank does not
    # come with the package: name your copy in `files`.
    "paper": Config(
        runs=(
            *_each((0.0, 1.0, 2.0), ((0.9, 0.95), (0.9, 0.999), (0.99, 0.999), (0.99, 0.9))),
            *_each((1.0, 2.0), ((0.9, 0.95), (0.9, 0.999)), "cosine"),
            *_each((2.0,), ((0.9, 0.99),)),
        ),
        steps=12_800, n_head=4, width=128, context=64, windows=None, batch=512,
        moments=(0, 200, 500, 1000, 2000, 5000, 12_800), checkpoints="runs/checkpoints",
        compile="auto",
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, weight decay, pair of betas, and schedule."""
    return [
        {"seed": seed, "weight_decay": decay, "beta1": b1, "beta2": b2, "schedule": schedule}
        for seed in config.seeds
        for decay, b1, b2, schedule in config.runs
    ]


def make_text(config: Config) -> CharText | TokenText:
    """What the model reads: the files that the reader names, or the embedded Shakespeare."""
    if config.files:
        return openwebtext(files=config.files)
    if config.windows is None:
        warnings.warn(
            "Penn Treebank does not come with the package: this is the embedded Shakespeare, by "
            "characters. To use your own copy, run(replace(PRESETS['paper'], files=('path',))).",
            stacklevel=2,
        )
    return shakespeare()


def full_batch(
    config: Config, text: CharText | TokenText, seed: int = 0, device: torch.device | str = "cpu"
) -> list[tuple[Tensor, Tensor]]:
    """The whole batch as parts of `batch` windows that follow each other in the text.

    Args:
        config: sizes.
        text: where the windows come from.
        seed: the slice, counted from the start of the text.
        device: where they go.

    Returns:
        Pairs (idx, targets), (batch, context) int64 each; their mean loss is that of the text.

    Raises:
        ValueError: the text is too short, or `batch` does not divide `windows`.
    """
    span = config.batch * config.context
    parts = (len(text.train) - 1) // span
    if config.windows is not None:
        if config.windows % config.batch:
            raise ValueError(
                f"batch must divide windows, got batch={config.batch}, windows={config.windows}"
            )
        parts = config.windows // config.batch
    start = 0 if config.windows is None else seed * parts * span
    if parts < 1 or start + parts * span + 1 > len(text.train):
        raise ValueError(
            f"the text has {len(text.train)} tokens, too few for windows={config.windows}, "
            f"context={config.context} and seed {seed}: take a longer text or fewer windows"
        )
    tokens = torch.as_tensor(text.train[start : start + parts * span + 1]).long().to(device)
    shape = (parts, config.batch, config.context)
    return list(zip(tokens[:-1].view(shape), tokens[1:].view(shape), strict=True))


def make_model(
    config: Config, vocab_size: int, seed: int, device: torch.device | str = "cpu"
) -> GPT:
    """The transformer with the initial weights of that seed."""
    torch.manual_seed(seed)
    size = GPTConfig(
        vocab_size, config.context, config.n_layer, config.n_head, config.width, tie_weights=False
    )
    return GPT(size).to(device)


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    weight_decay: float,
    beta1: float,
    beta2: float,
    schedule: str,
) -> dict:
    """Train once on the whole text; where the weights are in the box on the way and at the end.

    Without weight decay there is no box; the one of λ = 1 is used, and no residual.
    """
    text = make_text(config)
    parts = full_batch(config, text, seed, device)
    model = make_model(config, text.vocab_size, seed, device)
    constant = schedule == "constant"
    optimizer = optim.AdamW(
        model.parameters(),
        lr=config.lr if constant else 2 * config.lr,
        betas=(beta1, beta2),
        eps=config.eps,
        weight_decay=weight_decay,
    )
    box = weight_decay or 1.0
    file = None
    if config.checkpoints is not None:
        name = f"adamw_language_model-{weight_decay:g}-{beta1:g}-{beta2:g}-{schedule}-{seed}.pt"
        file = Path(config.checkpoints) / name
        file.parent.mkdir(parents=True, exist_ok=True)
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        lambda step: parts[step % len(parts)],
        optimizer,
        steps=config.steps,
        schedule=None if constant else warmup_cosine(0, final=0.0),
        evaluate=lambda model: measure_in_box(model, parts, box, config.near),
        eval_every=config.measure_every,
        seed=seed,
        checkpoint=file,
        accumulate=len(parts),
        compile=config.compile,
    )
    if file is not None:
        file.unlink()
    summary = summarise(history.evaluations, config.moments, decayed=weight_decay > 0)
    return {**summary, **history.engine()}


EXPERIMENT = Experiment(
    name="adamw_language_model",
    title="A two-layer transformer in the box of AdamW: full batch, with and without decay",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
    # At a constant rate the weights swing, and two runs that differ in the last digit soon swing
    # out of step. Where the walls are does not depend on that.
    steady=("step", "linf"),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
