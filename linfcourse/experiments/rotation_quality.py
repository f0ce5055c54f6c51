"""Chapter 7: how uniform a fast random rotation is, measured by what it does to a (1,1)-norm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, Verdict, interval
from linfcourse.models import hard_spectrum
from linfcourse.records import Record
from linfcourse.rotations import Haar, Hadamard, PermutedKronecker


@dataclass(frozen=True)
class Config:
    """The diagonal H of chapter 6, turned by random rotations of several kinds.

    Args:
        d, heavy: the spectrum, `heavy` eigenvalues 1 and then 1/k² (`hard_spectrum`).
        kinds: names in `KINDS`.
        seeds: of the rotations.
    """

    d: int = 1000
    heavy: int = 10
    kinds: tuple[str, ...] = (
        "Haar",
        "Hadamard, 1 round",
        "Hadamard, 2 rounds",
        "Hadamard, 3 rounds",
        "permuted Kronecker, 1 round",
        "permuted Kronecker, 2 rounds",
        "permuted Kronecker, 3 rounds",
        "Kronecker alone",
        "one Haar block of 200, repeated",
        "one Haar block of 50, repeated",
    )
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)


def kronecker_matrix(d: int, seed: int) -> Tensor:
    """A ⊗ B ⊗ C of Haar factors with sizes as equal as d's divisors allow, nothing permuted."""
    a = max(k for k in range(1, round(d ** (1 / 3)) + 1) if d % k == 0)
    b = max(k for k in range(1, math.isqrt(d // a) + 1) if (d // a) % k == 0)
    factors = [Haar(3 * seed + i).matrix(n) for i, n in enumerate((a, b, d // (a * b)))]
    return torch.kron(torch.kron(factors[0], factors[1]), factors[2])


def repeated_block_matrix(d: int, n: int, seed: int) -> Tensor:
    """One n × n Haar matrix on each n consecutive coordinates; the last block may be smaller."""
    block = Haar(seed).matrix(n)
    blocks = [block] * (d // n) + ([Haar(seed).matrix(d % n)] if d % n else [])
    return torch.block_diag(*blocks)


def _hadamard(rounds: int) -> Callable[[int, int], Tensor]:
    return lambda d, seed: Hadamard(seed, rounds).matrix(d)


def _permuted(rounds: int) -> Callable[[int, int], Tensor]:
    return lambda d, seed: PermutedKronecker(seed, rounds).matrix(d)


# name -> (d, seed) -> the rotation as a d × d matrix
KINDS: dict[str, Callable[[int, int], Tensor]] = {
    "Haar": lambda d, seed: Haar(seed).matrix(d),
    "Hadamard, 1 round": _hadamard(1),
    "Hadamard, 2 rounds": _hadamard(2),
    "Hadamard, 3 rounds": _hadamard(3),
    "permuted Kronecker, 1 round": _permuted(1),
    "permuted Kronecker, 2 rounds": _permuted(2),
    "permuted Kronecker, 3 rounds": _permuted(3),
    "Kronecker alone": kronecker_matrix,
    "one Haar block of 200, repeated": lambda d, seed: repeated_block_matrix(d, 200, seed),
    "one Haar block of 50, repeated": lambda d, seed: repeated_block_matrix(d, 50, seed),
}

PRESETS = {
    "cpu": Config(),
    "gpu": Config(d=4000, seeds=tuple(range(10))),
    # A test of tools, not of a paper's run: the largest d whose Haar matrix is cheap enough.
    "paper": Config(d=8000, seeds=tuple(range(10))),
}


def trials(config: Config) -> list[dict]:
    """One trial per seed and kind of rotation."""
    return [{"seed": seed, "kind": kind} for kind in config.kinds for seed in config.seeds]


def run_trial(config: Config, device: torch.device, seed: int, kind: str) -> dict:
    """‖RHRᵀ‖₁,₁ from the matrix of R itself, and how far R is from orthogonal."""
    R = KINDS[kind](config.d, seed).to(device)
    eigenvalues = hard_spectrum(config.d, config.heavy).to(device)
    error = (R @ R.T - torch.eye(config.d, dtype=R.dtype, device=device)).abs().max()
    return {
        "norm_11": ((R * eigenvalues) @ R.T).abs().sum().item(),
        "orthogonality_error": error.item(),
    }


def shares(record: Record, kind: str) -> list[float]:
    """The (1,1)-norm after each rotation of a kind, as a share of Haar's mean."""
    haar = [t.result["norm_11"] for t in record.select(kind="Haar")]
    mean = math.fsum(haar) / len(haar)
    return [t.result["norm_11"] / mean for t in record.select(kind=kind)]


def draw_quality(record: Record) -> Figure:
    """Each kind's (1,1)-norm as a share of Haar's: dots for seeds, a bar for their mean."""
    kinds = record.values("kind")[::-1]
    figure, ax = plt.subplots(figsize=(6.4, 3.9))
    for row, kind in enumerate(kinds):
        values = shares(record, kind)
        color = "#b04a00" if kind.startswith("Hadamard") else "#0060a0"
        color = "#444444" if kind == "Haar" else color
        ax.plot([0, math.fsum(values) / len(values)], [row, row], color=color, lw=1.2, alpha=0.6)
        ax.plot(values, [row] * len(values), "o", color=color, ms=5, mfc="none")
    ax.set_yticks(range(len(kinds)), kinds)
    ax.axvline(1.0, color="#444444", lw=0.8, linestyle=(0, (4, 3)))
    ax.set(xlabel="(1,1)-norm as a share of Haar's", xlim=(0, 1.12))
    ax.grid(axis="y", visible=False)
    return figure


def _judge_near_haar(kind: str, within: float) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        mean, low, high = interval(shares(record, kind))
        reason = f"{kind}: {mean:.3f} [{low:.3f}, {high:.3f}] of Haar's, asked: within {within:.0%}"
        inside = abs(low - 1) <= within and abs(high - 1) <= within
        outside = high < 1 - within or low > 1 + within
        status = "holds" if inside else "fails" if outside else "inconclusive"
        return Verdict(status, reason, {"shares": shares(record, kind)})

    return judge


def _judge_short_of_haar(kinds: tuple[str, ...], share: float) -> Callable[[Record], Verdict]:
    def judge(record: Record) -> Verdict:
        highs = {kind: interval(shares(record, kind)) for kind in kinds}
        reason = "; ".join(f"{kind}: {mean:.2f} of Haar's" for kind, (mean, _, _) in highs.items())
        if all(high < share for _, _, high in highs.values()):
            status = "holds"
        elif any(low > share for _, low, _ in highs.values()):
            status = "fails"
        else:
            status = "inconclusive"
        return Verdict(status, f"{reason}; asked: below {share}", {"shares": highs})

    return judge


_CHAPTER = "07_rotating_a_network"
CLAIMS = (
    Claim(
        "rotation_quality.hadamard",
        "Three rounds of signs, Hadamard transforms and riffles are as good as Haar, within 1 %.",
        "this course",
        _CHAPTER,
        _judge_near_haar("Hadamard, 3 rounds", 0.01),
    ),
    Claim(
        "rotation_quality.two_kronecker_rounds",
        "Two rounds of permutations and Kronecker products are as good as Haar, within 2 %.",
        "arXiv:2410.08198 uses two; the test is ours",
        _CHAPTER,
        _judge_near_haar("permuted Kronecker, 2 rounds", 0.02),
    ),
    Claim(
        "rotation_quality.too_little",
        "One round, no permutation, or one block repeated, fall short of Haar by a tenth or more.",
        "this course",
        _CHAPTER,
        _judge_short_of_haar(
            (
                "Hadamard, 1 round",
                "permuted Kronecker, 1 round",
                "Kronecker alone",
                "one Haar block of 200, repeated",
                "one Haar block of 50, repeated",
            ),
            0.9,
        ),
    ),
)

EXPERIMENT = Experiment(
    name="rotation_quality",
    title="The (1,1)-norm after random rotations of several kinds, against Haar's",
    presets=PRESETS,
    trials=trials,
    run_trial=run_trial,
    claims=CLAIMS,
)
run, recorded = EXPERIMENT.run, EXPERIMENT.recorded
