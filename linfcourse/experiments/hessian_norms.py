"""The Hessian's norms at one moment of a training run, in several coordinate systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor

from linfcourse.hessian import HessianOperator, norm_11, spectral_norm
from linfcourse.rotations import Rotation


def measure_norms(
    loss: Callable[[], Tensor],
    params: Iterable[Tensor],
    rotations: Mapping[str, Rotation],
    *,
    probes: int,
    seed: int,
    lanczos: int = 20,
) -> dict[str, float]:
    """‖H‖₂, and ‖RHRᵀ‖₁,₁/d for each rotation R: the fair comparison of chapter 3.

    Args:
        loss: computes the loss whose Hessian is meant; called once.
        params: the tensors to differentiate by.
        rotations: name → R, acting on all parameters as one vector.
        probes: Hessian-vector products for each (1,1)-norm.
        seed: of the probes.
        lanczos: Hessian-vector products at most for ‖H‖₂.

    Returns:
        `"spectral"`, and for each name the estimate and its 90 % interval: `name`, `name_low`,
        `name_high`.
    """
    H = HessianOperator(loss(), list(params))
    generator = torch.Generator().manual_seed(seed)
    found = {"spectral": spectral_norm(H, steps=lanczos, tol=1e-2, generator=generator).value}
    for name, R in rotations.items():
        estimate = norm_11(H.rotated(R), probes=probes, generator=generator)
        low, high = estimate.interval
        found |= {
            name: estimate.value / H.dim, f"{name}_low": low / H.dim, f"{name}_high": high / H.dim
        }  # fmt: skip
    return found
