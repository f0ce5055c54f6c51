"""Sweeps: many workers, one of them killed, and every trial there once."""

import os
import signal
import threading
import time
from dataclasses import dataclass, replace

import pytest

from linfcourse import experiments
from linfcourse.cli import changed_config, main, parse_seeds
from linfcourse.experiments.experiment import Experiment
from linfcourse.records import Record
from linfcourse.sweeps import joblib_runner


@dataclass(frozen=True)
class Config:
    lrs: tuple[float, ...] = (0.1, 0.3)
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    log: str = ""
    kill: str = ""


def run_trial(config, device, seed, lr):
    """Leaves a line for each start; kills its own process the first time if it is asked to."""
    with open(config.log, "a") as file:
        file.write(f"{seed} {lr}\n")
    if config.kill and seed == 2 and lr == 0.1 and not os.path.exists(config.kill):
        open(config.kill, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return {"final_loss": seed + lr}


def toy():
    return Experiment(
        name="toy",
        title="A toy",
        presets={"cpu": Config()},
        trials=lambda config: [{"seed": s, "lr": lr} for s in config.seeds for lr in config.lrs],
        run_trial=run_trial,
    )


def starts(path):
    return path.read_text().split("\n")[:-1]


@pytest.mark.parametrize("backend", ["loky", "threading", "dask"])
def test_workers_give_the_record_of_a_plain_run(tmp_path, backend):
    config = Config(log=str(tmp_path / "log"))
    record = toy().run(config, folder=tmp_path, runner=joblib_runner(2, backend))
    plain = toy().run(config)
    assert record.trials == plain.trials
    assert len(starts(tmp_path / "log")) == 2 * 8


@pytest.mark.parametrize("backend", ["loky", "dask"])
def test_a_killed_worker_costs_no_trial_and_none_is_there_twice(tmp_path, backend):
    config = Config(log=str(tmp_path / "log"), kill=str(tmp_path / "killed"))
    record = toy().run(config, folder=tmp_path, runner=joblib_runner(2, backend))
    assert (tmp_path / "killed").exists()
    assert len(starts(tmp_path / "log")) > 8  # the killed one was started again
    expected = [
        ({"seed": s, "lr": lr}, {"final_loss": s + lr}) for s in range(4) for lr in (0.1, 0.3)
    ]
    assert [(t.setting, t.result) for t in record.trials] == expected
    assert Record.load(tmp_path / "toy-custom.json").trials == record.trials
    assert not list(tmp_path.glob("*.partial.jsonl"))


def test_on_a_cluster_one_of_two_workers_is_killed_from_outside(tmp_path):
    distributed = pytest.importorskip("distributed")
    config = Config(log=str(tmp_path / "log"), seeds=tuple(range(30)))
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None
    ) as cluster:
        victim = cluster.workers[0].pid

        def kill():
            while not (tmp_path / "log").exists():
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        runner = joblib_runner(-1, "dask", cluster.scheduler_address)
        record = toy().run(config, folder=tmp_path, runner=runner)
        killer.join()
    settings = [(t.setting["seed"], t.setting["lr"]) for t in record.trials]
    assert settings == [(s, lr) for s in range(30) for lr in (0.1, 0.3)]


def always_killed(config, device, seed, lr):
    os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_die_again_and_again_end_the_sweep_with_a_sentence(tmp_path):
    experiment = replace(toy(), run_trial=always_killed)
    with pytest.raises(RuntimeError, match="fewer --jobs"):
        experiment.run(Config(), folder=tmp_path, runner=joblib_runner(2))
    assert list(tmp_path.glob("*.partial.jsonl"))


def test_a_second_start_runs_only_what_is_missing(tmp_path):
    config = Config(log=str(tmp_path / "log"))
    runner = joblib_runner(1, "threading")
    toy().run(config, folder=tmp_path, runner=runner, reuse=True)
    assert len(starts(tmp_path / "log")) == 8
    record = toy().run(config, folder=tmp_path, runner=runner, reuse=True)
    assert len(starts(tmp_path / "log")) == 8 and len(record.trials) == 8
    more = replace(config, seeds=(0, 1, 2, 3, 4), lrs=(0.1, 0.2, 0.3))
    record = toy().run(more, folder=tmp_path, runner=runner, reuse=True)
    assert len(starts(tmp_path / "log")) == 15 and len(record.trials) == 15
    assert [t.result["final_loss"] for t in record.select(seed=4)] == [4.1, 4.2, 4.3]


