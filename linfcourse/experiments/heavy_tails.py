"""Chapter 15: classes of unequal frequency. Who learns the rare ones?

A linear softmax predicts, from the embedding of a token, the token that follows. Token k occurs
with probability p_k, which falls like 1/k (Zipf) or is the same for all; it is mostly followed by
its own successor, and sometimes by any token. The loss is the exact expectation over this language,
so the gradients are full gradients and nothing is sampled but the language itself.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from torch import Tensor

from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.methods import METHODS, make_optimizer
from linfcourse.figures import label_lines, plot_band, style_of
from linfcourse.records import Record
from linfcourse.schedules import warmup_cosine


@dataclass(frozen=True)
class Config:
    """The language, the model, and the runs.

    Args:
        seeds: each seeds the embeddings.
        octaves: the classes of ranks 2^j … 2^(j+1) − 1 are octave j; so there are 2^octaves − 1.
        width: of the embeddings, standard normal numbers over √width.
        noise: probability that the next token is not the successor but any token, drawn by p.
        frequencies: `"zipf"`, p_k ∝ 1/k, or `"equal"`.
        methods: keys of `METHODS`.
        lrs: one grid for all methods and frequencies.
        steps: of full gradients, under half a cosine from the learning rate down to zero.
        betas: β₁ is the momentum of all methods, β₂ is Adam's.
    """

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    octaves: int = 8
    width: int = 128
    noise: float = 0.1
    frequencies: tuple[str, ...] = ("zipf", "equal")
    methods: tuple[str, ...] = ("sgd", "sign", "adam")
    lrs: tuple[float, ...] = (
        0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5, 3e5,
    )  # fmt: skip
    steps: int = 200
    betas: tuple[float, float] = (0.9, 0.99)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(octaves=11, width=512, steps=500),
    # The paper trains on samples of several models; `paper` here is a larger one of ours.
    "paper": Config(octaves=13, width=1024, steps=1000, seeds=tuple(range(10))),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, frequencies, method and learning rate."""
    return [
        {"seed": seed, "frequencies": frequencies, "method": method, "lr": lr}
        for seed in config.seeds
        for frequencies in config.frequencies
        for method in config.methods
        for lr in config.lrs
    ]


def class_probabilities(frequencies: str, classes: int) -> Tensor:
    """p (classes,), largest first.

    >>> [round(p, 3) for p in class_probabilities("zipf", 3).tolist()]
    [0.545, 0.273, 0.182]
    """
    if frequencies not in ("zipf", "equal"):
        raise ValueError(f"frequencies must be 'zipf' or 'equal', got {frequencies!r}")
    p = 1.0 / torch.arange(1, classes + 1)
    p = p if frequencies == "zipf" else torch.ones(classes)
    return p / p.sum()


