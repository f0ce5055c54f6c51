"""One optimizer step on the CPU: ours beside torch's, lion-pytorch's and a plain copy of memory."""

from __future__ import annotations

import time
from typing import Any

import torch
from lion_pytorch import Lion as TheirLion
from torch import Tensor

from benchmarks.aims import Aim, judge_all
from benchmarks.timing import Clock, race
from benchmarks.workloads import describe, gpt_with_gradients
from linfcourse import optim, partitions

TITLE = "One optimizer step"
SIZES = {
    "tiny": {"0.05M": 2},
    "small": {"1M": 9},
    "full": {"10M": 21, "124M": 11},
}
"""{size: {GPT: rounds}}"""

FOREACH, FUSED = "torch AdamW, foreach", "torch AdamW, fused"
COPY, SGD, THEIR_LION = "copy of the gradients", "torch SGD", "lion-pytorch Lion"
ADAMW, PER_ROW, LION, SIGN = "AdamW", "BlockwiseAdam, per_row", "Lion", "SignSGD"
ADASGD = "BlockwiseAdam, whole (AdaSGD)"
COMPILED = {name: f"{name}, compiled" for name in (PER_ROW, ADASGD, LION, SIGN)}

WORDS = {
    COPY: 2,
    FOREACH: 7,
    FUSED: 7,
    ADAMW: 7,
    PER_ROW: 5,
    "BlockwiseAdam, per_tensor (Adalayer)": 6,
    ADASGD: 6,
    "BlockwiseAdam, adam_mini": 5,
    THEIR_LION: 5,
    LION: 5,
    SGD: 3,
    SIGN: 3,
}
WORDS |= {compiled: WORDS[name] for name, compiled in COMPILED.items()}
"""Numbers that a step must at least read or write for each parameter.

AdamW reads x, g, m, v and writes x, m, v. With one second moment a row it is without v; the
gradient of a block that does not fit in the cache is read once more, as no coordinate can move
before the block's mean is known. Lion has x, g, m; descent along g or its sign has x and g.
"""

AIMS = (
    Aim("AdamW at least twice as fast as torch's foreach AdamW", ADAMW, FOREACH, 0.5),
    Aim("AdamW within 1.1 of torch's fused AdamW", ADAMW, FUSED, 1.1),
    Aim("Row-wise blockwise Adam within 1.3 of fused AdamW", PER_ROW, FUSED, 1.3),
    Aim("Row-wise blockwise Adam within 1.1 of fused AdamW", PER_ROW, FUSED, 1.1),
    Aim("Lion at least twice as fast as lion-pytorch", LION, THEIR_LION, 0.5),
    Aim("Lion within 1.3 of copying as many bytes", LION, COPY, 1.3, peers=5 / 2),
    Aim("SignSGD within 1.3 of copying as many bytes", SIGN, COPY, 1.3, peers=3 / 2),
    Aim("Row-wise, compiled, within 1.1 of fused AdamW", COMPILED[PER_ROW], FUSED, 1.1),
    Aim("AdaSGD, compiled, within 1.1 of fused AdamW", COMPILED[ADASGD], FUSED, 1.1),
    Aim("Lion, compiled, at least twice as fast as lion-pytorch", COMPILED[LION], THEIR_LION, 0.5),
    Aim("Lion, compiled, within 1.3 of the copy", COMPILED[LION], COPY, 1.3, peers=5 / 2),
    Aim("SignSGD, compiled, within 1.3 of the copy", COMPILED[SIGN], COPY, 1.3, peers=3 / 2),
)


def measure(size: str, progress: Any = None) -> dict[str, Any]:
    """Time one step of each optimizer, all on the same parameters and gradients."""
    cases = [_case(name, rounds, progress) for name, rounds in SIZES[size].items()]
    return {"title": TITLE, "cases": cases, "aims": judge_all(AIMS, cases)}


