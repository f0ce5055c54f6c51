"""Blocks across tensors: who keeps them, how they grow, what is refused."""

import pytest
import torch
from torch import nn

from linfcourse.optim import AdamMini, AdaSGD, BlockwiseAdam
from linfcourse.partitions import adam_mini, coordinatewise, from_ids, per_row, per_tensor, whole
from tests.optim.blocks import parameters, run


def test_whole_goes_across_dtypes():
    a, b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2, dtype=torch.float64))
    a.grad, b.grad = torch.full((2,), 3.0), torch.full((2,), 4.0, dtype=torch.float64)
    BlockwiseAdam([a, b], lr=0.1, partition=whole).step()
    torch.testing.assert_close(a, torch.full((2,), 1 - 0.3 / 12.5**0.5))
    torch.testing.assert_close(b, torch.full((2,), 1 - 0.4 / 12.5**0.5, dtype=torch.float64))


def test_an_added_parameter_joins_the_block():
    p, q = parameters([(2,), (3,)], torch.float64)
    optimizer = BlockwiseAdam([p], lr=0.1, betas=(0.9, 0.9), partition=whole)
    p.grad = torch.tensor([3.0, 4.0], dtype=torch.float64)
    optimizer.step()
    optimizer.add_param_group({"params": [q]})
    q.grad = torch.full((3,), 2.0, dtype=torch.float64)
    before = q.detach().clone()
    optimizer.step()
    v = 0.9 * (0.1 * 12.5) + 0.1 * (25 + 12) / 5
    step = 0.1 * 2 / ((v / (1 - 0.9**2)) ** 0.5 + 1e-8)
    torch.testing.assert_close(before - q.detach(), torch.full_like(q, step), rtol=1e-12, atol=0)


def test_an_added_parameter_must_be_covered_and_leaves_no_trace_otherwise():
    p, q = parameters([(2,), (3,)])
    optimizer = BlockwiseAdam([p], partition=from_ids({p: torch.tensor([0, 1])}))
    with pytest.raises(ValueError, match="from_ids"):
        optimizer.add_param_group({"params": [q]})
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [q], "lr": -1.0})
    with pytest.raises(ValueError, match="partition"):
        optimizer.add_param_group({"params": [q], "partition": whole})
    assert len(optimizer.param_groups) == 1
    ids = {p: torch.tensor([0, 1]), q: torch.tensor([1, 2, 2])}
    later = BlockwiseAdam([p], partition=from_ids(ids))
    run(later, [p], 1)
    later.add_param_group({"params": [q]})
    run(later, [p, q], 1)


def test_a_shared_block_needs_one_beta2():
    p, q = parameters([(2,), (3,)])
    groups = [{"params": [p]}, {"params": [q], "betas": (0.9, 0.5)}]
    optimizer = BlockwiseAdam(groups, partition=whole)
    before = p.detach().clone()
    with pytest.raises(ValueError, match=r"betas\[1\]"):
        run(optimizer, [p, q], 1)
    assert torch.equal(p, before) and not optimizer.state
    run(BlockwiseAdam([dict(g) for g in groups], partition=per_tensor), [p, q], 1)


def test_an_empty_tensor_is_carried_along():
    for rule in (coordinatewise, whole, per_tensor, per_row):
        ps = parameters([(0, 3), (3, 0), (2,)])
        qs = parameters([(2,)])
        qs[0].data.copy_(ps[2].data)
        ps[0].grad, ps[1].grad = torch.zeros(0, 3), torch.zeros(3, 0)
        a, b = BlockwiseAdam(ps, partition=rule), BlockwiseAdam(qs, partition=rule)
        for _ in range(3):
            ps[2].grad = qs[0].grad = torch.tensor([1.0, 2.0])
            a.step()
            b.step()
        assert torch.equal(ps[2], qs[0])
        a.load_state_dict(a.state_dict())


@pytest.mark.parametrize(
    ("options", "error", "named"),
    [
        ({"lr": -1.0}, ValueError, "lr"),
        ({"lr": float("nan")}, ValueError, "lr"),
        ({"lr": torch.tensor([0.1, 0.1])}, ValueError, "lr"),
        ({"lr": "0.1"}, TypeError, "lr"),
        ({"lr": None}, TypeError, "lr"),
        ({"betas": (1.0, 0.9)}, ValueError, r"betas\[0\]"),
        ({"betas": (0.9, 1.0)}, ValueError, r"betas\[1\]"),
        ({"betas": (0.9, -0.1)}, ValueError, r"betas\[1\]"),
        ({"betas": (0.9,)}, ValueError, "betas"),
        ({"betas": 0.9}, ValueError, "betas"),
        ({"eps": -1e-8}, ValueError, "eps"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay"),
        ({"maximize": 1}, TypeError, "maximize"),
        ({"partition": "per_row"}, TypeError, "partition"),
        ({"partition": adam_mini}, TypeError, "partition"),
        ({"partition": None}, TypeError, "partition"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,  # no address: workers must agree
)
def test_bad_options_are_refused_by_name(options, error, named):
    p = nn.Parameter(torch.zeros(2))
    with pytest.raises(error, match=named):
        BlockwiseAdam([p], **options)
    if "partition" not in options:
        with pytest.raises(error, match=named):
            BlockwiseAdam([{"params": [p], **options}])


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="empty"):
        BlockwiseAdam([])
    with pytest.raises(TypeError, match="floating-point"):
        BlockwiseAdam([torch.zeros(2, dtype=torch.int64)])
    with pytest.raises(TypeError, match="sparse"):
        BlockwiseAdam([torch.zeros(2, 2).to_sparse()])
    with pytest.raises(ValueError, match="expanded"):
        BlockwiseAdam([torch.zeros(1).expand(4)])
    with pytest.raises(ValueError, match="conjugate"):
        BlockwiseAdam([torch.zeros(3, dtype=torch.complex64).conj()])
    p, q = parameters([(2,), (3,)])
    with pytest.raises(ValueError, match="from_ids"):
        BlockwiseAdam([p, q], partition=from_ids({p: torch.tensor([0, 0])}))
    with pytest.raises(TypeError, match="model"):
        AdamMini([p])
    with pytest.raises(ValueError, match="adam_mini"):
        AdamMini([p], model=nn.Linear(2, 2))


def test_the_partition_shows_in_the_repr():
    (p,) = parameters([(2,)])
    assert "partition: per_row" in repr(BlockwiseAdam([p], partition=per_row))
    assert "lr: 0.001" in repr(AdaSGD([p])) and "AdaSGD" in repr(AdaSGD([p]))
