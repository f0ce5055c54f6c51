"""The partitions of `blockwise_ladder`: the ladder, and controls of Adam-mini's sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linfcourse import partitions
from linfcourse.data import shakespeare
from linfcourse.models import GPT


@dataclass(frozen=True)
class Rung:
    """One partition of the comparison.

    Args:
        label: its name in figures and sentences.
        make: `(config, model, seed) -> Partition`.
        color, marker: how it is drawn.
    """

    label: str
    make: Callable[[Any, GPT, int], partitions.Partition]
    color: str
    marker: str


def make_partition(name: str, config: Any, model: GPT, seed: int) -> partitions.Partition:
    """The partition of that name for this model.

    Args:
        name: a key of `PARTITIONS`.
        config: for `"sorted"`, which needs to know the size of a batch.
        model: its parameters are cut.
        seed: of the random ones, and of the batches by which `"sorted"` sorts.

    Raises:
        ValueError: no partition of that name.
    """
    if name not in PARTITIONS:
        raise ValueError(f"partition must be one of {sorted(PARTITIONS)}, got {name!r}")
    return PARTITIONS[name].make(config, model, seed)


def _from_flat(ids: Tensor, model: GPT) -> partitions.Partition:
    """A partition from the labels of all coordinates laid end to end."""
    params = list(model.parameters())
    pieces = ids.split([p.numel() for p in params])
    return partitions.from_ids(
        {p: piece.view(p.shape) for p, piece in zip(params, pieces, strict=True)}
    )


def _random(config: Any, model: GPT, seed: int) -> partitions.Partition:
    """Adam-mini's sizes, coordinates from anywhere in the model."""
    ids = partitions.adam_mini(model).ids(model.parameters()).cpu()
    generator = torch.Generator().manual_seed(seed)
    return _from_flat(ids[torch.randperm(len(ids), generator=generator)], model)


def _random_within(config: Any, model: GPT, seed: int) -> partitions.Partition:
    """Adam-mini's sizes in each tensor, coordinates from anywhere in that tensor."""
    ids = partitions.adam_mini(model).ids(model.parameters()).cpu()
    generator = torch.Generator().manual_seed(seed)
    pieces = [
        piece[torch.randperm(len(piece), generator=generator)]
        for piece in ids.split([p.numel() for p in model.parameters()])
    ]
    return _from_flat(torch.cat(pieces), model)


def _sorted(config: Any, model: GPT, seed: int, batches: int = 32) -> partitions.Partition:
    """Adam-mini's sizes in each tensor, coordinates with gradients of like size together.

    The size is the mean square of a coordinate's gradient over some batches at the model as it is.
    """
    params = list(model.parameters())
    sampler = shakespeare().sampler(
        config.batch, config.context, 2000 + seed, device=params[0].device
    )
    squares = [torch.zeros(p.numel()) for p in params]
    for step in range(batches):
        for total, g in zip(
            squares, torch.autograd.grad(model.loss(*sampler(step)), params), strict=True
        ):
            total += g.detach().flatten().square().cpu()
    ids = partitions.adam_mini(model).ids(params).cpu()
    pieces = []
    for piece, size in zip(ids.split([p.numel() for p in params]), squares, strict=True):
        labels = torch.empty_like(piece)
        labels[size.argsort()] = piece.sort().values
        pieces.append(labels)
    return _from_flat(torch.cat(pieces), model)


def _fixed(rule: partitions.Partition):
    return lambda config, model, seed: rule


# From coarse to fine, then the controls.
PARTITIONS = {
    "whole": Rung("AdaSGD", _fixed(partitions.whole), "#00734f", "^"),
    "per_tensor": Rung("per tensor", _fixed(partitions.per_tensor), "#5f7d00", "v"),
    "adam_mini": Rung(
        "Adam-mini", lambda config, model, seed: partitions.adam_mini(model), "#b04a00", "s"
    ),
    "per_row": Rung("per row", _fixed(partitions.per_row), "#8a6a00", "X"),
    "coordinatewise": Rung("Adam", _fixed(partitions.coordinatewise), "#0060a0", "o"),
    "random_within": Rung("random in tensor", _random_within, "#a03c78", "D"),
    "random": Rung("random", _random, "#6f5f9f", "P"),
    "sorted": Rung("sorted", _sorted, "#444444", "*"),
}
