"""Which norm measures what: all parameters jointly, a group's own, blocks."""

import copy
import pickle

import pytest
import torch

from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.optim.steepest_descent import NormalizedSGD, SteepestDescent
from linfcourse.partitions import adam_mini, from_ids, per_row, whole
from tests.optim.descents import gradients, parameters, run


@pytest.mark.parametrize("norm", [LInf(), L2(), L1(), Blockwise(whole)], ids=repr)
@pytest.mark.parametrize("momentum", [0.0, 0.7])
def test_joint_descent_is_descent_on_the_concatenated_vector(norm, momentum):
    params = parameters()
    flat = torch.nn.Parameter(torch.cat([p.detach().flatten() for p in params]))
    options = {"norm": norm, "momentum": momentum, "weight_decay": 0.2}
    joint = SteepestDescent(params, 0.1, joint=True, **options)
    single = SteepestDescent([flat], 0.1, **options)
    for _ in gradients(params, 20):
        flat.grad = torch.cat([p.grad.flatten() for p in params])
        joint.step(), single.step()
        together = torch.cat([p.detach().flatten() for p in params])
        torch.testing.assert_close(together, flat.detach(), rtol=1e-12, atol=1e-12)


def test_blocks_that_span_tensors_need_the_joint_norm():
    p, q = parameters(shapes=((2, 3), (2,)))
    ids = {p: torch.tensor([[0, 0, 0], [1, 1, 1]]), q: torch.tensor([0, 1])}
    start = torch.cat([p.detach(), q.detach().unsqueeze(1)], dim=1)
    optimizer = SteepestDescent([p, q], 0.1, Blockwise(from_ids(ids)), joint=True)
    run(optimizer, [p, q], 1)
    rows = torch.cat([p.grad, q.grad.unsqueeze(1)], dim=1)
    moved = torch.cat([p.detach(), q.detach().unsqueeze(1)], dim=1) - start
    torch.testing.assert_close(moved, -0.1 * 2 * rows / rows.norm(dim=1, keepdim=True))


def test_joint_blocks_count_parameters_without_a_gradient():
    p, q = torch.nn.Parameter(torch.zeros(4)), torch.nn.Parameter(torch.ones(12))
    ids = {p: torch.tensor([0, 1, 0, 1]), q: torch.zeros(12, dtype=torch.int64)}
    p.grad = torch.tensor([3.0, 0.0, 4.0, -2.0])
    optimizer = SteepestDescent([q, p], 1.0, Blockwise(from_ids(ids)), weight_decay=0.1, joint=True)
    optimizer.step()
    first, second = -(14**0.5) / 5, 2**0.5  # blocks of 14 and of 2 coordinates
    torch.testing.assert_close(p.detach(), torch.tensor([3 * first, 0.0, 4 * first, second]))
    assert torch.equal(q, torch.ones(12))


def test_groups_share_a_joint_direction_and_keep_their_lr_and_decay():
    p, q = torch.nn.Parameter(torch.ones(1)), torch.nn.Parameter(torch.ones(1))
    groups = [{"params": [p]}, {"params": [q], "lr": 0.5, "weight_decay": 1.0}]
    optimizer = NormalizedSGD(groups, lr=0.1)
    p.grad, q.grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([1 - 0.1 * 0.6]))
    torch.testing.assert_close(q.detach(), torch.tensor([0.5 - 0.5 * 0.8]))


def test_a_group_may_have_a_norm_of_its_own():
    p, q, r = parameters(shapes=((4, 3), (4, 3), (2, 2)))
    groups = [{"params": [p]}, {"params": [q], "norm": LInf()}]
    optimizer = SteepestDescent(groups, 0.1, Spectral())
    optimizer.add_param_group({"params": [r], "norm": L1(), "lr": 1.0})
    starts = [t.detach().clone() for t in (p, q, r)]
    for twin in (optimizer, copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert all("norm" not in group for group in twin.param_groups)
        tensors = [t for group in twin.param_groups for t in group["params"]]
        with torch.no_grad():
            for t, start in zip(tensors, starts, strict=True):
                t.copy_(start)
        run(twin, tensors, 1)
        steps = [t.detach() - start for t, start in zip(tensors, starts, strict=True)]
        lengths = [Spectral()(steps[0]), LInf()(steps[1]), L1()(steps[2])]
        assert [float(v) for v in lengths] == pytest.approx([0.1, 0.1, 1.0])
        assert int((steps[2] != 0).sum()) == 1
    assert "norm" in groups[1], "the caller's dict is not changed"


def test_blockwise_takes_labels_rules_and_models():
    model = torch.nn.Linear(3, 4, dtype=torch.float64)
    rows = torch.arange(4).unsqueeze(1).expand(4, 3)
    results = []
    for blocks in (rows, per_row, adam_mini(model)):
        p = model.weight
        with torch.no_grad():
            p.fill_(1.0)
        p.grad = torch.arange(12, dtype=torch.float64).reshape(4, 3) - 5
        SteepestDescent([p], 0.1, Blockwise(blocks)).step()
        results.append(p.detach().clone())
    torch.testing.assert_close(results[0], results[1])
    torch.testing.assert_close(results[0], results[2])


def test_joint_norms_that_make_no_sense_are_refused_in_words():
    p, q = parameters(shapes=((2, 2), (3,)))
    with pytest.raises(ValueError, match="no singular values"):
        SteepestDescent([p], 0.1, Spectral(), joint=True)
    with pytest.raises(TypeError, match="joint must be True or False"):
        SteepestDescent([p], 0.1, joint=1)
    with pytest.raises(ValueError, match="share one norm"):
        SteepestDescent([{"params": [p], "norm": L1()}], 0.1, L2(), joint=True)
    labels = torch.tensor([0, 0, 1, 1, 1, 0, 0])
    optimizer = SteepestDescent([p, q], 0.1, Blockwise(labels), joint=True)
    run(optimizer, [p, q], 2)
    with pytest.raises(ValueError, match="one label for each"):
        optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(1))]})
    run(optimizer, [p, q], 2)
