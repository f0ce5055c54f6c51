"""How many Hessian-vector products each estimator of the (1,1)-norm needs for one accuracy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.aims import verdict
from benchmarks.estimators import ESTIMATORS, PEER, error_of, gpt_hessian
from linfcourse.hessian import DenseOperator, norm_11
from linfcourse.hessian.cauchy import cauchy
from linfcourse.hessian.symmetric import SymmetricOperator
from linfcourse.rotations import Hadamard

TITLE = "Products for one accuracy of the (1,1)-norm"
PEER_PRODUCTS = 50
"""What the paper's code takes."""
SIZES = {
    "tiny": {"width": 2, "steps": 3, "repetitions": 6, "products": (6, 50)},
    "small": {"width": 4, "steps": 300, "repetitions": 20, "products": (4, 8, 16, 50)},
    "full": {
        "width": 20,
        "steps": 1000,
        "repetitions": 200,
        "products": (4, 6, 8, 11, 16, 23, 32, 50, 70, 100),
    },
}
"""The GPT's width, the steps of its training, and the grid of products, with the peer's in it."""
OURS = "two_stage"
LIMIT = 0.5
AIM = f"{OURS} needs at most half the products of {PEER} for the accuracy of its {PEER_PRODUCTS}"
RESAMPLES = 2000
LEVEL = 0.9


class Remembered(SymmetricOperator):
    """H and its products with the probes of one generator: each is computed once and then given.

    The first products of every estimator are those with the Cauchy probes that its generator
    yields. With equal seeds they are the same, however many there are.

    Args:
        op: H.
        probes: (d, K), what a generator yields first; other vectors are multiplied as they come.
    """

    def __init__(self, op: DenseOperator, probes: Tensor) -> None:
        self.op, self.probes, self.known = op, probes, op.matmat(probes)
        self.dim, self.device, self.dtype = op.dim, op.device, op.dtype

    def _products(self, vectors: Tensor) -> Tensor:
        start = next(iter((self.probes[0] == vectors[0, 0]).nonzero()[:, 0].tolist()), 0)
        these = slice(start, start + vectors.shape[1])
        if torch.equal(self.probes[:, these], vectors):
            return self.known[:, these]
        return self.op.matmat(vectors)

    def columns(self, indices: Tensor) -> Tensor:
        return self.op.columns(indices)


def measure(size: str, progress: Any = None) -> dict[str, Any]:
    """Repeat each estimate at each number of products, on one GPT's Hessian in three states."""
    how = SIZES[size]
    cases = []
    for name, H in hessians(how["width"], how["steps"]):
        if progress:
            progress(name)
        values = estimates(H, how["products"], how["repetitions"])
        cases.append(case_of(name, len(H), float(H.abs().sum()), how["products"], values))
    return {
        "title": TITLE,
        "repetitions": how["repetitions"],
        "cases": cases,
        "aims": judge(cases),
    }


def hessians(width: int, steps: int) -> Iterator[tuple[str, Tensor]]:
    """(name, H in float64): of a character GPT at the start, trained, and then rotated."""
    yield "char GPT, at the start", gpt_hessian(0, width)
    trained = gpt_hessian(steps, width)
    yield "char GPT, trained", trained
    rotation = Hadamard(seed=0)
    yield "char GPT, trained, rotated", rotation(rotation(trained).T)


def estimates(H: Tensor, products: Sequence[int], repetitions: int) -> np.ndarray:
    """Estimates over the truth, (repetitions, estimators, numbers of products)."""
    op, truth = DenseOperator(H.float()), float(H.abs().sum())
    values = np.empty((repetitions, len(ESTIMATORS), len(products)))
    for seed in range(repetitions):
        generator = torch.Generator().manual_seed(seed)
        first = cauchy(max(products), op.dim, op.device, generator).to(op.dtype)
        remembered = Remembered(op, first.T)
        for i, estimator in enumerate(ESTIMATORS):
            for j, k in enumerate(products):
                generator.manual_seed(seed)
                estimate = norm_11(remembered, k, estimator, generator)
                values[seed, i, j] = estimate.value / truth
    return values


