"""One AdamW step in rotated coordinates, by the two kinds of rotation, beside a plain one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.aims import Aim, judge_all
from benchmarks.timing import race
from benchmarks.workloads import copy_with_the_same_gradients, describe, gpt_with_gradients
from linfcourse.optim import Rotated
from linfcourse.rotations import Hadamard, PermutedKronecker, Rotation
from linfcourse.rotations.hadamard import LARGEST_WHOLE
from linfcourse.rotations.native import native_transform, without_native

TITLE = "One rotated AdamW step"
SIZES = {
    "tiny": {"0.05M": 2},
    "small": {"1M": 5},
    "full": {"10M": 9, "124M": 5},
}
"""{size: {GPT: rounds}}"""

PLAIN, HADAMARD = "torch AdamW, fused", "Rotated, Hadamard"
NATIVE = "Rotated, Hadamard with fht-cpu"
KRONECKER = "Rotated, permutation + 3-way Kronecker"

AIMS = (
    Aim("Rotated by Hadamard at least 10 times as fast as by Kronecker", HADAMARD, KRONECKER, 0.1),
    Aim("Rotated by Hadamard within 13 of the plain step", HADAMARD, PLAIN, 13.0),
    Aim("Rotated by Hadamard with fht-cpu within 4 of the plain step", NATIVE, PLAIN, 4.0),
)


def measure(size: str, progress: Any = None) -> dict[str, Any]:
    """Time one step: rotate the gradient, let fused AdamW step, rotate the parameters back."""
    cases = [_case(name, rounds, progress) for name, rounds in SIZES[size].items()]
    return {"title": TITLE, "cases": cases, "aims": judge_all(AIMS, cases)}


def _adamw(parameters: list[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.01, fused=True)


def _case(name: str, rounds: int, progress: Any) -> dict[str, Any]:
    parameters = list(gpt_with_gradients(name).parameters())

    def rotated(rotation: Rotation) -> Callable[[], object]:
        own = copy_with_the_same_gradients(parameters)
        return Rotated(own, _adamw, rotation=rotation, scope="global").step

    with without_native():
        in_torch = rotated(Hadamard(seed=0))  # its plan is made here, and stays what it is
    entrants = {PLAIN: _adamw(parameters).step, HADAMARD: in_torch}
    if native_transform() is not None and sum(p.numel() for p in parameters) > LARGEST_WHOLE:
        entrants[NATIVE] = rotated(Hadamard(seed=0))
    entrants[KRONECKER] = rotated(PermutedKronecker(seed=0))
    times = race(
        entrants, rounds, warmup=1, progress=lambda line: progress and progress(f"{name}: {line}")
    )
    return {"case": name, **describe(parameters), "times": times}


def columns(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the page's table for one case."""
    times = case["times"]
    header = ["step", "ms (median)", "ms (min)", "× plain", "× Kronecker"]
    rows = [
        [
            label,
            f"{1e3 * entry['median']:.1f}",
            f"{1e3 * entry['min']:.1f}",
            f"{entry['median'] / times[PLAIN]['median']:.1f}",
            f"{entry['median'] / times[KRONECKER]['median']:.3f}",
        ]
        for label, entry in times.items()
    ]
    return header, rows
