"""Checks of the exercises of chapter 3."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from linfcourse.checks.check import (
    Wrong,
    as_number,
    as_numbers,
    as_tensor,
    call,
    exercise,
    recognise,
)
from linfcourse.hessian.linf_constant import exact_linf_constant


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-9)


@exercise("3.1")
def three_constants(answer):
    """(C₂, C∞, C of one block) of ½(4x₁² + x₂²)."""
    two, infinity, block = as_numbers(answer, 3)
    if (_same(two, 2), _same(infinity, 2.5), _same(block, 4)) == (True, True, True):
        raise Wrong("All are half of what they should be: the Hessian is diag(4, 1).")
    if not _same(two, 4):
        if _same(two, math.sqrt(17)):
            raise Wrong("The first is the Frobenius norm; the spectral norm is asked for.")
        raise Wrong("The constant in ℓ2 is the largest curvature. What is the Hessian?")
    if not _same(infinity, 5):
        if _same(infinity, 4):
            raise Wrong("In ℓ∞ all coordinates may move at once, and all the curvatures add up.")
        if _same(infinity, 10):
            raise Wrong("A factor d does not belong to ℓ∞: its ball is the large one already.")
        raise Wrong("The constant in ℓ∞: add the absolute values of all entries of the Hessian.")
    if _same(block, 4):
        raise Wrong("One block is not ℓ2: a step of root mean square 1 has ℓ2 length √d.")
    if _same(block, 4 * math.sqrt(2)):
        raise Wrong("Both the step and the gradient are measured in other units: not √d but d.")
    if _same(block, 2):
        raise Wrong("The factor d is on the wrong side: the unit ball has become larger.")
    if not _same(block, 8):
        raise Wrong("The constant of one block is d times that of ℓ2.")
    return "5 against 8 is the fair comparison, and not 5 against 4."


@exercise("3.2")
def plan(answer):
    """`plan(gap, C, T) -> (lr, bound)` with lr = √(2Δ/CT) and bound √(2ΔC/T)."""
    for gap, C, T in ((2.0, 9.0, 5), (0.5, 3.0, 100), (7.0, 0.2, 10)):
        lr, bound = as_numbers(call(answer, gap, C, T), 2)
        right = (math.sqrt(2 * gap / (C * T)), math.sqrt(2 * gap * C / T))
        if _same(lr, right[0]) and _same(bound, right[1]):
            continue
        if _same(lr, right[1]) and _same(bound, right[0]):
            raise Wrong("Right, in the other order: the learning rate comes first.")
        if _same(lr, right[0] / math.sqrt(2)):
            raise Wrong("A factor √2 is missing in lr: the second term has C/2, not C.")
        if _same(lr, right[0] ** 2):
            raise Wrong("The root is missing: set the derivative of Δ/(ηT) + Cη/2 to zero.")
        if _same(lr, 1 / C):
            raise Wrong("1/C belongs to steps with the dual-norm factor; these have fixed length.")
        if _same(lr, right[0]):
            if _same(bound, right[1] / 2):
                raise Wrong("lr is right; the bound has two terms, and here they are equal.")
            if _same(bound, right[1] ** 2):
                raise Wrong("lr is right; the bound lacks its root.")
            raise Wrong("lr is right; put it into Δ/(ηT) + Cη/2.")
        value = gap / (lr * T) + C * lr / 2 if lr > 0 else math.inf
        raise Wrong(
            f"For gap = {gap}, C = {C}, T = {T} this lr promises {value:.3g}; "
            f"there is one that promises {right[1]:.3g}."
        )
    return "Four times the steps promise half the gradient."


@exercise("3.3")
def sharp(answer):
    """`sharp(H) -> ‖H‖_{∞→1}` of any small symmetric matrix."""
    generator = torch.Generator().manual_seed(33)
    A = torch.randn(5, 5, generator=generator, dtype=torch.float64)
    triangle = torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]], dtype=torch.float64)
    matrices = {
        "the triangle of the text": triangle,
        "a positive semi-definite 5×5 matrix": A @ A.T,
        "diag(1, −1)": torch.tensor([1.0, -1.0], dtype=torch.float64).diag(),
        "a symmetric 5×5 matrix": A + A.T,
    }
    for name, H in matrices.items():
        got, right = as_number(call(answer, H.clone())), exact_linf_constant(H)
        if _same(got, right):
            continue
        corners = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0]).double()] * len(H))
        products = corners @ H
        forms = (products * corners).sum(dim=1)
        mistakes = (
            (forms.max(), "with one sign vector on both sides; this H is not semi-definite."),
            (forms.abs().max(), "with one sign vector on both sides; this H is not semi-definite."),
            (H.abs().sum(), "which is the (1,1)-norm, an upper bound."),
            (len(H) * torch.linalg.matrix_norm(H, 2), "which is d‖H‖₂, an upper bound."),
            (H.sum(dim=1).abs().sum(), "which is ‖Hs‖₁ for s = (1, …, 1) only."),
            (products.abs().amax(), "which takes the largest entry of Hs; ‖Hs‖₁ is the sum."),
            (products.norm(dim=1).max(), "which is the largest ‖Hs‖₂; the ℓ1 norm is asked for."),
            (products.abs().sum(dim=1).mean(), "which is the mean over the corners."),
        )
        found = f"For {name} you return {got:.4g}, "
        recognise(got, [(value, found + which) for value, which in mistakes], rtol=1e-4, atol=1e-9)
        side = "too large: no corner reaches it" if got > right else "too small: try more corners"
        raise Wrong(f"For {name} you return {got:.4g}, which is {side}.")
    return "Positive semi-definite or not."


@exercise("3.4")
def far_apart(answer):
    """A symmetric 4×4 matrix with ‖H‖₁,₁ ≥ 1.9 ‖H‖_{∞→1}."""
    H = as_tensor(answer, torch.empty(4, 4, dtype=torch.float64), "The matrix")
    if not torch.isfinite(H).all():
        raise Wrong("All entries should be finite numbers.")
    if not torch.allclose(H, H.T):
        raise Wrong("The matrix is not symmetric.")
    if H.abs().max() == 0:
        raise Wrong("Both constants of the zero matrix are zero.")
    ratio = (H.abs().sum() / exact_linf_constant(H)).item()
    if ratio >= 1.9 - 1e-9:
        return f"The ratio is {ratio:.2f}."
    if ratio <= 1 + 1e-9:
        raise Wrong("Here the two are equal: the signs of the entries have rank one. Mix them.")
    raise Wrong(f"The ratio is {ratio:.2f}. Which matrix was extreme in part 3 of the theorem?")


@exercise("3.5")
def better_weights(answer):
    """y ∈ ℝ⁴ with diag(y) ± H ⪰ 0 and Σy < 20 for H = triangle ⊕ 10."""
    y = as_tensor(answer, torch.empty(4, dtype=torch.float64), "y")
    if not torch.isfinite(y).all():
        raise Wrong("All entries should be finite numbers.")
    triangle = torch.tensor([[2.0, -1, -1], [-1, 2, -1], [-1, -1, 2]], dtype=torch.float64)
    H = torch.block_diag(triangle, torch.tensor([[10.0]], dtype=torch.float64))
    for sign, name in ((1, "diag(y) − H"), (-1, "diag(y) + H")):
        least, vectors = _lowest(y.diag() - sign * H)
        if least < -1e-6:
            hint = " (the diagonal of H is not enough)" if torch.equal(y, H.diagonal()) else ""
            where = ", ".join(f"{v:.2f}" for v in vectors.tolist())
            raise Wrong(f"{name} is negative in the direction ({where}){hint}.")
    total = y.sum().item()
    if _same(total, 22) and torch.allclose(y, H.abs().sum(dim=1)):
        raise Wrong("Allowed, but these are the row sums: Adam's bound, 22.")
    if _same(total, 40):
        raise Wrong("Allowed, but this is ‖H‖₂ in each coordinate: AdaSGD's bound, 40.")
    if total >= 20:
        raise Wrong(f"Allowed, and the sum is {total:.4g}. Each block may have a bound of its own.")
    return f"The sum is {total:.4g}, better than both."


def _lowest(M: Tensor) -> tuple[float, Tensor]:
    values, vectors = torch.linalg.eigh(M)
    return values[0].item(), vectors[:, 0]