def case_of(
    name: str, parameters: int, truth: float, products: Sequence[int], values: np.ndarray
) -> dict[str, Any]:
    """Errors at each number of products, and the number that each estimator needs.

    Args:
        values: as from `estimates`.
    """
    errors = [
        {
            "estimator": estimator,
            "probes": k,
            "relative_bias": float(values[:, i, j].mean() - 1),
            "relative_sd": float(values[:, i, j].std(ddof=1)),
            "relative_rms": float(np.sqrt(((values[:, i, j] - 1) ** 2).mean())),
        }
        for j, k in enumerate(products)
        for i, estimator in enumerate(ESTIMATORS)
    ]
    squares = (values - 1) ** 2
    found = [_all_needed(products, np.sqrt(squares.mean(0)))]
    random = np.random.default_rng(0)
    for _ in range(RESAMPLES):  # whole repetitions: their estimates share probes
        chosen = random.integers(len(values), size=len(values))
        found.append(_all_needed(products, np.sqrt(squares[chosen].mean(0))))
    best, resampled = np.array(found[0]), np.array(found[1:])
    ends = np.quantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, method="nearest")
    needed = {
        estimator: {"products": best[i], "low": ends[0, i], "high": ends[1, i]}
        for i, estimator in enumerate(ESTIMATORS)
    }
    return {
        "case": name,
        "parameters": parameters,
        "norm_11": truth,
        "errors": errors,
        "needed": {
            name: {key: _number(value) for key, value in entry.items()}
            for name, entry in needed.items()
        },
    }


def _number(value: float) -> float | None:
    """JSON has no infinity: None is "more than the largest number tried"."""
    return float(value) if math.isfinite(value) else None


def _all_needed(products: Sequence[int], rms: np.ndarray) -> list[float]:
    """For each estimator (rows of rms), the products for the peer's error at PEER_PRODUCTS."""
    target = rms[ESTIMATORS.index(PEER), list(products).index(PEER_PRODUCTS)]
    return [
        float(PEER_PRODUCTS) if estimator == PEER else needed(products, errors, target)
        for estimator, errors in zip(ESTIMATORS, rms, strict=True)
    ]


def needed(products: Sequence[int], errors: Sequence[float], target: float) -> float:
    """From how many products on the error stays at or below `target`.

    Between two numbers of the grid the error is taken to be a power of their number.

    Args:
        products: increasing.
        errors: the error at each.
        target: an error > 0.

    Returns:
        The first of `products` where no error is above the target (it may need fewer), and
        infinity where the last one still is.

    >>> needed((10, 20, 40), (0.4, 0.2, 0.1), 0.2)
    20.0
    >>> round(needed((10, 40), (0.4, 0.1), 0.2), 6)
    20.0
    >>> needed((10, 20), (0.4, 0.3), 0.2)
    inf
    """
    above = [index for index, error in enumerate(errors) if error > target]
    if not above:
        return float(products[0])
    last = above[-1]
    if last + 1 == len(products):
        return math.inf
    if errors[last + 1] == 0:
        return float(products[last + 1])
    share = math.log(errors[last] / target) / math.log(errors[last] / errors[last + 1])
    return float(products[last] * (products[last + 1] / products[last]) ** share)


def judge(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The aim in every state: met if the interval's upper end is at most the limit too."""
    rows = []
    for case in cases:
        entry = case["needed"][OURS]
        ratios = {
            f"ratio_{key}": math.inf if entry[key] is None else entry[key] / PEER_PRODUCTS
            for key in ("products", "low", "high")
        }
        rows.append(
            {
                "case": case["case"],
                "aim": AIM,
                "limit": LIMIT,
                **{key: _number(ratio) for key, ratio in ratios.items()},
                "verdict": verdict(list(ratios.values()), LIMIT),
            }
        )
    return rows


def tables(cases: list[dict[str, Any]]) -> list[tuple[list[str], list[list[str]]]]:
    """Two tables as (header, rows): the products needed, and the errors they come from."""
    others = [name for name in ESTIMATORS if name != PEER]
    header = ["Hessian", "d", f"error of {PEER} at {PEER_PRODUCTS}, %", *others]
    rows = []
    for case in cases:
        target = error_of(case, PEER, PEER_PRODUCTS)["relative_rms"]
        cells = [_needed_cell(case, name) for name in others]
        rows.append([case["case"], f"{case['parameters']:,}", f"{100 * target:.1f}", *cells])
    return [(header, rows), _errors(cases)]


def _needed_cell(case: dict[str, Any], estimator: str) -> str:
    grid = sorted({e["probes"] for e in case["errors"]})

    def text(value: float | None) -> str:
        if value is None:
            return f"> {grid[-1]}"
        return f"≤ {grid[0]}" if value == grid[0] else f"{value:.0f}"

    entry = case["needed"][estimator]
    return f"{text(entry['products'])} ({text(entry['low'])} to {text(entry['high'])})"


def _errors(cases: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    header = ["Hessian", "products", *ESTIMATORS]
    rows = []
    for case in cases:
        for k in sorted({e["probes"] for e in case["errors"]}):
            errors = [error_of(case, name, k)["relative_rms"] for name in ESTIMATORS]
            cells = [f"{100 * error:.1f}" for error in errors]
            rows.append([case["case"], str(k), *cells])
    return header, rows
