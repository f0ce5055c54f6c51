"""Blockwise Adam: Adam whose coordinates share a second moment with the others of their block."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from linfcourse.norms.base import as_real
from linfcourse.optim._block_state import BlockStateOptimizer, is_coordinatewise
from linfcourse.optim._block_steps import BlockTensor, step_alone, step_together
from linfcourse.optim._coordinatewise import Coordinatewise, coordinatewise_step
from linfcourse.optim._validation import check_flag, dense_gradients
from linfcourse.partitions import Blocks, Partition, coordinatewise


def blockwise_adam_update(
    x: Tensor,
    g: Tensor,
    m: Tensor,
    v: Tensor,
    t: int,
    ids: Tensor,
    *,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    bias_correction: bool = True,
    eps_inside_root: bool = False,
    decoupled_weight_decay: bool = True,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one step of blockwise Adam on flat vectors: the definition, written to be read.

    ``BlockwiseAdam`` computes the same numbers tensor by tensor, faster and in place.

    Args:
        x, g, m: parameters, gradient, first moment, of shape (d,).
        v: second moment of each block, of shape (B,).
        t: number of this step, from 1.
        ids: block of each coordinate, int64 of shape (d,) with labels 0..B−1.
        lr, betas, eps, weight_decay, bias_correction, eps_inside_root, decoupled_weight_decay:
            as in ``BlockwiseAdam``.

    Returns:
        The new x, m and v.

    >>> x, g = torch.zeros(3), torch.tensor([3.0, 4.0, 5.0])
    >>> ids = torch.tensor([0, 0, 1])
    >>> x, m, v = blockwise_adam_update(x, g, torch.zeros(3), torch.zeros(2), 1, ids, lr=0.1)
    >>> v.div(0.001).round(decimals=2), x.round(decimals=4)
    (tensor([12.5000, 25.0000]), tensor([-0.0849, -0.1131, -0.1000]))
    """
    beta1, beta2 = betas
    if decoupled_weight_decay:
        x = (1 - lr * weight_decay) * x
    else:
        g = g + weight_decay * x
    block_mean = torch.zeros_like(v).index_add(0, ids, g**2) / torch.bincount(ids)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * block_mean
    m_hat = m / (1 - beta1**t) if bias_correction else m
    v_hat = v / (1 - beta2**t) if bias_correction else v
    root = (v_hat + eps).sqrt() if eps_inside_root else v_hat.sqrt() + eps
    x = x - lr * m_hat / root[ids]
    return x, m, v


