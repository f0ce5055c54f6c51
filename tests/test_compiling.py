"""Compiled training: the run of eager mode, and eager mode itself where nothing can be compiled."""

import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn

from linfcourse import compiling
from linfcourse.compiling import Compiled
from linfcourse.hessian import HessianOperator, norm_11
from linfcourse.models import GPT, GPTConfig, cross_entropy
from linfcourse.training import train


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """All of torch.compile but its slow last stage, which writes and compiles C++ or Triton."""
    monkeypatch.setattr(compiling, "BACKEND", "aot_eager")
    monkeypatch.setattr(compiling, "_refused", set())
    yield
    torch._dynamo.reset()


def make_gpt():
    torch.manual_seed(0)
    return GPT(GPTConfig(7, context=6, n_layer=1, n_head=2, width=8, tie_weights=False)).double()


def batches(step):
    tokens = torch.randint(7, (4, 7), generator=torch.Generator().manual_seed(step))
    return tokens[:, :-1], tokens[:, 1:]


def run(model=None, steps=6, loss_fn=None, **options):
    model = make_gpt() if model is None else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    loss_fn = loss_fn or (lambda model, batch: model.loss(*batch))
    return model, train(model, loss_fn, batches, optimizer, steps=steps, **options)


def broken(*_, **__):
    raise RuntimeError("no such compiler\nlook at page 7")


def assert_alike(a, b, rel=1e-9):
    assert a[1].loss == pytest.approx(b[1].loss, rel=rel)
    for name, value in a[0].state_dict().items():
        assert torch.allclose(value, b[0].state_dict()[name], rtol=1e-6, atol=1e-9), name


class TestTheRun:
    @pytest.mark.parametrize("accumulate", [1, 3])
    def test_is_that_of_eager_mode_to_rounding(self, accumulate):
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        compiled = run(accumulate=accumulate, clip=1.0, compile="on")
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs
        assert compiled[1].compiled
        eager = run(accumulate=accumulate, clip=1.0)
        assert not eager[1].compiled
        assert_alike(compiled, eager)

    def test_a_second_model_of_the_same_shape_is_not_compiled_again(self):
        run(compile="on", steps=1)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert run(compile="on", steps=1)[1].compiled
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == graphs

    def test_hessians_are_measured_on_the_model_itself(self):
        found = []

        def evaluate(model):
            assert isinstance(model, GPT)
            H = HessianOperator(model.loss(*batches(99)), list(model.parameters()))
            found.append(norm_11(H, probes=4, generator=torch.Generator().manual_seed(0)).value)
            return {"norm": found[-1]}

        run(compile="on", evaluate=evaluate)
        run(evaluate=evaluate)
        assert found[:2] == pytest.approx(found[2:], rel=1e-6)

    def test_of_batchnorm_sees_the_first_batch_once(self):
        def make():
            torch.manual_seed(0)
            return nn.Sequential(
                nn.Embedding(7, 4), nn.Flatten(), nn.BatchNorm1d(24), nn.Linear(24, 7)
            )

        def loss_fn(model, batch):
            return cross_entropy(model, (batch[0], batch[1][:, -1]))

        compiled, eager = run(make(), compile="on", loss_fn=loss_fn), run(make(), loss_fn=loss_fn)
        assert compiled[0][2].num_batches_tracked == 6
        assert_alike(compiled, eager, rel=1e-5)

    def test_goes_on_with_or_without(self, tmp_path):
        whole = run()
        for k, (first, then) in enumerate([("on", "off"), ("off", "on")]):
            file = tmp_path / f"{k}.pt"

            left = [True]

            def interrupted(step, left=left):
                if step == 4 and left:
                    raise KeyboardInterrupt
                return batches(step)

            for compile in (first, then):
                model = make_gpt()
                optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
                try:
                    history = train(
                        model, lambda model, batch: model.loss(*batch), interrupted, optimizer,
                        steps=6, checkpoint=file, checkpoint_every=2, compile=compile,
                    )  # fmt: skip
                except KeyboardInterrupt:
                    left.clear()
            assert not any(
                "_orig_mod" in name for name in torch.load(file)["state"]["training"]["model"]
            )
            assert history.compiled == (then == "on")
            assert_alike((model, history), whole)

    def test_a_model_that_came_compiled_leaves_plain_names_in_the_checkpoint(self, tmp_path):
        seen = []

        def evaluate(model):
            seen.append(type(model))
            return {}

        model = torch.compile(make_gpt(), backend="eager")
        file = tmp_path / "c.pt"
        run(model, loss_fn=cross_entropy, checkpoint=file, evaluate=evaluate)
        assert set(torch.load(file)["state"]["training"]["model"]) == set(make_gpt().state_dict())
        assert set(seen) == {GPT}


