"""The Hessian's norms at one moment of a training run, in several coordinate systems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from linfcourse.distributed import own_part
from linfcourse.hessian import HessianOperator, norm_11, spectral_norm
from linfcourse.hessian.averaged import AveragedOperator
from linfcourse.models import GPT, lean_loss
from linfcourse.rotations import Rotation

BASIS = 2**30  # numbers that Lanczos' basis may take (4 GB); else it keeps three vectors
GRAPH = 2**29  # numbers that the graph of a gradient may take (2 GB); else it is the lean loss's


def gpt_loss(model: GPT, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The loss to take a Hessian of: `model.loss`, or `lean_loss` where its graph would be large.

    The graph of the gradient holds some 6 copies of each layer's attention, 45 of the residual
    stream, and 4 of the logits.
    """
    B, T = batch[0].shape
    size = model.config
    layer = 6 * size.n_head * T * T + 45 * T * size.width
    large = B * (size.n_layer * layer + 4 * T * size.vocab_size) > GRAPH
    return lean_loss(model, *batch) if large else model.loss(*batch)


def measure_norms(
    loss: Callable[[Any], Tensor],
    batch: Sequence[Tensor],
    params: Iterable[Tensor],
    rotations: Mapping[str, Rotation],
    *,
    probes: int,
    seed: int,
    lanczos: int = 20,
    rows: int | None = None,
) -> dict[str, float]:
    """‖H‖₂, and ‖RHRᵀ‖₁,₁/d for each rotation R: the fair comparison of chapter 3.

    Of several processes that train together each takes its part of the batch; the Hessian is that
    of the whole.

    Args:
        loss: `batch -> mean loss over the batch`.
        batch: tensors whose first dimension counts the examples.
        params: the tensors to differentiate by.
        rotations: name → R, acting on all parameters as one vector.
        probes: Hessian-vector products for each (1,1)-norm.
        seed: of the probes.
        lanczos: Hessian-vector products at most for ‖H‖₂.
        rows: at most this many examples have their graph in memory at a time; None: all of them,
            whose graph is then made only once.

    Returns:
        `"spectral"`, and for each name the estimate and its 90 % interval: `name`, `name_low`,
        `name_high`.
    """
    batch, params = own_part(tuple(batch)), list(params)
    count = len(batch[0])
    if rows is None or rows >= count:
        own = HessianOperator(loss(batch), params)
    else:
        rows = max(n for n in range(1, rows + 1) if count % n == 0)  # chunks of one size
        chunks = list(zip(*(part.split(rows) for part in batch), strict=True))
        own = HessianOperator.from_batches(loss, chunks, params)
    H = AveragedOperator(own)
    generator = torch.Generator().manual_seed(seed)
    spectral = spectral_norm(
        H, lanczos, tol=1e-2, generator=generator, reorthogonalise=lanczos * H.dim <= BASIS
    )
    found = {"spectral": spectral.value}
    for name, R in rotations.items():
        estimate = norm_11(H.rotated(R), probes=probes, generator=generator)
        low, high = estimate.interval
        found |= {
            name: estimate.value / H.dim, f"{name}_low": low / H.dim, f"{name}_high": high / H.dim
        }  # fmt: skip
    return found
