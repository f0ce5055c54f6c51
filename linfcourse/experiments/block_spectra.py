"""Chapter 15: quadratics whose blocks have like or unlike spectra.

All have the same eigenvalues. They differ in how the eigenvalues are dealt out to the blocks: in
order, so that each block has curvatures of one size and the blocks are unlike; mixed more and
more; or dealt like cards, so that each block gets some of every size. Within each block a Haar
rotation mixes the axes.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.experiments.experiment import Experiment, at_best_lr, mean_over_seeds
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.methods import METHODS, make_optimizer
from linfcourse.figures import label_lines, plot_band, style_of
from linfcourse.records import Record
from linfcourse.rotations import Haar
from linfcourse.schedules import warmup_cosine


@dataclass(frozen=True)
class Config:
    """½ xᵀHx from x₀ ~ N(0, I) with full gradients.

    Args:
        seeds: each seeds how eigenvalues are mixed, the rotations and the start.
        blocks, size: there are that many blocks, of that many coordinates each.
        decades: the eigenvalues are spaced evenly in logarithms from 1 down over so many.
        deals: how they are dealt out, from the most unlike blocks to the most alike; a number is
            the standard deviation of a normal number that is added to an eigenvalue's rank (from 0
            to 1) before sorting, `inf` deals them like cards.
        methods: keys of `METHODS`.
        lrs: one grid for all.
        steps: under half a cosine from the learning rate down to zero.
        betas: β₁ is the momentum of both methods, β₂ is Adam's.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    blocks: int = 8
    size: int = 16
    decades: float = 3.0
    deals: tuple[float, ...] = (0.0, 0.1, 0.3, 1.0, math.inf)
    methods: tuple[str, ...] = ("sgd", "adam")
    lrs: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 20.0, 30.0, 50.0, 100.0)
    steps: int = 200
    betas: tuple[float, float] = (0.9, 0.99)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(blocks=16, size=64, steps=500),
    # The paper's quadratics are smaller ones of the same kind; `paper` is a larger one of ours.
    "paper": Config(blocks=32, size=128, decades=4.0, steps=2000, seeds=tuple(range(10))),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, deal, method and learning rate."""
    return [
        {"seed": seed, "deal": deal, "method": method, "lr": lr}
        for seed in config.seeds
        for deal in config.deals
        for method in config.methods
        for lr in config.lrs
    ]


def deal_out(config: Config, deal: float, seed: int) -> Tensor:
    """The eigenvalues of each block, (blocks, size).

    >>> deal_out(Config(blocks=2, size=2, decades=3.0), 0.0, seed=0)
    tensor([[1.0000, 0.1000],
            [0.0100, 0.0010]], dtype=torch.float64)
    >>> deal_out(Config(blocks=2, size=2, decades=3.0), math.inf, seed=0)
    tensor([[1.0000, 0.0100],
            [0.1000, 0.0010]], dtype=torch.float64)
    """
    d = config.blocks * config.size
    eigenvalues = torch.logspace(0, -config.decades, d, dtype=torch.float64)
    if math.isinf(deal):
        return eigenvalues.view(config.size, config.blocks).T.contiguous()
    generator = torch.Generator().manual_seed(seed)
    rank = torch.arange(d) / d + deal * torch.randn(d, generator=generator)
    return eigenvalues[rank.argsort()].view(config.blocks, config.size)


def unlikeness(spectra: Tensor) -> float:
    """Standard deviation over the blocks of log₁₀ of their mean eigenvalue, tr H_bb / d_b.

    0 for blocks alike. A trace needs no eigenvalues, so this can be had for a network too.

    >>> unlikeness(torch.tensor([[1.0], [0.01]]))
    1.0
    """
    return spectra.mean(1).log10().std(unbiased=False).item()


@functools.lru_cache(maxsize=1)
def make_hessian(config: Config, deal: float, seed: int) -> Tensor:
    """H (d, d) in float64, zero outside the blocks."""
    blocks = []
    for b, spectrum in enumerate(deal_out(config, deal, seed)):
        R = Haar(seed=seed * config.blocks + b)
        blocks.append(R(R(spectrum.diag()).T.contiguous()))
    H = torch.block_diag(*blocks)
    return (H + H.T) / 2


def run_trial(
    config: Config, device: torch.device, seed: int, deal: float, method: str, lr: float
) -> dict:
    """Descend; `final_loss` is the last loss over the first, `unlikeness` that of the blocks."""
    H = make_hessian(config, deal, seed).to(device)
    generator = torch.Generator().manual_seed(1000 + seed)
    x = torch.randn(len(H), generator=generator, dtype=torch.float64).to(device)
    first = (x @ (H @ x)).item()
    x.requires_grad_()
    optimizer = make_optimizer(method, [x], lr, config.betas)
    schedule = warmup_cosine(0, final=0.0)
    for step in range(config.steps):
        x.grad = H @ x.detach()
        for group in optimizer.param_groups:
            group["lr"] = lr * schedule(step, config.steps)
        optimizer.step()
    x = x.detach()
    final = (x @ (H @ x)).item() / first
    return {
        "final_loss": final if math.isfinite(final) else math.inf,
        "unlikeness": unlikeness(deal_out(config, deal, seed)),
    }


def finals(record: Record, deal: float, method: str) -> list[float]:
    """log₁₀ of the final losses at the best learning rate, one a seed."""
    best = at_best_lr(record, deal=deal, method=method)
    return [_log10(trial.result["final_loss"]) for trial in best]


def _log10(loss: float) -> float:
    return math.log10(loss) if loss > 0 else -math.inf


def leads(record: Record, deal: float) -> list[float]:
    """By how many powers of ten Adam ends below SGD, one value a seed."""
    pairs = zip(finals(record, deal, "sgd"), finals(record, deal, "adam"), strict=True)
    return [sgd - adam for sgd, adam in pairs]


def draw_ladder(record: Record) -> Figure:
    """Final losses against the unlikeness of the blocks; a band spans the seeds."""
    figure, ax = plt.subplots()
    deals = record.values("deal")
    places = [mean_over_seeds(record, "unlikeness", deal=deal) for deal in deals]
    markers = {"sgd": "D", "adam": "o"}
    for method in record.values("method"):
        columns = [[10**loss for loss in finals(record, deal, method)] for deal in deals]
        curves = list(zip(*columns, strict=True))
        style = {"marker": markers.get(method), "ms": 5, **style_of(method)}
        plot_band(ax, places[::-1], [c[::-1] for c in curves], label=METHODS[method].label, **style)
    ax.set(yscale="log", ylabel="final loss / first loss")
    ax.set_xlabel("unlikeness of the blocks (powers of ten)")
    label_lines(ax)
    return figure


def _judge_ahead(record: Record) -> Verdict:
    deal = record.config["deals"][0]
    return compare(
        finals(record, deal, "adam"), finals(record, deal, "sgd"), ("Adam", "SGD"), "log₁₀ loss"
    )


def _judge_behind(record: Record) -> Verdict:
    deal = record.config["deals"][-1]
    return compare(
        finals(record, deal, "sgd"), finals(record, deal, "adam"), ("SGD", "Adam"), "log₁₀ loss"
    )


def _judge_predicts(record: Record) -> Verdict:
    deals = record.config["deals"]
    verdicts = {
        f"{a:g} to {b:g}": compare(leads(record, b), leads(record, a), (f"{b:g}", f"{a:g}"), "lead")
        for a, b in itertools.pairwise(deals)
    }
    verdict = all_of(verdicts)
    held = [v.status for v in verdicts.values()].count("holds")
    means = ", ".join(f"{interval(leads(record, deal))[0]:.2f}" for deal in deals)
    text = (
        f"from unlike to like, Adam's lead in powers of ten is {means}: a fall in {held} of "
        f"{len(verdicts)} steps, over {len(record.values('seed'))} seeds"
    )
    return Verdict(verdict.status, text, verdict.figures)


def _judge_blind(record: Record) -> Verdict:
    deals = record.config["deals"]
    first, last = (finals(record, deal, "sgd") for deal in (deals[0], deals[-1]))
    sgd = interval([b - a for a, b in zip(first, last, strict=True)])
    first, last = (finals(record, deal, "adam") for deal in (deals[0], deals[-1]))
    adam = interval([b - a for a, b in zip(first, last, strict=True)])
    limit = 0.25 * adam[0]
    inside, outside = -limit <= sgd[1] and sgd[2] <= limit, sgd[1] > limit or sgd[2] < -limit
    text = (
        f"from unlike to like, log₁₀ loss changes by {sgd[0]:.2f} [{sgd[1]:.2f}, {sgd[2]:.2f}] for "
        f"SGD and {adam[0]:.2f} [{adam[1]:.2f}, {adam[2]:.2f}] for Adam"
    )
    status = "holds" if inside else "fails" if outside else "inconclusive"
    return Verdict(status, text, {"sgd": list(sgd), "adam": list(adam)})


_SOURCE, _CHAPTER = "arXiv:2402.16788, in substance", "15_who_gains_most"
CLAIMS = (
    Claim(
        "block_spectra.unlike",
        "Where the blocks of the Hessian have unlike spectra, Adam ends below SGD",
        _SOURCE,
        _CHAPTER,
        _judge_ahead,
    ),
    Claim(
        "block_spectra.like",
        "Where they have like spectra, and the same eigenvalues in all, SGD ends below Adam",
        _SOURCE,
        _CHAPTER,
        _judge_behind,
    ),
    Claim(
        "block_spectra.predicts",
        "The more unlike the blocks, the larger Adam's lead over SGD, at each step of the ladder",
        _SOURCE,
        _CHAPTER,
        _judge_predicts,
    ),
    Claim(
        "block_spectra.sgd_blind",
        "SGD does not see it: from unlike to like its loss changes by less than a quarter of the "
        "powers of ten by which Adam's does",
        "this course",
        _CHAPTER,
        _judge_blind,
    ),
)

EXPERIMENT = Experiment(
    name="block_spectra",
    title="Quadratics whose blocks have like or unlike spectra: SGD against Adam",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