def _case(name: str, rounds: int, progress: Any) -> dict[str, Any]:
    model = gpt_with_gradients(name)
    parameters = list(model.parameters())
    # A learning rate at which the shared parameters hardly move: their values do not matter here.
    common = {"lr": 1e-6, "betas": (0.9, 0.99), "weight_decay": 0.01}
    blockwise = {**common, "eps": 1e-8}
    mini = partitions.adam_mini(model)
    steps = {
        FOREACH: torch.optim.AdamW(parameters, **common, foreach=True),
        FUSED: torch.optim.AdamW(parameters, **common, fused=True),
        ADAMW: optim.AdamW(parameters, **blockwise),
        PER_ROW: optim.BlockwiseAdam(parameters, **blockwise, partition=partitions.per_row),
        "BlockwiseAdam, per_tensor (Adalayer)": optim.BlockwiseAdam(
            parameters, **blockwise, partition=partitions.per_tensor
        ),
        ADASGD: optim.BlockwiseAdam(parameters, **blockwise, partition=partitions.whole),
        "BlockwiseAdam, adam_mini": optim.BlockwiseAdam(parameters, **blockwise, partition=mini),
        THEIR_LION: TheirLion(parameters, **common),
        LION: optim.Lion(parameters, **common),
        SGD: torch.optim.SGD(parameters, lr=1e-6),
        SIGN: optim.SignSGD(parameters, lr=1e-6),
    }
    compiled = compiled_steps(parameters, blockwise, common)
    started = time.perf_counter()
    for optimizer in compiled.values():
        optimizer.step()
    compiling = time.perf_counter() - started
    steps |= compiled
    case = raced(name, steps, parameters, WORDS, rounds, progress)
    return case | {"seconds_of_first_compiled_steps": compiling}


def raced(
    name: str,
    steps: dict[str, torch.optim.Optimizer],
    parameters: list[Tensor],
    words: dict[str, int],
    rounds: int,
    progress: Any,
    clock: Clock | None = None,
) -> dict[str, Any]:
    """A case: one step of each optimizer, in turn with a copy of the gradients.

    Args:
        name: of the GPT.
        steps: the optimizers by their labels.
        parameters: with the gradients that are copied.
        words: by label, numbers that a step must at least read or write for each parameter.
        rounds, clock: as for `race`.
        progress: called with a line of text now and then, or None.
    """
    gradients = [p.grad for p in parameters]
    copies = [torch.empty_like(g) for g in gradients]
    entrants = {COPY: lambda: torch._foreach_copy_(copies, gradients)}  # on the CPU one by one
    entrants |= {label: optimizer.step for label, optimizer in steps.items()}
    say = progress and (lambda line: progress(f"{name}: {line}"))
    times = race(entrants, rounds, progress=say, clock=clock)
    for label, entry in times.items():
        entry["words"] = words[label]
    return {"case": name, **describe(parameters), "times": times}


def compiled_steps(
    parameters: list[Tensor], blockwise: dict[str, Any], common: dict[str, Any]
) -> dict[str, torch.optim.Optimizer]:
    """The optimizers that torch.compile makes faster, by their names in `COMPILED`.

    Args:
        parameters: what they step.
        blockwise, common: options of `BlockwiseAdam`, and of Lion.
    """
    by_rows, as_one = (
        optim.BlockwiseAdam(parameters, **blockwise, partition=partition, compiled=True)
        for partition in (partitions.per_row, partitions.whole)
    )
    return {
        COMPILED[PER_ROW]: by_rows,
        COMPILED[ADASGD]: as_one,
        COMPILED[LION]: optim.Lion(parameters, **common, compiled=True),
        COMPILED[SIGN]: optim.SignSGD(parameters, lr=common["lr"], compiled=True),
    }


def note(case: dict[str, Any]) -> str:
    """How long it took to compile, where anything was."""
    seconds = case.get("seconds_of_first_compiled_steps")
    if seconds is None:
        return ""
    return f"The first steps of all compiled optimizers together took {seconds:.0f} s."


def memory_speed(times: dict[str, Any], label: str) -> float:
    """Share of the copy's bandwidth that the step's least traffic amounts to."""
    copy, step = times[COPY], times[label]
    return (step["words"] / step["median"]) / (copy["words"] / copy["median"])


def columns(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the page's table for one case."""
    times = case["times"]
    header = ["step", "ms (median)", "ms (min)", "× fused AdamW", "× foreach AdamW", "memory speed"]
    rows = [
        [
            label,
            f"{1e3 * entry['median']:.1f}",
            f"{1e3 * entry['min']:.1f}",
            f"{entry['median'] / times[FUSED]['median']:.2f}",
            f"{entry['median'] / times[FOREACH]['median']:.2f}",
            f"{100 * memory_speed(times, label):.0f} %",
        ]
        for label, entry in times.items()
    ]
    return header, rows
