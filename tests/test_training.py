"""The training loop: against a loop written by hand, and across interruptions."""

import copy
import math
import time

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from linfcourse import training
from linfcourse.models import GPT, GPTConfig, cross_entropy, narrow_valley
from linfcourse.training import History, train, warmup_constant, warmup_cosine
from tests.short_runs import (
    OPTIMIZERS,
    assert_same_run,
    batches,
    draw,
    make_model,
    run,
    stopping_at,
)


class TestLoop:
    @pytest.mark.parametrize("clip", [None, 0.3])
    def test_is_the_loop_that_one_would_write(self, clip):
        model, history = run(schedule=warmup_cosine(4), clip=clip, seed=7)

        theirs = make_model()
        optimizer = OPTIMIZERS["adamw"](theirs.parameters())
        schedule = warmup_cosine(4)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(step, 20))
        torch.manual_seed(7)
        losses, lrs = [], []
        for step in range(20):
            x, y = batches(step)
            loss = F.cross_entropy(theirs(x), y)
            optimizer.zero_grad()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(theirs.parameters(), clip)
            losses.append(loss.item())
            lrs.append(scheduler.get_last_lr()[0])
            optimizer.step()
            scheduler.step()
        assert history.loss == losses
        assert history.lr == pytest.approx(lrs, rel=1e-15)
        for ours, other in zip(model.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(ours, other)

    def test_learns_text(self):
        torch.manual_seed(0)
        model = GPT(GPTConfig(vocab_size=5, context=8, n_layer=1, n_head=1, width=16))

        def repeating(step):
            idx = (torch.arange(8) + torch.arange(4)[:, None] + step) % 5
            return idx, (idx + 1) % 5

        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        history = train(model, cross_entropy, repeating, optimizer, steps=60)
        assert history.loss[0] == pytest.approx(math.log(5), abs=0.1)
        assert history.final_loss(5) < 0.1

    def test_every_group_keeps_its_own_learning_rate_and_gets_it_back(self):
        model = make_model()
        rate = torch.tensor(0.02)
        groups = [{"params": model[0].parameters(), "lr": 0.01},
                  {"params": model[3].parameters(), "lr": rate}]  # fmt: skip
        seen = []

        class Spy(torch.optim.Adam):
            def step(self, closure=None):
                seen.append([float(group["lr"]) for group in self.param_groups])
                return super().step(closure)

        optimizer = Spy(groups, foreach=False, capturable=False)
        train(model, cross_entropy, batches, optimizer, steps=5, schedule=lambda s, n: (s + 1) / n)
        expected = [[0.01 * m, 0.02 * m] for m in (0.2, 0.4, 0.6, 0.8, 1.0)]
        assert seen == [pytest.approx(row, rel=1e-6) for row in expected]
        assert optimizer.param_groups[0]["lr"] == 0.01
        assert optimizer.param_groups[1]["lr"] is rate and rate.item() == pytest.approx(0.02)

    def test_learning_rates_come_back_after_an_error_too(self):
        model = make_model()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        with pytest.raises(KeyboardInterrupt):
            train(model, cross_entropy, stopping_at(3), optimizer, steps=9,
                  schedule=warmup_constant(9))  # fmt: skip
        assert optimizer.param_groups[0]["lr"] == 0.1

    def test_accumulated_parts_are_one_large_batch(self):
        def parts(i):
            x, y = batches(i // 4)
            size = slice(i % 4 * 2, i % 4 * 2 + 2)
            return x[:8][size].double(), y[:8][size]

        def whole(step):
            x, y = batches(step)
            return x[:8].double(), y[:8]

        a = run(make_model(dropout=0.0).double(), data=parts, accumulate=4, clip=0.5)
        b = run(make_model(dropout=0.0).double(), data=whole, clip=0.5)
        assert a[1].loss == pytest.approx(b[1].loss, rel=1e-10)
        for p, q in zip(a[0].parameters(), b[0].parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-8, atol=1e-10)

    def test_seed_decides_the_dropout_and_nothing_outside_changes(self):
        torch.manual_seed(5)
        before = torch.get_rng_state()
        first = run(copy.deepcopy(MODEL), seed=1)
        assert torch.equal(before, torch.get_rng_state())
        torch.rand(3)
        assert_same_run(first, run(copy.deepcopy(MODEL), seed=1))
        assert run(copy.deepcopy(MODEL), seed=2)[1].loss != first[1].loss

    @pytest.mark.parametrize("mode", [True, False])
    def test_leaves_the_models_mode_as_it_was(self, mode):
        model = make_model().train(mode)
        modes = []

        def loss_fn(model, batch):
            modes.append(model.training)
            return cross_entropy(model, batch)

        def evaluate(model):
            modes.append(model.training)
            return {}

        optimizer = OPTIMIZERS["sgd"](model.parameters())
        train(model, loss_fn, batches, optimizer, steps=2, evaluate=evaluate)
        assert modes == [False, True, True, False] and model.training == mode

    def test_stale_gradients_do_not_count(self):
        model = make_model()
        cross_entropy(model, batches(50)).backward()
        assert_same_run(run(model), run())

    def test_says_nothing_unless_asked(self, capfd):
        run()
        assert capfd.readouterr() == ("", "")

    def test_draws_its_bar_on_stderr_if_asked(self, capfd):
        def slow(step):
            time.sleep(0.06)  # tqdm redraws at most ten times a second
            return batches(step)

        run(steps=6, data=slow, progress=True)
        out, err = capfd.readouterr()
        assert out == "" and "/6 [" in err and "loss=" in err

    def test_works_through_distributed_data_parallel(self, tmp_path):
        plain = run(make_model(0.0), accumulate=2)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path / 'meet'}", rank=0, world_size=1
        )
        try:
            wrapped = nn.parallel.DistributedDataParallel(make_model(0.0))
            _, history = run(wrapped, accumulate=2, checkpoint=tmp_path / "run.pt")
            assert_same_run(plain, (wrapped.module, history))
            assert (tmp_path / "run.pt").exists()
        finally:
            torch.distributed.destroy_process_group()


