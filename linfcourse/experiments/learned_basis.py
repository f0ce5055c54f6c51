"""Chapter 17: Adam in other axes. A random rotation takes its lead, a learned one gives it back.

Two problems of matrices: a quadratic whose Hessian is diagonal in some axes, aligned with the
coordinates or turned away from them, and a small network on images of clothes. On each, Adam runs
in the axes as they are, in random ones, and in the eigenbases of its own gradients, as in SOAP.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse.data import fashion_mnist
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare, interval
from linfcourse.experiments.learned_basis_adam import AdamInBasis
from linfcourse.experiments.learned_basis_results import draw_losses, finals
from linfcourse.records import Record
from linfcourse.rotations import Haar
from linfcourse.schedules import warmup_cosine

__all__ = ["CLAIMS", "EXPERIMENT", "PRESETS", "Config", "draw_losses", "finals", "recorded", "run"]

# Which bases run on which problem. "exact": the eigenbases of the quadratic's two factors.
RUNS = {
    "aligned": ("plain", "random"),
    "turned": ("plain", "random", "learned", "exact"),
    "network": ("plain", "random", "learned"),
}


@dataclass(frozen=True)
class Config:
    """Adam with one schedule, in several bases.

    Args:
        seeds: each seeds the start, the random rotations, and the network's batches.
        size: the quadratic's matrices are (size, size), f(W) = ½⟨W, AWB⟩ from W of standard normal
            numbers, with 1, 1/4, 1/9, … for the eigenvalues of A and of B.
        steps, network_steps: lengths of the runs.
        betas: of Adam, and of the learned basis, whose covariances forget with β₂.
        every: the learned basis is computed anew after so many steps.
        warmup: of the cosine schedule, in steps; it ends at 0.
        lrs: the grid, shared by all bases.
        side, width, batch: the network sees images of side × side pixels, in batches, and has one
            hidden layer of tanh units. No biases, so that its parameters are two matrices.
        last: the network's loss is a mean over so many last steps.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    size: int = 20
    steps: int = 100
    network_steps: int = 300
    betas: tuple[float, float] = (0.9, 0.99)
    every: int = 10
    warmup: int = 10
    lrs: tuple[float, ...] = (0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0, 3.16, 10.0, 31.6)
    side: int = 7
    width: int = 32
    batch: int = 128
    last: int = 50


PRESETS = {
    "cpu": Config(),
    "gpu": Config(
        seeds=tuple(range(6)), size=60, steps=300, network_steps=1000, side=14, width=256,
        batch=512, last=100,
    ),
    # The SOAP paper trains language models of hundreds of millions of weights; this is a larger
    # run of ours.
    "paper": Config(
        size=100, steps=1000, network_steps=3000, side=28, width=1024,
        batch=512, last=200,
    ),
}  # fmt: skip


def trials(config: Config) -> list[dict]:
    """One trial per seed, problem, basis and learning rate."""
    return [
        {"seed": seed, "problem": problem, "basis": basis, "lr": lr}
        for seed in config.seeds
        for problem, bases in RUNS.items()
        for basis in bases
        for lr in config.lrs
    ]


