"""Chapter 2: does the sign step or the gradient step win, and does the geometry say which?

On a quadratic ⟨g, s⟩ + ½ sᵀHs both steps are steepest descent with the dual-norm factor,

    s = (‖g‖_* / C) · lmo(g),      ‖g‖₁²/2C∞ with C∞ = ‖H‖₁,₁      for the sign step,
                                   ‖g‖₂²/2C₂ with C₂ = ‖H‖₂        for the gradient step,

and what stands there is the decrease that each is guaranteed. The experiment varies the gradient
(a few large entries, or all) and the Hessian (along the axes, or rotated) and measures who
decreases the loss more: in one step of the guaranteed length, in one step of the best length along
its direction, and over a run of many steps with the best learning rate.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.experiments.experiment import Experiment, at_best_lr
from linfcourse.experiments.judging import Claim, Verdict, compare, tally
from linfcourse.figures import label_lines, plot_band
from linfcourse.models import Quadratic, hard_spectrum
from linfcourse.norms import L2, LInf
from linfcourse.records import Record
from linfcourse.rotations import Haar

NORMS = {"sign": LInf(), "gradient": L2()}
LABELS = {"sign": "sign descent", "gradient": "gradient descent"}


@dataclass(frozen=True)
class Config:
    """Quadratics with one spectrum, in two positions, met with gradients from sparse to dense.

    Args:
        d: dimension.
        heavy: how many of the eigenvalues are 1 before the tail 1/k² (`hard_spectrum`).
        hessians: `"aligned"`, eigenvectors along the axes, or `"rotated"`, a Haar rotation of that.
        large: how many entries of the gradient are large (standard normal); one problem for each.
        small: size of the others.
        methods: `"sign"`, `"gradient"`.
        lrs: lengths of a step in units of the guaranteed one, ‖g‖_*/C; the same for both methods.
        marks: the loss is noted after these numbers of steps; the last one ends the run.
        seeds: each seeds the gradient and the rotation.
    """

    d: int = 256
    heavy: int = 10
    hessians: tuple[str, ...] = ("aligned", "rotated")
    large: tuple[int, ...] = (2, 8, 32, 256)
    small: float = 1e-3
    methods: tuple[str, ...] = ("sign", "gradient")
    lrs: tuple[float, ...] = tuple(2.0**k for k in range(-2, 7))
    marks: tuple[int, ...] = (1, 10, 100)
    seeds: tuple[int, ...] = tuple(range(10))


PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=1024, large=(2, 16, 128, 1024)),
    # None of the papers has this experiment: `paper` is a larger one of ours.
    "paper": Config(
        d=4096,
        large=(2, 16, 64, 512, 4096),
        lrs=tuple(2.0**k for k in range(-2, 10)),
        marks=(1, 10, 100, 1000),
        seeds=tuple(range(10)),
    ),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed, Hessian, gradient, method and learning rate."""
    return [
        {"seed": seed, "hessian": hessian, "large": large, "method": method, "lr": lr}
        for seed in config.seeds
        for hessian in config.hessians
        for large in config.large
        for method in config.methods
        for lr in config.lrs
    ]


@functools.lru_cache(maxsize=2)
def make_hessian(
    d: int, heavy: int, hessian: str, seed: int, device: torch.device | str = "cpu"
) -> tuple[Tensor, dict[str, float]]:
    """H (d, d) in float64, and the curvature C that each method's guarantee is based on."""
    if hessian not in ("aligned", "rotated"):
        raise ValueError(f"hessian must be 'aligned' or 'rotated', got {hessian!r}")
    problem = Quadratic(hard_spectrum(d, heavy=heavy))
    if hessian == "rotated":
        problem = problem.rotated(Haar(seed=seed))
    H = problem.dense().to(device)
    largest = torch.linalg.eigvalsh(H)[-1].item()
    return H, {"sign": H.abs().sum().item(), "gradient": largest}


def make_gradient(d: int, large: int, small: float, seed: int) -> Tensor:
    """(d,) normal numbers, of which all but `large` random ones are multiplied by `small`."""
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(d, generator=generator, dtype=torch.float64)
    g = small * z
    chosen = torch.randperm(d, generator=generator)[:large]
    g[chosen] = z[chosen]
    return g


