"""Partitions Φ: which coordinates share one second moment.

A partition cuts the d coordinates of all parameters into blocks 0..B−1. It is data, or a rule that
makes the data from the parameter itself, and never a match on parameter names::

    coordinatewise          every coordinate is a block          Adam
    per_row                 one block for each first index       one rate for an output neuron
    adam_mini(model)        heads, output neurons, tokens        Adam-mini
    per_tensor              one block for each tensor            Adalayer
    whole                   one block for everything             AdaSGD
    from_ids({p: ids})      what you say

``partition.ids(params)`` lists the block of each coordinate. A complex parameter counts as pairs of
reals, two coordinates for each entry, as in torch's optimizers.

Source: blocks as in Xie, Mohamadi, Li (2024), arXiv 2410.08198; Adam-mini's in arXiv 2406.16793.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

__all__ = [
    "Blocks",
    "Partition",
    "adam_mini",
    "coordinatewise",
    "from_ids",
    "per_row",
    "per_tensor",
    "whole",
]


@dataclass(eq=False)
class Blocks:
    """How one tensor is cut: its coordinates, in reading order, as ``rows`` rows of equal length.

    All coordinates of a row are in one block. That is the compact form in which an optimizer works:
    one row for a tensor that is one block, one row a coordinate where blocks lie anyhow.

    Attributes:
        rows: number of rows; divides the number of coordinates.
        count: number of blocks in the table that the rows point into.
        index: block of each row, int32 or int64 of shape (rows,); None means row i is block i.
        shared: the table is common to several tensors, so the same block is in more than one.
    """

    rows: int
    count: int
    index: Tensor | None = None
    shared: bool = False
    _sizes: Tensor | None = field(default=None, repr=False)

    def index_on(self, device: torch.device) -> Tensor | None:
        """The block of each row, on the given device (moved there once)."""
        if self.index is not None and self.index.device != device:
            self.index = self.index.to(device)
        return self.index

    def labels(self, coordinates: int) -> Tensor:
        """The block of each of the tensor's coordinates, int64, in reading order."""
        if coordinates == 0:
            return torch.empty(0, dtype=torch.int64)
        index = torch.arange(self.rows) if self.index is None else self.index.long()
        return index.repeat_interleave(coordinates // self.rows)

    def sizes(self, tensor: Tensor) -> Tensor:
        """How many of the tensor's coordinates lie in each block of its table, int64 (count,)."""
        columns = coordinates(tensor) // max(self.rows, 1)
        index = self.index_on(tensor.device)
        if index is None:
            return torch.full((self.count,), columns, device=tensor.device)
        if self.shared:  # the table may be far bigger than the tensor: not worth keeping
            return columns * torch.bincount(index, minlength=self.count)
        if self._sizes is None or self._sizes.device != tensor.device:
            self._sizes = columns * torch.bincount(index, minlength=self.count)
        return self._sizes


class Partition(ABC):
    """A rule that cuts parameters into blocks; subclasses say how one tensor is cut."""

    @abstractmethod
    def blocks(self, parameter: Tensor) -> Blocks:
        """Cut one parameter."""

    def ids(self, params: Iterable[Tensor]) -> Tensor:
        """The block of every coordinate of the parameters laid end to end.

        Args:
            params: tensors, in the order in which their coordinates are laid end to end.

        Returns:
            int64 tensor of length d (two for each entry of a complex tensor). Labels are 0..B−1,
            numbered as they first appear.

        Raises:
            TypeError: if ``params`` is not a sequence of tensors.
            ValueError: if it is empty, or the partition does not cover one of the tensors.

        >>> a, b = torch.zeros(2, 3), torch.zeros(2)
        >>> per_row.ids([a, b])
        tensor([0, 0, 0, 1, 1, 1, 2, 3])
        """
        if isinstance(params, Tensor):
            raise TypeError("params must be a sequence of tensors, not one tensor: pass [tensor]")
        tensors = list(params)
        if not tensors:
            raise ValueError("params is empty: a partition needs at least one tensor")
        total, table, pieces = 0, None, []
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"params must hold tensors, not {type(tensor).__name__}")
            blocks, size = self.blocks(tensor), coordinates(tensor)
            if blocks.shared:
                start = table = total if table is None else table
                total += blocks.count if start == total else 0
            else:
                start = total
                total += blocks.count if size else 0
            pieces.append((blocks.labels(size) + start).to(tensor.device))
        labels = torch.cat([piece.to(pieces[0].device) for piece in pieces])
        return labels if table is None else _first_appearance(labels)[0]


def coordinates(tensor: Tensor) -> int:
    """The number of real coordinates of a tensor: two for each complex entry."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


class _Constant(Partition):
    """A rule without data. There is one of each, also after pickling and copying."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name

    def __reduce__(self) -> str:
        return self._name


class _Coordinatewise(_Constant):
    def blocks(self, parameter: Tensor) -> Blocks:
        size = coordinates(parameter)
        return Blocks(rows=size, count=size)


