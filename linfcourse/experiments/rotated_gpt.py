"""Chapter 7: a GPT under Adam, rotated Adam, AdaSGD, SGD; the Hessian's norms along the runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from glob import glob
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from linfcourse.data import CharText, TokenText, openwebtext, shakespeare
from linfcourse.distributed import is_writer
from linfcourse.experiments import first_look
from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.hessian_norms import gpt_loss, measure_norms
from linfcourse.experiments.judging import Claim, Verdict, compare, interval
from linfcourse.experiments.methods import METHODS, make_optimizer
from linfcourse.figures import label_lines, plot_band, style_of
from linfcourse.models import GPT, GPTConfig
from linfcourse.records import Record
from linfcourse.rotations import Hadamard, Identity, PermutedKronecker, Rotation
from linfcourse.training import train, warmup_cosine


@dataclass(frozen=True)
class Config(first_look.Config):
    """Chapter 1's GPT, and what is measured on the way.

    Args:
        text: "shakespeare" (characters) or "openwebtext" (GPT-2's tokens; without a network the
            embedded text takes its place, with a warning), or text files, as in "pages/*.txt".
        rotation: "hadamard", or "kronecker" for the paper's.
        two_vectors: rotate the projections back into the residual stream as one vector and
            everything else as another, as the paper's code does; otherwise all as one.
        accumulate: as in `linfcourse.training.train`; `batch` counts one part.
        measured: (method, lr) of the runs along which Hessian norms are measured.
        measure_every: in steps; also at the start and the end.
        probes: Hessian-vector products for each (1,1)-norm.
        points: a loss curve is kept as this many means.
        checkpoints: folder for the state of unfinished trials; None keeps none.
    """

    methods: tuple[str, ...] = ("adam", "rotated_adam")  # chapter 1's record has the others
    lrs: tuple[float, ...] = (0.008, 0.022, 0.06)
    seeds: tuple[int, ...] = (0, 1, 2)
    n_head: int = 2
    width: int = 32
    batch: int = 32
    steps: int = 300
    warmup: int = 40
    last: int = 50
    text: str = "shakespeare"
    rotation: str = "hadamard"
    two_vectors: bool = False
    accumulate: int = 1
    measured: tuple[tuple[str, float], ...] = (("adam", 0.022),)
    measure_every: int = 150
    probes: int = 16
    points: int = 60
    checkpoints: str | None = None


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        methods=first_look.ORDER, lrs=(0.001, 0.004, 0.016, 0.063, 0.25, 1.0),
        n_layer=4, n_head=4, width=128, context=128, batch=64, steps=500, warmup=50, last=50,
        measured=(("adam", 0.004), ("sgd", 0.25)), seeds=(0, 1, 2),
        measure_every=250, precision="auto", compile="auto",
    ),
    # The paper's setting as its code has it; that runs Adam at one lr, 1.8e-3, and here each
    # method has the same grid around it. 12 sequences × 40 = 480 an update.
    "paper": Config(
        methods=first_look.ORDER, lrs=(0.0006, 0.0018, 0.006, 0.018, 0.06, 0.18, 0.6), seeds=(0,),
        n_layer=12, n_head=12, width=768, context=1024, batch=12, accumulate=40,
        steps=100_000, warmup=2000, betas=(0.9, 0.95), last=1000,
        text="openwebtext", rotation="kronecker", two_vectors=True,
        precision="auto", compile="auto",
        measured=(("adam", 0.0018), ("sgd", 0.18)),
        measure_every=25_000, probes=50, points=500, checkpoints="runs/checkpoints",
    ),
}  # fmt: skip

ROTATIONS = {"hadamard": Hadamard, "kronecker": PermutedKronecker}
trials = first_look.trials


def make_text(config: Config) -> CharText | TokenText:
    """What the model reads."""
    if config.text == "shakespeare":
        return shakespeare()
    if config.text == "openwebtext":
        return openwebtext()
    files = sorted(glob(config.text, recursive=True))
    if not files:
        raise FileNotFoundError(
            f"text must be shakespeare, openwebtext or the name of text files; {config.text!r} "
            "names none"
        )
    return openwebtext(files=files)


def make_model(config: Config, seed: int, device: torch.device | str = "cpu") -> GPT:
    """Chapter 1's GPT on characters; on tokens GPT-2's, with tied embeddings."""
    if config.text == "shakespeare":
        return first_look.make_model(config, seed, device)
    torch.manual_seed(seed)
    vocab_size = 64 * math.ceil(make_text(config).vocab_size / 64)  # GPT-2's 50,257 → 50,304
    size = GPTConfig(vocab_size, config.context, config.n_layer, config.n_head, config.width)
    return GPT(size).to(device)


def parameter_groups(config: Config, model: GPT) -> list[dict]:
    """The vectors that a global rotation mixes, one a group."""
    named = list(model.named_parameters())
    if not config.two_vectors:
        return [{"params": [p for _, p in named]}]
    back = [p for name, p in named if name.endswith("proj.weight")]
    rest = [p for name, p in named if not name.endswith("proj.weight")]
    return [{"params": back}, {"params": rest}]


def make_rotation(config: Config, seed: int) -> Rotation:
    """The rotation of that seed; the Hessian is measured under it as one of all parameters."""
    return ROTATIONS[config.rotation](seed=seed)


# Entries of the logits whose second derivative is in memory at a time: many times these 256 MB.
LOGITS = 2**26


def run_trial(config: Config, device: torch.device, seed: int, method: str, lr: float) -> dict:
    """Train once: the loss, and the Hessian's norms along the run where they are asked for."""
    model = make_model(config, seed, device)
    text = make_text(config)
    batches = text.sampler(config.batch, config.context, seed, device=device)
    rotation = make_rotation(config, seed)
    options = {"rotation": rotation} if method.startswith("rotated") else {}
    unit = 1 - config.betas[0] if method == "sgd" else 1.0  # see first_look.Config.lrs
    optimizer = make_optimizer(
        method, parameter_groups(config, model), lr / unit, config.betas, **options
    )
    unseen = text.sampler(config.batch, config.context, seed + 1000, device=device)(0)

    def evaluate(model: GPT) -> dict[str, float]:
        params = [p for group in parameter_groups(config, model) for p in group["params"]]
        return measure_norms(
            lambda batch: gpt_loss(model, batch),
            unseen,
            params,
            {"plain": Identity(), "rotated": rotation},
            probes=config.probes,
            seed=seed,
            rows=max(1, LOGITS // (config.context * model.config.vocab_size)),
        )

    measured = (method, lr) in {tuple(pair) for pair in config.measured}
    file = None
    if config.checkpoints is not None:
        file = Path(config.checkpoints) / f"rotated_gpt-{method}-{lr:g}-{seed}.pt"
        file.parent.mkdir(parents=True, exist_ok=True)
    history = train(
        model,
        lambda model, batch: model.loss(*batch),
        batches,
        optimizer,
        steps=config.steps,
        schedule=warmup_cosine(config.warmup),
        clip=1.0,
        evaluate=evaluate if measured else None,
        eval_every=config.measure_every if measured else None,
        seed=seed,
        checkpoint=file,
        accumulate=config.accumulate,
        precision=config.precision,
        compile=config.compile,
    )
    if file is not None and is_writer():
        file.unlink()
    return {
        "final_loss": history.final_loss(config.last),
        "loss": [] if history.diverged else in_means(history.loss, config.points),
        "norms": [{"step": step, **norms} for step, norms in history.evaluations],
        **history.engine(),
        # Another text than the one asked for may have taken its place.
        **({"text": text.source} if isinstance(text, TokenText) else {}),
    }


def in_means(values: list[float], points: int) -> list[float]:
    """At most `points` means over consecutive stretches of one length; a rest is left out.

    >>> in_means([1.0, 3.0, 5.0, 7.0, 9.0], 2)
    [2.0, 6.0]
    """
    length = max(1, len(values) // points)
    starts = range(0, length * min(points, len(values) // length), length)
    return [math.fsum(values[i : i + length]) / length for i in starts]


def finals(record: Record, method: str) -> list[float]:
    """Final loss of every seed at the method's best learning rate."""
    return [trial.result["final_loss"] for trial in at_best_lr(record, method=method)]


def norms_along(record: Record, method: str, what: str) -> tuple[list[int], list[list[float]]]:
    """One measured norm along a method's runs: the steps, and a curve a seed."""
    runs = [t.result["norms"] for t in record.select(method=method) if t.result["norms"]]
    if not runs:
        raise ValueError(f"method {method!r} has no measured run in this record")
    return [point["step"] for point in runs[0]], [[p[what] for p in run] for run in runs]


def draw_losses(record: Record) -> Figure:
    """Training loss of each method at its best learning rate; a band spans the seeds."""
    figure, ax = plt.subplots()
    steps = record.config["steps"]
    for method, _, _ in first_look.ranking(record):
        curves = [trial.result["loss"] for trial in at_best_lr(record, method=method)]
        at = [steps * (k + 1) / len(curves[0]) for k in range(len(curves[0]))]
        plot_band(ax, at, curves, label=METHODS[method].label, **style_of(method))
    ax.set(xlabel="step", ylabel="training loss", yscale="log")
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter("{x:g}")
    label_lines(ax)
    return figure


def draw_norms(record: Record, methods: tuple[str, ...] = ("adam",)) -> Figure:
    """‖H‖₁,₁/d in plain and rotated coordinates and ‖H‖₂ along runs, a panel a method."""
    figure, axes = plt.subplots(1, len(methods), figsize=(6.6, 3.6), sharey=True, squeeze=False)
    lines = (
        ("spectral", "‖H‖₂", "adasgd"),
        ("rotated", "rotated\n‖·‖₁,₁/d", "rotated_adam"),
        ("plain", "plain\n‖·‖₁,₁/d", "adam"),
    )
    for ax, method in zip(axes[0], methods, strict=True):
        for what, label, style in lines:
            steps, curves = norms_along(record, method, what)
            last = ax is axes[0, -1]
            plot_band(ax, steps, curves, label=label if last else "_", **style_of(style))
        ax.set(xlabel="step", yscale="log", title=f"along {METHODS[method].label}'s run")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        ax.yaxis.set_minor_formatter("{x:g}")
    figure.tight_layout()
    label_lines(axes[0, -1], gap=30)
    return figure


def judge_pair(lower: str, higher: str):
    """Does the first method end lower than the second, each at its best learning rate?"""

    def judge(record: Record) -> Verdict:
        names = (METHODS[lower].label, METHODS[higher].label)
        return compare(finals(record, lower), finals(record, higher), names, "final loss")

    return judge


def judge_ratio(method: str, small: str, large: str, names: tuple[str, str]):
    """Is the first norm the smaller one at every moment of every run that was measured?"""

    def judge(record: Record) -> Verdict:
        _, low = norms_along(record, method, small)
        _, high = norms_along(record, method, large)
        # One number a run, its least favourable moment: moments of one run are not independent.
        worst = [
            min(math.log(b / a) for a, b in zip(*pair, strict=True))
            for pair in zip(low, high, strict=True)
        ]
        mean, lower, upper = (math.exp(v) for v in interval(worst))
        reason = (
            f"along {METHODS[method].label}'s run {names[1]} is at least {mean:.2g} "
            f"[{lower:.2g}, {upper:.2g}] times {names[0]}, over {len(worst)} seeds"
        )
        status = "holds" if lower > 1 else "fails" if upper < 1 else "inconclusive"
        return Verdict(status, reason, {"log ratio": worst})

    return judge


_CHAPTER, _PAPER = "07_rotating_a_network", "arXiv:2410.08198"
CLAIMS = (
    Claim(
        "rotated_gpt.rotation_hurts_adam",
        "On the GPT, Adam ends at a lower training loss than Adam in a randomly rotated space.",
        _PAPER,
        _CHAPTER,
        judge_pair("adam", "rotated_adam"),
    ),
    Claim(
        "rotated_gpt.norm_grows",
        "Along Adam's run the GPT's (1,1)-norm is larger in rotated coordinates than in plain.",
        _PAPER,
        _CHAPTER,
        judge_ratio("adam", "plain", "rotated", ("the plain (1,1)-norm", "the rotated one")),
    ),
    Claim(
        "rotated_gpt.adam_number_smaller",
        "Along Adam's run the GPT's ‖H‖₁,₁ is smaller than d‖H‖₂, as Adam's lead asks for.",
        _PAPER,
        _CHAPTER,
        judge_ratio("adam", "plain", "spectral", ("‖H‖₁,₁", "d‖H‖₂")),
    ),
    Claim(
        "rotated_gpt.rotated_number_larger",
        "Turned, the GPT's (1,1)-norm exceeds d‖H‖₂, as rotated Adam's loss of its lead would ask.",
        "this course: the literal reading of the bounds",
        _CHAPTER,
        judge_ratio("adam", "spectral", "rotated", ("d‖H‖₂", "the rotated (1,1)-norm")),
    ),
)

EXPERIMENT = Experiment(
    name="rotated_gpt",
    title="A small GPT with its axes turned and not, and its Hessian's norms along the runs",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("shakespeare.txt.gz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