def run_trial(
    config: Config,
    device: torch.device,
    seed: int,
    hessian: str,
    large: int,
    method: str,
    lr: float,
) -> dict:
    """Descend from the point with that gradient.

    Returns:
        `loss_T` for each mark T, the change of the loss in units of the decrease ‖g‖₂²/2C₂ that a
        gradient step is guaranteed (so −1 is that step's guarantee; infinite if it diverged);
        `line_search`, that of one step of the best length along the first direction, whatever the
        lr; and `advantage`, the sign step's guarantee over the gradient step's.
    """
    H, curvature = make_hessian(config.d, config.heavy, hessian, seed, device)
    g = make_gradient(config.d, large, config.small, seed).to(device)
    guaranteed = {name: NORMS[name].dual(g).item() ** 2 / (2 * C) for name, C in curvature.items()}
    norm, C = NORMS[method], curvature[method]
    s = norm.lmo(g)
    slope = min((g @ s).item(), 0.0)  # a direction that leads up is best not taken
    line_search = -(slope**2) / (2 * (s @ (H @ s)).item())
    x, losses = torch.zeros_like(g), {"line_search": line_search / guaranteed["gradient"]}
    for step in range(1, config.marks[-1] + 1):
        gradient = g + H @ x
        x = x + (lr / C) * norm.dual(gradient) * norm.lmo(gradient)
        if step in config.marks:
            loss = (g @ x + 0.5 * x @ (H @ x)).item()
            losses[f"loss_{step}"] = (
                loss / guaranteed["gradient"] if math.isfinite(loss) else math.inf
            )
    return {**losses, "advantage": guaranteed["sign"] / guaranteed["gradient"]}


def decreases(record: Record, measure: str, *, lr: float | None = None, **where) -> list[float]:
    """How far the loss fell, one value a seed; at the best lr for this measure, or at the given."""
    chosen = at_best_lr(record, measure, **where) if lr is None else record.select(lr=lr, **where)
    return [-trial.result[measure] for trial in chosen]


def ratios(record: Record, measure: str, *, lr: float | None = None, **where) -> list[float]:
    """Decrease by sign steps over decrease by gradient steps, one value a seed."""
    sign = decreases(record, measure, lr=lr, method="sign", **where)
    gradient = decreases(record, measure, lr=lr, method="gradient", **where)
    return [s / g for s, g in zip(sign, gradient, strict=True)]


def advantages(record: Record, **where) -> list[float]:
    """The ratio of the guarantees, (‖g‖₁²/C∞) / (‖g‖₂²/C₂), one value a seed."""
    chosen = record.select(lr=1.0, method="sign", **where)
    return [trial.result["advantage"] for trial in chosen]


def draw_prediction(record: Record) -> Figure:
    """Who won the run, against who was guaranteed more: one point a seed and geometry."""
    figure, ax = plt.subplots(figsize=(6.4, 4.0))
    steps, sizes = record.config["marks"][-1], record.values("large")
    # marker, colour, where the labels go beside their points, and the number that bears the name
    looks = {"aligned": ("o", "#0060a0", 1, "left"), "rotated": ("s", "#b04a00", -1, "right")}
    for hessian in record.values("hessian"):
        marker, color, side, ha = looks[hessian]
        for place, large in enumerate(sizes):
            where = {"hessian": hessian, "large": large}
            x, y = advantages(record, **where), ratios(record, f"loss_{steps}", **where)
            ax.plot(x, y, marker, color=color, ms=6, alpha=0.7, mec="none")
            text = f"all {large}" if large == record.config["d"] else str(large)
            if place == 0:
                text += f" large entries,\n{hessian} Hessian"
            corner = (max(x), min(y)) if side > 0 else (min(x), max(y))
            ax.annotate(
                text, corner, xytext=(4 * side, -4 * side), textcoords="offset points",
                ha=ha, va="top" if side > 0 else "bottom", color=color, fontsize=11,
            )  # fmt: skip
    for line in (ax.axhline, ax.axvline):
        line(1.0, color="#555555", lw=1)
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="guarantee of the sign step / of the gradient step",
        ylabel=f"decrease in {steps} steps:\nsign descent / gradient descent",
    )
    low, high = ax.get_xlim()
    ax.set_xlim(low / 30, high * 4)  # room for the labels
    ax.set_ylim(top=ax.get_ylim()[1] * 1.5)
    ax.xaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_major_formatter("{x:g}")
    return figure