class _PerRow(_Constant):
    def blocks(self, parameter: Tensor) -> Blocks:
        rows = parameter.shape[0] if parameter.dim() else 1
        return Blocks(rows=rows, count=rows)


class _PerTensor(_Constant):
    def blocks(self, parameter: Tensor) -> Blocks:
        return Blocks(rows=1, count=1)


class _Whole(_Constant):
    def blocks(self, parameter: Tensor) -> Blocks:
        return Blocks(rows=1, count=1, shared=True)


coordinatewise: Partition = _Coordinatewise("coordinatewise")
"""Every coordinate is a block of its own: Adam."""

per_row: Partition = _PerRow("per_row")
"""One block for each first index: an output neuron's weights, a token's embedding, a filter.

The rows of a vector are its entries, so biases and LayerNorm gains are cut coordinate by
coordinate; a 0-dimensional tensor is one block.
"""

per_tensor: Partition = _PerTensor("per_tensor")
"""One block for each tensor: Adalayer."""

whole: Partition = _Whole("whole")
"""One block for all coordinates of all parameters: AdaSGD."""


class _Listed(Partition):
    """A partition written down tensor by tensor."""

    def __init__(self, name: str, blocks: dict[Tensor, Blocks], mend: str) -> None:
        self._name, self._blocks, self._mend = name, blocks, mend

    def blocks(self, parameter: Tensor) -> Blocks:
        try:
            return self._blocks[parameter]
        except KeyError:
            raise ValueError(
                f"partition {self._name} is incomplete: it does not cover a parameter of shape "
                f"{tuple(parameter.shape)}; {self._mend}"
            ) from None

    def __repr__(self) -> str:
        own = sum(b.count for b in self._blocks.values() if not b.shared)
        table = next((b.count for b in self._blocks.values() if b.shared), 0)
        return f"{self._name}(<{len(self._blocks)} tensors, {own + table} blocks>)"


def from_ids(ids: Mapping[Tensor, Tensor]) -> Partition:
    """Make a partition from a label for every coordinate.

    Labels are global: the same label in two tensors is the same block, Φ: [d] → [B]. They are any
    numbers ≥ 0 and need not be contiguous. The labels are copied.

    Args:
        ids: for each parameter (the object itself, not its name) an int64 tensor of its shape. A
            complex parameter's two parts share its label, or have their own where the labels have
            the shape of ``torch.view_as_real(parameter)``.

    Returns:
        A partition of these parameters. It may cover more than an optimizer is given at first, for
        the sake of a later ``add_param_group``.

    Raises:
        TypeError: if ``ids`` is not a dictionary from tensors to int64 tensors.
        ValueError: if it is empty, a shape differs from the parameter's, or a label is negative.

    >>> w, b = torch.nn.Parameter(torch.zeros(2, 2)), torch.nn.Parameter(torch.zeros(2))
    >>> neuron = from_ids({w: torch.tensor([[0, 0], [1, 1]]), b: torch.tensor([0, 1])})
    >>> neuron, neuron.ids([w, b])
    (from_ids(<2 tensors, 2 blocks>), tensor([0, 0, 1, 1, 0, 1]))
    """
    if not isinstance(ids, Mapping):
        raise TypeError(f"ids must be a dictionary {{parameter: ids}}, not {type(ids).__name__}")
    if not ids:
        raise ValueError("ids is empty: give an int64 tensor of its shape for each parameter")
    rows = {p: _rows_of_one_label(_checked_labels(p, labels)) for p, labels in ids.items()}
    present = {p: torch.unique(labels) for p, labels in rows.items()}
    distinct, tensors = torch.unique(torch.cat(list(present.values())), return_counts=True)
    common = distinct[tensors > 1]
    spanning = [p for p in rows if torch.isin(present[p], common).any()]
    # Tensors that share a block with another one point into one table; the others have their own.
    table = torch.unique(torch.cat([present[p] for p in spanning])) if spanning else distinct[:0]
    blocks = {p: _own_blocks(labels) for p, labels in rows.items()}
    for p in spanning:
        index = _smallest_int(torch.searchsorted(table, rows[p]), table.numel())
        blocks[p] = Blocks(len(index), table.numel(), index, shared=True)
    return _Listed("from_ids", blocks, "add it, with an int64 tensor of its shape, to from_ids")


