"""Every optimizer on the inputs of torch's own tests, good and bad, and on other bad ones."""

import inspect
import warnings

import pytest
import torch
from torch import nn
from torch.testing._internal.common_optimizers import (
    OptimizerErrorEnum,
    optim_error_inputs_func_adamw,
    optim_error_inputs_func_sgd,
    optim_inputs_func_adamw,
    optim_inputs_func_sgd,
)

from tests.optim.every_optimizer import OPTIMIZERS, every, make, needs_tensors, same, values

# torch.testing freezes the switches of torch.backends for the whole process, as torch's own tests
# want it. Other tests here set them, as a user does.
torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True


@every
def test_sparse_gradients_are_refused_before_anything_moves(name):
    dense, table = nn.Parameter(torch.ones(3, 2)), nn.Embedding(4, 2, sparse=True)
    optimizer = make(name, [dense, table.weight])
    before = values([dense, table.weight])
    (table(torch.tensor([1])).sum() + dense.sum()).backward()
    with pytest.raises((TypeError, ValueError), match="sparse"):
        optimizer.step()
    assert same([dense, table.weight], before)
    assert not any(len(state) for state in optimizer.state.values())


@every
def test_bad_parameter_lists_are_refused(name):
    p = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(ValueError, match="empty"):
        make(name, [])
    with pytest.raises((TypeError, ValueError)):
        OPTIMIZERS[name]([3.0]) if not needs_tensors(name) else make("AdamW", [3.0])
    with pytest.raises(ValueError, match="leaf"):
        make(name, [p * 2])
    with pytest.raises(TypeError):
        make(name, p) if not needs_tensors(name) else make("AdamW", p)


@every
@pytest.mark.parametrize("option", ["lr", "weight_decay"])
@pytest.mark.parametrize("bad", [-1.0, float("nan"), "fast"], ids=str)
def test_options_out_of_range_are_refused(name, option, bad):
    p = nn.Parameter(torch.ones(2, 2))
    with pytest.raises((TypeError, ValueError)):
        make(name, [p], **{option: bad})


def kwargs_that_apply(name, kwargs):
    """Whether an optimizer has all of these options, read off its group."""
    probe = make(name, [nn.Parameter(torch.zeros(1))])
    own = set(inspect.signature(type(probe).__init__).parameters) | set(probe.defaults)
    return set(kwargs) <= own


@every
@pytest.mark.parametrize("inputs", [optim_inputs_func_adamw, optim_inputs_func_sgd])
def test_torchs_own_inputs_go_the_right_way(name, inputs):
    ran = 0
    for given in inputs("cpu", torch.float32):
        if not kwargs_that_apply(name, given.kwargs):
            continue
        ran += 1
        generator = torch.Generator().manual_seed(0)
        weight = nn.Parameter(torch.randn(10, 5, generator=generator))
        bias = nn.Parameter(torch.randn(10, generator=generator))
        x = torch.randn(5, generator=generator)
        optimizer = OPTIMIZERS[name]([weight, bias], **given.kwargs)
        start = None
        for _ in range(10):
            optimizer.zero_grad()
            loss = (weight.mv(x) + bias).square().sum()
            start = loss.item() if start is None else start
            loss.backward()
            optimizer.step()
        end = (weight.mv(x) + bias).square().sum().item()
        if given.kwargs.get("maximize"):
            # Decay pulls the other way, as it does in torch; the direction is what is asked.
            continue
        assert end < start, given.desc
    assert ran >= 3


@every
@pytest.mark.parametrize("inputs", [optim_error_inputs_func_adamw, optim_error_inputs_func_sgd])
def test_torchs_own_bad_inputs_are_refused(name, inputs):
    ran = 0
    for error in inputs("cpu", torch.float32):
        given = error.optimizer_error_input
        mixed = any(isinstance(b, torch.Tensor) for b in given.kwargs.get("betas", ()))
        if mixed or error.error_on is not OptimizerErrorEnum.CONSTRUCTION_ERROR:
            continue  # numbers and tensors may be mixed here
        if not kwargs_that_apply(name, given.kwargs):
            continue
        params = [nn.Parameter(torch.randn(1, 1))] if given.params is None else given.params
        if isinstance(params, torch.Tensor) and needs_tensors(name):
            continue
        ran += 1
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            with pytest.raises(error.error_type):
                OPTIMIZERS[name](params, **given.kwargs)
    assert ran >= 5
