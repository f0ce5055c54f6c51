"""Frank–Wolfe on the ball of a norm, and the two certificates that say how far from done one is.

To minimise L over the ball ‖x‖ ≤ r, Frank–Wolfe asks the linear minimisation oracle for the point
of the ball where the linear function ⟨∇L(x), ·⟩ is least, r·lmo(∇L(x)), and goes a part of the way
there. It needs no projection. Steepest descent with decoupled weight decay λ is this algorithm on
the ball of radius 1/λ (arXiv 2404.04454), so the certificates are for trained weights too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

from linfcourse.norms import LInf, Norm
from linfcourse.norms.base import as_real


class KKT(NamedTuple):
    """How far a point is from the Karush–Kuhn–Tucker conditions of min L on ‖x‖ ≤ 1/λ.

    Attributes:
        residual: 1 − ⟨−λx, g⟩/‖g‖_*, without unit. In the ball it lies in [0, 2] and is 0 exactly
            at KKT points; outside it can be negative and means nothing.
        excess: ‖x‖ − 1/λ, in the unit of x. At most 0 in the ball.
    """

    residual: float
    excess: float


@torch.no_grad()
def kkt_residual(
    x: Tensor | Sequence[Tensor],
    g: Tensor | Sequence[Tensor],
    weight_decay: float,
    norm: Norm = LInf(),  # noqa: B008 (norms do not change)
) -> KKT:
    r"""How far x with gradient g is from a KKT point of min L subject to ‖x‖ ≤ 1/λ.

    .. math:: 1 - \frac{\langle -\lambda x, g\rangle}{\|g\|_*}, \qquad \|x\| - \frac1\lambda .

    In the ball ⟨−λx, g⟩ ≤ ‖λx‖·‖g‖_* ≤ ‖g‖_*; equality says that x is the point of the ball where
    ⟨g, ·⟩ is least, which for a ball is what the KKT conditions say. For ℓ∞ it means: every
    coordinate with g_i ≠ 0 sits at −sign(g_i)/λ. With g = 0 the residual is 0.

    Args:
        x: a tensor, or a list of parameters. For several the norm is taken tensor by tensor and
            combined by the maximum, as in ``SteepestDescent``, so the dual norms are added.
        g: the gradient of the whole loss at x, of x's shape or shapes.
        weight_decay: λ > 0, decoupled.
        norm: the norm of the ball; ℓ∞ for AdamW and sign descent.

    Returns:
        ``KKT(residual, excess)``, computed in float64 where the device has it. Look at both.

    Raises:
        ValueError: shapes that differ, a gradient that is None, λ not positive and finite.
        TypeError: by the norm, for tensors that it does not take.

    Source: arXiv 2404.04454.

    >>> x, g = torch.tensor([-1.0, 0.5]), torch.tensor([2.0, 0.0])
    >>> kkt_residual(x, g, weight_decay=1.0)
    KKT(residual=0.0, excess=0.0)
    >>> kkt_residual(x, torch.tensor([2.0, 2.0]), weight_decay=1.0)
    KKT(residual=0.75, excess=0.0)
    """
    weight_decay = _positive("weight_decay", weight_decay)
    xs, gs = _pairs(x, g)
    dual = _dual(gs, norm)
    residual = 1.0 + weight_decay * _inner(xs, gs) / dual if dual != 0 else 0.0
    size = max(float(norm(t)) for t in xs)
    # max() drops a NaN that is not the first
    size = math.nan if any(torch.isnan(as_real(t)).any() for t in xs) else size
    return KKT(residual, size - 1.0 / weight_decay)


@torch.no_grad()
def frank_wolfe_gap(
    x: Tensor | Sequence[Tensor],
    g: Tensor | Sequence[Tensor],
    radius: float,
    norm: Norm = LInf(),  # noqa: B008
) -> float:
    r"""The Frank–Wolfe gap of x on the ball ‖s‖ ≤ r: a bound on L(x) − min L if L is convex.

    .. math:: \max_{\|s\| \le r} \langle g, x - s\rangle = \langle g, x\rangle + r\,\|g\|_* .

    In the ball it is at least 0, and 0 exactly at KKT points; it is ``kkt_residual`` in the unit of
    the loss, r‖g‖_* times as large. It costs nothing beyond the gradient.

    Args:
        x, g: as in ``kkt_residual``.
        radius: r > 0; 1/λ for an optimizer with weight decay λ.
        norm: the norm of the ball.

    Raises:
        ValueError, TypeError: as in ``kkt_residual``.

    Source: Jaggi, *Revisiting Frank-Wolfe: projection-free sparse convex optimization*, ICML 2013.

    >>> frank_wolfe_gap(torch.tensor([0.5, -0.5]), torch.tensor([1.0, 1.0]), radius=1.0)
    2.0
    """
    xs, gs = _pairs(x, g)
    return _inner(xs, gs) + _positive("radius", radius) * _dual(gs, norm)


def open_loop_step(t: int) -> float:
    """2/(t + 2), the step size that needs to know nothing; t = 0, 1, … so that the first is 1.

    As a learning rate with weight decay λ it is η_t = 2/(λ(t + 1)) at steps t = 1, 2, …

    >>> [round(open_loop_step(t), 3) for t in range(4)]
    [1.0, 0.667, 0.5, 0.4]
    """
    return 2.0 / (t + 2)


def frank_wolfe(
    grad: Callable[[Tensor], Tensor],
    x0: Tensor,
    norm: Norm = LInf(),  # noqa: B008
    radius: float = 1.0,
    steps: int = 100,
    step_size: float | Callable[[int], float] = open_loop_step,
) -> Tensor:
    r"""Minimise over the ball ‖x‖ ≤ r by going towards the best vertex of the linear model.

    .. math::
        v_t = r\,\operatorname{lmo}(\nabla L(x_t)), \qquad
        x_{t+1} = x_t + \gamma_t\,(v_t - x_t), \qquad t = 0, 1, \dots

    Args:
        grad: x ↦ ∇L(x).
        x0: the start, inside the ball or not; its dtype is that of the path.
        norm: the norm of the ball.
        radius: r > 0.
        steps: how many.
        step_size: γ in [0, 1], or t ↦ γ_t for t = 0, 1, …

    Returns:
        The points x_0, …, x_steps, of shape (steps + 1, *x0.shape).

    Raises:
        ValueError: a radius or a number of steps out of range, a γ outside [0, 1], a gradient of
            another shape than x.

    Source: M. Frank, P. Wolfe, *An algorithm for quadratic programming*, 1956; Jaggi, 2013.

    >>> target = torch.tensor([2.0, 0.5], dtype=torch.float64)
    >>> path = frank_wolfe(lambda x: x - target, torch.zeros_like(target), steps=1000)
    >>> path[-1].round(decimals=2)
    tensor([1.0000, 0.5000], dtype=torch.float64)
    """
    radius = _positive("radius", radius)
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
        raise ValueError(f"steps must be an integer, 0 or more, not {steps!r}")
    x = x0.detach().clone()
    path = [x]
    for t in range(steps):
        gamma = step_size(t) if callable(step_size) else step_size
        if not 0.0 <= gamma <= 1.0:
            raise ValueError(
                f"step_size must be in [0, 1], not {gamma!r} at t = {t}: a longer step would "
                "leave the ball"
            )
        g = grad(x)
        if g.shape != x.shape:
            raise ValueError(f"grad must return x's shape {tuple(x.shape)}, not {tuple(g.shape)}")
        x = x + gamma * (radius * norm.lmo(g) - x)
        path.append(x)
    return torch.stack(path)


def _positive(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive, finite number, not {value!r}")
    return float(value)


def _pairs(
    x: Tensor | Sequence[Tensor], g: Tensor | Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """x and g as two lists of tensors of the same shapes, in the best precision there is."""
    xs = [x] if isinstance(x, Tensor) else list(x)
    gs = [g] if isinstance(g, Tensor) else list(g)
    if len(xs) != len(gs) or not xs:
        raise ValueError(
            f"x has {len(xs)} tensors and g has {len(gs)}: give one gradient for each tensor"
        )
    for index, (a, b) in enumerate(zip(xs, gs, strict=True)):
        if b is None:
            raise ValueError(
                f"g: tensor {index} has no gradient: call backward() first, or leave it out of both"
            )
        if a.shape != b.shape:
            raise ValueError(
                f"g: tensor {index} has shape {tuple(b.shape)}, but x has {tuple(a.shape)} there"
            )
    return [_exact(t) for t in xs], [_exact(t) for t in gs]


def _exact(t: Tensor) -> Tensor:
    t = t.detach()
    if t.device.type == "mps" or not (t.is_floating_point() or t.is_complex()):
        return t  # no float64 there; a norm says what it thinks of integers
    return t.to(torch.complex128 if t.is_complex() else torch.float64)


def _inner(xs: list[Tensor], gs: list[Tensor]) -> float:
    products = [float((as_real(x) * as_real(g)).sum()) for x, g in zip(xs, gs, strict=True)]
    return math.fsum(products) if all(map(math.isfinite, products)) else sum(products)


def _dual(gs: list[Tensor], norm: Norm) -> float:
    """The dual of the maximum of the tensors' norms: the sum of their duals."""
    return sum(float(norm.dual(g)) for g in gs)
