"""What an optimizer cannot work with is refused when it is given, and then nothing has changed."""

import copy
import functools

import pytest
import torch
from torch import nn

from linfcourse.norms import L1, L2, Blockwise, Spectral
from linfcourse.optim import (
    Adam,
    AdamW,
    AdaSGD,
    BlockwiseAdam,
    Lion,
    NormalizedSGD,
    Rotated,
    Signum,
    SteepestDescent,
)
from linfcourse.partitions import per_row

MAKERS = {
    "BlockwiseAdam": functools.partial(BlockwiseAdam, partition=per_row),
    "AdamW": AdamW,
    "AdaSGD": AdaSGD,
    "Signum": Signum,
    "NormalizedSGD": functools.partial(NormalizedSGD, momentum=0.9),
    "SteepestDescent(L2)": functools.partial(SteepestDescent, norm=L2(), momentum=0.9),
    "SteepestDescent(joint L1)": functools.partial(
        SteepestDescent, norm=L1(), momentum=0.9, joint=True
    ),
    "SteepestDescent(Spectral)": functools.partial(SteepestDescent, norm=Spectral(), momentum=0.9),
    "SteepestDescent(Blockwise)": functools.partial(
        SteepestDescent, norm=Blockwise(per_row), momentum=0.9
    ),
    "Lion": Lion,
    "Rotated(Lion)": lambda params, lr: Rotated(params, functools.partial(Lion, lr=lr)),
    "Rotated(Adam)": lambda params, lr: Rotated(params, functools.partial(Adam, lr=lr)),
}

every = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)

UNFIT = {
    "sparse": lambda: torch.eye(3).to_sparse().requires_grad_(),
    "expanded": lambda: nn.Parameter(torch.ones(1).expand(3)),
    "lazily conjugated": lambda: nn.Parameter(torch.ones(2, dtype=torch.complex64).conj()),
}


def stepped(make, shapes, lr=0.1):
    params = [nn.Parameter(torch.ones(shape)) for shape in shapes]
    optimizer = make(params, lr=lr)
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    return params, optimizer


@every
@pytest.mark.parametrize("kind", UNFIT)
def test_a_parameter_that_cannot_be_written_in_place_is_refused_at_once(make, kind):
    with pytest.raises((TypeError, ValueError), match="params"):
        make([nn.Parameter(torch.ones(2)), UNFIT[kind]()], lr=0.1)
    _, optimizer = stepped(make, [(2,)])
    with pytest.raises((TypeError, ValueError), match="params"):
        optimizer.add_param_group({"params": [UNFIT[kind]()]})
    assert len(optimizer.param_groups) == 1
    optimizer.step()


@every
def test_a_state_of_other_shapes_is_refused_and_changes_nothing(make):
    _, other = stepped(make, [(2,), (3, 3)], lr=0.5)
    _, optimizer = stepped(make, [(2,), (4, 4)])
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="state_dict"):
        optimizer.load_state_dict(other.state_dict())
    assert str(optimizer.state_dict()) == str(before)
    optimizer.step()


def test_a_state_that_the_inner_optimizer_refuses_does_not_touch_the_outer_one():
    _, other = stepped(MAKERS["Rotated(Adam)"], [(3, 3)], lr=0.5)
    adasgd = functools.partial(AdaSGD, lr=0.1)
    _, optimizer = stepped(lambda params, lr: Rotated(params, adasgd), [(3, 3)])
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="state_dict"):
        optimizer.load_state_dict(other.state_dict())
    assert str(optimizer.state_dict()) == str(before)
    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_state_whose_groups_do_not_fit_does_not_touch_the_inner_optimizer():
    def one_frozen(count, lr):
        params = [nn.Parameter(torch.ones(3)), *(torch.ones(1) for _ in range(count))]
        optimizer = Rotated(params, functools.partial(Adam, lr=lr))
        params[0].grad = torch.ones(3)
        optimizer.step()
        return optimizer

    other, optimizer = one_frozen(2, lr=0.5), one_frozen(1, lr=0.1)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError):
        optimizer.load_state_dict(other.state_dict())
    assert str(optimizer.state_dict()) == str(before)


@every
def test_a_lazily_conjugated_gradient_counts_as_its_value(make):
    z = torch.tensor([[1.0 + 2.0j, -3.0j], [0.5, 2.0 - 1.0j]])
    lazy, plain = nn.Parameter(z.clone()), nn.Parameter(z.clone())
    lazy.grad, plain.grad = z.conj(), z.conj().resolve_conj()
    make([lazy], lr=0.1).step()
    make([plain], lr=0.1).step()
    assert torch.equal(lazy, plain)
