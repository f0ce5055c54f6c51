"""Compiled steps: the numbers of the uncompiled ones, one compilation for all of a run."""

import copy
import os
import pickle
import subprocess
import sys
import warnings

import pytest
import torch

from linfcourse import compiling, optim, partitions
from linfcourse.norms import L2
from linfcourse.optim import _compiled

STEPS = ("DESCEND", "LION_STEP", "SIGN_STEP")
ROWS = {"lr": 0.01, "betas": (0.9, 0.95), "weight_decay": 0.1}
SHUFFLED = "shuffled"

BLOCKWISE = {
    "per_row": {"partition": partitions.per_row},
    "per_tensor": {"partition": partitions.per_tensor},
    "whole": {"partition": partitions.whole},
    "shuffled": {"partition": SHUFFLED},
    "penalty": {"partition": partitions.per_row, "decoupled_weight_decay": False},
    "penalty, whole": {"partition": partitions.whole, "decoupled_weight_decay": False},
    "theory": {
        "partition": partitions.per_row,
        "eps_inside_root": True,
        "bias_correction": False,
    },
    "ascent": {"partition": partitions.per_row, "maximize": True},
    "no memory": {"partition": partitions.per_row, "betas": (0.0, 0.0)},
    "coordinatewise": {},
}
SIGN = {"lr": 0.01, "weight_decay": 0.1}
METHODS = {
    **{
        name: lambda p, more=more, **c: optim.BlockwiseAdam(p, **{**ROWS, **labelled(p, more), **c})
        for name, more in BLOCKWISE.items()
    },
    "Lion": lambda p, **c: optim.Lion(p, lr=0.01, betas=(0.9, 0.95), weight_decay=0.1, **c),
    "Lion, ascent": lambda p, **c: optim.Lion(p, lr=0.01, maximize=True, **c),
    "SignSGD": lambda p, **c: optim.SignSGD(p, **SIGN, **c),
    "Signum": lambda p, **c: optim.Signum(p, **SIGN, **c),
    "Signum, nesterov": lambda p, **c: optim.Signum(p, **SIGN, nesterov=True, maximize=True, **c),
    "ℓ2": lambda p, **c: optim.SteepestDescent(p, norm=L2(), **SIGN, **c),
}
# Of each compiled function once, all the way to machine code.
TO_THE_END = ("per_row", "whole", "Lion", "Signum")


def labelled(params, options):
    if options.get("partition") is not SHUFFLED:
        return options
    draw = torch.Generator().manual_seed(3)
    ids, first = {}, 0
    for p in params:
        ids[p] = torch.arange(p.numel()).remainder(5)[torch.randperm(p.numel(), generator=draw)]
        ids[p] = first + ids[p].view(p.shape)
        first += 5
    return {**options, "partition": partitions.from_ids(ids)}


def compile_with(monkeypatch, backend):
    monkeypatch.setattr(compiling, "BACKEND", backend)
    monkeypatch.setattr(_compiled, "_WORTH", 1024)  # the tests' tensors are small
    monkeypatch.setattr(compiling, "_refused", set())
    for name in STEPS:
        step = getattr(_compiled, name)
        monkeypatch.setattr(step, "_compiled", None)
        monkeypatch.setattr(step, "active", True)


@pytest.fixture
def quick(monkeypatch):
    """All of torch.compile but its last stage, which writes and compiles C++."""
    compile_with(monkeypatch, "aot_eager")
    yield
    torch._dynamo.reset()


@pytest.fixture
def whole(monkeypatch):
    compile_with(monkeypatch, "inductor")
    yield
    torch._dynamo.reset()


def make_params(dtype=torch.float64, shapes=((40, 30), (48, 2, 24), (1100,), (3,))):
    draw = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, generator=draw).to(dtype)) for s in shapes]


def set_gradients(params, step):
    draw = torch.Generator().manual_seed(100 + step)
    for k, p in enumerate(params):
        g = torch.randn(p.shape, generator=draw).to(p.dtype)
        p.grad = None if (k, step) == (1, 2) else g  # one that has none for a step


def run(make, params, steps=5, **options):
    optimizer = make(params, **options)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    for step in range(steps):
        set_gradients(params, step)
        optimizer.step()
        schedule.step()
    return optimizer


def assert_equal(a, b, rtol=1e-12, atol=1e-13):
    for x, y in zip(a, b, strict=True):
        torch.testing.assert_close(x.detach(), y.detach(), rtol=rtol, atol=atol)


def both_ways(make, **options):
    plain, compiled = make_params(**options), make_params(**options)
    a, b = run(make, plain), run(make, compiled, compiled=True)
    return (plain, a), (compiled, b)


def states(optimizer):
    return [
        value
        for entry in optimizer.state_dict()["state"].values()
        for _, value in sorted(entry.items())
    ]


