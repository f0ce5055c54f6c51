"""The optimizers that experiments compare, by the name that records, figures and legends use."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from linfcourse import optim, rotations


@dataclass(frozen=True)
class Method:
    """One optimizer of a comparison: its label, and how it is made from parameters and an lr."""

    name: str
    label: str
    make: Callable[..., torch.optim.Optimizer]


def _adam(params, lr, betas):
    return optim.Adam(params, lr=lr, betas=betas)


def _adasgd(params, lr, betas):
    return optim.AdaSGD(params, lr=lr, betas=betas)


def _sgd(params, lr, betas):
    # β₁ plays the same part as in Adam: an average of gradients, not a sum, so dampening = β₁.
    # (The first step's buffer is g itself in torch: a bias correction of its own.)
    return torch.optim.SGD(params, lr=lr, momentum=betas[0], dampening=betas[0])


def _sign(params, lr, betas):
    return optim.Signum(params, lr=lr, momentum=betas[0])


def _rotated(make):
    def build(params, lr, betas, *, seed=0, scope="global", rotation=None):
        return optim.Rotated(
            params,
            lambda rotated: make(rotated, lr, betas),
            rotation=rotations.Hadamard(seed=seed) if rotation is None else rotation,
            scope=scope,
        )

    return build


METHODS = {
    method.name: method
    for method in (
        Method("adam", "Adam", _adam),
        Method("rotated_adam", "rotated Adam", _rotated(_adam)),
        Method("adasgd", "AdaSGD", _adasgd),
        Method("rotated_adasgd", "rotated AdaSGD", _rotated(_adasgd)),
        Method("sgd", "SGD", _sgd),
        Method("rotated_sgd", "rotated SGD", _rotated(_sgd)),
        Method("sign", "sign descent", _sign),
    )
}


def make_optimizer(
    name: str,
    params: Iterable[Tensor],
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    **rotation: object,
) -> torch.optim.Optimizer:
    """The optimizer of that name on these parameters.

    Args:
        name: a key of `METHODS`.
        params: parameters or parameter groups.
        lr: learning rate, in the unit of that optimizer.
        betas: (β₁, β₂); methods without a second moment ignore β₂.
        rotation: `seed` (of a `Hadamard`) or `rotation`, and `scope`, for the rotated ones.

    Raises:
        ValueError: no method of that name.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {sorted(METHODS)}, got {name!r}")
    return METHODS[name].make(params, lr, betas, **rotation)