def test_a_record_that_a_sweep_would_spoil_is_kept(tmp_path):
    config = Config(log=str(tmp_path / "log"))
    toy().run(config, folder=tmp_path, reuse=True)
    before = (tmp_path / "toy-custom.json").read_text()
    with pytest.raises(ValueError, match="would be lost"):
        toy().run(replace(config, seeds=(0,)), folder=tmp_path, reuse=True)
    with pytest.raises(ValueError, match="another kill"):
        toy().run(replace(config, kill=str(tmp_path / "x")), folder=tmp_path, reuse=True)
    (tmp_path / "toy-custom.json").write_text(before.replace('"commit": "', '"commit": "0'))
    with pytest.raises(ValueError, match="was made by commit"):
        toy().run(config, folder=tmp_path, reuse=True)
    assert not list(tmp_path.glob("*.partial.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "slurm"}, "backend must be one of"),
        ({"jobs": 0}, "jobs must be"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "scheduler goes with"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        joblib_runner(**arguments)


def test_the_command_sweeps_a_preset_with_other_seeds_and_rates(tmp_path, capsys):
    command = [
        "sweep", "sharp_constant", "--seeds", "0", "--jobs", "2", "--backend", "threading",
        "--folder", str(tmp_path),
    ]  # fmt: skip
    assert main(command) == 0
    record = Record.load(tmp_path / "sharp_constant-custom.json")
    assert record.values("seed") == [0]
    assert "sharp_constant-custom.json" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("stepss=1", "with a field among"),
        ("steps", "FIELD=VALUE"),
        ("steps=many", "steps must be like"),
        ("steps=1.5", "steps must be like"),
    ],
)
def test_a_wrong_change_of_a_preset_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        changed_config(experiments.get("first_look").config("cpu"), [change])


def test_changes_take_the_kind_of_the_field():
    preset = experiments.get("rotated_gpt").config("cpu")
    changes = ["lrs=1", "seeds=[1, 2]", "precision=bf16", "checkpoints=here", "steps=7"]
    config = changed_config(preset, changes)
    assert config.lrs == (1,) and config.seeds == (1, 2) and config.steps == 7
    assert config.precision == "bf16" and config.checkpoints == "here"


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("methods=adam,sgd", ("adam", "sgd")),
        ("methods=adam", ("adam",)),
        ("methods=adam,", ("adam",)),
        ("lrs=1,0.5", (1.0, 0.5)),
        ("measured=[['adam', 1]]", (("adam", 1.0),)),
        ("measured=[]", ()),
        ("measured=(('adam', 0.1), ('sgd', 2))", (("adam", 0.1), ("sgd", 2.0))),
    ],
)
def test_nested_values_take_the_kinds_of_the_presets(change, value):
    config = changed_config(experiments.get("rotated_gpt").config("cpu"), [change])
    found = getattr(config, change.partition("=")[0])
    assert found == value and repr(found) == repr(value)  # 1.0, not 1


@pytest.mark.parametrize(
    "change",
    ["lrs=fast", "lrs=0.1,fast", "methods=1", "measured=adam", "measured=(('adam',),)",
     "measured=('adam', 0.1)", "seeds=0.5", "two_vectors=1", "steps=True"],
)  # fmt: skip
def test_nested_values_of_another_kind_are_named(change):
    with pytest.raises(ValueError, match=f"{change.partition('=')[0]} must be like"):
        changed_config(experiments.get("rotated_gpt").config("cpu"), [change])


@pytest.mark.parametrize("word", ["x", "3:", ":3", "5:5"])
def test_seeds_that_are_none_are_refused(word):
    with pytest.raises(ValueError, match="--seeds"):
        parse_seeds([word])


def test_seeds_are_numbers_or_ranges():
    assert parse_seeds(["0:2", "5", "1"]) == (0, 1, 5)
