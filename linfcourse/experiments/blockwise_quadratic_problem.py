"""The landscapes and partitions of `blockwise_quadratic`, and the bracket of their smoothness."""

from __future__ import annotations

import math
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


def smoothness(H: Tensor, ids: Tensor, rounds: int = 20) -> tuple[float, float]:
    """Lower and upper bound of H(L, Φ) = Σ_b √d_b · max {‖(Hv)_(b)‖₂ : ‖v‖_Φ ≤ 1} of a quadratic.

    Upper: the triangle inequality, Σ_bc √(d_b d_c) ‖H_bc‖₂. Lower: for each block b a good v, found
    by going back and forth between v and u = (Hv)_(b): each half-step solves its side exactly, so
    the value only rises. The two meet for single coordinates, for one block and where H has no
    entries between blocks.

    Args:
        H: (d, d), symmetric.
        ids: (d,) labels 0..B−1 of B blocks of equal size.
        rounds: of going back and forth.
    """
    B, n = int(ids.max()) + 1, len(ids) // (int(ids.max()) + 1)
    order = ids.argsort(stable=True)
    H = H[order][:, order].reshape(B, n, B, n)
    norms = torch.linalg.matrix_norm(H.permute(0, 2, 1, 3), 2)  # (B, B)
    v = torch.ones(B, B, n, dtype=H.dtype, device=H.device)  # for each b a vector, cut into blocks
    for _ in range(rounds + 1):
        u = torch.einsum("bicj,bcj->bi", H, v)  # (Hv)_(b)
        value = u.norm(dim=1)
        v = torch.einsum("bicj,bi->bcj", H, u)
        v = math.sqrt(n) * v / v.norm(dim=2, keepdim=True).clamp_min(1e-300)
    return math.sqrt(n) * value.sum().item(), n * norms.sum().item()
