"""Checks of the exercises of chapter 5."""

from __future__ import annotations

import math

import torch

from linfcourse import optim
from linfcourse.checks.check import Wrong, as_number, call, exercise, recognise


@exercise("5.1")
def first_step_without_correction(answer):
    """|u₁| of Adam without bias correction, β = (0.9, 0.999)."""
    value = as_number(answer)
    beta1, beta2 = 0.9, 0.999
    right = (1 - beta1) / math.sqrt(1 - beta2)
    if math.isclose(value, right, rel_tol=5e-3):
        return "Three times too long, and the next few steps are longer still."
    mistakes = {
        -right: "A length is asked for: it has no sign.",
        1.0: "That is the first step *with* bias correction.",
        (1 - beta1) / (1 - beta2): "Adam divides by the root of v, not by v itself.",
        1 - beta1: "That is the size of m₁ alone; v₁ is too small as well.",
        1 / right: "Upside down: m₁ stands in the numerator.",
    }
    recognise(value, mistakes.items(), rtol=5e-3)
    raise Wrong("Write m₁ and v₁ as multiples of g and g², and divide m₁ by √v₁.")


@exercise("5.2")
def longest_step(answer):
    """B of the theorem for β = (0.9, 0.98)."""
    value = as_number(answer)
    beta1, beta2 = 0.9, 0.98
    right = (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1**2 / beta2))
    if math.isclose(value, right, rel_tol=5e-3):
        return "A gradient that grows by a factor of 0.98/0.9 a step gets there."
    mistakes = (
        (
            1 / math.sqrt(1 - beta2),
            "That is the bound for β₁ = 0; the average over gradients shortens the step.",
        ),
        (
            (1 - beta1) / math.sqrt(1 - beta2),
            "The factor √(1 − β₁²/β₂) is missing: earlier gradients count in m, too.",
        ),
        (
            (1 - beta1) / math.sqrt((1 - beta2) * (1 - beta1 / beta2)),
            "β₁ is squared in 1 − β₁²/β₂.",
        ),
        (right**2, "That is B²: take the root."),
        (1.0, "Steps of at most one learning rate need β₁ = β₂."),
    )
    recognise(value, mistakes, rtol=5e-3)
    raise Wrong("Insert β₁ = 0.9 and β₂ = 0.98 into the theorem on the longest step.")


@exercise("5.3")
def change_of_units(answer):
    """Exponents of c in the learning rates of SGD and Adam when w = cx."""
    try:
        sgd, adam = (as_number(part) for part in answer)
    except (TypeError, ValueError):
        raise Wrong("A pair of exponents is asked for: (for SGD, for Adam).") from None
    if (sgd, adam) == (2, 1):
        return "So a learning rate of Adam has the unit of a weight."
    if (sgd, adam) == (1, 2):
        raise Wrong("The right two numbers in the wrong order: SGD comes first.")
    if (sgd, adam) == (-2, -1):
        raise Wrong("The wrong way round: larger numbers for the weights need larger steps.")
    if sgd == 1:
        raise Wrong(
            "SGD: the step must grow by c, but the gradient with respect to w shrinks, too."
        )
    if sgd == 0:
        raise Wrong("SGD: the gradient with respect to w = cx is not that with respect to x.")
    if adam == 2:
        raise Wrong("Adam does not see that the gradient has shrunk; ask only for the step's size.")
    if adam == 0:
        raise Wrong("Adam ignores the size of the gradient, but its step has to grow by c.")
    raise Wrong("Write the gradient in w by the chain rule, and the step that w has to make.")


class _Shrink(torch.optim.Optimizer):
    """x ← 0.9 x whatever the gradient: a linear map, so blind to every T."""

    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.mul_(0.9)


def _sgd(params):
    return torch.optim.SGD(params, lr=0.05, momentum=0.5)


def _adam(params):
    return optim.Adam(params, lr=0.05, betas=(0.5, 0.9))


@exercise("5.4")
def own_test_of_blindness(answer):
    """`same_path(make_optimizer, T)` on optimizers and matrices whose answer is known."""
    generator = torch.Generator().manual_seed(54)
    d = 5
    q, r = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
    rotation = q * r.diagonal().sign()
    eye = torch.eye(d, dtype=torch.float64)
    permutation = eye[torch.tensor([3, 0, 4, 1, 2])] * torch.tensor([1.0, -1, 1, -1, -1]).double()
    stretch = torch.tensor([0.5, 3.0, 1.0, 2.0, 0.2], dtype=torch.float64).diag()
    cases = (
        (_sgd, eye, True, "With T = I both runs are the same, and your function denies it."),
        (
            _adam, rotation, False,
            "Adam is not blind to rotations, and your function says that it is. Does it compare "
            "whole points, and not only losses or lengths at the start?",
        ),
        (
            _sgd, rotation, True,
            "SGD is blind to rotations, and your function denies it. Start at w = Tx, let the "
            "optimizer work on w with the loss L(T⁻¹w), and map w back before you compare; "
            "leave room for rounding.",
        ),
        (
            _Shrink, stretch, True,
            "For w ← 0.9 w and a diagonal T the paths agree, and your function denies it. T need "
            "not be orthogonal: use its inverse, not its transpose.",
        ),
        (
            _sgd, stretch, False,
            "SGD is not blind to a stretch of the axes, and your function says that it is. Let "
            "autograd find the gradient with respect to w; it is T⁻ᵀ times that in x, not T times.",
        ),
        (
            _adam, permutation, True,
            "Adam is blind to signed permutations, and your function denies it.",
        ),
        (_adam, stretch, False, "Adam is not blind to a stretch; your function says that it is."),
    )  # fmt: skip
    for make, T, right, message in cases:
        said = call(answer, make, T.clone(), what="same_path")
        if hasattr(said, "item") and getattr(said, "size", None) is not None:
            try:
                said = said.item()  # one number in a tensor or an array
            except (RuntimeError, ValueError):
                raise Wrong(
                    "same_path should return one True or False, and it returned one a coordinate: "
                    "the paths agree if all of them do."
                ) from None
        if not isinstance(said, bool | int) or said not in (0, 1):
            raise Wrong("same_path should return True or False.")
        if bool(said) != right:
            raise Wrong(message)
    return "It tells blind from seeing on seven cases, one of them not orthogonal."
