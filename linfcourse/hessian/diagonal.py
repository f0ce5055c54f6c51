"""The diagonal of a Hessian, exactly or by Hutchinson's estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from linfcourse.hessian.cauchy import check_generator, drawing_device
from linfcourse.hessian.estimate import check_probes
from linfcourse.hessian.symmetric import SymmetricOperator, as_operator, finite


def diagonal(
    op: Any,
    method: str = "exact",
    probes: int = 100,
    generator: torch.Generator | None = None,
    return_stderr: bool = False,
) -> Tensor | tuple[Tensor, Tensor]:
    """diag(H), by d products or from random signs.

    * "exact": Hᵢᵢ = eᵢᵀ H eᵢ, d products.
    * "hutchinson": the mean of z ⊙ Hz over `probes` vectors z of independent signs. Unbiased, with
      variance Σ_{j≠i} Hᵢⱼ² / probes in coordinate i. The maximum of the estimates is biased
      upward by that noise: do not read r_med off few probes.

    Args:
        op: a HessianOperator or DenseOperator, anything with `dim` and `matmat`, or a matrix.
        method: "exact" or "hutchinson".
        probes: products of "hutchinson" ("exact" always takes d).
        generator: for the signs.
        return_stderr: also return each coordinate's standard error (zeros for "exact"; infinite
            for a single probe).

    Returns:
        (d,), in the operator's dtype; or that and the standard errors.

    Raises:
        TypeError, ValueError: bad `op`, `method`, `probes` or `generator`.

    Source: Bekas, Kokiopoulou, Saad 2007 (signs); Hutchinson 1989.

    Example:
        >>> diagonal(torch.tensor([[2.0, 1.0], [1.0, -3.0]]))
        tensor([ 2., -3.])
    """
    op = as_operator(op)
    if method not in ("exact", "hutchinson"):
        raise ValueError(f"method must be 'exact' or 'hutchinson', not {method!r}")
    probes = check_probes(probes)
    check_generator(generator)
    if method == "exact":
        values = _exact(op)
        return (values, torch.zeros_like(values)) if return_stderr else values
    values, stderr = _hutchinson(op, probes, generator)
    return (values, stderr) if return_stderr else values


def _exact(op: SymmetricOperator) -> Tensor:
    out = torch.empty(op.dim, dtype=op.dtype, device=op.device)
    for start in range(0, op.dim, op.block):
        indices = torch.arange(start, min(start + op.block, op.dim), device=op.device)
        columns = finite(op.columns(indices))
        out[indices] = columns[indices, torch.arange(len(indices), device=op.device)]
    return out


def _hutchinson(
    op: SymmetricOperator, probes: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    device = drawing_device(op, generator)
    mean = torch.zeros(op.dim, dtype=op.dtype, device=op.device)
    squares = torch.zeros_like(mean)
    done = 0
    for start in range(0, probes, op.block):
        count = min(op.block, probes - start)
        signs = torch.stack(
            [torch.randint(2, (op.dim,), device=device, generator=generator) for _ in range(count)]
        )
        signs = (2 * signs - 1).to(op.device, op.dtype)
        products = finite(op.matmat(signs.T)).T * signs
        for sample in products:  # Welford: no cancellation
            done += 1
            change = sample - mean
            mean += change / done
            squares += change * (sample - mean)
    if probes == 1:
        return mean, torch.full_like(mean, torch.inf)
    return mean, (squares / (probes - 1) / probes).sqrt()
