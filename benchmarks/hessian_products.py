"""k Hessian-vector products beside k gradients of the same loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.aims import Aim, judge_all
from benchmarks.timing import clock_of, race
from benchmarks.workloads import GPTS, describe
from linfcourse.data import shakespeare
from linfcourse.experiments import first_look
from linfcourse.hessian import HessianOperator
from linfcourse.models import GPT

TITLE = "Hessian-vector products"
CPU, GPU = first_look.PRESETS["cpu"], first_look.PRESETS["gpu"]
MODELS = {
    "tiny": dataclasses.replace(CPU, n_layer=1, width=8, context=8, batch=2),
    "first look": CPU,
    "first look, scale gpu": dataclasses.replace(GPU, batch=8),
}
"""The GPT of chapter 1 as it is there, and as a GPU runs it, with a smaller batch."""
SIZES = {
    "tiny": {"tiny": (2, 3)},
    "small": {"first look": (5, 10)},
    "full": {"first look": (15, 20), "first look, scale gpu": (9, 20)},
}
"""{size: {model: (rounds, k)}}"""
GPU_SIZES = {
    "tiny": {"tiny": (2, 3)},
    "small": {"first look, scale gpu": (5, 20)},
    "full": {"first look, scale gpu": (9, 20), "124M": (5, 4)},
}
"""The same on a GPU; 124M is GPT-2 on one sequence of half its context."""
TEXT = (
    "k products of one block beside k gradients of the same loss, in float32 without TF32 for "
    "both. The large case is GPT-2 on one sequence of half its context."
)
"""What stands over the tables of a GPU."""

GRADIENTS, PRODUCTS = "k gradients", "k products, one block"
ONE_BY_ONE = "k products, each with a graph of its own"

AIMS = (
    Aim("k products in the time of 3k gradients", PRODUCTS, GRADIENTS, 3.0),
    Aim("k products in the time of 2.5k gradients", PRODUCTS, GRADIENTS, 2.5),
)


def measure(size: str, progress: Any = None, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Time `op.matmat` of k probes, the building of the operator included, and k gradients."""
    device = torch.device(device)
    sizes = GPU_SIZES if device.type == "cuda" else SIZES
    cases = [_case(name, *how, progress, device) for name, how in sizes[size].items()]
    return {"title": TITLE, "cases": cases, "aims": judge_all(AIMS, cases)}


def _workload(name: str, device: torch.device) -> tuple[GPT, tuple[Tensor, Tensor]]:
    """The model, and the batch on which its loss is taken."""
    if name in GPTS:
        torch.manual_seed(0)
        model = GPT(GPTS[name]).to(device)
        shape = (1, model.config.context // 2)
        batch = tuple(torch.randint(model.config.vocab_size, shape) for _ in range(2))
    else:
        config = MODELS[name]
        model = first_look.make_model(config, seed=0, device=device)
        batch = shakespeare().sampler(config.batch, config.context, seed=0)(0)
    return model, tuple(part.to(device) for part in batch)


def _case(name: str, rounds: int, k: int, progress: Any, device: torch.device) -> dict[str, Any]:
    model, batch = _workload(name, device)
    parameters = list(model.parameters())
    d = sum(p.numel() for p in parameters)
    # One probe after the other in memory, as the estimators hand them over.
    probes = torch.randn(k, d, generator=torch.Generator().manual_seed(0)).to(device).T

    def gradients() -> None:
        for _ in range(k):
            torch.autograd.grad(model.loss(*batch), parameters)

    def products() -> None:
        loss = lambda batch: model.loss(*batch)  # noqa: E731
        HessianOperator.from_batches(loss, [batch], parameters).matmat(probes)

    def one_by_one() -> None:
        for probe in probes.T:
            HessianOperator(model.loss(*batch), parameters) @ probe

    entrants: dict[str, Callable[[], None]] = {
        GRADIENTS: gradients,
        PRODUCTS: products,
        ONE_BY_ONE: one_by_one,
    }
    times = race(
        entrants,
        rounds,
        warmup=1,
        progress=lambda line: progress and progress(f"{name}: {line}"),
        clock=clock_of(device),
    )
    return {
        "case": name,
        **describe(parameters),
        "k": k,
        "tokens": batch[0].numel(),
        "times": times,
    }


def columns(case: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the page's table for one case."""
    times, k = case["times"], case["k"]
    header = [f"k = {k}", "ms each (median)", "ms each (min)", "× gradient"]
    rows = [
        [
            label,
            f"{1e3 * entry['median'] / k:.2f}",
            f"{1e3 * entry['min'] / k:.2f}",
            f"{entry['median'] / times[GRADIENTS]['median']:.2f}",
        ]
        for label, entry in times.items()
    ]
    return header, rows