class BlockwiseAdam(BlockStateOptimizer):
    r"""Adam with one second moment for each block of a partition.

    With Φ(i) the block of coordinate i and d_b the number of coordinates of block b::

        m ← β₁ m + (1 − β₁) g
        v_b ← β₂ v_b + (1 − β₂) ‖g_(b)‖² / d_b
        xᵢ ← (1 − lr·λ) xᵢ − lr · m̂ᵢ / (√v̂_Φ(i) + ε)

    It contains Adam (``coordinatewise``), AdaSGD (``whole``), Adalayer (``per_tensor``) and
    Adam-mini (``adam_mini(model)``). The second moment takes the memory of one number a block, so
    a whole-model AdaSGD needs no more memory than SGD with momentum.

    A parameter without a gradient is left alone, as in torch. A block that lies in several tensors
    takes its mean over the coordinates that have a gradient in this step, and counts, for its bias
    correction, the steps in which it had any. Such a block's number is kept in the state of the
    first parameter in the optimizer that can share blocks.

    Complex parameters are pairs of reals. A NaN or an infinity in a gradient goes through, as in
    torch's Adam, into every coordinate of its block.

    Args:
        params: parameters, (name, parameter) pairs, or dictionaries of parameter groups.
        lr: step size, in units of the parameters: a coordinate moves by about lr a step. A tensor
            of one element may be changed in place between steps.
        betas: decay of the first and second moment, each in [0, 1).
        eps: added to the root of the second moment, in units of the gradient (of the squared
            gradient with ``eps_inside_root``).
        weight_decay: λ.
        partition: which coordinates share a second moment; see ``linfcourse.partitions``. One for
            all parameter groups.
        maximize: ascend instead of descend.
        bias_correction: divide the moments by 1 − βᵗ.
        eps_inside_root: √(v̂ + ε) as in the theory, instead of √v̂ + ε.
        decoupled_weight_decay: shrink x by lr·λ (AdamW); else add λx to the gradient (Adam).
        compiled: make one loop of each tensor's step with ``torch.compile``, for partitions that
            are not coordinate-wise (torch's own kernel is that fast). The first step takes some
            ten seconds longer. Equal to rounding; where it cannot be compiled, one warning, and
            the step as ever. Not part of the state.

    Raises:
        ValueError: for a hyperparameter out of range, no parameters, or a partition that does not
            cover one of them; in ``step``, if two groups that share a block differ in betas[1].
        TypeError: for an argument of the wrong type; in ``step``, for a sparse gradient.

    Source: Xie, Mohamadi, Li (2024), arXiv 2410.08198.

    >>> from linfcourse.partitions import per_row
    >>> w = torch.nn.Parameter(torch.tensor([[1.0, 1.0], [1.0, 1.0]]))
    >>> optimizer = BlockwiseAdam([w], lr=0.1, partition=per_row)
    >>> (w * torch.tensor([[3.0, 4.0], [0.1, 0.1]])).sum().backward()
    >>> optimizer.step()
    >>> w.detach().round(decimals=4)
    tensor([[0.9151, 0.8869],
            [0.9000, 0.9000]])
    >>> optimizer.state[w]["exp_avg_sq"].shape
    torch.Size([2, 1])
    """

    compiled = False  # for one that was pickled without

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        partition: Partition = coordinatewise,
        maximize: bool = False,
        bias_correction: bool = True,
        eps_inside_root: bool = False,
        decoupled_weight_decay: bool = True,
        compiled: bool = False,
    ) -> None:
        check_flag("compiled", compiled)
        self.compiled = compiled
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "bias_correction": bias_correction,
            "eps_inside_root": eps_inside_root,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults, partition)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: reevaluates the model, calls backward and returns the loss.

        Returns:
            What the closure returned, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()

        singles: dict[int, list[Coordinatewise]] = {}
        own: list[tuple[BlockTensor, Tensor]] = []
        sharing: list[tuple[BlockTensor, Tensor]] = []
        for group, parameter, gradient, blocks in self._checked_gradients():
            state = self.momentum_state(parameter)
            x, m = as_real(parameter), as_real(state["exp_avg"])
            g = as_real(gradient.to(parameter.dtype))
            v = None if blocks.shared else self.second_moment(parameter, blocks)
            if x.numel() == 0:
                state["step"] += 1
            elif blocks.shared:
                tensor = BlockTensor(group, x, g, m, state["step"], blocks, self.compiled)
                sharing.append((tensor, parameter))
            elif is_coordinatewise(parameter, blocks):
                tensor = Coordinatewise(x, g, m, as_real(v), state["step"])
                singles.setdefault(id(group), []).append(tensor)
            else:
                tensor = BlockTensor(group, x, g, m, state["step"], blocks, self.compiled)
                own.append((tensor, v))

        for group in self.param_groups:
            coordinatewise_step(singles.get(id(group), []), group)
        for tensor, v in own:
            step_alone(tensor, v)
        if sharing:
            tensors, parameters = map(list, zip(*sharing, strict=True))
            step_together(tensors, *self.shared_table(parameters))
        return loss

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"compiled": self.compiled}

    def _checked_gradients(self) -> list[tuple[dict[str, Any], Tensor, Tensor, Blocks]]:
        """List what has a gradient, after every check, so that a refused step changes nothing."""
        found = [
            (group, parameter, gradient, self.partition.blocks(parameter))
            for group, parameter, gradient in dense_gradients(self)
        ]
        rates = {float(group["betas"][1]) for group, _, _, blocks in found if blocks.shared}
        if len(rates) > 1:
            raise ValueError(
                f"betas[1] must be the same in all parameter groups, not {sorted(rates)}, as "
                f"partition={self.partition!r} has blocks that lie in more than one"
            )
        return found
