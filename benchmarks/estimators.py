"""Error of each estimator of the (1,1)-norm at equal numbers of Hessian-vector products."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.aims import verdict
from linfcourse.data import shakespeare
from linfcourse.hessian import DenseOperator, HessianOperator, norm_11
from linfcourse.models import GPT, GPTConfig, example_hessians
from linfcourse.optim import Adam
from linfcourse.rotations import Hadamard

TITLE = "Error of the (1,1)-norm's estimators"
SIZES = {
    "tiny": {"d": 24, "repetitions": 6, "probes": (4, 6), "networks": False},
    "small": {"d": 100, "repetitions": 40, "probes": (10, 20), "networks": False},
    "full": {"d": 400, "repetitions": 200, "probes": (10, 20, 50), "networks": True},
}
PEER = "median"
"""What the paper's code uses."""
ESTIMATORS = (PEER, "iqr", "geometric", "two_stage")
AIM = "two_stage at most half the spread of median"
CONCENTRATED = ("diagonal",)
"""Where off-diagonal entries vanish, Cauchy probes are near their best: no aim but to be shown."""


def measure(size: str, progress: Any = None) -> dict[str, Any]:
    """Repeat each estimate with fresh probes on each Hessian, and compare with the exact norm."""
    how = SIZES[size]
    cases = []
    for name, H in hessians(how["d"], how["networks"]):
        if progress:
            progress(name)
        cases.append(_case(name, H, how["probes"], how["repetitions"]))
    return {
        "title": TITLE,
        "repetitions": how["repetitions"],
        "cases": cases,
        "aims": judge(cases, max(how["probes"])),
    }


def _case(name: str, H: Tensor, probes: tuple[int, ...], repetitions: int) -> dict[str, Any]:
    op, truth = DenseOperator(H.float()), float(H.abs().sum())
    errors = []
    for k in probes:
        for estimator in ESTIMATORS:
            values = [
                norm_11(op, k, estimator, torch.Generator().manual_seed(1000 * k + seed)).value
                for seed in range(repetitions)
            ]
            relative = [value / truth for value in values]
            bias, sd = statistics.fmean(relative) - 1, statistics.stdev(relative)
            errors.append(
                {
                    "estimator": estimator,
                    "probes": k,
                    "relative_bias": bias,
                    "relative_sd": sd,
                    "relative_rms": math.sqrt(statistics.fmean((r - 1) ** 2 for r in relative)),
                }
            )
    return {"case": name, "parameters": len(H), "norm_11": truth, "errors": errors}


def error_of(case: dict[str, Any], estimator: str, probes: int) -> dict[str, Any]:
    """The errors of one estimator at one number of products."""
    return next(e for e in case["errors"] if e["estimator"] == estimator and e["probes"] == probes)


def judge(cases: list[dict[str, Any]], probes: int) -> list[dict[str, Any]]:
    """The aim on every Hessian that is not concentrated on its diagonal."""
    rows = []
    for case in cases:
        if case["case"] not in CONCENTRATED:
            ours, peer = (error_of(case, name, probes) for name in ("two_stage", PEER))
            ratio = ours["relative_sd"] / peer["relative_sd"]
            rows.append(
                {
                    "case": case["case"],
                    "aim": f"{AIM}, {probes} products each",
                    "limit": 0.5,
                    "ratio_of_sd": ratio,
                    "verdict": verdict([ratio], 0.5),
                }
            )
    return rows


def hessians(d: int, networks: bool) -> Iterator[tuple[str, Tensor]]:
    """(name, symmetric matrix): the families of dimension d, then two small networks."""
    yield from example_hessians(d).items()
    if not networks:
        return
    mlp = DenseOperator(_mlp_hessian())
    yield "MLP with LayerNorm", mlp.matrix
    yield "MLP with LayerNorm, rotated", _symmetric(mlp.rotated(Hadamard(seed=0)).dense())
    for steps, name in ((0, "char GPT, at the start"), (300, "char GPT, trained")):
        yield name, gpt_hessian(steps)


def _mlp_hessian() -> Tensor:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(10, 24), nn.LayerNorm(24), nn.GELU(), nn.Linear(24, 16), nn.GELU(),
        nn.Linear(16, 4),
    ).double()  # fmt: skip
    x, y = torch.randn(64, 10, dtype=torch.float64), torch.randint(4, (64,))
    loss = nn.functional.cross_entropy(net(x), y)
    return _symmetric(HessianOperator(loss, net.parameters()).dense())


def gpt_hessian(steps: int, width: int = 6) -> Tensor:
    """Of a two-layer GPT on characters of Shakespeare, after some steps of Adam, in float64."""
    torch.manual_seed(0)
    text = shakespeare()
    config = GPTConfig(vocab_size=text.vocab_size, context=16, n_layer=2, n_head=2, width=width)
    model = GPT(config).double()
    optimizer = Adam(model.parameters(), lr=1e-2)
    batches = text.sampler(16, 16, seed=0)
    for step in range(steps):
        optimizer.zero_grad()
        model.loss(*batches(step)).backward()
        optimizer.step()
    loss = model.loss(*batches(steps))
    return _symmetric(HessianOperator(loss, model.parameters()).dense())


def _symmetric(H: Tensor) -> Tensor:
    return (H + H.T) / 2


def tables(cases: list[dict[str, Any]]) -> list[tuple[list[str], list[list[str]]]]:
    """Header and rows of the page's one table: a row for each Hessian and number of products."""
    header = ["Hessian", "d", "products", *ESTIMATORS, "two_stage / median"]
    rows = []
    for case in cases:
        for probes in dict.fromkeys(e["probes"] for e in case["errors"]):
            errors = {name: error_of(case, name, probes) for name in ESTIMATORS}
            cells = [
                f"{100 * e['relative_sd']:.1f} ({100 * e['relative_bias']:+.1f})"
                for e in errors.values()
            ]
            ratio = errors["two_stage"]["relative_sd"] / errors[PEER]["relative_sd"]
            rows.append(
                [case["case"], f"{case['parameters']:,}", str(probes), *cells, f"{ratio:.2f}"]
            )
    return [(header, rows)]
