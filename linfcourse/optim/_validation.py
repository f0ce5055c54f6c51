"""Checks of what an optimizer is given, each with a sentence that names the argument and the mend.

All of them run before the first in-place write, so that a refused call leaves nothing half-updated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer


def check_number(name: str, value: Any, *, low: float = 0.0, below: float = math.inf) -> None:
    """Refuse a ``value`` that is not a finite real number with low <= value < below.

    A tensor of one element is a number too, as torch's tensor learning rates are.
    """
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_complex() or value.dtype is torch.bool:
            raise ValueError(
                f"{name} must be a number or a real tensor of one element, not a tensor of shape "
                f"{tuple(value.shape)} and dtype {value.dtype}"
            )
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, not {value!r} ({type(value).__name__})")
    if not low <= value < below:  # also false for NaN
        allowed = (
            f"at least {low:g} and finite" if below == math.inf else f"in [{low:g}, {below:g})"
        )
        raise ValueError(f"{name} must be {allowed}, not {value!r}")


def check_betas(betas: Any) -> None:
    """Refuse ``betas`` that are not a pair of numbers in [0, 1)."""
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise ValueError(f"betas must be a pair of numbers such as (0.9, 0.99), not {betas!r}")
    for index, beta in enumerate(betas):
        check_number(f"betas[{index}]", beta, below=1.0)


def check_flag(name: str, value: Any) -> None:
    """Refuse a switch that is not True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def parameter_name(group: Mapping[str, Any], index: int) -> str:
    """How to speak of a group's parameter: by its name where it has one, else by its place."""
    names = group.get("param_names")
    described = f"parameter {names[index]!r}" if names else f"parameter {index}"
    return f"{described} of shape {tuple(group['params'][index].shape)}"


def check_parameters(group: Mapping[str, Any]) -> None:
    """Refuse a group with a parameter that ``step`` could not write to."""
    for parameter in group["params"]:
        check_parameter(parameter)


def check_parameter(parameter: Tensor) -> None:
    """Refuse a parameter that cannot be stepped in place as floating-point numbers."""
    shape = tuple(parameter.shape)
    if not (parameter.is_floating_point() or parameter.is_complex()):
        raise TypeError(
            f"params: a parameter of shape {shape} has dtype {parameter.dtype}; "
            "only floating-point and complex parameters can be optimized"
        )
    if parameter.layout is not torch.strided:
        raise TypeError(
            f"params: a parameter of shape {shape} is sparse ({parameter.layout}); "
            "make it dense with to_dense()"
        )
    if any(n > 1 and step == 0 for n, step in zip(shape, parameter.stride(), strict=True)):
        raise ValueError(
            f"params: a parameter of shape {shape} is expanded, several of its entries are one "
            "place in memory; pass the tensor that was expanded, or clone() it"
        )
    if parameter.is_conj() or parameter.is_neg():
        raise ValueError(
            f"params: a parameter of shape {shape} is a lazy conjugate or negative of another "
            "tensor; pass resolve_conj().resolve_neg() of it"
        )


@contextmanager
def same_shapes(optimizer: Optimizer, name: str) -> Iterator[None]:
    """Refuse, while a state is loaded, one whose tensors ``name`` do not fit their parameters.

    torch would take it, and ``step`` fail at the first such parameter with those before it moved.
    """

    # A hook, so as to see the dictionary after the user's own hooks have changed it.
    def check(_: Optimizer, given: dict[str, Any]) -> None:
        keys = [key for group in given["param_groups"] for key in group["params"]]
        places = [(g, i) for g in optimizer.param_groups for i in range(len(g["params"]))]
        if len(keys) != len(places):
            return  # torch says what is wrong
        for key, (group, index) in zip(keys, places, strict=True):
            saved = given["state"].get(key, {}).get(name)
            if saved is not None and saved.shape != group["params"][index].shape:
                raise ValueError(
                    f"state_dict does not fit: its {name} for {parameter_name(group, index)} has "
                    f"shape {tuple(saved.shape)}; build the optimizer with the parameters that "
                    "the state was saved with"
                )

    handle = optimizer.register_load_state_dict_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()


def dense_gradients(optimizer: Optimizer) -> list[tuple[dict[str, Any], Tensor, Tensor]]:
    """List (group, parameter, gradient) for every parameter that has a gradient.

    Raises:
        TypeError: if a gradient is sparse.
    """
    found = []
    for group in optimizer.param_groups:
        for index, parameter in enumerate(group["params"]):
            gradient = parameter.grad
            if gradient is None:
                continue
            if gradient.layout is not torch.strided:
                raise TypeError(
                    f"the gradient of {parameter_name(group, index)} is sparse, which "
                    f"{type(optimizer).__name__} does not support: build the layer with "
                    "sparse=False, or make the gradient dense before step()"
                )
            found.append((group, parameter, gradient))
    return found


def as_real(tensor: Tensor) -> Tensor:
    """See a complex tensor as its pairs of reals, to be written to; a real tensor is itself."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
