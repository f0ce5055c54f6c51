"""Blocks of coordinates: norms per block, and the smoothness of one block from below and above."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.cauchy import double_device, drawing_device
from linfcourse.hessian.symmetric import SymmetricOperator, finite

ENTRIES = 2**24  # of the temporary Gram matrices


class BlockStructure:
    """Which coordinate is in which block, in the forms that the computations need.

    Attributes:
        ids: (d,) labels 0..B−1.
        sizes: (B,) d_b, int64. count: B.
        members(b): the coordinates of block b.
    """

    def __init__(self, ids: Tensor) -> None:
        self.device = ids.device
        labels, self.ids = ids.unique(return_inverse=True)
        self.count = len(labels)
        self.sizes = self.ids.bincount(minlength=self.count)
        self.order = self.ids.argsort(stable=True)
        self.starts = self.sizes.cumsum(0) - self.sizes
        self.roots = self.sizes.double().sqrt()

    @classmethod
    def of(
        cls, op: SymmetricOperator, partition: Any, params: Iterable[Tensor] | None
    ) -> BlockStructure:
        """The blocks of a rule (with `ids(params)`) or of an integer tensor of labels."""
        if isinstance(partition, Tensor):
            ids = partition.flatten()
            if ids.dtype.is_floating_point or ids.dtype.is_complex or ids.dtype == torch.bool:
                raise TypeError(f"block labels must be integers, not {ids.dtype}")
        elif callable(getattr(partition, "ids", None)):
            tensors = params if params is not None else op.params
            if tensors is None:  # a bare matrix: one vector of d coordinates
                tensors = [torch.empty(op.dim, dtype=op.dtype, device=op.device)]
            ids = partition.ids([p[1] if isinstance(p, tuple) else p for p in tensors])
        else:
            raise TypeError(
                "partition must be a rule of linfcourse.partitions or an integer tensor of block "
                f"labels, not {type(partition).__name__}"
            )
        if ids.shape != (op.dim,):
            raise ValueError(
                f"the partition labels {ids.numel():,} coordinates and the operator has "
                f"{op.dim:,}: give params the tensors that the operator was made from"
            )
        return cls(ids.to(double_device(op), torch.int64))

    def members(self, block: int) -> Tensor:
        start = int(self.starts[block])
        return self.order[start : start + int(self.sizes[block])]

    def norms(self, vectors: Tensor) -> Tensor:
        """‖x_b‖₂ of every block of every column: (d, m) → (B, m), float64."""
        out = torch.zeros(self.count, vectors.shape[1], dtype=torch.float64, device=self.device)
        return out.index_add_(0, self.ids, vectors.double().square()).sqrt_()

    def spectral_norms(self, columns: Tensor) -> Tensor:
        """‖C_b‖₂ for the rows of C that belong to each block: (d, j) → (B,), float64."""
        out = torch.zeros(self.count, dtype=torch.float64, device=self.device)
        for size in self.sizes.unique().tolist():
            blocks = torch.nonzero(self.sizes == size).flatten()
            side = min(size, columns.shape[1])
            for part in blocks.split(max(1, ENTRIES // max(side * side, 1))):
                rows = self.order[
                    self.starts[part][:, None] + torch.arange(size, device=self.device)
                ]
                pieces = columns[rows].double()  # (blocks, size, j)
                if side == 1:
                    out[part] = pieces.flatten(1).norm(dim=1)
                    continue
                flat = pieces if size <= columns.shape[1] else pieces.mT
                top = torch.linalg.eigvalsh(flat @ flat.mT)[:, -1]
                out[part] = top.clamp_min(0).sqrt()
        return out

    def squared_schatten_4(self, samples: Tensor) -> Tensor:
        """√tr((AᵀA)²) of the A_b in samples_b = A_b G, G Gaussian: (d, t) → (B,), float64.

        It lies between ‖A_b‖₂² and ‖A_b‖²_F. For two independent Gaussian vectors,
        E⟨Ag, Ag'⟩² = tr((AᵀA)²): the mean over the pairs of columns is unbiased for the square.
        """
        columns = samples.double()
        total = torch.zeros(self.count, dtype=torch.float64, device=self.device)
        pairs = list(itertools.combinations(range(columns.shape[1]), 2))
        for i, j in pairs:
            inner = torch.zeros_like(total).index_add_(0, self.ids, columns[:, i] * columns[:, j])
            total += inner.square_()
        return (total / len(pairs)).sqrt_()


def lower_bound(columns: Tensor, blocks: BlockStructure, rounds: int = 30) -> tuple[float, Tensor]:
    """max over unit z of Σ_c √d_c ‖(C z)_c‖₂, from below, and the z that attains it.

    Each z is itself a proof of the bound. The function is convex, so replacing it by its tangent
    and maximising that, z ← normalised Cᵀx with x_c = √d_c (Cz)_c/‖(Cz)_c‖₂, never goes down.
    Starts: the leading right singular vector of C and its best coordinate.
    """
    columns = columns.double()
    count = columns.shape[1]
    gram = columns.T @ columns
    starts = torch.zeros(count, min(2, count), dtype=torch.float64, device=columns.device)
    starts[:, 0] = torch.linalg.eigh(gram).eigenvectors[:, -1]
    if count > 1:
        coordinate = max(
            range(0, count, max(1, count // 64)),
            key=lambda i: float(blocks.roots @ blocks.norms(columns[:, i : i + 1])[:, 0]),
        )
        starts[coordinate, 1] = 1
    z = starts
    best, witness = 0.0, starts[:, 0]
    for _ in range(rounds):
        images = columns @ z
        norms = blocks.norms(images)
        values = blocks.roots @ norms
        top = int(values.argmax())
        gained = float(values[top]) > best * (1 + 1e-6)
        if float(values[top]) > best:
            best, witness = float(values[top]), z[:, top].clone()
        if not gained or count == 1:
            break
        z = columns.T @ tangent(images, norms, blocks)
        z = z / z.norm(dim=0).clamp_min(torch.finfo(torch.float64).tiny)
    return best, witness


def tangent(images: Tensor, norms: Tensor, blocks: BlockStructure) -> Tensor:
    """x_c = √d_c y_c/‖y_c‖₂ for the columns y of `images`; 0 where a block is 0."""
    scale = blocks.roots[:, None] / norms.clamp_min(torch.finfo(torch.float64).tiny)
    return images * torch.where(norms > 0, scale, 0.0)[blocks.ids]


def block_smoothness(
    op: SymmetricOperator,
    blocks: BlockStructure,
    block: int,
    products: int,
    generator: torch.Generator | None,
) -> tuple[float, float]:
    """H_b = √d_b max_{‖w‖₂=1} Σ_c √d_c ‖H_cb w‖₂ of one block, from below and from above.

    With as many products as coordinates, the block's columns are computed. Below: `lower_bound`.
    Above: √d_b Σ_c √d_c ‖H_cb‖₂.

    With fewer, an orthonormal basis W of part of the block is built: random directions, then
    directions of ascent of the lower bound, two products each. Below: the best w in the span, which
    is still a proof. Above: ‖H_cb‖₂² ≤ ‖H_cb W‖₂² + ‖H_cb (I − WWᵀ)‖₂², the last norm replaced by
    the Schatten-4 norm, which is larger, and that estimated from Gaussian probes of the complement.

    Returns:
        (lower, upper).
    """
    members = blocks.members(block)
    root = float(blocks.roots[block])
    if len(members) <= products:
        parts = [finite(op.columns(part)).to(blocks.device) for part in members.split(op.block)]
        columns = torch.cat(parts, dim=1)
        low, _ = lower_bound(columns, blocks)
        return root * low, root * float(blocks.roots @ blocks.spectral_norms(columns))

    tail = max(2, products // 4)
    first = max(1, (products - tail) // 3)
    basis, _ = torch.linalg.qr(_gaussian(op, blocks, len(members), first, generator))
    columns = _images(op, blocks, members, basis)
    for _ in range((products - tail - first) // 2):
        image = columns.double() @ lower_bound(columns, blocks)[1][:, None]
        ascent = tangent(image, blocks.norms(image), blocks).to(op.device, op.dtype)
        direction = finite(op @ ascent[:, 0]).to(blocks.device)[members].double()
        size = direction.norm()
        for _ in range(2):
            direction = direction - basis @ (basis.T @ direction)
        if direction.norm() <= 1e-6 * size:  # the ascent has ended within the span
            break
        direction = (direction / direction.norm())[:, None]
        basis = torch.cat([basis, direction], dim=1)
        columns = torch.cat([columns, _images(op, blocks, members, direction)], dim=1)
    low, _ = lower_bound(columns, blocks)
    probes = _gaussian(op, blocks, len(members), tail, generator)
    probes = probes - basis @ (basis.T @ probes)
    remainder = blocks.squared_schatten_4(_images(op, blocks, members, probes))
    high = blocks.roots @ (blocks.spectral_norms(columns).square() + remainder).sqrt()
    return root * low, root * float(high)


def _gaussian(
    op: SymmetricOperator,
    blocks: BlockStructure,
    size: int,
    count: int,
    generator: torch.Generator | None,
) -> Tensor:
    device = drawing_device(op, generator)
    draws = torch.randn(size, count, dtype=torch.float64, device=device, generator=generator)
    return draws.to(blocks.device)


def _images(
    op: SymmetricOperator, blocks: BlockStructure, members: Tensor, vectors: Tensor
) -> Tensor:
    """H applied to vectors (d_b, m) that live in one block: (d, m)."""
    padded = torch.zeros(vectors.shape[1], op.dim, dtype=op.dtype, device=op.device)
    padded[:, members.to(op.device)] = vectors.T.to(op.device, op.dtype)
    return finite(op.matmat(padded.T)).to(blocks.device)