@functools.lru_cache(maxsize=1)
def make_language(
    config: Config, frequencies: str, seed: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings (K, width), probabilities p (K,), and next-token distributions (K, K) by row."""
    K = 2**config.octaves - 1
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(K, config.width, generator=generator) / math.sqrt(config.width)
    p = class_probabilities(frequencies, K)
    following = (1 - config.noise) * torch.eye(K) + config.noise * p
    return x.to(device), p.to(device), following.to(device)


def run_trial(
    config: Config, device: torch.device, seed: int, frequencies: str, method: str, lr: float
) -> dict:
    """Train the K × width weights from zero.

    Returns:
        `final_loss`: expected cross-entropy above the language's own entropy, in nats.
        `left`: for each octave of classes, the mean share of the first loss that is left.
        `half`: for each octave, the median step at which a class first has half of its loss left;
        `steps` + 1 where it never had.
    """
    x, p, following = make_language(config, frequencies, seed, device)
    entropy = -(following * following.log()).sum(1)
    W = torch.zeros(len(p), config.width, device=device, requires_grad=True)
    optimizer = make_optimizer(method, [W], lr, config.betas)
    schedule = warmup_cosine(0, final=0.0)
    half, first = torch.full_like(p, config.steps + 1), None
    for step in range(config.steps + 1):
        each = -(following * torch.log_softmax(x @ W.T, dim=1)).sum(1) - entropy  # (K,)
        excess = each.detach()
        first = excess if first is None else first
        half = torch.where((excess <= first / 2) & (half > step), step, half)
        if step < config.steps:
            (W.grad,) = torch.autograd.grad(p @ each, W)
            for group in optimizer.param_groups:
                group["lr"] = lr * schedule(step, config.steps)
            optimizer.step()
    final = (p @ excess).item()
    octaves = [slice(2**j - 1, 2 ** (j + 1) - 1) for j in range(config.octaves)]
    return {
        "final_loss": final if math.isfinite(final) else math.inf,
        "left": [(excess / first)[o].mean().item() for o in octaves],
        "half": [half[o].median().item() for o in octaves],
    }


def power(record: Record, **where) -> list[float]:
    """The power of p_k with which the halving time of class k grows, one value a seed.

    The slope of a line through the octaves in logarithms, at the best learning rate.
    """
    K = 2 ** record.config["octaves"] - 1
    p = class_probabilities("zipf", K).log2()
    octaves = [slice(2**j - 1, 2 ** (j + 1) - 1) for j in range(record.config["octaves"])]
    frequency = [p[o].mean().item() for o in octaves]
    return [
        float(numpy.polyfit(frequency, numpy.log2(trial.result["half"]), 1)[0])
        for trial in at_best_lr(record, frequencies="zipf", **where)
    ]


def draw_halving(record: Record) -> Figure:
    """The step at which a class has half of its loss left, against its frequency."""
    figure, ax = plt.subplots()
    octaves = record.config["octaves"]
    K = 2**octaves - 1
    p = class_probabilities("zipf", K)
    frequency = [p[2**j - 1 : 2 ** (j + 1) - 1].mean().item() for j in range(octaves)]
    for method in record.values("method"):
        best = at_best_lr(record, frequencies="zipf", method=method)
        curves = [trial.result["half"] for trial in best]
        label, marker = METHODS[method].label, {"sgd": "D", "sign": "X", "adam": "o"}.get(method)
        plot_band(ax, frequency, curves, label=label, marker=marker, ms=5, **style_of(method))
    ax.set(xscale="log", yscale="log", ylabel="steps until half is learned")
    ax.set_xlabel("frequency of the class (rare classes to the right)")
    ax.invert_xaxis()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    label_lines(ax)
    return figure


def _finals(record: Record, frequencies: str, method: str) -> list[float]:
    best = at_best_lr(record, frequencies=frequencies, method=method)
    return [trial.result["final_loss"] for trial in best]


def _rare_half(record: Record, method: str) -> list[float]:
    """Share of the loss left on the last octave, which holds the rarer half of the classes."""
    return [t.result["left"][-1] for t in at_best_lr(record, frequencies="zipf", method=method)]


def _judge_ahead(record: Record) -> Verdict:
    return all_of(
        {
            method: compare(
                _finals(record, "zipf", method),
                _finals(record, "zipf", "sgd"),
                (METHODS[method].label, "SGD"),
                "excess loss",
            )
            for method in ("sign", "adam")
        }
    )


def _judge_rare(record: Record) -> Verdict:
    return all_of(
        {
            method: compare(
                _rare_half(record, method),
                _rare_half(record, "sgd"),
                (METHODS[method].label, "SGD"),
                "share left on the rarer half of the classes, that",
            )
            for method in ("sign", "adam")
        }
    )


def _judge_power(method: str, low: float, high: float):
    def judge(record: Record) -> Verdict:
        mean, lower, upper = interval(power(record, method=method))
        inside, outside = low <= lower and upper <= high, upper < low or lower > high
        status = "holds" if inside else "fails" if outside else "inconclusive"
        text = (
            f"{METHODS[method].label}: time to halve the loss ∝ p to the power {mean:.2f} "
            f"[{lower:.2f}, {upper:.2f}], asked for between {low:g} and {high:g}"
        )
        return Verdict(status, text, {"power": [mean, lower, upper]})

    return judge


def _judge_flat(record: Record) -> Verdict:
    return all_of({m: _judge_power(m, -0.3, 0.3)(record) for m in ("sign", "adam")})


def _judge_control(record: Record) -> Verdict:
    gaps = {
        kind: [
            sgd - sign
            for sgd, sign in zip(
                _finals(record, kind, "sgd"), _finals(record, kind, "sign"), strict=True
            )
        ]
        for kind in ("equal", "zipf")
    }
    return compare(
        [4 * gap for gap in gaps["equal"]],
        gaps["zipf"],
        ("four times that with equal frequencies", "Zipf's"),
        "SGD's excess loss over sign descent's,",
    )


_SOURCE, _CHAPTER = "arXiv:2402.19449", "15_who_gains_most"
CLAIMS = (
    Claim(
        "heavy_tails.ahead",
        "With classes of Zipf's frequencies sign descent and Adam end at a lower loss than SGD",
        _SOURCE,
        _CHAPTER,
        _judge_ahead,
    ),
    Claim(
        "heavy_tails.rare_classes",
        "On the rarer half of the classes SGD has more of the loss left than sign descent and Adam",
        _SOURCE,
        _CHAPTER,
        _judge_rare,
    ),
    Claim(
        "heavy_tails.sgd_by_frequency",
        "SGD's time to halve the loss of a class grows like one over its frequency (a power "
        "between −1.3 and −0.7)",
        "arXiv:2402.19449, in substance; the range is ours",
        _CHAPTER,
        _judge_power("sgd", -1.3, -0.7),
    ),
    Claim(
        "heavy_tails.sign_whatever_frequency",
        "For sign descent and Adam it hardly depends on the frequency (a power between −0.3 and "
        "0.3)",
        "arXiv:2402.19449, in substance; the range is ours",
        _CHAPTER,
        _judge_flat,
    ),
    Claim(
        "heavy_tails.control",
        "With equal frequencies SGD's gap to sign descent is less than a quarter as large",
        "arXiv:2402.19449, in substance; the quarter is ours",
        _CHAPTER,
        _judge_control,
    ),
)

EXPERIMENT = Experiment(
    name="heavy_tails",
    title="Linear softmax on classes of Zipf's frequencies: who learns the rare ones?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
