"""blockwise_norm: its two ends are the (1,1)-norm and d‖H‖₂, and between them it brackets."""

import functools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linfcourse.hessian import HessianOperator, blockwise_norm, norm_11
from linfcourse.hessian.blocks import BlockStructure, lower_bound
from linfcourse.models import GPT, GPTConfig
from linfcourse.partitions import adam_mini, coordinatewise, per_row, per_tensor, whole


@functools.cache
def gpt():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=10, context=6, n_layer=1, n_head=2, width=8))
    loss = model.loss(torch.randint(10, (4, 6)), torch.randint(10, (4, 6)))
    return model, HessianOperator(loss, model.parameters())


@functools.cache
def mlp():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 30), nn.LayerNorm(30), nn.Tanh(), nn.Linear(30, 10))
    loss = F.cross_entropy(model(torch.randn(60, 12)), torch.randint(10, (60,)))
    return model, HessianOperator(loss, model.parameters())


def random_symmetric(d, seed=0):
    h = torch.randn(d, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return h + h.T


def definition_of_upper(matrix, ids):
    """Σ_bc √(d_b d_c) ‖H_bc‖₂, block by block."""
    members = [torch.nonzero(ids == b).flatten() for b in ids.unique()]
    return sum(
        math.sqrt(len(b) * len(c)) * float(torch.linalg.matrix_norm(matrix[b][:, c], 2))
        for b in members
        for c in members
    )


def smoothness_of_random_steps(matrix, ids, count=2000):
    """Σ_b √d_b max over random ‖x‖_Φ = 1 of ‖(Hx)_b‖₂: below H(Φ), straight from its definition."""
    blocks = BlockStructure(ids)
    x = torch.randn(len(matrix), count, dtype=matrix.dtype)
    x = x * (blocks.roots[:, None] / blocks.norms(x))[blocks.ids]
    return float(blocks.roots @ blocks.norms(matrix @ x).max(1).values)


def test_singletons_give_the_one_one_norm_and_one_block_d_times_the_spectral_norm():
    for matrix in (random_symmetric(40), mlp()[1].dense()):
        d = len(matrix)
        matrix = (matrix + matrix.T) / 2
        ends = blockwise_norm(matrix, coordinatewise)
        total = float(matrix.abs().sum())
        assert math.isclose(ends.lower, total, rel_tol=1e-5)
        assert math.isclose(ends.upper, total, rel_tol=1e-5)
        ends = blockwise_norm(matrix, whole)
        top = d * float(torch.linalg.eigvalsh(matrix).abs().max())
        assert math.isclose(ends.lower, top, rel_tol=1e-4)
        assert math.isclose(ends.upper, top, rel_tol=1e-4)


@pytest.mark.parametrize(("make", "rules"), [(gpt, [adam_mini, per_tensor]), (mlp, [per_tensor])])
def test_exact_upper_is_its_definition_and_lower_lies_between_trials_and_upper(make, rules):
    model, op = make()
    matrix = op.dense().double()
    matrix = (matrix + matrix.T) / 2
    for rule in rules:
        partition = rule(model) if rule is adam_mini else rule
        ids = partition.ids(op.params)
        result = blockwise_norm(matrix, partition, model.parameters())
        assert result.method == "exact" and result.visited == result.blocks
        assert math.isclose(result.upper, definition_of_upper(matrix, ids), rel_tol=1e-4)
        assert smoothness_of_random_steps(matrix, ids) <= result.lower <= result.upper
        lower, upper = result
        assert (lower, upper) == (result.lower, result.upper) == tuple(result.per_block.sum(0))


def test_the_ascent_finds_the_maximum_where_it_is_known():
    # Two coordinates in the block, singletons outside: max over the circle, by a fine grid.
    matrix = random_symmetric(12, seed=3)
    blocks = BlockStructure(torch.tensor([0, 0, *range(1, 11)]))
    angles = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    circle = torch.stack([angles.cos(), angles.sin()])
    best = float((blocks.roots @ blocks.norms(matrix[:, :2] @ circle)).max())
    found, witness = lower_bound(matrix[:, :2], blocks)
    assert math.isclose(found, best, rel_tol=1e-6)
    again = float(blocks.roots @ blocks.norms(matrix[:, :2] @ witness[:, None])[:, 0])
    assert math.isclose(found, again, rel_tol=1e-9)


def test_a_permutation_of_coordinates_changes_nothing():
    matrix, ids = random_symmetric(30), torch.arange(30) % 4
    order = torch.randperm(30, generator=torch.Generator().manual_seed(0))
    one = blockwise_norm(matrix, ids)
    other = blockwise_norm(matrix[order][:, order], ids[order] * 10 + 7)  # any labels will do
    assert math.isclose(one.upper, other.upper, rel_tol=1e-9)
    assert math.isclose(one.lower, other.lower, rel_tol=1e-3)


def test_a_block_diagonal_hessian_is_known():
    a, b = random_symmetric(5), random_symmetric(9, seed=1)
    norms = [float(torch.linalg.matrix_norm(m, 2)) for m in (a, b)]
    truth = 5 * norms[0] + 9 * norms[1]
    lower, upper = blockwise_norm(torch.block_diag(a, b), torch.tensor([3] * 5 + [1] * 9))
    assert math.isclose(lower, truth, rel_tol=1e-5) and math.isclose(upper, truth, rel_tol=1e-9)


def dense(op):
    matrix = op.dense()
    return (matrix + matrix.T) / 2


def test_all_blocks_by_few_products_bracket_what_all_columns_give():
    _, op = mlp()
    matrix, params = dense(op), op.params
    exact = blockwise_norm(matrix, per_tensor, params)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        few = blockwise_norm(matrix, per_tensor, params, probes=120, generator=generator)
        assert few.method == "all blocks" and few.lower_estimate.probes <= 120
        assert 0.9 * exact.lower < few.lower <= exact.lower * (1 + 1e-4)
        assert 0.95 * exact.upper < few.upper < 3 * exact.upper
    # The operator of the network takes the same path, through its own parameters.
    lower, upper = blockwise_norm(op, per_tensor, probes=120, generator=generator)
    assert 0.9 * exact.lower < lower < upper < 3 * exact.upper


def test_sampled_blocks_are_right_on_average_and_their_intervals_hold():
    _, op = mlp()
    matrix, ids = dense(op), per_row.ids(op.params)  # blocks of 1, 12 and 30 coordinates
    exact = blockwise_norm(matrix, ids)
    generator = torch.Generator().manual_seed(0)
    runs = [blockwise_norm(matrix, ids, probes=160, generator=generator) for _ in range(30)]
    assert all(r.method == "sampled blocks" for r in runs)
    assert max(r.lower_estimate.probes for r in runs) <= 160
    lower, upper = (torch.tensor(x) for x in zip(*runs, strict=True))
    assert abs(lower.mean() / exact.lower - 1) < 0.03 and lower.std() < 0.08 * exact.lower
    assert 0.9 * exact.upper < upper.mean() < 1.3 * exact.upper
    for end, mean in (("lower_estimate", lower.mean()), ("upper_estimate", upper.mean())):
        intervals = [getattr(run, end).interval for run in runs]
        assert sum(low <= mean <= high for low, high in intervals) >= 24


def test_singletons_by_few_products_are_the_two_stage_estimate():
    _, op = mlp()
    result = blockwise_norm(
        op, coordinatewise, probes=60, generator=torch.Generator().manual_seed(0)
    )
    estimate = norm_11(op, 60, generator=torch.Generator().manual_seed(0))
    assert result.method == "rows"
    assert result.lower_estimate == result.upper_estimate == estimate


def test_one_block_by_few_products_is_lanczos():
    _, op = mlp()
    result = blockwise_norm(op, whole, probes=60, generator=torch.Generator().manual_seed(0))
    top = op.dim * float(torch.linalg.eigvalsh(op.dense().double()).abs().max())
    assert result.method == "lanczos" and result.lower_estimate.probes <= 60
    assert result.lower <= top * (1 + 1e-5) and math.isclose(result.lower, top, rel_tol=1e-4)
    assert result.upper >= result.lower


def test_zero_hessian_is_zero_for_every_partition():
    for ids in (torch.zeros(50), torch.arange(50), torch.arange(50) // 5, torch.arange(50) // 20):
        for probes in (None, 20):
            result = blockwise_norm(torch.zeros(50, 50), ids.long(), probes=probes)
            assert tuple(result) == (0, 0)


def test_bad_input_is_named():
    matrix = random_symmetric(20)
    with pytest.raises(ValueError, match="labels 5 coordinates"):
        blockwise_norm(matrix, torch.arange(5))
    with pytest.raises(ValueError, match="give params"):
        blockwise_norm(matrix, per_tensor, [torch.empty(3)])
    with pytest.raises(TypeError, match="integers"):
        blockwise_norm(matrix, torch.zeros(20))
    with pytest.raises(TypeError, match="partition must be"):
        blockwise_norm(matrix, "per_row")
    with pytest.raises(ValueError, match="probes"):
        blockwise_norm(matrix, whole, probes=3)
