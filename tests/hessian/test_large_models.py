"""What the estimators do only where a vector of d numbers is large: in pieces, with few at once."""

import pytest
import torch

from benchmarks.live_bytes import LiveBytes
from linfcourse.hessian import DenseOperator, cauchy, norm_11, sampling
from linfcourse.hessian.symmetric import SymmetricOperator
from linfcourse.rotations import Hadamard


class Diagonal(SymmetricOperator):
    """diag(1/i)."""

    device, dtype = torch.device("cpu"), torch.float32

    def __init__(self, dim):
        self.dim = dim
        self.diagonal = 1 / torch.arange(1.0, dim + 1)

    def _products(self, vectors):
        return vectors * self.diagonal[:, None]


@pytest.mark.parametrize("estimator", ["two_stage", "geometric"])
@pytest.mark.parametrize("probes", [3, 16])
def test_pieces_change_nothing(monkeypatch, estimator, probes):
    matrix = torch.randn(500, 500, generator=torch.Generator().manual_seed(1))
    op = DenseOperator(matrix + matrix.T)

    def found():
        return norm_11(op, probes, estimator, torch.Generator().manual_seed(0))

    whole = found()
    monkeypatch.setattr(cauchy, "DOUBLES", 64)
    monkeypatch.setattr(sampling, "PIECE", 64)
    pieces = found()
    assert pieces.value == pytest.approx(whole.value, rel=1e-9)
    assert pieces.interval == pytest.approx(whole.interval, rel=1e-6)


@pytest.mark.parametrize("rotated", [False, True])
def test_two_stage_holds_a_dozen_vectors(monkeypatch, rotated):
    monkeypatch.setattr(cauchy, "DOUBLES", 50_000)
    monkeypatch.setattr(sampling, "PIECE", 50_000)
    monkeypatch.setattr(SymmetricOperator, "block", 1)  # products at a time
    op = Diagonal(1_000_000)
    with LiveBytes() as live:
        norm_11(op.rotated(Hadamard()) if rotated else op, probes=8)
    assert live.peak < 12 * 4 * op.dim, live.peak / (4 * op.dim)


@pytest.mark.parametrize(
    "dim, block", [(1, 64), (2**20, 16), (2**26, 4), (124_373_760, 2), (2**29, 1)]
)
def test_blocks_shrink_where_a_vector_is_large(dim, block):
    op = SymmetricOperator()
    op.dim = dim
    assert op.block == block
