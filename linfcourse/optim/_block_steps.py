"""One step of blockwise Adam over tensors whose blocks are not single coordinates, in place."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linfcourse.optim._compiled import DESCEND, worth_compiling
from linfcourse.optim._row_sweeps import CHUNK, Matrices, Sweep
from linfcourse.partitions import Blocks


class BlockTensor:
    """One tensor of a step, with the numbers of its parameter group read out.

    Args:
        group: hyperparameters.
        x, g, m: parameter, gradient and momentum, real, of one shape.
        step: the parameter's step count, a tensor of one element.
        blocks: how the tensor is cut.
        compiled: leave the pass over the tensor to ``torch.compile``, where that is faster.
    """

    def __init__(
        self,
        group: dict[str, Any],
        x: Tensor,
        g: Tensor,
        m: Tensor,
        step: Tensor,
        blocks: Blocks,
        compiled: bool = False,
    ) -> None:
        self.group, self.x, self.blocks = group, x, blocks
        self.matrices = Matrices(blocks.rows, x, g, m)
        self.index = blocks.index_on(x.device)
        beta1, self.beta2 = (float(beta) for beta in group["betas"])
        lr, weight_decay = float(group["lr"]), float(group["weight_decay"])
        step += 1
        self.count = step.item()
        decoupled = group["decoupled_weight_decay"]
        self.sweep = Sweep(
            beta1,
            lr / (1 - beta1**self.count) if group["bias_correction"] else lr,
            factor=1 - lr * weight_decay if decoupled else 1.0,
            penalty=0.0 if decoupled else weight_decay,
            sign=-1 if group["maximize"] else 1,
            compiled=compiled and worth_compiling(DESCEND, x),
        )

    def root(self, v: Tensor, count: float | Tensor) -> Tensor:
        """√v̂ + ε, or √(v̂ + ε), for second moments that were updated ``count`` times."""
        eps = float(self.group["eps"])
        v_hat = v / (1 - self.beta2**count) if self.group["bias_correction"] else v.clone()
        return v_hat.add_(eps).sqrt_() if self.group["eps_inside_root"] else v_hat.sqrt_().add_(eps)

    def block_squares(self) -> Tensor:
        """First pass: each block's sum of squared gradients over this tensor."""
        dtype, device = sum_dtype(self.x.device), self.x.device
        sums = torch.zeros(self.blocks.count, dtype=dtype, device=device)
        for start, stop, squares in self.sweep.squares(self.matrices, dtype):
            if self.index is None:
                sums[start:stop] += squares
            else:
                sums.index_add_(0, self.index[start:stop], squares)
        return sums

    def move(self, root: Tensor) -> None:
        """Second pass: move momentum and parameter, dividing by each block's ``root``."""
        root = root.to(self.matrices.dtype)

        def denominator(start: int, stop: int) -> Tensor:
            if self.index is None:
                return root[start:stop].unsqueeze(1)
            return root.index_select(0, self.index[start:stop]).unsqueeze(1)

        self.sweep.move(self.matrices, denominator)
        self.matrices.write_back()

    def move_row_by_row(self, v: Tensor) -> None:
        """Both passes at once for rows that are blocks, with second moments v as a column."""
        scale = self.matrices.columns**-0.5

        def denominator(start: int, stop: int, norms: Tensor) -> Tensor:
            rms = norms.mul_(scale)
            rows = v[start:stop].mul_(self.beta2).addcmul_(rms, rms, value=1 - self.beta2)
            return self.root(rows, self.count)

        self.sweep.both(self.matrices, denominator)
        self.matrices.write_back()


def step_alone(tensor: BlockTensor, v: Tensor) -> None:
    """Take the step of a tensor whose blocks, with second moments v, are its own."""
    if tensor.index is None and tensor.matrices.columns <= CHUNK:
        tensor.move_row_by_row(v.view(-1, 1))
        return
    v = v.view(-1)
    mean = tensor.block_squares() / tensor.blocks.sizes(tensor.x)
    v.mul_(tensor.beta2).add_(mean.to(v.dtype), alpha=1 - tensor.beta2)
    tensor.move(tensor.root(v, tensor.count))


def step_together(tensors: list[BlockTensor], v: Tensor, block_step: Tensor, sizes: Tensor) -> None:
    """Take the step of tensors whose blocks are common to them.

    Args:
        tensors: those that have a gradient in this step, none of them empty.
        v, block_step: second moment and number of updates of each block of the table.
        sizes: number of coordinates of each block in these tensors; 0 leaves the block alone.
    """
    v, block_step = v.view(-1), block_step.view(-1)
    sums = torch.zeros(v.shape, dtype=sum_dtype(v.device), device=v.device)
    for tensor in tensors:
        sums += tensor.block_squares().to(sums)
    beta2 = tensors[0].beta2
    active = sizes > 0
    v.copy_(torch.where(active, v * beta2 + sums / sizes.clamp(min=1) * (1 - beta2), v))
    block_step += active
    roots: dict[int, Tensor] = {}
    for tensor in tensors:
        if id(tensor.group) not in roots:
            roots[id(tensor.group)] = tensor.root(v.to(sums.dtype), block_step.to(sums.dtype))
        tensor.move(roots[id(tensor.group)].to(tensor.x.device))


def sum_dtype(device: torch.device) -> torch.dtype:
    """Precision in which squares are summed over a block: double, where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64
