"""The norm of a partition into blocks, the geometry of blockwise Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from linfcourse.norms.base import (
    Norm,
    as_real,
    as_vector,
    largest_entry,
    like,
    require_floating,
    safe_scale,
)


class Blockwise(Norm):
    """The Φ-norm max_b ‖x_b‖₂/√d_b of a partition Φ; its dual is Σ_b √d_b ‖x_b‖₂.

    The LMO is −√d_b g_b/‖g_b‖ on each block b of d_b coordinates: every block moves by the same
    root mean square, 1. One coordinate a block is ℓ∞; one block is ℓ2 in units of √d. It is the
    geometry of blockwise Adam (arXiv 2410.08198).

    Args:
        blocks: an integer tensor of x's shape, with equal labels for the coordinates of one block;
            or a partition rule of ``linfcourse.partitions`` such as ``per_row``, which is asked for
            the labels of every tensor that the norm meets.

    Raises:
        ValueError: when used, if the labels do not have the tensor's shape.

    >>> n = Blockwise(torch.tensor([0, 0, 1]))
    >>> g = torch.tensor([3.0, -4.0, 2.0])
    >>> round(n(g).item(), 4), round(n.dual(g).item(), 4)
    (3.5355, 9.0711)
    >>> n.lmo(g)
    tensor([-0.8485,  1.1314, -1.0000])
    """

    def __init__(self, blocks: Tensor | Any) -> None:
        if isinstance(blocks, Tensor):
            if blocks.is_floating_point() or blocks.is_complex() or blocks.dtype is torch.bool:
                raise TypeError(
                    f"blocks must hold integer labels, not {blocks.dtype}: use blocks.long()"
                )
        elif isinstance(blocks, type) or not callable(getattr(blocks, "ids", None)):
            raise TypeError(
                "blocks must be an integer tensor of labels or a partition rule such as "
                f"linfcourse.partitions.per_row, not {blocks!r}"
            )
        self.blocks = blocks

    def __call__(self, x: Tensor) -> Tensor:
        return self.bind([x])(x)

    def dual(self, g: Tensor) -> Tensor:
        return self.bind([g]).dual(g)

    def lmo(self, g: Tensor) -> Tensor:
        return self.bind([g]).lmo(g)

    def bind(self, params: Sequence[Tensor]) -> Norm:
        """The norm of the one vector made of these tensors, its labels looked up once and for all.

        Labels given as a tensor have the shape of the one tensor, or are flat, one label for every
        coordinate of all tensors in order. The two reals of a complex entry share its label.
        """
        for p in params:
            require_floating(p)
        if not isinstance(self.blocks, Tensor):
            labels = self.blocks.ids(list(params))
        else:
            labels = self.blocks
            shapes = [tuple(p.shape) for p in params]
            whole = (sum(p.numel() for p in params),)
            if tuple(labels.shape) not in ((shapes[0], whole) if len(shapes) == 1 else (whole,)):
                raise ValueError(
                    f"blocks has labels of shape {tuple(labels.shape)} for "
                    f"{'a tensor' if len(shapes) == 1 else 'tensors'} of shape "
                    f"{', '.join(map(str, shapes))}: give one label for each coordinate, or a "
                    "partition rule such as linfcourse.partitions.per_row"
                )
        labels = labels.reshape(-1)
        if any(p.is_complex() for p in params) and len(labels) == sum(p.numel() for p in params):
            pieces = labels.split([p.numel() for p in params])
            labels = torch.cat(
                [
                    piece.repeat_interleave(2) if p.is_complex() else piece
                    for p, piece in zip(params, pieces, strict=True)
                ]
            )
        return _Blocks(labels.to(params[0].device))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Blockwise):
            return False
        if isinstance(self.blocks, Tensor) and isinstance(other.blocks, Tensor):
            return torch.equal(self.blocks, other.blocks)
        return type(self.blocks) is type(other.blocks) and self.blocks == other.blocks

    def __hash__(self) -> int:
        tensor = isinstance(self.blocks, Tensor)
        return hash((Blockwise, tuple(self.blocks.shape) if tensor else self.blocks))

    def __repr__(self) -> str:
        if isinstance(self.blocks, Tensor):
            return f"Blockwise(<labels of shape {tuple(self.blocks.shape)}>)"
        return f"Blockwise({self.blocks!r})"


class _Blocks(Norm):
    """The Φ-norm on vectors of one length, from one label for each real coordinate."""

    def __init__(self, labels: Tensor) -> None:
        _, index, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        self.index = index
        # root of d_b; float64 where there is such a thing, since a block may have 10⁸ coordinates
        self.exact = torch.float32 if labels.device.type == "mps" else torch.float64
        self.roots = sizes.to(self.exact).sqrt()
        # blocks that are equal runs, as rows are, need no scatter and no gather
        count, d = len(sizes), len(index)
        runs = torch.arange(count, device=index.device).repeat_interleave(d // count if d else 1)
        self.rows = bool(d) and torch.equal(runs, index)

    def __call__(self, x: Tensor) -> Tensor:
        x = as_vector(x)
        return largest_entry(self._parts(x)[2] / self.roots).to(x.dtype)

    def dual(self, g: Tensor) -> Tensor:
        g = as_vector(g)
        return (self._parts(g)[2] * self.roots).sum().to(g.dtype)

    @torch.no_grad()
    def lmo(self, g: Tensor) -> Tensor:
        scaled, norms, _ = self._parts(as_vector(g))
        # a block's largest scaled entry is 1, so the only norm below 1 is that of a zero block
        factor = (self.roots / -norms.clamp(min=1.0)).to(scaled.dtype)
        return like((scaled * self._spread(factor)).reshape(as_real(g).shape), g)

    def _spread(self, values: Tensor) -> Tensor:
        """One value a block, handed to each coordinate of the block."""
        if self.rows:
            return values.repeat_interleave(len(self.index) // len(values))
        return values[self.index]

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x over its block's largest entry, the block norms of that, and the block norms of x."""
        magnitudes = x.detach().abs()
        if self.rows:
            largest = magnitudes.view(len(self.roots), -1).amax(dim=1)
        else:
            largest = x.new_zeros(len(self.roots)).scatter_reduce_(
                0, self.index, magnitudes, "amax"
            )
        scale = safe_scale(largest)
        scaled = x / self._spread(scale)
        if self.rows:
            squares = scaled.square().view(len(self.roots), -1).sum(dim=1).to(self.exact)
        else:
            squares = torch.zeros_like(self.roots).index_add_(
                0, self.index, scaled.to(self.exact).square()
            )
        norms = squares.sqrt()
        return scaled, norms, scale * norms