def draw_horizons(record: Record) -> Figure:
    """The same ratio for one step of guaranteed length, one of the best length, and whole runs."""
    figure, ax = plt.subplots()
    marks, sizes = record.config["marks"][1:], record.values("large")
    labels = ["one step,\nguaranteed\nlength", "one step,\nbest\nlength"]
    labels += [f"{steps} steps,\nbest\nrate" for steps in marks]
    geometries = {
        "dense, aligned": ("aligned", sizes[-1], "#0060a0", "-", "o"),
        "dense, rotated": ("rotated", sizes[-1], "#b04a00", (0, (5, 1.5)), "s"),
        "sparse, aligned": ("aligned", sizes[0], "#00734f", (0, (1.2, 1.2)), "^"),
    }
    for label, (hessian, large, color, dash, marker) in geometries.items():
        where = {"hessian": hessian, "large": large}
        columns = [
            ratios(record, "loss_1", lr=1.0, **where),
            ratios(record, "line_search", **where),
        ]
        columns += [ratios(record, f"loss_{steps}", **where) for steps in marks]
        plot_band(
            ax, range(len(columns)), list(zip(*columns, strict=True)),
            label=label, color=color, linestyle=dash, marker=marker,
        )  # fmt: skip
    ax.axhline(1.0, color="#555555", lw=1)
    ax.set(yscale="log", ylabel="sign's decrease / gradient's", xticks=range(len(labels)))
    ax.set_xticklabels(labels, fontsize=11)
    ax.yaxis.set_major_formatter("{x:g}")
    label_lines(ax)
    return figure


def _mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _judge(winner: str, hessian: str, sizes: slice, measure: str | None = None):
    """Does `winner` decrease the loss more than the other method, in that geometry?"""

    def judge(record: Record) -> Verdict:
        (large,) = record.values("large")[sizes]
        return _compare(record, winner, measure or _last(record), hessian=hessian, large=large)

    return judge


def _last(record: Record) -> str:
    return f"loss_{record.config['marks'][-1]}"


def _compare(record: Record, winner: str, measure: str, **where) -> Verdict:
    """On a logarithmic scale: a seed with a lucky gradient should not outweigh all the others."""
    loser = {"sign": "gradient", "gradient": "sign"}[winner]
    scores = [
        [
            -math.log10(value) if value > 0 else math.inf
            for value in decreases(record, measure, method=method, **where)
        ]
        for method in (winner, loser)
    ]
    return compare(*scores, (LABELS[winner], LABELS[loser]), "−log₁₀ of the loss's decrease")


def _judge_prediction(record: Record) -> Verdict:
    """Wherever the guarantees differ by more than a factor of two, the favoured method wins."""
    verdicts = {}
    for hessian in record.values("hessian"):
        for large in record.values("large"):
            where = {"hessian": hessian, "large": large}
            advantage = math.exp(_mean(map(math.log, advantages(record, **where))))
            if max(advantage, 1 / advantage) > 2:
                winner = "sign" if advantage > 1 else "gradient"
                verdict = _compare(record, winner, _last(record), **where)
                verdicts[f"{hessian}, {large} large"] = verdict
    return tally(verdicts, "geometries")


_CHAPTER = "02_norms_duals_and_the_steepest_step"
_DENSE, _SPARSE = slice(-1, None), slice(0, 1)

CLAIMS = (
    Claim(
        "sign_step_vs_gradient_step.dense_aligned",
        "With a dense gradient and curvature along the axes, sign descent decreases a quadratic "
        "more than gradient descent.",
        "arXiv:2002.08056 and arXiv:1802.04434, in substance",
        _CHAPTER,
        _judge("sign", "aligned", _DENSE),
    ),
    Claim(
        "sign_step_vs_gradient_step.sparse_aligned",
        "With a sparse gradient, gradient descent decreases it more, though the curvature is along "
        "the axes.",
        "arXiv:1802.04434, in substance",
        _CHAPTER,
        _judge("gradient", "aligned", _SPARSE),
    ),
    Claim(
        "sign_step_vs_gradient_step.dense_rotated",
        "With the same dense gradient and rotated curvature, gradient descent decreases it more.",
        "arXiv:2002.08056, in substance",
        _CHAPTER,
        _judge("gradient", "rotated", _DENSE),
    ),
    Claim(
        "sign_step_vs_gradient_step.guarantee_predicts",
        "Wherever the guarantees of the two steps differ by more than a factor of two, the method "
        "with the larger one decreases the loss more over a run.",
        "this course",
        _CHAPTER,
        _judge_prediction,
    ),
    Claim(
        "sign_step_vs_gradient_step.one_step_alone",
        "With a dense gradient and curvature along the axes, already one sign step, at its best "
        "length, decreases the loss more than one gradient step at its best length.",
        "this course",
        _CHAPTER,
        _judge("sign", "aligned", _DENSE, measure="line_search"),
    ),
)

EXPERIMENT = Experiment(
    name="sign_step_vs_gradient_step",
    title="Sign step against gradient step: which geometry favours which?",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
