"""The spectral norm of a Hessian by Lanczos' method."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.cauchy import check_generator, drawing_device
from linfcourse.hessian.estimate import Estimate, check_probes
from linfcourse.hessian.symmetric import as_operator, finite


def spectral_norm(
    op: Any,
    steps: int = 64,
    tol: float = 1e-4,
    generator: torch.Generator | None = None,
    reorthogonalise: bool = True,
) -> Estimate:
    """‖H‖₂ = max|λ(H)| by Lanczos with full re-orthogonalisation, from a random start.

    After m products Lanczos holds an orthonormal basis Q of the Krylov space of H and a random
    vector, and the tridiagonal T = Qᵀ H Q. With (θ, s) the eigenpair of T of largest |θ|:
    |θ| ≤ ‖H‖₂, and H has an eigenvalue within ρ = βₘ|sₘ| of θ (ρ is the residual of Q s). It stops
    when ρ ≤ tol·|θ|, when the Krylov space is exhausted, or after `steps` products.
    Re-orthogonalising twice keeps Q orthonormal to rounding; without, copies of converged
    eigenvalues appear. Memory: one vector a step.

    Those copies repeat eigenvalues that have been found, to rounding (Paige 1980): they cost steps,
    and leave |θ| and ρ right. So with `reorthogonalise=False` three vectors are enough, for a model
    that has no room for more.

    Args:
        op: a HessianOperator or DenseOperator, anything with `dim` and `matmat`, or a matrix.
        steps: products at most.
        tol: relative residual to stop at. The value's own error is of the order of its square where
            the top eigenvalue is alone.
        generator: for the start.
        reorthogonalise: keep all vectors, and each new one orthogonal to them.

    Returns:
        Estimate with value |θ|, stderr ρ and interval (|θ|, |θ| + ρ). The lower end is a bound. The
        upper end holds if θ has settled at the largest eigenvalue, which a start without any
        component there (probability zero) or too few steps would prevent.

    Raises:
        TypeError, ValueError: bad `op`, `steps`, `tol` or `generator`; a product that is not
            finite.

    Example:
        >>> H = torch.diag(torch.tensor([1.0, -5.0, 2.0]))
        >>> round(spectral_norm(H, generator=torch.Generator().manual_seed(0)).value, 3)
        5.0
    """
    op = as_operator(op)
    steps = check_probes(steps, name="steps")
    check_generator(generator)
    if not isinstance(tol, Real):
        raise TypeError(f"tol must be a number, not {tol!r}")
    if not tol >= 0:
        raise ValueError(f"tol must be at least 0, not {tol}")
    device = drawing_device(op, generator)
    start = torch.randn(op.dim, dtype=op.dtype, device=device, generator=generator).to(op.device)
    vector = previous = start / start.norm()
    del start
    basis = torch.empty(0, op.dim, dtype=op.dtype, device=op.device)
    alphas: list[float] = []
    betas: list[float] = []
    value = residual = 0.0
    eps = torch.finfo(op.dtype).eps
    for step in range(1, min(steps, op.dim) + 1):
        product = finite(op @ vector)
        alphas.append(float(product @ vector))
        if reorthogonalise:
            basis = _grown(basis, vector, step, min(steps, op.dim))
            known = basis[:step]
            for _ in range(2):  # "twice is enough"
                product = product - known.T @ (known @ product)
        else:
            product = torch.sub(product, vector, alpha=alphas[-1])
            if betas:
                product = torch.sub(product, previous, alpha=betas[-1])
        beta = float(product.norm())
        theta, last = _top(alphas, betas)
        value, residual = abs(theta), beta * abs(last)
        scale = max(max(map(abs, alphas)), max(betas, default=0.0))
        if step == op.dim or beta <= 10 * eps * scale:  # the whole Krylov space has been seen
            residual = 0.0
            break
        if residual <= tol * value:
            break
        betas.append(beta)
        previous, vector = vector, product / beta
    return Estimate(value, residual, (value, value + residual), len(alphas), "lanczos")


def _grown(basis: Tensor, vector: Tensor, step: int, most: int) -> Tensor:
    """`basis` with `vector` in row step − 1, its storage doubled when full."""
    if step > len(basis):
        size = min(most, max(8, 2 * len(basis)))
        larger = torch.empty(size, basis.shape[1], dtype=basis.dtype, device=basis.device)
        larger[: len(basis)] = basis
        basis = larger
    basis[step - 1] = vector
    return basis


def _top(alphas: list[float], betas: list[float]) -> tuple[float, float]:
    """Eigenvalue of largest magnitude of the tridiagonal, and its eigenvector's last entry."""
    matrix = torch.diag(torch.tensor(alphas, dtype=torch.float64))
    if betas:
        off = torch.tensor(betas, dtype=torch.float64)
        matrix = matrix + torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(matrix)
    index = int(values.abs().argmax())
    return float(values[index]), float(vectors[-1, index])
