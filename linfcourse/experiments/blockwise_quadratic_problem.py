"""The landscapes and partitions of `blockwise_quadratic`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from linfcourse.rotations import Haar

if TYPE_CHECKING:
    from linfcourse.experiments.blockwise_quadratic import Config


def make_hessian(config: Config, landscape: str, seed: int) -> Tensor:
    """H (d, d) in float64: the same eigenvalues in each landscape, the eigenvectors placed anew.

    Args:
        config: the sizes.
        landscape: `"axes"`: eigenvectors are axes, in random order; `"blocks"`: they are mixed by
            a Haar rotation within each hidden block, and the blocks come in random order;
            `"mixed"`: one Haar rotation of everything.
        seed: of all of it.
    """
    size = config.d // config.hidden
    half = size // 2
    within = torch.cat(
        [torch.ones(half).double(), torch.logspace(-1, -2, size - half, dtype=torch.float64)]
    )
    steepest = torch.logspace(0, -config.decades, config.hidden, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    if landscape == "axes":
        return (
            (steepest[:, None] * within)
            .flatten()[torch.randperm(config.d, generator=generator)]
            .diag()
        )
    if landscape == "mixed":
        H = (steepest[:, None] * within).flatten().diag()
        return _turned(H, seed)
    if landscape != "blocks":
        raise ValueError(f"landscape must be one of 'axes', 'blocks', 'mixed', got {landscape!r}")
    order = torch.randperm(config.hidden, generator=generator)
    blocks = [
        _turned((steepest[b] * within).diag(), seed * config.hidden + b) for b in order.tolist()
    ]
    return torch.block_diag(*blocks)


def _turned(H: Tensor, seed: int) -> Tensor:
    R = Haar(seed=seed)
    turned = R(R(H).T.contiguous())
    return (turned + turned.T) / 2


def make_ids(config: Config, blocks: int, shuffled: bool, seed: int) -> Tensor:
    """The label of each coordinate: equal blocks of neighbours, or of coordinates from anywhere."""
    ids = torch.arange(config.d) // (config.d // blocks)
    if shuffled:
        ids = ids[torch.randperm(config.d, generator=torch.Generator().manual_seed(1000 + seed))]
    return ids