MODEL = make_model()


class TestEvaluation:
    def test_happens_at_the_start_every_so_often_and_at_the_end(self):
        _, history = run(steps=7, evaluate=lambda model: {"x": torch.tensor(2.5)}, eval_every=3)
        assert history.evaluations == [(step, {"x": 2.5}) for step in (0, 3, 6, 7)]
        _, history = run(steps=6, evaluate=lambda model: {"x": 1}, eval_every=3)
        assert [step for step, _ in history.evaluations] == [0, 3, 6]
        _, history = run(steps=6, evaluate=lambda model: {"x": 1})
        assert [step for step, _ in history.evaluations] == [0, 6]

    def test_sees_the_model_after_that_many_updates(self):
        weights = {}

        def evaluate(model):
            weights[len(weights)] = model[0].weight.detach().clone()
            return {}

        model, _ = run(steps=4, evaluate=evaluate, eval_every=1)
        assert torch.equal(weights[0], make_model()[0].weight)
        assert torch.equal(weights[4], model[0].weight)
        shorter, _ = run(steps=2)
        assert torch.equal(weights[2], shorter[0].weight)

    def test_does_not_change_the_training(self):
        def evaluate(model):
            torch.rand(17)  # draws, and leaves gradients behind
            cross_entropy(model, batches(99)).backward()
            return {"loss": 0.0}

        model, history = run()
        evaluated, other = run(evaluate=evaluate, eval_every=2)
        assert history.loss == other.loss
        assert all(map(torch.equal, model.parameters(), evaluated.parameters()))

    def test_must_return_numbers_by_name(self):
        with pytest.raises(TypeError, match="evaluate must return"):
            run(evaluate=lambda model: 3.0)


def diverge(data=None, **options):
    """A valley walked with far too large a step: the loss overflows."""
    valley = narrow_valley().float()
    optimizer = torch.optim.SGD(valley.parameters(), lr=100.0)
    return train(valley, lambda model, _: model.loss(), data or (lambda step: None), optimizer,
                 steps=200, **options)  # fmt: skip


class TestDivergence:
    def test_ends_the_run_and_is_recorded(self):
        history = diverge(evaluate=lambda model: {"x": 0.0})
        assert history.diverged and len(history.loss) == len(history.lr) < 30
        assert all(map(math.isfinite, history.loss[:-1])) and not math.isfinite(history.loss[-1])
        assert history.final_loss() == math.inf
        assert [step for step, _ in history.evaluations] == [0]

    def test_losses_read_late_give_the_same_history(self, monkeypatch):
        """As on a GPU, where the losses of up to 50 steps wait on the device."""
        at_once = diverge()
        waiting = [torch.tensor(x) for x in [*at_once.loss, math.nan, math.nan]]
        late = History(lr=[100.0] * len(waiting))
        training._read_losses(waiting, late)
        assert (late.loss, late.lr, late.diverged) == (at_once.loss, at_once.lr, True)
        assert waiting == []

    def test_is_remembered_by_the_checkpoint(self, tmp_path):
        path = tmp_path / "run.pt"
        first = diverge(checkpoint=path)
        again = diverge(checkpoint=path, data=stopping_at(0))
        assert again.diverged and again.loss[:-1] == first.loss[:-1]

    def test_a_run_that_does_not_is_not_said_to(self):
        assert not run()[1].diverged