def quadratic(config: Config, seed: int, turned: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The eigenvalues (size,) of A and of B, and their eigenvectors as columns, (size, size)."""
    eigenvalues = torch.arange(1, config.size + 1, dtype=torch.float64) ** -2
    eye = torch.eye(config.size, dtype=torch.float64)
    Q_A, Q_B = (Haar(seed=1000 + 2 * seed + k).matrix(config.size) for k in range(2))
    return (eigenvalues, eigenvalues, *((Q_A, Q_B) if turned else (eye, eye)))


def random_bases(shapes: list[tuple[int, int]], seed: int) -> list[tuple[Tensor, Tensor]]:
    """For each matrix two random orthogonal ones: of its rows' space, and of its columns'."""
    return [
        tuple(Haar(seed=5000 + 100 * seed + 2 * k + side).matrix(n) for side, n in enumerate(shape))
        for k, shape in enumerate(shapes)
    ]


def make_optimizer(
    config: Config, params: list[Tensor], basis: str, lr: float, seed: int, exact=None
) -> AdamInBasis:
    """Adam in the basis of that name; `exact` holds the bases of that name."""
    bases = None
    if basis == "random":
        bases = random_bases([tuple(p.shape) for p in params], seed)
    elif basis == "exact":
        bases = exact
    return AdamInBasis(
        params, lr, config.betas, bases=bases, every=config.every if basis == "learned" else None
    )


def run_trial(
    config: Config, device: torch.device, seed: int, problem: str, basis: str, lr: float
) -> dict:
    """Run once; `final_loss` is over the first for a quadratic, a late mean for the network."""
    schedule = warmup_cosine(config.warmup, final=0.0)
    steps = config.steps
    if problem == "network":
        steps = config.network_steps
        params, loss = _network(config, seed, device)
        optimizer = make_optimizer(config, params, basis, lr, seed)
    else:
        a, b, Q_A, Q_B = (t.to(device) for t in quadratic(config, seed, problem == "turned"))
        A, B = (Q_A * a) @ Q_A.T, (Q_B * b) @ Q_B.T
        generator = torch.Generator().manual_seed(seed)
        # The start turns with the axes, so that both problems are one, seen from two sides.
        start = torch.randn(config.size, config.size, generator=generator, dtype=torch.float64)
        W = (Q_A @ start.to(device) @ Q_B.T).requires_grad_()
        params, loss = [W], lambda step: 0.5 * (W * (A @ W @ B)).sum()
        optimizer = make_optimizer(config, params, basis, lr, seed, exact=[(Q_A, Q_B)])
    losses = []
    for step in range(steps):
        value = loss(step)
        losses.append(value.item())
        if not math.isfinite(losses[-1]):
            return {"final_loss": math.inf}
        optimizer.zero_grad()
        value.backward()
        optimizer.param_groups[0]["lr"] = lr * schedule(step, steps)
        optimizer.step()
    if problem == "network":
        return {"final_loss": math.fsum(losses[-config.last :]) / config.last}
    return {"final_loss": loss(steps).item() / losses[0]}


@functools.cache
def _images(side: int) -> tuple[Tensor, Tensor]:
    """The training images, shrunk by averaging to side × side and flattened, and their labels."""
    images = fashion_mnist()
    small = torch.nn.functional.adaptive_avg_pool2d(images.train_images, side)
    return small.flatten(1), images.train_labels


def _network(config: Config, seed: int, device: torch.device) -> tuple[list[Tensor], Callable]:
    """Two matrices, and the loss of the batch of a step as a function of them."""
    images, labels = (t.to(device) for t in _images(config.side))
    generator = torch.Generator().manual_seed(seed)
    shapes = [(config.width, config.side**2), (10, config.width)]
    params = [
        (torch.randn(shape, generator=generator) / math.sqrt(shape[1])).to(device).requires_grad_()
        for shape in shapes
    ]
    batches = torch.randint(len(images), (config.network_steps, config.batch), generator=generator)

    def loss(step: int) -> Tensor:
        chosen = batches[step].to(device)
        scores = torch.tanh(images[chosen] @ params[0].T) @ params[1].T
        return torch.nn.functional.cross_entropy(scores, labels[chosen])

    return params, loss


def _compare(record: Record, lower: tuple[str, str], higher: tuple[str, str]) -> Verdict:
    """Does the first (problem, basis) end lower? Quadratics in powers of ten."""
    values = [finals(record, *pair) for pair in (lower, higher)]
    what = "final loss"
    if lower[0] != "network":
        what = "log₁₀ of the final loss"
        values = [[math.log10(x) if x > 0 else -math.inf for x in column] for column in values]
    return compare(*values, tuple(f"{basis} axes" for _, basis in (lower, higher)), what)


def _judge(problem: str, lower: str, *higher: str) -> Callable[[Record], Verdict]:
    return lambda record: all_of(
        {name: _compare(record, (problem, lower), (problem, name)) for name in higher}
    )


def shares(record: Record) -> list[float]:
    """The part, in powers of ten, of what turning took from Adam that the learned basis returns."""
    columns = (("aligned", "plain"), ("turned", "plain"), ("turned", "learned"))
    logs = zip(*([math.log(x) for x in finals(record, *pair)] for pair in columns), strict=True)
    return [(turned - learned) / (turned - aligned) for aligned, turned, learned in logs]


def _judge_share(record: Record) -> Verdict:
    mean, low, high = interval(shares(record))
    text = f"{mean:.2f} [{low:.2f}, {high:.2f}] of the powers of ten, asked: more than half"
    status = "holds" if low > 0.5 else "fails" if high < 0.5 else "inconclusive"
    return Verdict(status, text, {"shares": shares(record)})


_CHAPTER, _SOAP = "17_other_rulers", "arXiv:2409.11321, in substance; the setting is ours"


def _claim(name: str, statement: str, judge: Callable, source: str) -> Claim:
    return Claim(f"learned_basis.{name}", statement, source, _CHAPTER, judge)


CLAIMS = (
    _claim(
        "random_hurts",
        "On a quadratic of matrices along the axes, turning rows and columns at random raises "
        "Adam's loss.",
        _judge("aligned", "plain", "random"),
        "arXiv:2410.08198, in substance",
    ),
    _claim(
        "learned_helps",
        "On the same quadratic turned away from the axes, Adam in the eigenbases of its gradients' "
        "two covariances ends below plain Adam and below Adam in random axes.",
        _judge("turned", "learned", "plain", "random"),
        _SOAP,
    ),
    _claim(
        "share_returned",
        "The learned axes give back more than half of the powers of ten that turning took.",
        _judge_share,
        "this course",
    ),
    _claim(
        "network_learned_helps",
        "On a small network, Adam in the learned axes ends below plain Adam.",
        _judge("network", "learned", "plain"),
        _SOAP,
    ),
    _claim(
        "network_random_hurts",
        "On the small network, Adam in random axes ends above plain Adam.",
        _judge("network", "plain", "random"),
        "arXiv:2410.08198, in substance",
    ),
)

EXPERIMENT = Experiment(
    name="learned_basis",
    title="Adam in its own, in random and in learned axes: a quadratic of matrices, a network",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
    data=("fashion_mnist_10k.npz",),
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
