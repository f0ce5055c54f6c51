"""Chapter 17: Lion, Signum and Muon with weight decay, each held against the minimiser on its ball.

The loss is a convex quadratic of a matrix whose free minimiser lies outside both balls, the box of
ℓ∞ and the ball of the spectral norm. The constrained minima are found by another algorithm,
projected gradient descent, and certified by the Frank–Wolfe gap.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare
from linfcourse.figures import label_lines, plot_band
from linfcourse.frank_wolfe import frank_wolfe_gap
from linfcourse.norms import LInf, Norm, Spectral
from linfcourse.optim import Lion, Signum, SteepestDescent
from linfcourse.records import Record
from linfcourse.rotations import Haar

NORMS: dict[str, Norm] = {"box": LInf(), "spectral": Spectral()}
METHODS = {  # name: (its ball, its label)
    "lion": ("box", "Lion"),
    "signum": ("box", "Signum"),
    "muon": ("spectral", "Muon, exact"),
    "muon_ns": ("spectral", "Muon, Newton–Schulz"),
}
SOLVED = 1e-2  # the part of the first distance that may be left for "goes to the minimiser"


@dataclass(frozen=True)
class Config:
    """f(X) = ½⟨X − X*, A(X − X*)B⟩ for matrices X; full gradients; lr falling linearly to zero.

    Args:
        seeds: each seeds A, B, X* and the start.
        shape: of X.
        flattest: A and B have eigenvalues from 1 down to this, evenly spaced in their logarithm.
        box, spectral: radius 1/λ of each ball. Entries of X* and of the start are standard normal,
            so about a third of them lie outside the box, and some singular values outside the
            other ball.
        steps: length of a run.
        betas: of Lion. The other methods average gradients with `momentum`.
        lrs: the grid, shared by all methods.
        points: how many values of a curve are kept.
    """

    seeds: tuple[int, ...] = tuple(range(10))
    shape: tuple[int, int] = (12, 8)
    flattest: float = 0.1
    box: float = 1.0
    spectral: float = 3.0
    steps: int = 1000
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.9
    lrs: tuple[float, ...] = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    points: int = 41


PRESETS = {
    "cpu": Config(),
    "gpu": Config(shape=(64, 32), box=1.0, spectral=8.0, steps=1500),
    # None of the papers has this experiment: `paper` is a larger one of ours.
    "paper": Config(shape=(256, 128), box=1.0, spectral=16.0, steps=10_000),
}


@dataclass(frozen=True)
class Problem:
    """The loss, its gradient, and where a run starts."""

    A: Tensor
    B: Tensor
    target: Tensor
    start: Tensor

    def gradient(self, X: Tensor) -> Tensor:
        """∇f(X) = A (X − X*) B."""
        return self.A @ (X - self.target) @ self.B

    def loss(self, X: Tensor) -> float:
        return 0.5 * ((X - self.target) * self.gradient(X)).sum().item()


def make_problem(config: Config, seed: int, device: torch.device | str = "cpu") -> Problem:
    """Random eigenvectors, fixed eigenvalues, X* and the start of standard normal numbers."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(config.shape, generator=generator, dtype=torch.float64)

    factors = []
    for side, size in enumerate(config.shape):
        Q = Haar(seed=2 * seed + side).matrix(size)
        factors.append((Q * torch.logspace(0, math.log10(config.flattest), size).double()) @ Q.T)
    tensors = (*factors, normal(), normal())
    return Problem(*(tensor.to(device) for tensor in tensors))


def project(X: Tensor, ball: str, radius: float) -> Tensor:
    """The nearest point of the ball in the Frobenius norm: entries, or singular values, clipped."""
    if ball == "box":
        return X.clamp(-radius, radius)
    U, sigma, Vh = torch.linalg.svd(X, full_matrices=False)
    return (U * sigma.clamp(max=radius)) @ Vh


def constrained_minimum(problem: Problem, ball: str, radius: float) -> tuple[Tensor, float]:
    """The minimiser on the ball by accelerated projected gradient descent, and a proof of it.

    Returns:
        X, and its Frank–Wolfe gap: f(X) is at most that much above the minimum.
    """
    X = Y = project(problem.start, ball, radius)
    momentum = 1.0
    for _ in range(20_000):  # the largest curvature is 1, hence the step 1
        new = project(Y - problem.gradient(Y), ball, radius)
        if ((Y - new) * (new - X)).sum() > 0:  # the momentum points uphill: start it again
            momentum = 1.0
        after = 0.5 * (1 + math.sqrt(1 + 4 * momentum**2))
        Y, X, momentum = new + (momentum - 1) / after * (new - X), new, after
        gap = frank_wolfe_gap(X, problem.gradient(X), radius, NORMS[ball])
        if gap < 1e-10:
            break
    return X, gap


def trials(config: Config) -> list[dict]:
    """One trial per seed, method and learning rate."""
    return [
        {"seed": seed, "method": method, "lr": lr}
        for seed in config.seeds
        for method in METHODS
        for lr in config.lrs
    ]


def make_method(config: Config, method: str, X: Tensor, lr: float) -> torch.optim.Optimizer:
    """The optimizer of that name with the weight decay 1/radius of its ball."""
    decay = 1 / getattr(config, METHODS[method][0])
    if method == "lion":
        return Lion([X], lr=lr, betas=config.betas, weight_decay=decay)
    if method == "signum":
        return Signum([X], lr=lr, momentum=config.momentum, weight_decay=decay)
    norm = Spectral() if method == "muon" else Spectral("newton_schulz")
    return SteepestDescent([X], lr, norm, momentum=config.momentum, weight_decay=decay)


