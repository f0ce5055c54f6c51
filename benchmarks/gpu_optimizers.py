"""One optimizer step on a GPU: ours beside torch's fused AdamW and a plain copy of memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.aims import Aim, judge_all
from benchmarks.optimizers import (
    ADAMW,
    ADASGD,
    COMPILED,
    COPY,
    FOREACH,
    FUSED,
    LION,
    PER_ROW,
    SGD,
    SIGN,
    WORDS,
    compiled_steps,
    memory_speed,
    raced,
)
from benchmarks.rotated import HADAMARD as ROTATED
from benchmarks.timing import clock_of
from benchmarks.workloads import copy_with_the_same_gradients, gpt_with_gradients
from linfcourse import optim, partitions
from linfcourse.rotations import Hadamard

TITLE = "One optimizer step"
TEXT = (
    "As on the CPU, all optimizers step the parameters of GPT-2 with the same gradients in "
    "float32. A time is the device's, between two CUDA events around several steps in a row. "
    "*Memory speed* is the number of bytes that a step must read and write at least, a second, and "
    "then as a share of what a plain copy reaches. The rotated step must read the gradient and "
    "write it turned, and the same for the parameters: 4 numbers a parameter more than AdamW."
)
SIZES = {
    "tiny": {"0.05M": 2},
    "small": {"10M": 9},
    "full": {"124M": 21},
}
"""{size: {GPT: rounds}}"""
REPEATS = 5

GPU_WORDS = {
    name: WORDS[name]
    for name in (COPY, FUSED, FOREACH, ADAMW, PER_ROW, ADASGD, LION, SGD, SIGN, *COMPILED.values())
} | {ROTATED: WORDS[FUSED] + 4}

OURS = {
    ADAMW: "AdamW",
    PER_ROW: "Row-wise blockwise Adam",
    ADASGD: "AdaSGD",
    LION: "Lion",
    SIGN: "SignSGD",
}
OURS |= {COMPILED[name]: f"{OURS[name]}, compiled," for name in COMPILED}
AIMS = (
    *(Aim(f"{text} within 1.1 of torch's fused AdamW", name, FUSED, 1.1)
      for name, text in OURS.items()),
    Aim("Rotated AdamW within 3 of torch's fused AdamW", ROTATED, FUSED, 3.0),
)  # fmt: skip


def measure(size: str, progress: Any = None, device: torch.device | str = "cuda") -> dict[str, Any]:
    """Time one step of each optimizer, all on the same gradients."""
    cases = [_case(name, rounds, progress, device) for name, rounds in SIZES[size].items()]
    return {"title": TITLE, "cases": cases, "aims": judge_all(AIMS, cases)}


def fused_adamw(parameters: list[Tensor]) -> torch.optim.Optimizer:
    """torch's, at a learning rate at which shared parameters hardly move."""
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.01, fused=True)


def rotated_adamw(parameters: list[Tensor]) -> torch.optim.Optimizer:
    """The same in coordinates that a random Hadamard rotation mixes over all parameters."""
    return optim.Rotated(parameters, fused_adamw, rotation=Hadamard(seed=0), scope="global")


def _case(name: str, rounds: int, progress: Any, device: torch.device | str) -> dict[str, Any]:
    parameters = list(gpt_with_gradients(name, device).parameters())
    adaptive = {"lr": 1e-6, "weight_decay": 0.01}
    steps = {
        FUSED: fused_adamw(parameters),
        FOREACH: torch.optim.AdamW(parameters, **adaptive, foreach=True),
        ADAMW: optim.AdamW(parameters, **adaptive),
        PER_ROW: optim.BlockwiseAdam(parameters, **adaptive, partition=partitions.per_row),
        ADASGD: optim.BlockwiseAdam(parameters, **adaptive, partition=partitions.whole),
        LION: optim.Lion(parameters, **adaptive),
        SGD: torch.optim.SGD(parameters, lr=1e-6),
        SIGN: optim.SignSGD(parameters, lr=1e-6),
        **compiled_steps(parameters, adaptive, adaptive),
        ROTATED: rotated_adamw(copy_with_the_same_gradients(parameters)),
    }
    clock = clock_of(device, REPEATS)
    return raced(name, steps, parameters, GPU_WORDS, rounds, progress, clock)


def columns(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the page's table for one case."""
    times = case["times"]
    header = ["step", "ms (median)", "ms (min)", "× fused AdamW", "GB/s", "memory speed"]
    rows = [
        [
            label,
            f"{1e3 * entry['median']:.2f}",
            f"{1e3 * entry['min']:.2f}",
            f"{entry['median'] / times[FUSED]['median']:.2f}",
            f"{4e-9 * case['parameters'] * entry['words'] / entry['median']:.0f}",
            f"{100 * memory_speed(times, label):.0f} %",
        ]
        for label, entry in times.items()
    ]
    return header, rows
