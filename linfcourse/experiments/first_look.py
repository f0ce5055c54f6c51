"""Chapter 1: a small GPT on real text under SGD, AdaSGD, Adam, and Adam in a rotated space."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure

from linfcourse.data import shakespeare
from linfcourse.experiments.experiment import Experiment, at_best_lr, best_lr
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.methods import METHODS, make_optimizer
from linfcourse.figures import label_lines, plot_band, smooth, style_of
from linfcourse.models import GPT, GPTConfig
from linfcourse.records import Record, Trial
from linfcourse.training import train, warmup_cosine

ORDER = ("adam", "rotated_adam", "adasgd", "sgd")


@dataclass(frozen=True)
class Config:
    """A small GPT on characters of Shakespeare, the same grid of learning rates for each method.

    Args:
        methods: names in `METHODS`.
        lrs: the grid, shared by all methods. SGD's is in its usual unit, for a momentum that sums
            gradients; where it averages them, as all do here, that is lr / (1 − β₁).
        seeds: each seeds the initial weights, the batches and the rotation.
        n_layer, n_head, width, context: the GPT.
        batch: sequences a step.
        steps, warmup: length of the run and of the linear warm-up; then a cosine to a tenth.
        betas: (β₁, β₂) of every method that has them.
        last: the final loss is the mean training loss of this many last steps.
        precision, compile: as in `linfcourse.training.train`.
    """

    methods: tuple[str, ...] = ORDER
    lrs: tuple[float, ...] = (0.003, 0.012, 0.05, 0.2, 0.8)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    n_layer: int = 1
    n_head: int = 4
    width: int = 64
    context: int = 32
    batch: int = 32
    steps: int = 300
    warmup: int = 40
    betas: tuple[float, float] = (0.9, 0.99)
    last: int = 50
    precision: str = "fp32"
    compile: str = "off"


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        lrs=(0.001, 0.004, 0.016, 0.063, 0.25, 1.0), seeds=(0, 1, 2),
        n_layer=4, n_head=4, width=128, context=128, batch=64, steps=500, warmup=50, last=50,
        precision="auto", compile="auto",
    ),
    "paper": Config(
        lrs=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        seeds=(0, 1, 2),
        n_layer=12, n_head=12, width=768, context=256, batch=64,
        steps=5000, warmup=500, betas=(0.9, 0.95), last=200, precision="auto", compile="auto",
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, method and learning rate."""
    return [
        {"seed": seed, "method": method, "lr": lr}
        for seed in config.seeds
        for method in config.methods
        for lr in config.lrs
    ]


def make_model(
    config: Config, seed: int, device: torch.device | str = "cpu", **options: object
) -> GPT:
    """The GPT with the initial weights of that seed, the same for every method.

    Args:
        config: this one or another with the sizes n_layer, n_head, width and context.
        seed: of the weights.
        device: where the model is put.
        options: further ones of `GPTConfig`.
    """
    torch.manual_seed(seed)
    size = GPTConfig(
        vocab_size=shakespeare().vocab_size,
        context=config.context,
        n_layer=config.n_layer,
        n_head=config.n_head,
        width=config.width,
        tie_weights=False,
        **options,
    )
    return GPT(size).to(device)


def run_trial(config: Config, device: torch.device, seed: int, method: str, lr: float) -> dict:
    """Train once; the training loss of every step and the mean of the last ones."""
    model = make_model(config, seed, device)
    batches = shakespeare().sampler(config.batch, config.context, seed, device=device)
    if method == "sgd":
        lr /= 1 - config.betas[0]
    rotation = {"seed": seed} if method.startswith("rotated") else {}
    optimizer = make_optimizer(method, model.parameters(), lr, config.betas, **rotation)
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        batches,
        optimizer,
        steps=config.steps,
        schedule=warmup_cosine(config.warmup),
        clip=1.0,
        seed=seed,
        precision=config.precision,
        compile=config.compile,
    )
    final = math.inf if history.diverged else history.final_loss(config.last)
    return {"final_loss": final, "loss": history.loss, **history.engine()}


def ranking(record: Record) -> list[tuple[str, float, float]]:
    """Methods from best to worst: (name, its best learning rate, mean final loss there)."""
    rows = []
    for method in record.values("method"):
        best = at_best_lr(record, method=method)
        mean = math.fsum(trial.result["final_loss"] for trial in best) / len(best)
        rows.append((method, best_lr(record, method=method), mean))
    return sorted(rows, key=lambda row: row[2])


