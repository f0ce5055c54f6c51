"""The mean of the processes' Hessians, for a loss whose batch is spread over several of them."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor

from linfcourse import distributed
from linfcourse.hessian.symmetric import SymmetricOperator


class AveragedOperator(SymmetricOperator):
    """(1/N) Σ H⁽ʳ⁾ over the N processes of `linfcourse.distributed.data_parallel`.

    Each process holds the Hessian of the loss on its own part of a batch; with equal parts the mean
    is the Hessian of the whole batch's loss. Every process has to ask for the same products; the
    vectors are the first process's, so that all work on the same probes. Outside `data_parallel`
    it is the operator itself.

    Args:
        op: this process's operator.

    >>> import torch
    >>> from linfcourse.hessian import DenseOperator
    >>> AveragedOperator(DenseOperator(torch.eye(2))) @ torch.ones(2)
    tensor([1., 1.])
    """

    def __init__(self, op: SymmetricOperator) -> None:
        self.op = op
        self.dim, self.device, self.dtype = op.dim, op.device, op.dtype
        self.params, self.names = op.params, op.names

    def _products(self, vectors: Tensor) -> Tensor:
        if distributed.world_size() == 1:
            return self.op._products(vectors)
        vectors = vectors.contiguous()
        dist.broadcast(vectors, src=0)
        return distributed.mean_over_processes(self.op._products(vectors).contiguous())