def adam_mini(model: nn.Module) -> Partition:
    """Adam-mini's blocks, read off the modules of a model.

    - ``nn.Embedding`` and ``nn.Linear`` weights: one block a row (a token, an output neuron);
    - ``nn.MultiheadAttention``: query and key projections one block a head, value one block a row;
    - a module with a method ``adam_mini_blocks() -> {its parameter: int64 ids of its shape}``: as
      it says, which goes before the above for those parameters (ids are local to each tensor);
    - every other tensor, biases and norm gains among them: one block.

    Args:
        model: the model whose parameters the optimizer is given.

    Raises:
        TypeError: if ``model`` is not a module, or ids are not int64 tensors.
        ValueError: if ids have another shape than their parameter, or two modules disagree.

    Source: Zhang et al. (2024), *Adam-mini*, arXiv 2406.16793.

    >>> model = torch.nn.Sequential(torch.nn.Embedding(3, 2), torch.nn.Linear(2, 2))
    >>> adam_mini(model).ids(model.parameters())
    tensor([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])
    """
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model must be a torch.nn.Module, not {type(model).__name__}: "
            "pass the model whose parameters the optimizer is given"
        )
    own = set(model.parameters())
    blocks: dict[Tensor, Blocks] = {}
    said: dict[Tensor, Tensor] = {}
    for module in model.modules():
        for p, labels in getattr(module, "adam_mini_blocks", dict)().items():
            if p not in own:
                raise ValueError(
                    f"{type(module).__name__}.adam_mini_blocks() names a tensor that is no "
                    "parameter of the model"
                )
            index = _first_appearance(_checked_labels(p, labels).flatten())[0]
            if p in said and not torch.equal(said[p], index):
                raise ValueError(
                    "two modules give different adam_mini_blocks() for a parameter of shape "
                    f"{tuple(p.shape)}: let only one of them name it"
                )
            said[p] = index
            blocks[p] = _own_blocks(_rows_of_one_label(_checked_labels(p, labels)))
    for module in model.modules():
        for p, cut in _known_blocks(module).items():
            blocks.setdefault(p, cut)
    for p in own:
        blocks.setdefault(p, Blocks(rows=1, count=1))
    return _Listed("adam_mini", blocks, "pass adam_mini the model that it belongs to")


def _known_blocks(module: nn.Module) -> dict[Tensor, Blocks]:
    """Adam-mini's blocks of the weights of torch's own layers."""
    if isinstance(module, nn.Embedding | nn.Linear):
        return {module.weight: per_row.blocks(module.weight)}
    if not isinstance(module, nn.MultiheadAttention):
        return {}
    width = module.embed_dim
    by_head = torch.arange(width) // module.head_dim
    by_row = torch.arange(width)
    if module.in_proj_weight is not None:
        heads = module.num_heads
        labels = torch.cat([by_head, heads + by_head, 2 * heads + by_row])
        return {module.in_proj_weight: _own_blocks(labels)}
    return {
        module.q_proj_weight: _own_blocks(by_head),
        module.k_proj_weight: _own_blocks(by_head),
        module.v_proj_weight: _own_blocks(by_row),
    }


def _checked_labels(parameter: Tensor, labels: Tensor) -> Tensor:
    """The labels of one parameter, one for each of its entries or real coordinates."""
    if not isinstance(parameter, Tensor):
        raise TypeError(
            f"the keys of ids must be the parameters themselves, not {parameter!r}: "
            "look a name up with dict(model.named_parameters())[name]"
        )
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64:
        given = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(
            f"the ids of a parameter of shape {tuple(parameter.shape)} must be an int64 tensor, "
            f"not {given}: use ids.long()"
        )
    shapes = [tuple(parameter.shape)]
    if parameter.is_complex():
        shapes.append((*parameter.shape, 2))
    if tuple(labels.shape) not in shapes:
        raise ValueError(
            f"ids of shape {tuple(labels.shape)} do not cover a parameter of shape {shapes[0]}: "
            "give every coordinate one label, in a tensor of the parameter's shape"
        )
    labels = labels.detach().cpu().clone()  # a later change of the caller's tensor changes nothing
    if labels.numel() and labels.min() < 0:
        raise ValueError(
            f"ids must be at least 0, not {int(labels.min())}: a coordinate without a block makes "
            "the partition incomplete"
        )
    return labels


def _rows_of_one_label(labels: Tensor) -> Tensor:
    """One label for each row, for the longest rows (over trailing axes) of a single label."""
    for axis in range(labels.dim()):
        rows = labels.reshape(math.prod(labels.shape[:axis]), -1) if labels.numel() else labels
        if labels.numel() and (rows == rows[:, :1]).all():
            return rows[:, 0].clone()
    return labels.flatten()


def _own_blocks(labels: Tensor) -> Blocks:
    """Blocks of a tensor whose rows bear these labels, with a table of its own."""
    index, count = _first_appearance(labels)
    if count == len(labels):
        return Blocks(rows=count, count=count)
    return Blocks(len(labels), count, _smallest_int(index, count))


def _first_appearance(labels: Tensor) -> tuple[Tensor, int]:
    """Rename labels to 0, 1, 2, … in the order in which they first appear."""
    values, inverse = torch.unique(labels, return_inverse=True)
    places = torch.arange(len(labels), device=labels.device)
    first = torch.full_like(values, len(labels)).scatter_reduce_(0, inverse, places, "amin")
    rank = torch.empty_like(values)
    rank[first.argsort()] = torch.arange(len(values), device=labels.device)
    return rank[inverse], len(values)


def _smallest_int(index: Tensor, count: int) -> Tensor:
    """Store an index in four bytes an entry where its numbers fit."""
    return index.to(torch.int32) if count < 2**31 else index