def draw_losses(record: Record) -> Figure:
    """Training loss of each method at its best learning rate; a band spans the seeds."""
    figure, ax = plt.subplots()
    for method, _, _ in ranking(record):
        curves = [trial.result["loss"] for trial in at_best_lr(record, method=method)]
        steps = range(1, len(curves[0]) + 1)
        curves = [smooth(curve, 15) for curve in curves]
        plot_band(ax, steps, curves, label=METHODS[method].label, **style_of(method))
    ax.set(xlabel="step", ylabel="training loss (nats a character)", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    label_lines(ax)
    return figure


def draw_grid(record: Record) -> Figure:
    """Final loss of each method against the learning rate: nobody lost by an unlucky lr.

    A line ends where a run at the next learning rate ended above the loss that it began with.
    """
    figure, ax = plt.subplots()
    for method, _, _ in ranking(record):
        lrs = sorted({trial.setting["lr"] for trial in record.select(method=method)})
        columns = [
            [_final_if_learnt(trial) for trial in record.select(method=method, lr=lr)] for lr in lrs
        ]
        curves = list(zip(*columns, strict=True))
        plot_band(ax, lrs, curves, label=METHODS[method].label, **style_of(method))
    ax.set(xlabel="learning rate", ylabel="final training loss", xscale="log")
    label_lines(ax)
    return figure


def _final_if_learnt(trial: Trial) -> float:
    final = trial.result["final_loss"]
    return final if final <= trial.result["loss"][0] else math.nan


def _finals(record: Record, method: str) -> list[float]:
    return [trial.result["final_loss"] for trial in at_best_lr(record, method=method)]


def _judge_pair(lower: str, higher: str):
    def judge(record: Record) -> Verdict:
        names = (METHODS[lower].label, METHODS[higher].label)
        return compare(_finals(record, lower), _finals(record, higher), names, "final loss")

    return judge


def _judge_order(record: Record) -> Verdict:
    pairs = [(a, b) for a, b in combinations(ORDER, 2) if (a, b) != ("rotated_adam", "adasgd")]
    return all_of({f"{a} < {b}": _judge_pair(a, b)(record) for a, b in pairs})


def _judge_lead(record: Record) -> Verdict:
    """How much of Adam's lead over AdaSGD does the rotation take away? Asked for: over a half."""
    lead = _judge_pair("adam", "adasgd")(record)
    if lead.status != "holds":  # a share of no lead, or of a negative one, means nothing
        return Verdict(lead.status, f"no lead that could be lost: {lead.reason}", lead.figures)
    adam, rotated, adasgd = (_finals(record, m) for m in ("adam", "rotated_adam", "adasgd"))
    lost = [
        (r - a) / (s - a) if s != a else math.inf
        for a, r, s in zip(adam, rotated, adasgd, strict=True)
    ]
    mean, low, high = interval(lost)
    reason = f"share of the lead that is lost: {mean:.2f} [{low:.2f}, {high:.2f}]"
    status = "holds" if low > 0.5 else "fails" if high < 0.5 else "inconclusive"
    return Verdict(status, reason, {"lost": lost})


_CHAPTER, _PAPER = "01_why_does_adam_beat_sgd", "arXiv:2410.08198, abstract"
CLAIMS = (
    Claim(
        "first_look.rotation_hurts_adam",
        "Adam ends at a lower training loss than Adam in a randomly rotated space.",
        _PAPER,
        _CHAPTER,
        _judge_pair("adam", "rotated_adam"),
    ),
    Claim(
        "first_look.order",
        "Adam ends lowest, SGD highest; rotated Adam and AdaSGD lie between.",
        f"{_PAPER}, for Adam; the place of SGD is ours",
        _CHAPTER,
        _judge_order,
    ),
    Claim(
        "first_look.lead",
        "The rotation takes away more than half of Adam's lead over AdaSGD.",
        "this course",
        _CHAPTER,
        _judge_lead,
    ),
    Claim(
        "first_look.rotated_adam_before_adasgd",
        "Rotated Adam still ends lower than AdaSGD.",
        "this course",
        _CHAPTER,
        _judge_pair("rotated_adam", "adasgd"),
    ),
)

EXPERIMENT = Experiment(
    name="first_look",
    title="A small GPT on Shakespeare under Adam, rotated Adam, AdaSGD and SGD",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