@pytest.mark.parametrize("name", METHODS)
def test_a_compiled_run_is_the_plain_one_to_rounding(quick, name):
    (plain, a), (compiled, b) = both_ways(METHODS[name])
    assert_equal(plain, compiled)
    assert_equal(states(a), states(b))
    changed = (x.detach() - y for x, y in zip(compiled, make_params(), strict=True))
    assert all(change.abs().max() > 1e-3 for change in changed)


@pytest.mark.parametrize("name", TO_THE_END)
def test_so_is_one_in_machine_code(whole, name):
    (plain, _), (compiled, _) = both_ways(METHODS[name], dtype=torch.float32)
    assert all(getattr(_compiled, step).active for step in STEPS)
    assert_equal(plain, compiled, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["per_row", "whole", "Lion", "Signum"])
def test_the_step_itself_is_compiled_and_once_for_schedule_and_shapes(quick, name):
    params = make_params()
    counters = torch._dynamo.utils.counters["stats"]
    before = counters["unique_graphs"]
    optimizer = run(METHODS[name], params, steps=2, compiled=True)
    assert counters["unique_graphs"] > before
    with torch.compiler.set_stance("fail_on_recompile"):
        for step in range(3, 6):
            optimizer.param_groups[0]["lr"] *= 0.7
            set_gradients(params, step)
            optimizer.step()
        other = make_params(shapes=((70, 20), (33, 3, 44), (2000,)))
        run(METHODS[name], other, compiled=True)
    assert all(getattr(_compiled, step).active for step in STEPS)


@pytest.mark.parametrize("name", ["per_row", "whole", "Lion", "Signum"])
def test_half_precision_is_rounded_once(quick, name):
    (plain, _), (compiled, _) = both_ways(METHODS[name], dtype=torch.bfloat16)
    eps = torch.finfo(torch.bfloat16).eps
    assert_equal(plain, compiled, rtol=2 * eps, atol=4 * eps)


@pytest.mark.parametrize("name", ["per_row", "Lion"])
def test_any_layout(quick, name):
    def transposed(**_):
        params = make_params()
        params[0] = torch.nn.Parameter(params[0].detach().t().contiguous().t())
        return params

    plain, compiled = transposed(), transposed()
    run(METHODS[name], plain)
    run(METHODS[name], compiled, compiled=True)
    assert compiled[0].stride() == (1, 40)
    assert_equal(plain, compiled)


@pytest.mark.parametrize("name", ["per_row", "Lion", "SignSGD"])
def test_a_nan_comes_through(quick, name):
    params = make_params()
    optimizer = METHODS[name](params, compiled=True)
    set_gradients(params, 0)
    params[0].grad[3, 4] = torch.nan
    optimizer.step()
    assert params[0][3, 4].isnan() and not params[0][4:].isnan().any()


@pytest.mark.parametrize("name", ["per_row", "whole", "Lion", "Signum"])
def test_states_go_from_one_to_the_other(quick, name):
    plain, compiled = make_params(), make_params()
    a, b = run(METHODS[name], plain, steps=2), METHODS[name](compiled, compiled=True)
    with torch.no_grad():
        for x, y in zip(plain, compiled, strict=True):
            y.copy_(x)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    assert b.compiled and pickle.loads(pickle.dumps(b)).compiled
    for step in (3, 4):
        for params, optimizer in ((plain, a), (compiled, b)):
            set_gradients(params, step)
            optimizer.step()
    assert_equal(plain, compiled)


def test_inside_of_rotated_coordinates(quick):
    def make(p, **compiled):
        return optim.Rotated(p, lambda w: optim.AdaSGD(w, lr=0.01, **compiled))

    (plain, _), (turned, _) = both_ways(make)
    assert_equal(plain, turned)


@pytest.mark.parametrize("name", ["per_row", "whole", "Lion", "Signum"])
def test_where_nothing_can_be_compiled_there_is_one_warning_and_the_plain_step(
    quick, monkeypatch, name
):
    def broken(*_, **__):
        raise RuntimeError("no C++ compiler")

    monkeypatch.setattr(torch, "compile", broken)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        (plain, _), (compiled, _) = both_ways(METHODS[name])
    assert [w.category for w in told] == [UserWarning] * len(told) and 1 <= len(told) <= 2
    assert "no C++ compiler" in str(told[0].message) and "step of" in str(told[0].message)
    assert_equal(plain, compiled)


def test_without_a_compiler_for_real(tmp_path):
    code = """
import torch
from linfcourse.optim import Lion
x = torch.nn.Parameter(torch.ones(200_000))
x.grad = torch.full((200_000,), 2.0)
Lion([x], lr=0.5, compiled=True).step()
assert torch.equal(x.detach(), torch.full((200_000,), 0.5))
"""
    nowhere = {"CXX": str(tmp_path / "none"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **nowhere}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("the step of Lion runs without torch.compile") == 1


@pytest.mark.parametrize("make", [optim.BlockwiseAdam, optim.Lion, optim.SignSGD])
def test_compiled_is_true_or_false(make):
    with pytest.raises(TypeError, match="compiled"):
        make(make_params(), compiled="yes")
