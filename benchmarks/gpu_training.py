"""What a rotated optimizer step costs beside the gradients of one update of the paper's GPT-2."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.aims import Aim, judge_all
from benchmarks.gpu_optimizers import fused_adamw, rotated_adamw
from benchmarks.optimizers import FUSED
from benchmarks.rotated import HADAMARD as ROTATED
from benchmarks.timing import Times, clock_of, race, summary
from benchmarks.workloads import GPTS, copy_with_the_same_gradients, describe, gpt_with_gradients
from linfcourse.mixed_precision import choose_precision
from linfcourse.models import cross_entropy
from linfcourse.training_step import UpdateGradient

TITLE = "The step in training"
TEXT = (
    "An update of the paper's GPT-2 takes the gradients of 480 sequences of 1024 tokens, a few at "
    "a time. Measured is one such part, forward and backward, in the precision that `train` "
    "chooses on this device; the row of the whole update is that time multiplied by the number of "
    "parts."
)
SIZES = {
    "tiny": {"0.05M": 2},
    "small": {"10M": 5},
    "full": {"124M": 11},
}
"""{size: {GPT: rounds}}"""
SEQUENCES = 480
LARGE = 36e9
"""Bytes of memory from which on the experiment's own parts, of 12 sequences, fit."""

PART, UPDATE = "gradient of one part", "gradients of an update"
AIMS = (
    Aim("The rotated AdamW step within 2 % of the gradients of 480 sequences", ROTATED, UPDATE,
        0.02),
)  # fmt: skip


def measure(size: str, progress: Any = None, device: torch.device | str = "cuda") -> dict[str, Any]:
    """Time the gradient of one part, a plain and a rotated step."""
    device = torch.device(device)
    cases = [_case(name, rounds, progress, device) for name, rounds in SIZES[size].items()]
    return {"title": TITLE, "cases": cases, "aims": judge_all(AIMS, cases)}


def part_size(device: torch.device) -> int:
    """Sequences whose gradient is taken at once: 12, or 2 where memory is short."""
    if device.type != "cuda":
        return 2
    return 12 if torch.cuda.get_device_properties(device).total_memory >= LARGE else 2


def _case(name: str, rounds: int, progress: Any, device: torch.device) -> dict[str, Any]:
    model = gpt_with_gradients(name, device)
    parameters, config = list(model.parameters()), GPTS[name]
    tokens = (part_size(device), config.context)
    batch = tuple(torch.randint(config.vocab_size, tokens, device=device) for _ in range(2))
    precision = choose_precision("auto", device)
    gradient = UpdateGradient(
        model, cross_entropy, lambda _: batch, 1, device, precision,
        scaler=torch.amp.GradScaler(device.type) if precision == "fp16" else None,
        compile_at=0 if device.type == "cuda" else None,
    )  # fmt: skip
    plain, rotated = (copy_with_the_same_gradients(parameters) for _ in range(2))
    for parameter in parameters:  # to add to, part by part; the steps keep theirs
        parameter.grad = torch.zeros_like(parameter)
    entrants = {
        PART: lambda: gradient(0),
        FUSED: fused_adamw(plain).step,
        ROTATED: rotated_adamw(rotated).step,
    }
    times = race(
        entrants,
        rounds,
        progress=lambda line: progress and progress(f"{name}: {line}"),
        clock=clock_of(device, repeats=3),
    )
    parts = SEQUENCES // tokens[0]
    return {
        "case": name,
        **describe(parameters),
        "part": list(tokens),
        "parts": parts,
        "precision": precision,
        "compiled": gradient.compiled,
        "times": {**times, UPDATE: _multiplied(times[PART], parts)},
    }


def _multiplied(times: Times, by: int) -> Times:
    return summary([by * s for s in times["seconds"]], [by * s for s in times["wall_seconds"]])


def note(case: dict[str, Any]) -> str:
    """What stands over the table besides the numbers of parameters and rounds."""
    sequences, context = case["part"]
    how = "compiled" if case["compiled"] else "not compiled"
    return (
        f"A part is {sequences} sequences of {context} tokens in {case['precision']}, {how}; an "
        f"update has {case['parts']} parts."
    )


def columns(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the page's table for one case."""
    times = case["times"]
    header = ["what", "ms (median)", "ms (min)", "% of the gradients of an update"]
    rows = [
        [
            label,
            f"{1e3 * entry['median']:.2f}",
            f"{1e3 * entry['min']:.2f}",
            f"{100 * entry['median'] / times[UPDATE]['median']:.2f}",
        ]
        for label, entry in times.items()
    ]
    return header, rows
