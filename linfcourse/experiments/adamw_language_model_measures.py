"""Chapter 14: where a transformer's weights are in the box ‖x‖∞ ≤ 1/λ, all and kind by kind."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from linfcourse.frank_wolfe import kkt_residual
from linfcourse.models import GPT

# Bins of λx, 0.05 wide; ±1 lie in the middle of one. The outermost take what lies beyond.
BINS = 61
EDGES = tuple(round(0.05 * k - 1.525, 3) for k in range(BINS + 1))

KINDS = {  # part of a parameter's name -> what it is, in the order of the network
    "token": "token embedding",
    "position": "position embedding",
    "norm": "norms",
    "attention.qkv": "query, key, value",
    "attention.proj": "attention output",
    "mlp.up": "MLP in",
    "mlp.proj": "MLP out",
    "head": "output layer",
}


def kind_of(name: str) -> str:
    """Which of `KINDS` a parameter of the GPT belongs to.

    >>> kind_of("blocks.1.mlp.proj.weight")
    'MLP out'
    """
    return next(kind for part, kind in KINDS.items() if part in name)


def measure_in_box(
    model: GPT, parts: Sequence[tuple[Tensor, Tensor]], weight_decay: float, near: float
) -> dict[str, float]:
    """The loss, and where the weights are in the box ‖x‖∞ ≤ 1/λ.

    Args:
        model: at the weights to be measured.
        parts: the full batch.
        weight_decay: λ > 0 of the box.
        near: from which λ|x| on a weight counts as on the boundary.

    Returns:
        loss, linf (‖x‖∞), residual (of the KKT conditions), near (a share), gradient (‖g‖₁),
        median_gradient; for each kind of weights `linf/KIND`, `near/KIND` and histogram counts
        `count/KIND/BIN` of λx.
    """
    named = list(model.named_parameters())
    params = [p for _, p in named]
    loss = 0.0
    grads = [torch.zeros_like(p) for p in params]
    for part in parts:
        value = model.loss(*part) / len(parts)
        for total, g in zip(grads, torch.autograd.grad(value, params), strict=True):
            total += g
        loss += value.item()
    sizes = torch.cat([g.flatten() for g in grads]).abs()
    found = {
        "loss": loss,
        "residual": kkt_residual(params, grads, weight_decay).residual,
        "gradient": sizes.sum(dtype=torch.float64).item(),
        "median_gradient": sizes.median().item(),
    }
    edges = torch.tensor(EDGES[1:-1], dtype=torch.float64)
    by_kind: dict[str, list[Tensor]] = {}
    for name, p in named:
        z = weight_decay * p.detach().flatten().double().cpu()
        by_kind.setdefault(kind_of(name), []).append(z)
    z = torch.cat([piece for pieces in by_kind.values() for piece in pieces])
    for label, part in {"": z, **{f"/{k}": torch.cat(v) for k, v in by_kind.items()}}.items():
        found[f"linf{label}"] = part.abs().max().item() / weight_decay
        found[f"near{label}"] = (part.abs() >= near).double().mean().item()
        counts = torch.bincount(torch.bucketize(part, edges), minlength=BINS).tolist()
        found |= {f"count{label}/{k}": float(n) for k, n in enumerate(counts)}
    return found


def summarise(
    evaluations: Sequence[tuple[int, dict[str, float]]], moments: Sequence[int], decayed: bool
) -> dict:
    """What a record keeps of a run: series, histograms at a few moments, the end by kind."""
    steps = [step for step, _ in evaluations]
    end = evaluations[-1][1]

    def counts(found: dict[str, float], label: str = "") -> list[int]:
        return [int(found[f"count{label}/{k}"]) for k in range(BINS)]

    def series(what: str) -> list[float]:
        return [found[what] for _, found in evaluations]

    return {
        "final_loss": end["loss"] if math.isfinite(end["loss"]) else math.inf,
        "step": steps,
        **{what: series(what) for what in ("loss", "linf", "near", "gradient", "median_gradient")},
        "residual": series("residual") if decayed else [],
        "histograms": [
            {"step": step, "counts": counts(found)}
            for step, found in evaluations
            if step in moments
        ],
        "kinds": {
            kind: {
                "linf": end[f"linf/{kind}"],
                "near": end[f"near/{kind}"],
                "counts": counts(end, f"/{kind}"),
            }
            for kind in KINDS.values()
        },
    }
