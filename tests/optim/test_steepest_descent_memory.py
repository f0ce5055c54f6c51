"""Steepest descent in pieces, in any layout, on complex numbers, and its saved states."""

import copy
import io
import pickle

import pytest
import torch

from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.optim import _chunks
from linfcourse.optim.steepest_descent import SignSGD, SteepestDescent
from linfcourse.partitions import per_tensor
from tests.optim.descents import assert_same, every_norm, gradients, parameters, run


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_walking_in_pieces_changes_no_bit(monkeypatch, dtype, momentum, nesterov):
    results = []
    for chunk in (64, 10_000):
        monkeypatch.setattr(_chunks, "CHUNK", chunk)
        params = parameters(dtype, ((33, 17), (300,), ()))
        options = {"momentum": momentum, "weight_decay": 0.1, "nesterov": nesterov}
        results.append(run(SteepestDescent(params, 0.01, maximize=True, **options), params))
    assert_same(*results)


@every_norm
def test_strides_of_parameter_and_gradient_do_not_matter(monkeypatch, norm):
    monkeypatch.setattr(_chunks, "CHUNK", 16)
    ours = [torch.nn.Parameter(torch.ones(8, 6).T), torch.nn.Parameter(torch.ones(12, 6)[::2])]
    theirs = [torch.nn.Parameter(p.detach().clone().contiguous()) for p in ours]
    mine, reference = (SteepestDescent(ps, 0.1, norm, 0.9, 0.1) for ps in (ours, theirs))
    for _ in zip(gradients(ours, 5), gradients(theirs, 5), strict=True):
        mine.step(), reference.step()
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("norm", [L1(), L2(), LInf(), Spectral(), Blockwise(per_tensor)], ids=repr)
def test_complex_parameters_are_pairs_of_reals(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    z = torch.nn.Parameter(torch.complex(*parameters(shapes=((3, 2), (3, 2)))))
    w = torch.nn.Parameter(torch.view_as_real(z.detach()).clone())
    first = SteepestDescent([z], 0.1, norm, 0.9, 0.1, joint)
    second = SteepestDescent([w], 0.1, norm, 0.9, 0.1, joint)
    for _ in gradients([w], 10):
        z.grad = torch.view_as_complex(w.grad.clone())
        first.step(), second.step()
    torch.testing.assert_close(torch.view_as_real(z), w)


@every_norm
@pytest.mark.parametrize("joint", [False, True])
def test_a_checkpoint_goes_on_bit_for_bit(norm, joint):
    if joint and isinstance(norm, Spectral):
        pytest.skip("refused")
    ours = parameters(torch.float32)
    first = SteepestDescent(ours, torch.tensor(0.1), norm, 0.9, 0.1, joint)
    run(first, ours, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    second = SteepestDescent(theirs, 7.0, norm, joint=joint)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    assert_same(run(first, ours, 3, 2), run(second, theirs, 3, 2))


@every_norm
def test_copies_and_pickles_go_on_bit_for_bit(norm):
    params = parameters(torch.float32)
    optimizer = SteepestDescent(params, 0.1, norm, 0.9, 0.1)
    run(optimizer, params, 3)
    twins = [copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))]
    expected = run(optimizer, params, 3, 2)
    for twin in twins:
        assert twin.norm == norm and type(twin) is SteepestDescent
        assert_same(run(twin, twin.param_groups[0]["params"], 3, 2), expected)


def test_a_cycled_momentum_starts_and_stops_averaging():
    params = parameters()
    optimizer = SignSGD(params, 0.1)
    run(optimizer, params, 1)
    assert not optimizer.state
    optimizer.param_groups[0]["momentum"] = 0.5
    run(optimizer, params, 2)
    optimizer.param_groups[0]["momentum"] = 0.0
    run(optimizer, params, 1)
    for p in params:
        assert torch.equal(optimizer.state[p]["momentum_buffer"], p.grad)
    torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=5)
