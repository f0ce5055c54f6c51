"""Interrupted runs: each continues as if nothing had happened, or says why it does not."""

import copy
import os
import signal
import subprocess
import sys
import textwrap

import pytest
import torch
from torch import nn

from linfcourse import training
from linfcourse.models import cross_entropy
from linfcourse.training import train, warmup_constant, warmup_cosine
from tests.short_runs import (
    OPTIMIZERS,
    assert_same_run,
    batches,
    draw,
    make_model,
    run,
    stopping_at,
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 5, 13, 19])
def test_a_run_continues_bit_for_bit(tmp_path, optimizer, stop):
    options = {
        "optimizer": optimizer,
        "schedule": warmup_cosine(4),
        "clip": 0.5,
        "seed": 3,
        "evaluate": draw,
        "eval_every": 2,
    }
    whole = run(**options)
    options |= {"checkpoint": tmp_path / "new" / "run.pt", "checkpoint_every": 3}
    with pytest.raises(KeyboardInterrupt):
        run(data=stopping_at(stop), **options)
    assert_same_run(whole, run(**options))


def test_a_run_continues_bit_for_bit_after_a_kill(tmp_path):
    """Another process is killed with SIGKILL in the middle; this one goes on."""
    script = textwrap.dedent(
        """
        import os, signal, sys
        sys.path.insert(0, sys.argv[2])
        from short_runs import batches, draw, run

        def killing(step):
            if step == 14:
                os.kill(os.getpid(), signal.SIGKILL)
            return batches(step)

        run(data=killing, checkpoint=sys.argv[1], checkpoint_every=4, evaluate=draw)
        """
    )
    path = tmp_path / "run.pt"
    killed = subprocess.run(
        [sys.executable, "-c", script, str(path), os.path.dirname(__file__)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert killed.returncode == -signal.SIGKILL and path.exists()
    asked = []

    def counting(step):
        asked.append(step)
        return batches(step)

    resumed = run(data=counting, checkpoint=path, checkpoint_every=4, evaluate=draw)
    assert asked == [*range(12, 20)]
    assert_same_run(run(evaluate=draw), resumed)


def test_resuming_a_finished_run_gives_its_result_without_training(tmp_path):
    path = tmp_path / "run.pt"
    first = run(checkpoint=path)
    again = run(data=stopping_at(0), checkpoint=path)
    assert_same_run(first, again)
    assert first[1].seconds == again[1].seconds > 0


def test_checkpoints_are_written_when_asked_and_ten_times_by_default(tmp_path, monkeypatch):
    done = []
    save = training.save_checkpoint

    def spy(path, identity, state):
        done.append(state["done"])
        save(path, identity, state)

    monkeypatch.setattr(training, "save_checkpoint", spy)
    run(steps=10, checkpoint=tmp_path / "a", checkpoint_every=4)
    assert done == [4, 8, 10]
    done.clear()
    run(steps=41, checkpoint=tmp_path / "b")
    assert done == [5, 10, 15, 20, 25, 30, 35, 40, 41]


def test_writing_checkpoints_does_not_change_the_training(tmp_path):
    assert_same_run(run(), run(checkpoint=tmp_path / "run.pt", checkpoint_every=1))


def test_a_run_continues_bit_for_bit_in_bf16_and_with_accumulation(tmp_path):
    options = {"precision": "bf16", "accumulate": 2}
    whole = run(**options)
    options["checkpoint"] = tmp_path / "run.pt"
    with pytest.raises(KeyboardInterrupt):
        run(data=stopping_at(25), **options)
    assert_same_run(whole, run(**options))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 30}, "steps is 20 there and 30 here"),
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"clip": 1.0}, "clip is None there"),
        ({"schedule": warmup_constant(5)}, "schedule is"),
        ({"optimizer": "sgd"}, "optimizer is 'AdamW' there and 'SGD' here"),
        ({"precision": "bf16"}, "precision is 'fp32' there"),
        ({"accumulate": 2}, "accumulate is 1 there"),
        ({"config": {"width": 8}}, "config width is '9' there and '8' here"),
        ({"config": None}, "config width is '9' there and None here"),
        ({"model": nn.Linear(6, 3)}, "shapes of the model is"),
    ],
)
def test_resuming_a_different_run_is_refused(tmp_path, changes, named):
    path = tmp_path / "run.pt"
    run(checkpoint=path, config={"width": 9})
    model = changes.get("model", make_model())
    before = copy.deepcopy(model.state_dict())
    options = {"config": {"width": 9}, "checkpoint": path, **changes, "model": model}
    with pytest.raises(ValueError, match=r"run\.pt belongs to a different run") as error:
        run(**options)
    assert named in str(error.value)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_resuming_with_other_optimizer_settings_is_refused(tmp_path):
    for lr in (0.1, 0.2):
        model = make_model()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        arguments = model, cross_entropy, batches, optimizer
        if lr == 0.1:
            train(*arguments, steps=3, checkpoint=tmp_path / "run.pt")
    with pytest.raises(ValueError, match=r"'lr': '0\.1'"):
        train(*arguments, steps=3, checkpoint=tmp_path / "run.pt")


def test_resuming_from_a_damaged_file_is_refused_and_the_model_left_alone(tmp_path):
    path = tmp_path / "run.pt"
    run(checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    model = make_model()
    with pytest.raises(ValueError, match=r"run\.pt cannot be read"):
        run(model, checkpoint=path)
    assert torch.equal(model[0].weight, make_model()[0].weight)


def test_resuming_after_a_kill_while_writing_takes_the_one_before(tmp_path, monkeypatch):
    save, writes = torch.save, []

    def killed_the_second_time(content, file):
        writes.append(content)
        if len(writes) == 2:
            file.write(b"half of it")
            raise KeyboardInterrupt
        save(content, file)

    path = tmp_path / "run.pt"
    monkeypatch.setattr(torch, "save", killed_the_second_time)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=path, checkpoint_every=6)
    assert_same_run(run(), run(checkpoint=path, checkpoint_every=6))
    assert [p.name for p in tmp_path.iterdir()] == ["run.pt"]
