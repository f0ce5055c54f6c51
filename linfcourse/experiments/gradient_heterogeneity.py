"""Chapter 15: gradients of unequal size in a transformer, Pre-LN against Post-LN.

Two small GPTs that differ in one thing: LayerNorm before each layer, or after each addition. How
unequal are the gradients of their matrices, and does SGD suffer from it, and sign descent not?
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.data import shakespeare
from linfcourse.experiments import first_look
from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, compare
from linfcourse.experiments.methods import make_optimizer
from linfcourse.figures import INK
from linfcourse.models import GPT
from linfcourse.records import Record
from linfcourse.training import train, warmup_cosine

TITLES = {"pre": "Pre-LN", "post": "Post-LN"}


@dataclass(frozen=True)
class Config:
    """A GPT on characters of Shakespeare.

    Args:
        seeds: each seeds the weights and the batches.
        norms: `"pre"`, `"post"`: where LayerNorm stands.
        methods: keys of `METHODS`.
        lrs: one grid for all. For SGD the learning rate of a momentum that sums gradients, which is
            (1 − β₁) times that of one that averages them, so that the same grid serves both.
        n_layer, n_head, width, context, batch: sizes.
        steps, warmup: a linear warm-up, then half a cosine down to a tenth.
        betas: β₁ is the momentum.
        last: the final loss is the mean over so many last steps.
        precision, compile: as in `linfcourse.training.train`.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    norms: tuple[str, ...] = ("pre", "post")
    methods: tuple[str, ...] = ("sgd", "sign")
    lrs: tuple[float, ...] = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
    n_layer: int = 2
    n_head: int = 2
    width: int = 32
    context: int = 32
    batch: int = 16
    steps: int = 300
    warmup: int = 40
    betas: tuple[float, float] = (0.9, 0.99)
    last: int = 30
    precision: str = "fp32"
    compile: str = "off"


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        n_layer=4, n_head=4, width=128, context=128, batch=32, steps=500, warmup=50, last=50,
        precision="auto", compile="auto",
    ),
    # The paper fine-tunes pretrained models; `paper` here is a larger run of ours from scratch.
    "paper": Config(
        seeds=(0, 1, 2, 3, 4), n_layer=12, n_head=12, width=768, context=256, batch=64,
        steps=5000, warmup=500, last=200, precision="auto", compile="auto",
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, place of the LayerNorm, method and learning rate."""
    return [
        {"seed": seed, "norm": norm, "method": method, "lr": lr}
        for seed in config.seeds
        for norm in config.norms
        for method in config.methods
        for lr in config.lrs
    ]


def make_model(config: Config, norm: str, seed: int, device: torch.device | str = "cpu") -> GPT:
    """The GPT of that seed; the same random weights wherever LayerNorm stands."""
    if norm not in TITLES:
        raise ValueError(f"norm must be 'pre' or 'post', got {norm!r}")
    return first_look.make_model(config, seed, device, norm_first=norm == "pre")


def gradient_sizes(model: GPT, batch: tuple[Tensor, Tensor]) -> dict[str, float]:
    """Root mean square of the gradient of each matrix, Q, K and V taken apart.

    The vectors of the LayerNorms are left out.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.dim() == 2]
    gradients = torch.autograd.grad(model.loss(*batch), [p for _, p in named])
    sizes = {}
    for (name, _), g in zip(named, gradients, strict=True):
        parts = g.chunk(3) if name.endswith("qkv.weight") else [g]
        for letter, part in zip("qkv" if len(parts) == 3 else [""], parts, strict=True):
            sizes[name.removesuffix(".weight") + letter] = part.square().mean().sqrt().item()
    return sizes


def heterogeneity(sizes: dict[str, float]) -> float:
    """Standard deviation over the matrices of log₁₀ of the gradient's size: powers of ten.

    >>> heterogeneity({"a": 1.0, "b": 0.01})
    1.0
    """
    logs = torch.tensor([size if size > 0 else math.nan for size in sizes.values()]).log10()
    return logs.std(unbiased=False).item()


