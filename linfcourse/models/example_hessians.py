"""Matrices that a Hessian may look like: the cases on which norm estimators differ.

An estimator of a norm that is tried on one kind of matrix only shows little: which one wins
depends on how the weight is spread over the entries.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linfcourse import rotations
from linfcourse.models.quadratics import Quadratic, hard_spectrum


def random_psd(d: int, rank: int | None = None, seed: int = 0) -> Tensor:
    """GGᵀ/rank with G (d, rank) standard normal: weight spread evenly off the diagonal.

    Args:
        d: dimension.
        rank: of the matrix, by default d.
        seed: of G.

    Returns:
        (d, d) symmetric positive semi-definite, float64, diagonal about 1.

    >>> torch.linalg.matrix_rank(random_psd(6, rank=2)).item()
    2
    """
    rank = d if rank is None else rank
    for name, size in (("d", d), ("rank", rank)):
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{name} must be an integer >= 1, got {size!r}")
    generator = torch.Generator().manual_seed(seed)
    G = torch.randn(d, rank, generator=generator, dtype=torch.float64)
    H = G @ G.T / rank
    return (H + H.T) / 2  # a product is symmetric to rounding only


def rank_one(d: int, seed: int = 0) -> Tensor:
    """uuᵀ with u standard normal: the hardest case for estimators that share probes over rows.

    There (1,1)-norm = ‖u‖₁², and one probe is wrong by the same factor in every row.

    >>> u = rank_one(4)[0] / rank_one(4)[0, 0].sqrt()
    >>> torch.allclose(torch.outer(u, u), rank_one(4))
    True
    """
    return random_psd(d, rank=1, seed=seed)


def heavy_tailed_rows(d: int, sigma: float = 2.0, seed: int = 0) -> Tensor:
    """D S D with a random PSD S and D = diag(exp(σz)), z standard normal: few rows hold it all.

    Estimators that pick rows uniformly miss the rows that matter.

    Args:
        d: dimension.
        sigma: spread of the logarithm of D; 0 gives ``random_psd``.
        seed: of z and S.

    Returns:
        (d, d) symmetric positive semi-definite, float64.

    >>> rows = heavy_tailed_rows(200).abs().sum(dim=1)
    >>> bool(rows.topk(20).values.sum() > 0.7 * rows.sum())  # a tenth holds most
    True
    """
    if not 0.0 <= sigma < float("inf"):
        raise ValueError(f"sigma must be a finite number >= 0, got {sigma!r}")
    S = random_psd(d, seed=seed)
    generator = torch.Generator().manual_seed(seed + 2**31)
    D = torch.exp(sigma * torch.randn(d, generator=generator, dtype=torch.float64))
    return torch.outer(D, D) * S


def example_hessians(d: int, seed: int = 0) -> dict[str, Tensor]:
    """One matrix of each kind, by name: what a benchmark or a test of estimators goes through.

    Args:
        d: dimension.
        seed: of all of them.

    Returns:
        {name: (d, d) float64}: ``diagonal`` (the hard spectrum, 1 and 1/k²), ``rotated`` (the same
        after a Haar rotation), ``random PSD``, ``rank one``, ``heavy-tailed rows``.

    >>> sorted(example_hessians(12))
    ['diagonal', 'heavy-tailed rows', 'random PSD', 'rank one', 'rotated']
    """
    hard = Quadratic(hard_spectrum(d, heavy=min(10, d // 3)))
    return {
        "diagonal": hard.dense(),
        "rotated": hard.rotated(rotations.Haar(seed=seed)).dense(),
        "random PSD": random_psd(d, seed=seed),
        "rank one": rank_one(d, seed=seed),
        "heavy-tailed rows": heavy_tailed_rows(d, seed=seed),
    }
