"""Every optimizer's state is saved, loaded, copied, extended as torch's are; hooks are called."""

import copy
import pickle

import pytest
import torch
from torch import nn

from tests.optim.every_optimizer import (
    OPTIMIZERS,
    eps_if_it_has_one,
    every,
    make,
    new_model,
    same,
    save_and_load,
    train,
    values,
)


@every
def test_a_saved_state_loads_safely_and_goes_on_bit_for_bit(name):
    a, b = new_model(), new_model()
    first = make(name, a.parameters())
    train(first, a)
    saved = save_and_load({"model": a.state_dict(), "optimizer": first.state_dict()})
    b.load_state_dict(saved["model"])
    second = make(name, b.parameters())
    second.load_state_dict(saved["optimizer"])
    train(first, a, seed=9)
    train(second, b, seed=9)
    assert same(a, b)


@every
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_a_saved_state_keeps_its_precision(name, dtype):
    a, b = new_model(dtype), new_model(dtype)
    first = make(name, a.parameters(), **eps_if_it_has_one(name))
    train(first, a)
    b.load_state_dict(a.state_dict())
    second = make(name, b.parameters(), **eps_if_it_has_one(name))
    second.load_state_dict(save_and_load(first.state_dict()))
    train(first, a, seed=9)
    train(second, b, seed=9)
    assert same(a, b)


@every
def test_a_saved_state_brings_its_options(name):
    a, b = new_model(), new_model()
    first, second = make(name, a.parameters(), lr=0.123), make(name, b.parameters(), lr=0.5)
    second.load_state_dict(save_and_load(first.state_dict()))
    assert second.param_groups[0]["lr"] == 0.123


@every
def test_a_state_of_other_parameters_is_refused(name):
    a = new_model()
    first = make(name, a.parameters())
    train(first, a)
    other = make(name, [nn.Parameter(torch.zeros(2))])
    with pytest.raises(ValueError, match="group"):
        other.load_state_dict(first.state_dict())


@every
@pytest.mark.parametrize("how", ["deepcopy", "pickle"])
def test_a_copy_goes_on_alone_bit_for_bit(name, how):
    a = new_model()
    first = make(name, a.parameters())
    train(first, a)
    pair = (a, first)
    b, second = copy.deepcopy(pair) if how == "deepcopy" else pickle.loads(pickle.dumps(pair))
    before = values(a)
    train(second, b, seed=9)
    assert same(a, before)
    train(first, a, seed=9)
    assert same(a, b)
    assert repr(second) == repr(first)


@every
def test_a_group_may_be_added_between_steps(name):
    model = new_model()
    early, late = list(model[0].parameters()), list(model[2].parameters())
    optimizer = OPTIMIZERS[name](early, later=late, lr=0.01)
    train(optimizer, model)
    before = values(late)
    optimizer.add_param_group({"params": late, "lr": 0.5})
    assert optimizer.param_groups[1]["lr"] == 0.5
    train(optimizer, model)
    assert not any(torch.equal(p, q) for p, q in zip(late, before, strict=True))
    other = new_model()
    other.load_state_dict(model.state_dict())
    groups = [{"params": list(other[k].parameters())} for k in (0, 2)]
    again = make(name, groups)
    again.load_state_dict(save_and_load(optimizer.state_dict()))
    train(optimizer, model, seed=9)
    train(again, other, seed=9)
    assert same(model, other)


@every
def test_hooks_are_called(name):
    model = new_model()
    optimizer = make(name, model.parameters())
    calls = []
    handles = [
        optimizer.register_step_pre_hook(lambda *_: calls.append("pre")),
        optimizer.register_step_post_hook(lambda *_: calls.append("post")),
        optimizer.register_state_dict_pre_hook(lambda *_: calls.append("state pre")),
        optimizer.register_state_dict_post_hook(lambda *_: calls.append("state post")),
        optimizer.register_load_state_dict_pre_hook(lambda *_: calls.append("load pre")),
        optimizer.register_load_state_dict_post_hook(lambda *_: calls.append("load post")),
    ]
    train(optimizer, model, 1)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert calls == ["pre", "post", "state pre", "state post", "load pre", "load post"]
    for handle in handles:
        handle.remove()
    train(optimizer, model, 1)
    assert len(calls) == 6


@every
def test_a_load_hook_may_change_the_state(name):
    model = new_model()
    optimizer = make(name, model.parameters())
    train(optimizer, model)

    def halve(_, state):
        groups = [{**group, "lr": group["lr"] / 2} for group in state["param_groups"]]
        return {**state, "param_groups": groups}

    optimizer.register_load_state_dict_pre_hook(halve)
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.param_groups[0]["lr"] == 0.005