def run_trial(
    config: Config, device: torch.device, seed: int, norm: str, method: str, lr: float
) -> dict:
    """Train once.

    Returns:
        `final_loss`; `sizes`, the gradients' sizes before the first step; and `start` and `end`,
        their heterogeneity before the first and after the last step (NaN where it diverged).
    """
    model, text = make_model(config, norm, seed, device), shakespeare()
    unseen = text.sampler(4 * config.batch, config.context, seed + 1000, device=device)(0)
    sizes = gradient_sizes(model, unseen)
    unit = 1 - config.betas[0] if method == "sgd" else 1.0
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        text.sampler(config.batch, config.context, seed, device=device),
        make_optimizer(method, model.parameters(), lr / unit, config.betas),
        steps=config.steps,
        schedule=warmup_cosine(config.warmup),
        seed=seed,
        precision=config.precision,
        compile=config.compile,
    )
    end = math.nan if history.diverged else heterogeneity(gradient_sizes(model, unseen))
    return {
        "final_loss": history.final_loss(min(config.last, len(history.loss))),
        "sizes": sizes,
        "start": heterogeneity(sizes),
        "end": end,
        **history.engine(),
    }


def starts(record: Record, norm: str) -> list[float]:
    """Heterogeneity before the first step, one value a seed."""
    where = {"norm": norm, "method": record.values("method")[0], "lr": record.values("lr")[0]}
    return [trial.result["start"] for trial in record.select(**where)]


def finals(record: Record, norm: str, method: str) -> list[float]:
    """Final losses at the best learning rate, one a seed."""
    return [t.result["final_loss"] for t in at_best_lr(record, norm=norm, method=method)]


def harm(record: Record, method: str) -> list[float]:
    """By how much Post-LN ends above Pre-LN with that method, one value a seed."""
    pairs = zip(finals(record, "post", method), finals(record, "pre", method), strict=True)
    return [post - pre for post, pre in pairs]


_KINDS = (
    ("token,\nposition", ("token", "position"), "o", "#0060a0"),
    ("Q, K", ("qkvq", "qkvk"), "s", "#b04a00"),
    ("V, output", ("qkvv", "attention.proj"), "^", "#00734f"),
    ("MLP", ("mlp.up", "mlp.proj"), "D", "#a03c78"),
    ("head", ("head",), "X", "#444444"),
)


def draw_sizes(record: Record) -> Figure:
    """The size of each matrix' gradient before the first step, a row of each model for a kind."""
    figure, ax = plt.subplots()
    for side, norm in enumerate(TITLES):
        sizes = record.select(norm=norm)[0].result["sizes"]
        for row, (_, endings, marker, color) in enumerate(_KINDS):
            found = [size for name, size in sizes.items() if name.endswith(endings)]
            fill = color if side else "none"
            ax.plot(found, [row - 0.17 + 0.34 * side] * len(found), marker, color=color, mfc=fill)
        fill = INK if side else "none"
        ax.plot([], [], "o", color=INK, mfc=fill, label=TITLES[norm])
    ax.set(xscale="log", xlabel="root mean square of the gradient")
    ax.set_yticks(range(len(_KINDS)), [kind for kind, *_ in _KINDS])
    ax.minorticks_off()
    ax.invert_yaxis()
    ax.legend(loc="lower left")
    return figure


def _judge_more(record: Record) -> Verdict:
    return compare(
        starts(record, "pre"),
        starts(record, "post"),
        ("Pre-LN", "Post-LN"),
        "spread of the gradients' sizes, powers of ten,",
    )


def _judge_harm(record: Record) -> Verdict:
    return compare(
        finals(record, "pre", "sgd"),
        finals(record, "post", "sgd"),
        ("Pre-LN", "Post-LN"),
        "final loss of SGD, that",
    )


def _judge_less(record: Record) -> Verdict:
    return compare(
        harm(record, "sign"),
        harm(record, "sgd"),
        ("sign descent", "SGD"),
        "what Post-LN adds to the final loss,",
    )


_SOURCE, _CHAPTER = "arXiv:2502.00213", "15_who_gains_most"
CLAIMS = (
    Claim(
        "gradient_heterogeneity.post_ln",
        "In a small GPT with Post-LN the gradients of the matrices are of more unequal size than "
        "with Pre-LN",
        _SOURCE,
        _CHAPTER,
        _judge_more,
    ),
    Claim(
        "gradient_heterogeneity.hurts_sgd",
        "Trained from scratch with SGD, the small GPT with Post-LN ends at a higher loss",
        "arXiv:2502.00213, for fine-tuning",
        _CHAPTER,
        _judge_harm,
    ),
    Claim(
        "gradient_heterogeneity.hurts_sign_less",
        "Post-LN costs sign descent less than SGD",
        "arXiv:2502.00213, for fine-tuning",
        _CHAPTER,
        _judge_less,
    ),
)

EXPERIMENT = Experiment(
    name="gradient_heterogeneity",
    title="A small GPT with Pre-LN and Post-LN: unequal gradients, SGD and sign descent",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