class TestWithoutACompiler:
    def test_one_warning_names_the_reason_and_nothing_is_lost(self, monkeypatch):
        def loss_fn(model, batch):
            return model.loss(*batch)

        monkeypatch.setattr(compiling, "BACKEND", broken)
        with pytest.warns(UserWarning) as caught:
            fallen = run(compile="on", loss_fn=loss_fn)
            again = run(compile="on", loss_fn=loss_fn)
        assert len(caught) == 1
        assert "training loss" in str(caught[0].message)
        assert "no such compiler" in str(caught[0].message)
        eager = run(loss_fn=loss_fn)
        for history in (fallen[1], again[1]):
            assert history.loss == eager[1].loss and not history.compiled
        assert all(
            torch.equal(a, b)
            for a, b in zip(fallen[0].parameters(), eager[0].parameters(), strict=True)
        )

    def test_dropout_draws_the_same_numbers_after_a_failure(self, monkeypatch):
        def make():
            torch.manual_seed(0)
            return GPT(GPTConfig(7, context=6, n_layer=1, n_head=2, width=8, dropout=0.3))

        monkeypatch.setattr(compiling, "BACKEND", broken)
        with pytest.warns(UserWarning):
            fallen = run(make(), compile="on")
        assert fallen[1].loss == run(make())[1].loss

    def test_a_gradient_that_cannot_be_compiled_is_found_before_the_first_step(self, monkeypatch):
        class Failing(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x.clone()

            @staticmethod
            def backward(ctx, g):
                raise RuntimeError("backward failed to lower")

        def make_backend(graph, inputs):
            return lambda *args: tuple(
                Failing.apply(out) if isinstance(out, torch.Tensor) else out for out in graph(*args)
            )

        monkeypatch.setattr(compiling, "BACKEND", make_backend)
        with pytest.warns(UserWarning, match="failed to lower"):
            fallen = run(compile="on")
        assert fallen[1].loss == run()[1].loss and not fallen[1].compiled

    def test_a_fresh_process_without_a_c_compiler_goes_on(self, tmp_path):
        script = (
            "import torch; from linfcourse.training import train\n"
            "m = torch.nn.Linear(3, 1)\n"
            "o = torch.optim.SGD(m.parameters(), lr=0.1)\n"
            "h = train(m, lambda m, b: m(b).square().mean(), lambda s: torch.ones(2, 3), o,\n"
            "          steps=3, compile='on')\n"
            "print(len(h.loss), h.compiled)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=300,
            env={**os.environ, "CXX": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        )  # fmt: skip
        assert done.stdout.split() == ["3", "False"], done.stderr[-2000:]
        assert done.stderr.count("without torch.compile") == 1 and "/nowhere" in done.stderr

    def test_auto_does_not_even_try_on_a_cpu(self, monkeypatch):
        monkeypatch.setattr(compiling, "BACKEND", broken)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert not run(compile="auto")[1].compiled


def test_an_error_of_the_function_is_its_own():
    def fails(x):
        raise ZeroDivisionError("mine")

    compiled = Compiled(fails, "it")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError, match="mine"):
            compiled(torch.ones(2))
    assert compiled.active


def test_an_unknown_word_is_refused():
    with pytest.raises(ValueError, match="compile must be one of off, auto, on; got True"):
        run(compile=True)
