"""Adam and its relatives: names for partitions of ``BlockwiseAdam``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from linfcourse.optim.blockwise_adam import BlockwiseAdam
from linfcourse.partitions import adam_mini, coordinatewise, per_tensor, whole


class Adam(BlockwiseAdam):
    """Adam: every coordinate has its own second moment; weight decay is an ℓ2 penalty.

    The same numbers as ``torch.optim.Adam``, and interchangeable states. See ``BlockwiseAdam`` for
    the arguments. ``weight_decay`` is added to the gradient, λx, before both moments.

    Source: Kingma, Ba (2015), arXiv 1412.6980.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.zeros(2))
    >>> x.grad = torch.tensor([3.0, -0.5])
    >>> Adam([x], lr=0.1).step()
    >>> x.detach().round(decimals=4)
    tensor([-0.1000,  0.1000])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: bool,
    ) -> None:
        options = {"decoupled_weight_decay": False, **options}
        super().__init__(params, lr, betas, eps, weight_decay, partition=coordinatewise, **options)


class AdamW(BlockwiseAdam):
    """AdamW: every coordinate has its own second moment; weight decay shrinks the parameter.

    The same numbers as ``torch.optim.AdamW``, and interchangeable states. See ``BlockwiseAdam`` for
    the arguments.

    Source: Loshchilov, Hutter (2019), arXiv 1711.05101.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.ones(2))
    >>> x.grad = torch.tensor([3.0, -0.5])
    >>> AdamW([x], lr=0.1, weight_decay=0.5).step()
    >>> x.detach().round(decimals=4)
    tensor([0.8500, 1.0500])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        **options: bool,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, partition=coordinatewise, **options)


class AdaSGD(BlockwiseAdam):
    """AdaSGD: all coordinates of all parameters share one second moment.

    Gradient descent with momentum whose one step size is lr/(√v̂ + ε), v̂ the averaged mean square of
    the gradient. Unlike Adam it takes the same path in rotated coordinates. See ``BlockwiseAdam``
    for the arguments; weight decay is decoupled.

    Source: Wang, Wiens (2020), arXiv 2006.11541 (the name); Xie, Mohamadi, Li (2024),
    arXiv 2410.08198.

    >>> import torch
    >>> x = torch.nn.Parameter(torch.zeros(2))
    >>> x.grad = torch.tensor([3.0, 4.0])  # mean square 12.5
    >>> AdaSGD([x], lr=0.1).step()
    >>> x.detach().round(decimals=4)
    tensor([-0.0849, -0.1131])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: bool,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, partition=whole, **options)


class Adalayer(BlockwiseAdam):
    """Adalayer: the coordinates of each tensor share one second moment.

    See ``BlockwiseAdam`` for the arguments; weight decay is decoupled.

    Source: Zhao et al. (2024), arXiv 2407.07972.

    >>> import torch
    >>> x, y = (torch.nn.Parameter(torch.zeros(2)) for _ in range(2))
    >>> x.grad, y.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.1, 0.1])
    >>> Adalayer([x, y], lr=0.1).step()
    >>> x.detach().round(decimals=4), y.detach().round(decimals=4)
    (tensor([-0.0849, -0.1131]), tensor([-0.1000, -0.1000]))
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        **options: bool,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, partition=per_tensor, **options)


class AdamMini(BlockwiseAdam):
    """Adam-mini: a second moment for each head, output neuron and token.

    See ``BlockwiseAdam`` for the arguments, ``partitions.adam_mini`` for the blocks; weight decay
    is decoupled.

    Args:
        model: the model whose parameters ``params`` are; its modules say how they are cut.

    Source: Zhang et al. (2024), arXiv 2406.16793.

    >>> import torch
    >>> model = torch.nn.Linear(2, 3)
    >>> optimizer = AdamMini(model.parameters(), lr=0.1, model=model)
    >>> _ = model(torch.ones(2)).sum().backward()
    >>> optimizer.step()
    >>> optimizer.state[model.weight]["exp_avg_sq"].shape
    torch.Size([3, 1])
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        model: nn.Module,
        **options: bool,
    ) -> None:
        partition = adam_mini(model)
        super().__init__(params, lr, betas, eps, weight_decay, partition=partition, **options)
