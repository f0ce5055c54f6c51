"""Chapter 3: where the (1,1)-norm parts from the sharp ℓ∞ constant ‖H‖_{∞→1} under a rotation."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy
import torch
from matplotlib.figure import Figure

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Verdict, all_of, compare
from linfcourse.figures import label_lines, plot_band
from linfcourse.hessian.linf_constant import bracket_linf_constant
from linfcourse.models import Quadratic, RotationFamily, hard_spectrum, rotation_family
from linfcourse.records import Record


@dataclass(frozen=True)
class Config:
    """One spectrum, turned away from the axes step by step.

    Args:
        d: dimension.
        heavy: how many of the eigenvalues are 1 before the tail 1/k² (`hard_spectrum`).
        angles: t of the rotations R_t = exp(tM); 0 is none, 10 a thorough mix (`rotation_family`).
        starts: of the local search for the lower bound.
        seeds: each seeds M and the search.
    """

    d: int = 256
    heavy: int = 10
    angles: tuple[float, ...] = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    starts: int = 64
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=1000, starts=256),
    # None of the papers computes the sharp constant: `paper` is a larger run of ours.
    "paper": Config(d=4000, starts=256, seeds=tuple(range(10))),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed and angle."""
    return [{"seed": seed, "angle": angle} for seed in config.seeds for angle in config.angles]


@functools.lru_cache(maxsize=1)
def _family(d: int, seed: int) -> RotationFamily:
    return rotation_family(d, seed=seed)


def run_trial(config: Config, device: torch.device, seed: int, angle: float) -> dict:
    """Turn the Hessian and measure it.

    Returns:
        `norm_11`, `low` and `high` with ‖H‖_{∞→1} between them, `whole` = d‖H‖₂, and `trace`.
    """
    rotation = _family(config.d, seed)(angle)
    H = Quadratic(hard_spectrum(config.d, heavy=config.heavy)).rotated(rotation).dense().to(device)
    bracket = bracket_linf_constant(H, starts=config.starts, seed=seed)
    return {
        "norm_11": H.abs().sum().item(),
        "low": bracket.low,
        "high": bracket.high,
        "whole": config.d * torch.linalg.eigvalsh(H)[-1].item(),
        "trace": H.trace().item(),
    }


def measured(record: Record, what: str, angle: float) -> list[float]:
    """One quantity at one angle, a value a seed."""
    return [trial.result[what] for trial in record.select(angle=angle)]


def draw_parting(record: Record) -> Figure:
    """The (1,1)-norm, the bracket of the sharp constant, and d‖H‖₂ along the rotation."""
    figure, ax = plt.subplots()
    angles = record.values("angle")
    places = range(len(angles))
    columns = {
        what: [measured(record, what, angle) for angle in angles]
        for what in ("norm_11", "low", "high", "whole")
    }
    curves = {what: list(zip(*column, strict=True)) for what, column in columns.items()}
    plot_band(ax, places, curves["norm_11"], label="(1,1)-norm", color="#0060a0", marker="o", ms=5)
    plot_band(
        ax,
        places,
        curves["whole"],
        label="d × spectral",
        color="#00734f",
        linestyle=(0, (1.2, 1.2)),
    )
    low, high = (numpy.median(curves[what], axis=0) for what in ("low", "high"))
    ax.fill_between(places, low, high, color="#b04a00", alpha=0.3, lw=0)
    ax.plot(places, high, color="#b04a00", linestyle=(0, (5, 1.5)), lw=1.2, label="_upper")
    ax.plot(places, low, color="#b04a00", linestyle=(0, (5, 1.5)), lw=1.2, label="sharp (band)")
    ax.set(
        yscale="log",
        xlabel="rotation t (0: eigenvectors along the axes)",
        ylabel="constant",
        xticks=places,
        xticklabels=[f"{angle:g}" for angle in angles],
    )
    ax.yaxis.set_major_formatter("{x:g}")
    label_lines(ax)
    return figure


