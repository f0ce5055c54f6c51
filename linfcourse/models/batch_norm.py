"""BatchNorm over the whole batch, also where several processes hold a part of it each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from linfcourse import distributed


class BatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, whose statistics are those of the batch of all processes together.

    In one process it is torch's own. In several of `linfcourse.distributed.data_parallel` the mean
    and the variance of a training batch are averaged over the processes, whose parts are of one
    size, so the run is the one that a single process would make. They are averaged differentiably,
    to any order, so that Hessian-vector products are those of the whole batch, too.
    (`torch.nn.SyncBatchNorm` has no second derivative, and runs on GPUs only.)
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or distributed.world_size() == 1:
            return super().forward(x)
        self._check_input_dim(x)
        wide = x.double() if x.dtype == torch.float64 else x.float()
        over = (0, 2, 3)
        mean = distributed.differentiable_mean(wide.mean(over))  # (C,)
        centred = wide - mean[:, None, None]
        variance = distributed.differentiable_mean(centred.square().mean(over))
        self._follow(mean.detach(), variance.detach(), distributed.world_size() * x[:, 0].numel())
        scale = (variance + self.eps).rsqrt()
        if self.affine:
            scale = scale * self.weight
        y = centred * scale[:, None, None]
        if self.affine:
            y = y + self.bias[:, None, None]
        return y.to(x.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics towards those of a batch of `count` numbers a channel."""
        if not self.track_running_stats:
            return
        self.num_batches_tracked += 1
        share = self.momentum
        if share is None:  # a plain mean over all batches
            share = 1.0 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
        unbiased = variance * (count / max(1, count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
