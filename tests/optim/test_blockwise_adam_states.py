"""Blockwise Adam's saved and copied states."""

import copy
import itertools

import pytest
import torch

from linfcourse.optim import AdamW, BlockwiseAdam
from tests.optim.blocks import RULES, parameters, run


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loaded_state_is_a_copy_that_goes_on_bit_for_bit(rule, dtype):
    ps, qs = parameters(dtype=dtype), parameters(dtype=dtype)
    # The parameter that keeps the shared table has not moved yet when the state is saved.
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    run(a, ps, 3, skip=lambda t, k: k == 0)
    for p, q in zip(ps, qs, strict=True):
        q.data.copy_(p.data)
    b = BlockwiseAdam(qs, partition=RULES[rule](qs))
    b.load_state_dict(a.state_dict())
    x, y = run(a, ps, 3, seed=5), run(b, qs, 3, seed=5)
    assert all(torch.equal(s, t) for s, t in zip(x, y, strict=True))


@pytest.mark.parametrize(
    ("one", "other"), [p for p in itertools.permutations(RULES, 2) if "ids" not in "".join(p)]
)
def test_a_state_of_another_partition_is_refused_and_nothing_changed(one, other):
    ps = parameters()
    a, b = (BlockwiseAdam(ps, partition=RULES[rule](ps)) for rule in (one, other))
    run(a, ps, 1)
    run(b, ps, 1)
    before = copy.deepcopy(b.state_dict())
    with pytest.raises(ValueError, match="partition"):
        b.load_state_dict(a.state_dict())
    torch.testing.assert_close(b.state_dict()["state"], before["state"], rtol=0, atol=0)


def test_a_state_without_second_moments_is_refused():
    ps = parameters()
    sgd = torch.optim.SGD(ps, lr=0.1, momentum=0.9)
    run(sgd, ps, 1)
    with pytest.raises(ValueError, match="state_dict does not fit"):
        AdamW(ps).load_state_dict(sgd.state_dict())


@pytest.mark.parametrize("rule", RULES)
def test_a_copied_optimizer_goes_on_with_the_copied_parameters(rule):
    ps = parameters()
    a = BlockwiseAdam(ps, partition=RULES[rule](ps))
    run(a, ps, 3)
    b, qs = copy.deepcopy((a, ps))
    assert all(p is not q for p, q in zip(ps, qs, strict=True))
    x, y = run(a, ps, 3, seed=5), run(b, qs, 3, seed=5)
    assert all(torch.equal(s, t) for s, t in zip(x, y, strict=True))
