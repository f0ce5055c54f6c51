"""What a HessianOperator is made from, checked: parameters and loss."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from linfcourse.hessian.symmetric import FLOATS


def check_params(params: Iterable[Tensor]) -> tuple[list[str] | None, list[Tensor]]:
    """Names (or None) and tensors, or an error that names the one at fault."""
    if isinstance(params, Tensor | nn.Module | Mapping | str) or not isinstance(params, Iterable):
        raise TypeError(
            "params must be a list of tensors such as model.parameters(), not "
            f"{type(params).__name__}: pass [tensor] for a single one"
        )
    entries = list(params)
    pairs = bool(entries) and all(isinstance(e, tuple) and len(e) == 2 for e in entries)
    names = [str(e[0]) for e in entries] if pairs else None
    tensors = [e[1] for e in entries] if pairs else entries
    for i, p in enumerate(tensors):
        label = f"params[{i}]" + (f" ({names[i]})" if names else "")
        if not isinstance(p, Tensor):
            raise TypeError(f"{label} is {type(p).__name__}, not a tensor")
        if p.dtype not in FLOATS:
            raise TypeError(
                f"{label} is {p.dtype}; Hessian-vector products need float32 or float64 (Cauchy "
                "probes overflow float16 and lose everything in bfloat16): use model.float()"
            )
        if p.layout != torch.strided:
            raise TypeError(f"{label} has layout {p.layout}; only dense tensors are supported")
        if not p.requires_grad:
            raise ValueError(
                f"{label} is frozen (requires_grad=False): leave it out, or unfreeze it before the "
                "loss is computed"
            )
        if not p.is_leaf:
            raise ValueError(
                f"{label} is not a leaf: pass the tensors it was computed from, or make it one by "
                ".detach().requires_grad_() before the loss is computed"
            )
        if p.dtype != tensors[0].dtype or p.device != tensors[0].device:
            raise ValueError(
                f"{label} is {p.dtype} on {p.device} but params[0] is {tensors[0].dtype} on "
                f"{tensors[0].device}: bring all to one dtype and device"
            )
    if len({id(p) for p in tensors}) < len(tensors):
        raise ValueError(
            "params holds a tensor twice: give each once, as model.parameters() does for tied ones"
        )
    if sum(p.numel() for p in tensors) == 0:
        raise ValueError("params is empty: pass at least one tensor with entries")
    return names, tensors


def check_loss(loss: Tensor, name: str) -> None:
    """A finite scalar with a graph, or an error that calls it by `name` and says what to do."""
    if not isinstance(loss, Tensor):
        raise TypeError(f"{name} must be a scalar tensor with its graph, not {type(loss).__name__}")
    if loss.numel() != 1:
        raise ValueError(
            f"{name} has shape {tuple(loss.shape)}; a Hessian needs a scalar: take .mean() or "
            ".sum()"
        )
    if loss.dtype not in FLOATS:
        raise TypeError(
            f"{name} is {loss.dtype}; compute it in float32 or float64, outside autocast"
        )
    if not loss.requires_grad:
        raise ValueError(
            f"{name} does not require grad: compute it from the parameters with gradients on, not "
            "under torch.no_grad() and not from .item() or .detach()"
        )
    if not bool(torch.isfinite(loss.detach()).all()):
        raise ValueError(f"{name} is {loss.item()}; a Hessian needs a finite loss")
