"""Chapter 5: which changes of coordinates, loss and gradient does an optimizer not notice?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse import optim, rotations
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Status, Verdict
from linfcourse.figures import STYLES
from linfcourse.records import Record

# ε = 0 where there is one: it is a size with a unit, and the only thing in Adam that has one.
OPTIMIZERS: dict[str, Callable[[Iterable[Tensor], float], torch.optim.Optimizer]] = {
    "SGD": lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9, dampening=0.9),
    "NormalizedSGD": lambda p, lr: optim.NormalizedSGD(p, lr=lr, momentum=0.9),
    "AdaSGD": lambda p, lr: optim.AdaSGD(p, lr=lr, betas=(0.9, 0.99), eps=0.0),
    "SignSGD": lambda p, lr: optim.SignSGD(p, lr=lr),
    "Signum": lambda p, lr: optim.Signum(p, lr=lr, momentum=0.9),
    "Lion": lambda p, lr: optim.Lion(p, lr=lr, betas=(0.9, 0.99)),
    "Adam": lambda p, lr: optim.Adam(p, lr=lr, betas=(0.9, 0.99), eps=0.0),
}
_COORDINATEWISE = {"SignSGD", "Signum", "Lion", "Adam"}
_LENGTHS = {"SGD", "NormalizedSGD", "AdaSGD"}

# What the theorems of the chapter say: who does not notice which transformation.
BLIND = {
    "signed permutation": set(OPTIMIZERS),
    "rotation": _LENGTHS,
    "scaled loss": set(OPTIMIZERS) - {"SGD"},
    "rescaled gradient": _COORDINATEWISE,
    "stretched axes": set(),
}
SAME, OTHER = 1e-6, 1e-3  # gaps below: the same path up to rounding; above: another path


@dataclass(frozen=True)
class Config:
    """A logistic regression, trained plainly and through a transformation, and the two compared.

    Args:
        optimizers: names in `OPTIMIZERS`.
        transformations: names in `BLIND`.
        seeds: each seeds the data, the start and the transformation.
        d: number of parameters, at least 8, in two tensors.
        samples: number of examples of the regression.
        steps: length of the two paths.
        lr: for all optimizers but SGD, in units of the parameters a step.
        sgd_lr: for SGD, whose step is a multiple of the gradient.
    """

    optimizers: tuple[str, ...] = tuple(OPTIMIZERS)
    transformations: tuple[str, ...] = tuple(BLIND)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    d: int = 40
    samples: int = 80
    steps: int = 60
    lr: float = 0.02
    sgd_lr: float = 0.5


PRESETS = {
    "cpu": Config(),
    "gpu": Config(seeds=tuple(range(10)), d=1000, samples=2000, steps=200, lr=0.005),
    # No paper has this table: a larger one.
    "paper": Config(seeds=tuple(range(10)), d=4000, samples=8000, steps=500, lr=0.002),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, transformation and optimizer."""
    return [
        {"seed": seed, "transformation": transformation, "optimizer": optimizer}
        for seed in config.seeds
        for transformation in config.transformations
        for optimizer in config.optimizers
    ]


@dataclass(frozen=True)
class Transformation:
    """What is done to the problem: where the point lies, and which gradient is shown.

    Args:
        position: x ↦ w, the coordinates in which the optimizer works.
        inverse: w ↦ x.
        gradient: ∇L(x) ↦ what the optimizer is given in the place of its gradient.
    """

    position: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    gradient: Callable[[Tensor], Tensor]


def make_transformation(name: str, d: int, seed: int, device: torch.device) -> Transformation:
    """The transformation of that name, drawn from the seed.

    A linear map w = Tx of the coordinates maps gradients by T⁻ᵀ; for an orthogonal T that is T
    itself, for a stretch D it is D⁻¹.

    Raises:
        ValueError: no transformation of that name.
    """
    generator = torch.Generator().manual_seed(seed)
    stretch = torch.exp(torch.randn(d, generator=generator, dtype=torch.float64)).to(device)
    if name in ("signed permutation", "rotation"):
        kind = rotations.SignedPermutation if name == "signed permutation" else rotations.Haar
        R = kind(seed=seed)
        return Transformation(R, R.inverse, R)
    if name == "scaled loss":
        return Transformation(_same, _same, lambda g: 1000.0 * g)
    if name == "rescaled gradient":
        return Transformation(_same, _same, lambda g: stretch * g)
    if name == "stretched axes":
        return Transformation(lambda x: stretch * x, lambda w: w / stretch, lambda g: g / stretch)
    raise ValueError(f"transformation must be one of {sorted(BLIND)}, got {name!r}")


def _same(x: Tensor) -> Tensor:
    return x