class TestPrecision:
    def test_bf16_computes_in_bf16_and_keeps_the_weights(self):
        seen = []

        def loss_fn(model, batch):
            seen.append(model[0](batch[0]).dtype)
            return cross_entropy(model, batch)

        model = make_model()
        optimizer = OPTIMIZERS["adamw"](model.parameters())
        history = train(model, loss_fn, batches, optimizer, steps=20, precision="bf16")
        assert set(seen) == {torch.bfloat16} and model[0].weight.dtype == torch.float32
        assert history.loss == pytest.approx(run()[1].loss, rel=0.1)

    def test_fp16_scales_the_loss_and_clips_what_is_not_scaled(self):
        whole = run(make_model(0.0), "sgd", clip=0.1)[1]
        half = run(make_model(0.0), "sgd", clip=0.1, precision="fp16")[1]
        assert half.loss == pytest.approx(whole.loss, rel=0.02)
        assert half.loss != whole.loss

    def test_fp32_is_the_models_own_dtype(self):
        model, history = run(make_model().double(), data=lambda s: (batches(s)[0].double(),
                                                                    batches(s)[1]))  # fmt: skip
        assert model[0].weight.dtype == torch.float64 and len(history.loss) == 20


class TestHistory:
    def test_final_loss_is_the_mean_of_the_last_steps(self):
        history = History(loss=[9.0, 4.0, 3.0, 2.0])
        assert history.final_loss(3) == 3.0
        assert history.final_loss() == 4.5  # of all, where there are fewer

    def test_an_empty_one_has_no_final_loss(self):
        with pytest.raises(ValueError, match="no steps"):
            History().final_loss()

    @pytest.mark.parametrize("last", [0, -1, 2.0, True])
    def test_refuses_a_number_of_steps_that_is_none(self, last):
        with pytest.raises(ValueError, match="last"):
            History(loss=[1.0]).final_loss(last)


class TestArguments:
    @pytest.mark.parametrize(
        ("changes", "error", "named"),
        [
            ({"steps": 0}, ValueError, "steps"),
            ({"steps": 3.0}, TypeError, "steps"),
            ({"accumulate": 0}, ValueError, "accumulate"),
            ({"eval_every": 0, "evaluate": draw}, ValueError, "eval_every"),
            ({"eval_every": 2}, ValueError, "eval_every needs evaluate"),
            ({"evaluate": 3}, TypeError, "evaluate"),
            ({"checkpoint_every": 2}, ValueError, "checkpoint_every needs checkpoint"),
            ({"clip": 0.0}, ValueError, "clip"),
            ({"clip": math.nan}, ValueError, "clip"),
            ({"clip": "1"}, ValueError, "clip"),
            ({"precision": "fp8"}, ValueError, "precision"),
            ({"schedule": 0.5}, TypeError, "schedule"),
            ({"seed": None}, TypeError, "seed"),
            ({"data": [batches(0)]}, TypeError, "batches must be a function, step -> batch"),
        ],
    )
    def test_that_do_not_fit_are_refused_before_anything_happens(self, changes, error, named):
        model = make_model()
        with pytest.raises(error, match=named):
            run(model, **changes)
        for p, q in zip(model.parameters(), make_model().parameters(), strict=True):
            assert torch.equal(p, q) and p.grad is None

    def test_an_optimizer_of_another_model_is_refused(self):
        model, other = make_model(), make_model()
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(ValueError, match="no parameter of this model"):
            train(model, cross_entropy, batches, OPTIMIZERS["sgd"](other.parameters()), steps=2)
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_schedule_that_is_not_finite_is_refused_before_it_spoils_a_weight(self, value):
        model = make_model()
        with pytest.raises(ValueError, match=r"schedule .* at step 3"):
            run(model, schedule=lambda step, steps: value if step == 3 else 1.0)
        assert all(torch.isfinite(p).all() for p in model.parameters())

    def test_that_are_something_else_are_refused(self):
        model = make_model()
        optimizer = OPTIMIZERS["sgd"](model.parameters())
        with pytest.raises(TypeError, match="model"):
            train(lambda x: x, cross_entropy, batches, optimizer, steps=1)
        with pytest.raises(TypeError, match="optimizer"):
            train(model, cross_entropy, batches, "adam", steps=1)
        with pytest.raises(TypeError, match="loss_fn"):
            train(model, None, batches, optimizer, steps=1)

    @pytest.mark.parametrize(
        ("loss_fn", "got"),
        [
            (lambda model, batch: model(batch[0]), r"got \(10, 3\)"),
            (lambda model, batch: 3.0, "got float"),
            (lambda model, batch: torch.tensor(1.0), "without a gradient"),
        ],
    )
    def test_a_loss_that_is_none_is_refused(self, loss_fn, got):
        model = make_model()
        with pytest.raises(ValueError, match=got):
            train(model, loss_fn, batches, OPTIMIZERS["sgd"](model.parameters()), steps=1)
        assert torch.equal(model[0].weight, make_model()[0].weight)