@functools.lru_cache(maxsize=2)
def _solved(config: Config, seed: int, ball: str) -> tuple[Problem, Tensor, float]:
    problem = make_problem(config, seed)
    return problem, *constrained_minimum(problem, ball, getattr(config, ball))


def run_trial(config: Config, device: torch.device, seed: int, method: str, lr: float) -> dict:
    """Run once, on one ball.

    Returns:
        `distance`, the curve of ‖X − X̂‖_F over its first value, X̂ the constrained minimiser;
        `final_distance`, its last value; `excess`, ‖X‖/radius − 1 at the end; and `certificate`,
        X̂'s Frank–Wolfe gap over the first loss.
    """
    ball = METHODS[method][0]
    problem, best, certificate = _solved(config, seed, ball)
    moved = Problem(*(t.to(device) for t in (problem.A, problem.B, problem.target, problem.start)))
    X, best = moved.start.clone().requires_grad_(), best.to(device)
    optimizer = make_method(config, method, X, lr)
    kept, distances = set(curve_steps(config)), []
    for step in range(config.steps + 1):
        if step in kept:
            distances.append((X.detach() - best).norm().item() / (moved.start - best).norm().item())
        if step < config.steps:
            X.grad = moved.gradient(X.detach())
            optimizer.param_groups[0]["lr"] = lr * (1 - step / config.steps)
            optimizer.step()
    return {
        "final_distance": distances[-1] if math.isfinite(distances[-1]) else math.inf,
        "excess": NORMS[ball](X.detach()).item() / getattr(config, ball) - 1,
        "certificate": certificate / problem.loss(problem.start),
        "distance": [float(f"{distance:.3g}") for distance in distances],
    }


def curve_steps(config: Config) -> list[int]:
    """The steps whose distance is kept, from 0 to the last."""
    return [round(k * config.steps / (config.points - 1)) for k in range(config.points)]


def finals(record: Record, method: str, measure: str = "final_distance") -> list[float]:
    """One result of every seed at the learning rate that ends nearest to the minimiser."""
    return [trial.result[measure] for trial in at_best_lr(record, "final_distance", method=method)]


def draw_distances(record: Record) -> Figure:
    """The distance to the constrained minimiser along the run, one line a method."""
    config = Config(**{**record.config, "shape": tuple(record.config["shape"])})
    looks = {
        "lion": ("#0060a0", "-"), "signum": ("#8a6a00", (0, (3, 1, 1, 1, 1, 1))),
        "muon": ("#00734f", (0, (5, 1.5))), "muon_ns": ("#b04a00", (0, (1.2, 1.2))),
    }  # fmt: skip
    figure, ax = plt.subplots(figsize=(6.0, 3.9))
    for method, (_, label) in METHODS.items():
        curves = finals(record, method, "distance")
        color, dash = looks[method]
        plot_band(ax, curve_steps(config), curves, label=label, color=color, linestyle=dash)
    ax.set(yscale="log", xlabel="step", ylabel="distance to the minimiser / first")
    label_lines(ax)
    return figure


def _judge_solved(*methods: str) -> Callable[[Record], Verdict]:
    """Is the distance below `SOLVED` and the point in the ball, on every seed, for each method?"""

    def judge(record: Record) -> Verdict:
        verdicts = {}
        for method in methods:
            names = ("final_distance", "excess", "certificate")
            distance, excess, certificate = (max(finals(record, method, name)) for name in names)
            text = (
                f"{METHODS[method][1]}: on the worst of {len(finals(record, method))} seeds "
                f"{distance:.1g} of the first distance is left, and the norm exceeds the radius "
                f"by {max(excess, 0.0):.1%}; asked: at most {SOLVED:g} and 1 %"
            )
            solved = distance <= SOLVED and excess <= 0.01 and certificate < 1e-8
            figures = {"distance": distance, "excess": excess, "certificate": certificate}
            verdicts[method] = Verdict("holds" if solved else "fails", text, figures)
        return all_of(verdicts)

    return judge


def _judge_rough(record: Record) -> Verdict:
    exact, rough = ([math.log10(x) for x in finals(record, m)] for m in ("muon", "muon_ns"))
    return compare(exact, rough, ("the exact step", "Newton–Schulz"), "log₁₀ of the final distance")


_CHAPTER = "17_other_rulers"
CLAIMS = (
    Claim(
        "constrained_rulers.lion",
        "Lion with weight decay λ goes to the minimiser of a convex quadratic on ‖x‖∞ ≤ 1/λ, and "
        "so does Signum.",
        "arXiv:2310.05898, for Lion; Signum and the setting are ours",
        _CHAPTER,
        _judge_solved("lion", "signum"),
    ),
    Claim(
        "constrained_rulers.spectral",
        "Muon with the exact oracle and weight decay λ goes to the minimiser on the ball of the "
        "spectral norm with radius 1/λ.",
        "arXiv:2502.07529 and arXiv:2310.05898, in substance",
        _CHAPTER,
        _judge_solved("muon"),
    ),
    Claim(
        "constrained_rulers.newton_schulz",
        "With five Newton–Schulz steps in place of the exact oracle, Muon ends farther from it.",
        "this course",
        _CHAPTER,
        _judge_rough,
    ),
)

EXPERIMENT = Experiment(
    name="constrained_rulers",
    title="Lion, Signum and Muon with weight decay against the minimisers on their balls",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