def _regression(config: Config, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows aₖ with the labels' signs multiplied in, (samples, d), and the start x₀, (d,)."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    rows = torch.randn(config.samples, config.d, generator=generator, dtype=torch.float64)
    start = torch.randn(config.d, generator=generator, dtype=torch.float64)
    return rows.to(device), start.to(device)


def path(
    config: Config, name: str, rows: Tensor, start: Tensor, transformation: Transformation
) -> Tensor:
    """The points x₀, x₁, … of one run, (steps + 1, d), in the plain coordinates.

    The loss is L(x) = mean of log(1 + exp(−aₖᵀx)); its gradient is shown to the optimizer through
    the transformation, and the optimizer's point is mapped back.
    """
    w = transformation.position(start)
    # Two tensors, one of them a matrix: a rule for "all parameters" must mean all.
    cut = 4 * (config.d // 8)
    params = [w[:cut].reshape(4, -1).clone().requires_grad_(), w[cut:].clone().requires_grad_()]
    optimizer = OPTIMIZERS[name](params, config.sgd_lr if name == "SGD" else config.lr)
    points = [start]
    for _ in range(config.steps):
        g = -(rows.T @ torch.sigmoid(-(rows @ points[-1]))) / len(rows)
        shown = transformation.gradient(g)
        params[0].grad, params[1].grad = shown[:cut].reshape(4, -1), shown[cut:]
        optimizer.step()
        w = torch.cat([p.detach().reshape(-1) for p in params])
        points.append(transformation.inverse(w))
    return torch.stack(points)


def run_trial(
    config: Config, device: torch.device, seed: int, transformation: str, optimizer: str
) -> dict:
    """The largest distance between the two paths, relative to how far the plain one goes.

    NaN if the plain path leaves the numbers: such an optimizer notices nothing and is blind to
    nothing. One that stays where it is takes the same path always.
    """
    nothing = Transformation(_same, _same, _same)
    change = make_transformation(transformation, config.d, seed, device)
    rows, start = _regression(config, seed, device)
    plain = path(config, optimizer, rows, start, nothing)
    if not plain.isfinite().all():
        return {"gap": math.nan}
    gap = (path(config, optimizer, rows, start, change) - plain).abs().max()
    # Without a floor, rounding over no path at all would look like another path.
    gap = gap / (plain - start).abs().max().clamp_min(1e-6)
    return {"gap": gap.item() if gap.isfinite() else math.inf}


def gaps(record: Record, optimizer: str, transformation: str) -> list[float]:
    """The gap of every seed."""
    chosen = record.select(optimizer=optimizer, transformation=transformation)
    return [trial.result["gap"] for trial in chosen]


def notices(record: Record, optimizer: str, transformation: str) -> bool | None:
    """Does the optimizer take another path? None if the seeds do not say it clearly."""
    found = gaps(record, optimizer, transformation)
    if all(gap < SAME for gap in found):
        return False
    return True if all(gap > OTHER for gap in found) else None


def draw_table(record: Record) -> Figure:
    """Optimizer × transformation: the largest gap over the seeds, as a power of ten."""
    columns, rows = record.values("transformation"), record.values("optimizer")
    figure, ax = plt.subplots(figsize=(6.4, 0.44 * len(rows) + 0.9))
    blind, sees = STYLES["adam"].color, STYLES["rotated_adam"].color
    for y, optimizer in enumerate(rows):
        for x, transformation in enumerate(columns):
            worst = max(gaps(record, optimizer, transformation))
            other = notices(record, optimizer, transformation)
            color = "#444444" if other is None else sees if other else blind
            marker = {True: "o", False: "s", None: "D"}[other]
            ax.plot(x - 0.27, y, marker, color=color, mfc="none" if other else color, ms=9)
            text = "exact" if worst == 0 else _power(worst) if math.isfinite(worst) else "diverges"
            ax.text(x - 0.12, y, text, color=color, va="center", fontsize=11)
    ax.set(xlim=(-0.5, len(columns) - 0.35), ylim=(len(rows) - 0.5, -0.5))
    ax.set_xticks(range(len(columns)), [name.replace(" ", "\n") for name in columns])
    ax.set_yticks(range(len(rows)), rows)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    return figure


def _power(value: float) -> str:
    if 0.01 <= value < 100:
        return f"{float(f'{value:.1g}'):g}"
    return f"$10^{{{round(math.log10(value))}}}$"


def _judge(transformation: str) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        figures, wrong, unclear = {}, [], []
        for optimizer in record.values("optimizer"):
            figures[optimizer] = gaps(record, optimizer, transformation)
            seen = notices(record, optimizer, transformation)
            if seen is None:
                unclear.append(optimizer)
            elif seen == (optimizer in BLIND[transformation]):
                wrong.append(f"{optimizer} takes {'another' if seen else 'the same'} path")
        status: Status = "fails" if wrong else "inconclusive" if unclear else "holds"
        blind = [name for name in figures if name in BLIND[transformation]]
        seeing = [name for name in figures if name not in BLIND[transformation]]
        parts = []
        if blind:
            parts.append(f"largest gap of the blind {_largest(figures, blind, max)}")
        if seeing:
            parts.append(f"smallest gap of the others {_largest(figures, seeing, min)}")
        parts += wrong + [f"{name} is in between" for name in unclear]
        return Verdict(status, "; ".join(parts), figures)

    return judge


def _largest(figures: dict[str, list[float]], names: list[str], extreme: Callable) -> str:
    return f"{extreme(extreme(figures[name]) for name in names):.0e}"


_STATEMENTS = {
    "signed permutation": (
        "Renaming the axes and flipping their signs changes no optimizer's path.",
        "this course",
    ),
    "rotation": (
        "SGD, NormalizedSGD and AdaSGD take the same path in rotated coordinates; "
        "Adam, SignSGD, Signum and Lion do not.",
        "arXiv:2410.08198, abstract, for SGD and Adam; the others this course",
    ),
    "scaled loss": (
        "Multiplying the loss by a constant changes the path of SGD only (ε = 0).",
        "this course",
    ),
    "rescaled gradient": (
        "Multiplying each coordinate of the gradient by a constant of its own changes nothing for "
        "Adam, SignSGD, Signum and Lion (ε = 0).",
        "arXiv:1412.6980, abstract, for Adam; the others this course",
    ),
    "stretched axes": (
        "No optimizer of the table takes the same path when the axes are stretched.",
        "this course",
    ),
}

CLAIMS = tuple(
    Claim(
        f"invariances.{transformation.replace(' ', '_')}",
        statement,
        source,
        "05_from_sign_descent_to_adam",
        _judge(transformation),
    )
    for transformation, (statement, source) in _STATEMENTS.items()
)

EXPERIMENT = Experiment(
    name="invariances",
    title="Optimizers × transformations: which paths stay the same, to rounding",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