def _judge_aligned(record: Record) -> Verdict:
    """With eigenvectors along the axes the bracket closes on the (1,1)-norm."""
    gaps = [
        max(abs(trial.result[end] / trial.result["norm_11"] - 1) for end in ("low", "high"))
        for trial in record.select(angle=0.0)
    ]
    status = "holds" if max(gaps) < 1e-3 else "fails"
    return Verdict(status, f"largest relative gap over the seeds {max(gaps):.1g}", {"gaps": gaps})


def _judge_twice(record: Record) -> Verdict:
    last = record.values("angle")[-1]
    doubled = [2 * value for value in measured(record, "high", last)]
    names = ("2 × upper bound of the sharp constant", "the (1,1)-norm")
    return compare(doubled, measured(record, "norm_11", last), names, f"at t = {last:g}, value")


def _judge_grows(record: Record) -> Verdict:
    """Each rotation has a larger sharp constant than the one before it, by the brackets."""
    verdicts = {}
    for smaller, larger in pairwise(record.values("angle")):
        sure = compare(
            measured(record, "high", smaller),
            measured(record, "low", larger),
            (f"‖·‖∞→1 at t = {smaller:g}", f"at t = {larger:g}"),
            "value",
        )
        if sure.status == "fails":  # brackets that overlap show nothing either way
            other = compare(
                measured(record, "high", larger),
                measured(record, "low", smaller),
                (f"‖·‖∞→1 at t = {larger:g}", f"at t = {smaller:g}"),
                "value",
            )
            status = "fails" if other.status == "holds" else "inconclusive"
            sure = Verdict(status, sure.reason, sure.figures)
        verdicts[f"{smaller:g} to {larger:g}"] = sure
    verdict = all_of(verdicts)
    words = ", ".join(f"t = {name}: {v.status}" for name, v in verdicts.items())
    return Verdict(verdict.status, words, verdict.figures)


def _judge_side(record: Record) -> Verdict:
    """Is ‖H‖_{∞→1} above d‖H‖₂ wherever ‖H‖₁,₁ is?"""
    verdicts = {}
    for angle in record.values("angle"):
        whole, norm = measured(record, "whole", angle), measured(record, "norm_11", angle)
        if compare(whole, norm, ("d‖H‖₂", "‖H‖₁,₁"), "value").status == "holds":
            names = ("d‖H‖₂", "the upper bound of ‖H‖∞→1")
            verdict = compare(whole, measured(record, "high", angle), names, f"at t = {angle:g}")
            verdicts[f"t = {angle:g}"] = verdict
    if not verdicts:
        return Verdict("inconclusive", "‖H‖₁,₁ stays below d‖H‖₂ at every angle", {})
    return all_of(verdicts)


_CHAPTER = "03_smoothness_depends_on_the_ruler"

CLAIMS = (
    Claim(
        "sharp_constant.aligned",
        "With eigenvectors along the axes the (1,1)-norm is the sharp ℓ∞ constant.",
        "this course",
        _CHAPTER,
        _judge_aligned,
    ),
    Claim(
        "sharp_constant.parts_under_rotation",
        "After a thorough rotation the (1,1)-norm is more than twice the sharp ℓ∞ constant.",
        "this course",
        _CHAPTER,
        _judge_twice,
    ),
    Claim(
        "sharp_constant.grows_with_rotation",
        "The sharp ℓ∞ constant, too, grows with every step away from the axes.",
        "this course",
        _CHAPTER,
        _judge_grows,
    ),
    Claim(
        "sharp_constant.same_side",
        "Where the (1,1)-norm says that AdaSGD has the better guarantee, ‖H‖₁,₁ > d‖H‖₂, the "
        "sharp ℓ∞ constant says so too.",
        "this course: the (1,1)-norm taken for the constant itself",
        _CHAPTER,
        _judge_side,
    ),
)

EXPERIMENT = Experiment(
    name="sharp_constant",
    title="The (1,1)-norm against the sharp ℓ∞ constant under rotation",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
