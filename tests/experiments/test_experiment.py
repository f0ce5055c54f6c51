"""The loop that runs every experiment: grids, resuming, choosing the learning rate."""

import dataclasses
import json
import math
from dataclasses import dataclass, replace

import pytest

from linfcourse import experiments
from linfcourse.experiments import at_best_lr, best_lr, mean_over_seeds, on_edge_of_grid
from linfcourse.experiments.configs import LATER, differing_fields
from linfcourse.experiments.experiment import Experiment
from linfcourse.experiments.judging import Claim, compare
from linfcourse.records import Record, Trial


@dataclass(frozen=True)
class Config:
    lrs: tuple[float, ...] = (0.1, 0.3, 1.0)
    seeds: tuple[int, ...] = (0, 1)


class Toy:
    """An experiment that counts its trials, and can be killed before a given one."""

    def __init__(self, kill_before=None):
        self.count, self.kill_before = 0, kill_before
        self.experiment = Experiment(
            name="toy",
            title="A toy",
            presets={"cpu": Config(), "gpu": Config(seeds=(0, 1, 2))},
            trials=lambda config: [
                {"seed": seed, "lr": lr} for seed in config.seeds for lr in config.lrs
            ],
            run_trial=self.run_trial,
            claims=(
                Claim("toy.claim", "0.3 is better than 1.", "this course", "01_x", self.judge),
            ),
        )

    def run_trial(self, config, device, seed, lr):
        if self.count == self.kill_before:
            raise KeyboardInterrupt
        self.count += 1
        return {"final_loss": math.inf if lr == 1.0 else (lr - 0.3) ** 2 + seed / 3}

    @staticmethod
    def judge(record):
        finals = [[t.result["final_loss"] for t in record.select(lr=lr)] for lr in (0.3, 1.0)]
        return compare(*finals, ("0.3", "1"))


def results(record):
    return [(trial.setting, trial.result) for trial in record.trials]


def test_a_run_has_one_result_per_trial_in_the_order_of_the_grid():
    record = Toy().experiment.run("cpu")
    assert [t.setting for t in record.trials] == [
        {"seed": s, "lr": lr} for s in (0, 1) for lr in (0.1, 0.3, 1.0)
    ]
    assert record.scale == "cpu" and record.config["lrs"] == [0.1, 0.3, 1.0]


@pytest.mark.parametrize("kill_before", [0, 1, 4])
def test_a_killed_run_goes_on_where_it_was_and_gives_the_same_record(tmp_path, kill_before):
    whole = Toy().experiment.run("cpu")
    killed = Toy(kill_before)
    with pytest.raises(KeyboardInterrupt):
        killed.experiment.run("cpu", folder=tmp_path)
    second = Toy()
    record = second.experiment.run("cpu", folder=tmp_path)
    assert second.count == 6 - kill_before
    assert results(record) == results(whole)
    assert results(Record.load(tmp_path / "toy-cpu.json")) == results(whole)
    assert not list(tmp_path.glob("*.partial.jsonl"))


