"""Walk over big tensors in pieces that fit in the processor's cache.

An optimizer step reads and writes a handful of arrays a few times each. Done array by array, every
operation of a big tensor goes out to main memory and the temporaries are paged in afresh; done
piece by piece, only the first touch of each piece does. Pieces are whole numbers of vector
registers, so the results are the same bit for bit. (For half precision torch rounds differently in
the remainder of a loop that does not fill a register, so other cuts would differ in the last bit.)
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CHUNK = 262_144
"""Elements in a piece: four float32 arrays of this size make 4 MiB, a core's share of an L3 cache.

Smaller pieces fit in L2, but there the cost of calling seven operations a piece weighs more.
"""


def same_dense_layout(*tensors: Tensor) -> bool:
    """Whether the tensors fill their memory without gaps and list their elements in one order.

    Only then does position k in memory mean the same coordinate in every one of them.
    """
    first = tensors[0]
    # The usual case, and one that must not take longer than a small tensor's step.
    if all(
        t.layout is torch.strided and t.shape == first.shape and t.is_contiguous() for t in tensors
    ):
        return True
    axes = [axis for axis, size in enumerate(first.shape) if size > 1]
    for tensor in tensors:
        if tensor.layout is not torch.strided or tensor.shape != first.shape:
            return False
        if any(tensor.stride(axis) != first.stride(axis) for axis in axes):
            return False
    step = 1
    for axis in sorted(axes, key=first.stride):
        if first.stride(axis) != step:
            return False
        step *= first.shape[axis]
    return True


def chunks(
    *tensors: Tensor, scratch: int = 0, size: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Yield matching pieces of tensors of one shape, to be worked on in place.

    On the CPU, tensors with one dense layout are cut in flat views of ``size`` elements. Everything
    else (other devices, transposed gradients, tensor subclasses, small tensors) comes as one piece,
    the tensors themselves.

    Args:
        *tensors: tensors of one shape; writes to a piece are writes to the tensor.
        scratch: how many work buffers to add at the end of each tuple, uninitialised, of the first
            tensor's dtype and the piece's shape. They are reused from piece to piece.
        size: elements in a piece; ``CHUNK`` when None.

    >>> x = torch.arange(5.0)
    >>> for piece, work in chunks(x, scratch=1, size=2):
    ...     _ = piece.sub_(torch.square(piece, out=work))
    >>> x
    tensor([  0.,   0.,  -2.,  -6., -12.])
    """
    size = CHUNK if size is None else size
    first = tensors[0]
    plain = all(type(t) in (Tensor, torch.nn.Parameter) and t.device.type == "cpu" for t in tensors)
    if not plain or first.numel() <= size or not same_dense_layout(*tensors):
        yield (*tensors, *(torch.empty_like(first) for _ in range(scratch)))
        return
    buffers = [torch.empty(size, dtype=first.dtype) for _ in range(scratch)]
    flat = [t.as_strided((t.numel(),), (1,)).split(size) for t in tensors]
    for pieces in zip(*flat, strict=True):
        n = pieces[0].numel()
        yield (*pieces, *(buffer[:n] for buffer in buffers))
