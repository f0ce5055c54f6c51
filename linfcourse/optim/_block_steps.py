"""One step of blockwise Adam over tensors whose blocks are not single coordinates, in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linfcourse.optim._row_sweeps import (
    CHUNK,
    Decay,
    Matrices,
    descent_sweep,
    joint_sweep,
    moment_sweep,
)
from linfcourse.partitions import Blocks


class BlockTensor:
    """One tensor of a step, with the numbers of its parameter group read out.

    Args:
        group: hyperparameters.
        x, g, m: parameter, gradient and momentum, real, of one shape.
        step: the parameter's step count, a tensor of one element.
        blocks: how the tensor is cut.
    """

    def __init__(
        self, group: dict[str, Any], x: Tensor, g: Tensor, m: Tensor, step: Tensor, blocks: Blocks
    ) -> None:
        self.group, self.x, self.g, self.m, self.blocks = group, x, g, m, blocks
        self.index = blocks.index_on(x.device)
        self.beta1, self.beta2 = (float(beta) for beta in group["betas"])
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        decoupled = group["decoupled_weight_decay"]
        self.decay = Decay(factor=1 - lr * weight_decay) if decoupled else Decay(1.0, weight_decay)
        self.sign = -1 if group["maximize"] else 1
        step += 1
        self.count = step.item()
        self.lr = lr / (1 - self.beta1**self.count) if group["bias_correction"] else lr

    def root(self, v: Tensor, count: float | Tensor) -> Tensor:
        """√v̂ + ε, or √(v̂ + ε), for second moments that were updated ``count`` times."""
        eps = float(self.group["eps"])
        v_hat = v / (1 - self.beta2**count) if self.group["bias_correction"] else v.clone()
        return v_hat.add_(eps).sqrt_() if self.group["eps_inside_root"] else v_hat.sqrt_().add_(eps)

    def step_alone(self, v: Tensor) -> None:
        """Take the step of a tensor whose blocks, with second moments v, are its own."""
        v = v.view(-1)
        matrices = Matrices(self.blocks.rows, self.x, self.g, self.m)
        if self.index is None and matrices.columns <= CHUNK:
            scale = matrices.columns**-0.5

            def denominator(start: int, stop: int, norms: Tensor) -> Tensor:
                rms = norms.mul_(scale)
                block = v[start:stop].mul_(self.beta2).addcmul_(rms, rms, value=1 - self.beta2)
                return self.root(block, self.count)

            joint_sweep(matrices, self.beta1, self.sign, self.decay, self.lr, denominator)
        else:
            sums = torch.zeros(v.shape, dtype=sum_dtype(v.device), device=v.device)
            self.add_squares(matrices, sums)
            mean = sums / self.blocks.sizes(self.x).to(sums)
            v.copy_(v * self.beta2 + mean * (1 - self.beta2))
            self.descend(matrices, self.root(v, self.count))
        matrices.write_back()

    def add_squares(self, matrices: Matrices, sums: Tensor) -> None:
        """Move the momentum, and add each block's sum of squared gradients to ``sums``."""
        for start, stop, squares in moment_sweep(
            matrices, self.beta1, self.sign, self.decay, sums.dtype
        ):
            if self.index is None:
                sums[start:stop] += squares
            else:
                sums.index_add_(0, self.index[start:stop], squares)

    def descend(self, matrices: Matrices, root: Tensor) -> None:
        """Move the parameter, dividing by each block's ``root``."""
        root = root.to(matrices.dtype)

        def denominator(start: int, stop: int) -> Tensor:
            if self.index is None:
                return root[start:stop]
            return root.index_select(0, self.index[start:stop])

        descent_sweep(matrices, denominator, self.lr, self.decay)


def step_together(tensors: list[BlockTensor], v: Tensor, block_step: Tensor, sizes: Tensor) -> None:
    """Take the step of tensors whose blocks are common to them.

    Args:
        tensors: those that have a gradient in this step, none of them empty.
        v, block_step: second moment and number of updates of each block of the table.
        sizes: number of coordinates of each block in these tensors; 0 leaves the block alone.
    """
    v, block_step = v.view(-1), block_step.view(-1)
    sums = torch.zeros(v.shape, dtype=sum_dtype(v.device), device=v.device)
    opened = []
    for tensor in tensors:
        matrices = Matrices(tensor.blocks.rows, tensor.x, tensor.g, tensor.m)
        opened.append(matrices)
        if tensor.x.device == v.device:
            tensor.add_squares(matrices, sums)
        else:
            part = torch.zeros_like(sums, device=tensor.x.device, dtype=sum_dtype(tensor.x.device))
            tensor.add_squares(matrices, part)
            sums += part.to(v.device)
    beta2 = tensors[0].beta2
    active = sizes > 0
    v.copy_(torch.where(active, v * beta2 + sums / sizes.clamp(min=1) * (1 - beta2), v))
    block_step += active
    counts = block_step.to(sums.dtype)
    roots: dict[int, Tensor] = {}
    for tensor, matrices in zip(tensors, opened, strict=True):
        if id(tensor.group) not in roots:
            roots[id(tensor.group)] = tensor.root(v.to(counts.dtype), counts)
        tensor.descend(matrices, roots[id(tensor.group)].to(tensor.x.device))
        matrices.write_back()


def sum_dtype(device: torch.device) -> torch.dtype:
    """Precision in which squares are summed over a block: double, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