def test_a_kill_in_the_middle_of_a_line_loses_only_that_trial(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Toy(kill_before=3).experiment.run("cpu", folder=tmp_path)
    (journal,) = tmp_path.glob("*.partial.jsonl")
    journal.write_text(journal.read_text()[:-5])
    second = Toy()
    record = second.experiment.run("cpu", folder=tmp_path)
    assert second.count == 6 - 2
    assert results(record) == results(Toy().experiment.run("cpu"))


def test_finished_trials_of_another_configuration_are_refused_and_kept(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Toy(kill_before=3).experiment.run(replace(Config(), lrs=(0.1, 0.2, 0.3)), folder=tmp_path)
    (journal,) = tmp_path.glob("*.partial.jsonl")
    before = journal.read_text()
    with pytest.raises(ValueError, match="another configuration"):
        Toy().experiment.run(replace(Config(), lrs=(0.1, 0.2)), folder=tmp_path)
    assert journal.read_text() == before


def test_unknown_scale_and_foreign_config_are_named():
    with pytest.raises(ValueError, match=r"scale must be one of \['cpu', 'gpu'\]"):
        Toy().experiment.run("huge")
    with pytest.raises(TypeError, match="config must be"):
        Toy().experiment.run({"lrs": (1,)})


def test_judging_a_record_of_another_experiment_is_refused():
    with pytest.raises(ValueError, match="must be of toy"):
        Toy().experiment.judge(Record("other", "cpu", {}, ()))


def test_the_verdict_is_the_same_for_the_run_and_for_its_file(tmp_path):
    experiment = Toy().experiment
    record = experiment.run("cpu", folder=tmp_path)
    again = Record.load(tmp_path / "toy-cpu.json")
    assert experiment.judge(record) == experiment.judge(again)
    assert experiment.judge(record)["toy.claim"].status == "holds"


def test_best_lr_is_the_one_with_the_smallest_mean_and_never_one_that_diverged():
    record = Toy().experiment.run("cpu")
    assert best_lr(record) == 0.3
    assert mean_over_seeds(record, "final_loss", lr=1.0) == math.inf
    assert [t.setting["seed"] for t in at_best_lr(record)] == [0, 1]
    assert not on_edge_of_grid(record)
    edge = Record("toy", "cpu", {}, tuple(t for t in record.trials if t.setting["lr"] < 1))
    assert on_edge_of_grid(edge)


def test_selecting_by_an_unknown_setting_names_the_known_ones():
    record = Record("toy", "cpu", {}, (Trial({"lr": 1.0}, {}),))
    with pytest.raises(KeyError, match="no setting 'method'"):
        record.select(method="adam")


def test_the_journal_is_plain_json_lines(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Toy(kill_before=2).experiment.run("cpu", folder=tmp_path)
    (journal,) = tmp_path.glob("*.partial.jsonl")
    header, *entries = [json.loads(line) for line in journal.read_text().splitlines()]
    assert header["experiment"] == "toy"
    assert [entry["setting"] for entry in entries] == [
        {"seed": 0, "lr": 0.1}, {"seed": 0, "lr": 0.3},
    ]  # fmt: skip


class TestFieldsThatCameLater:
    """A record that was made before a Config had a field counts as one with what was done then."""

    def test_count_as_the_old_behaviour_and_as_nothing_else(self):
        old = {"lrs": [0.1], "steps": 5}
        assert differing_fields(old, {**old, "precision": "fp32", "compile": "off"}) == []
        assert differing_fields(old, {**old, "precision": "auto"}) == ["precision"]
        assert differing_fields({**old, "compile": "auto"}, old) == ["compile"]
        assert differing_fields(old, {"lrs": [0.1]}) == ["steps"]
        assert differing_fields(old, {**old, "lrs": (0.1,), "warmup": None}) == ["warmup"]

    def test_every_one_of_them_has_that_default(self):
        for name in experiments.NAMES:
            for field in dataclasses.fields(experiments.get(name).presets["cpu"]):
                if field.name in LATER:
                    assert field.default == LATER[field.name], name
                    assert (
                        getattr(experiments.get(name).presets["cpu"], field.name) == field.default
                    )

    def test_a_journal_without_them_goes_on(self, tmp_path):
        @dataclass(frozen=True)
        class Wider(Config):
            precision: str = "fp32"

        with pytest.raises(KeyboardInterrupt):
            Toy(kill_before=3).experiment.run("cpu", folder=tmp_path)
        wider = Toy()
        presets = {"cpu": Wider(), "gpu": Wider(precision="auto")}
        wider.experiment = replace(wider.experiment, presets=presets)
        wider.experiment.run("cpu", folder=tmp_path)
        assert wider.count == 6 - 3
        (record,) = tmp_path.glob("*.json")
        body = json.loads(record.read_text())
        assert body["config"].pop("precision") == "fp32"
        record.write_text(json.dumps(body))
        again = Toy()
        again.experiment = wider.experiment
        again.experiment = replace(again.experiment, run_trial=again.run_trial)
        again.experiment.run("cpu", folder=tmp_path, reuse=True)
        assert again.count == 0
