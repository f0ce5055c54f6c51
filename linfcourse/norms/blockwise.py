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
        self.blocks = blocks.detach().clone() if isinstance(blocks, Tensor) else blocks

    def __call__(self, x: Tensor) -> Tensor:
        return self.bind([x])(x)

    def dual(self, g: Tensor) -> Tensor:
        return self.bind([g]).dual(g)

    def lmo(self, g: Tensor) -> Tensor:
        return self.bind([g]).lmo(g)

    def lmo_joint(self, gs: Sequence[Tensor]) -> list[Tensor]:
        return self.bind(gs).lmo_joint(gs)

    def bind(self, params: Sequence[Tensor]) -> Norm:
        """The norm of the one vector made of these tensors, its labels looked up once and for all.

        Labels given as a tensor have the shape of the one tensor or, for several, are flat: one
        label for every coordinate of all tensors in order. The two reals of a complex entry share
        its label.
        """
        for p in params:
            require_floating(p)
        if not isinstance(self.blocks, Tensor):
            return _Blocks(self.blocks.ids(list(params)).to(params[0].device))
        one = len(params) == 1
        if one:
            allowed = {tuple(params[0].shape), tuple(as_real(params[0]).shape)}
        else:
            allowed = {(sum(p.numel() for p in params),)}
        if tuple(self.blocks.shape) not in allowed:
            raise ValueError(
                f"blocks has labels of shape {tuple(self.blocks.shape)} for "
                f"{'a tensor' if one else 'tensors'} of shape "
                f"{', '.join(str(tuple(p.shape)) for p in params)}: give one label for each "
                "coordinate, or a partition rule such as linfcourse.partitions.per_row"
            )
        labels = self.blocks.reshape(-1)
        if len(labels) < sum(as_real(p).numel() for p in params):
            pieces = labels.split([p.numel() for p in params])
            labels = torch.cat(
                [
                    piece.repeat_interleave(2) if p.is_complex() else piece
                    for p, piece in zip(params, pieces, strict=True)
                ]
            )
        _, labels = torch.unique(labels, return_inverse=True)
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
    """The Φ-norm on vectors of one length, from a label in 0..B−1 for each real coordinate."""

    def __init__(self, labels: Tensor) -> None:
        # float64 where there is such a thing, since a block may have 10⁸ coordinates
        self.exact = torch.float32 if labels.device.type == "mps" else torch.float64
        sizes = torch.bincount(labels)
        self.roots = sizes.to(self.exact).sqrt()
        count, d = len(sizes), len(labels)
        # blocks that are equal runs, as rows are, need no scatter and no gather, and no labels
        self.rows = bool(d) and torch.equal(
            labels, torch.arange(count, device=labels.device).repeat_interleave(d // count)
        )
        self.index = None if self.rows else labels

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
        factors = (self.roots / -norms.clamp(min=1.0)).to(scaled.dtype)
        s = scaled * self._spread(factors)
        return like(s.reshape(as_real(g).shape), g)

    def _spread(self, values: Tensor) -> Tensor:
        """One value a block, in the shape that multiplies the coordinates."""
        return values.unsqueeze(1) if self.rows else values[self.index]

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x over its block's largest entry, the block norms of that, and the block norms of x."""
        if x.device != self.roots.device:  # the model was moved: move along, once
            self.roots = self.roots.to(x.device)
            self.index = None if self.rows else self.index.to(x.device)
        if self.rows:
            x = x.view(len(self.roots), -1)
            scale = safe_scale(x.detach().abs().amax(dim=1))
            scaled = x / self._spread(scale)
            squares = scaled.square().sum(dim=1).to(self.exact)
        else:
            largest = x.new_zeros(len(self.roots))
            largest.scatter_reduce_(0, self.index, x.detach().abs(), "amax")
            scale = safe_scale(largest)
            scaled = x / self._spread(scale)
            squares = torch.zeros_like(self.roots)
            squares = squares.index_add(0, self.index, scaled.to(self.exact).square())
        norms = squares.sqrt()
        return scaled, norms, scale * norms
