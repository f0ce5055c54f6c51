"""What the `paper` presets of networks ask for: `python tools/resource_table.py` writes the table.

Everything is computed from the presets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from linfcourse import experiments
from linfcourse.data import shakespeare
from linfcourse.experiments import adamw_language_model, first_look, rotated_resnet
from linfcourse.experiments.adamw_language_model import full_batch
from linfcourse.models import GPT, GPTConfig
from linfcourse.records import write_atomically

TABLE = Path(__file__).resolve().parents[1] / "book" / "resource_table.md"
GB = 1e9
FLOAT = 4  # bytes of a float32


@dataclass(frozen=True)
class Needs:
    """What one preset asks for.

    Attributes:
        parameters: d of the model.
        trials, updates: how many, and updates in each.
        examples: of one update, in `unit`.
        unit: tokens or images.
        parts: forward and backward passes of one update, one after the other.
        resumes: whether a trial keeps a checkpoint, of 3 d numbers, rotated of 4 d.
    """

    parameters: int
    trials: int
    updates: int
    examples: int
    unit: str
    parts: int
    resumes: bool

    def memory(self, vectors: int) -> float:
        """GB of that many vectors of d numbers."""
        return FLOAT * vectors * self.parameters / GB


def _gpt2(config: Any) -> GPT:
    size = (config.context, config.n_layer, config.n_head, config.width)
    return GPT(GPTConfig(GPTConfig.gpt2().vocab_size, *size))


def _windows(config: Any) -> int:
    """Windows of the embedded text in the full batch, as the preset without files takes them."""
    return config.batch * len(full_batch(config, shakespeare()))


# How to make the model of a preset, how many examples an update sees, and of which kind.
_KINDS: dict[str, tuple[Callable[[Any], nn.Module], Callable[[Any], int], str]] = {
    "rotated_gpt": (_gpt2, lambda c: c.batch * c.accumulate * c.context, "tokens"),
    "first_look": (
        lambda c: first_look.make_model(c, 0, "meta"),
        lambda c: c.batch * c.context,
        "tokens",
    ),
    "rotated_resnet": (
        lambda c: rotated_resnet.make_model(c, 0, "meta"),
        lambda c: c.batch,
        "images",
    ),
    "adamw_language_model": (
        lambda c: adamw_language_model.make_model(c, shakespeare().vocab_size, 0, "meta"),
        lambda c: _windows(c) * c.context,
        "tokens",
    ),
}


def needs(name: str, scale: str = "paper") -> Needs:
    """What that preset asks for."""
    experiment = experiments.get(name)
    config = experiment.config(scale)
    make, examples, unit = _KINDS[name]
    with torch.device("meta"):
        model = make(config)
    parts = _windows(config) // config.batch if name == "adamw_language_model" else 1
    return Needs(
        parameters=sum(p.numel() for p in model.parameters()),
        trials=len(experiment.trials(config)),
        updates=config.steps,
        examples=examples(config),
        unit=unit,
        parts=getattr(config, "accumulate", parts),
        resumes=getattr(config, "checkpoints", None) is not None,
    )


def render() -> str:
    """The table as Markdown, a column for each preset, so that it is narrow."""
    presets = [needs(name) for name in _KINDS]
    rows: dict[str, Callable[[Needs], str]] = {
        "parameters d": lambda n: f"{n.parameters:,}",
        "trials": lambda n: f"{n.trials}",
        "updates in each": lambda n: f"{n.updates:,}",
        "an update sees": lambda n: f"{n.examples:,} {n.unit}",
        "in parts": lambda n: f"{n.parts}",
        "a trial sees": lambda n: f"{_short(n.examples * n.updates)} {n.unit}",
        "Adam, GB": lambda n: f"{n.memory(4):.2g}",
        "rotated Adam, GB": lambda n: f"{n.memory(6):.2g}",
        "checkpoint, GB": lambda n: f"{n.memory(4):.2g}" if n.resumes else "none",
    }
    lines = [["", *_KINDS], [":--"] + ["--:"] * len(presets)]
    lines += [[what, *map(say, presets)] for what, say in rows.items()]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"<!-- Written by `python tools/resource_table.py` from the presets. -->\n\n{table}\n"


def _short(count: int) -> str:
    return f"{count / 1e9:.3g} billion" if count >= 1e9 else f"{count / 1e6:.3g} million"


if __name__ == "__main__":
    write_atomically(TABLE, render())
    sys.exit(0)
