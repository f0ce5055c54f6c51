"""The command line, called as a user would."""

import sys

import pytest

from linfcourse import experiments
from linfcourse.cli import main
from linfcourse.records import Record


@pytest.fixture
def small(monkeypatch):
    """`first_look` at a size that takes a second."""
    from dataclasses import replace

    experiment = experiments.get("first_look")
    tiny = replace(
        experiment.presets["cpu"],
        lrs=(1e-2, 3e-2), seeds=(0, 1), n_layer=1, width=8, context=8, batch=4, steps=4,
        warmup=1, last=2,
    )  # fmt: skip
    monkeypatch.setitem(experiment.presets, "cpu", tiny)
    return tiny


def test_run_writes_a_record_and_prints_the_verdicts(small, tmp_path, capsys):
    assert main(["run", "first_look", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "16 trials" in out and "Adam ends at a lower training loss" in out
    record = Record.load(tmp_path / "first_look-cpu.json")
    assert len(record.trials) == 16 and "shakespeare.txt.gz" in record.data

    assert main(["records", "--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "16 trials" in out and "missing" in out

    assert main(["claims", "--folder", str(tmp_path)]) == 0
    assert "first_look.order" in capsys.readouterr().out
    assert main(["claims", "--folder", str(tmp_path), "--markdown"]) == 0
    assert "| Claim |" in capsys.readouterr().out


def test_claims_without_records_say_so(tmp_path, capsys):
    assert main(["claims", "--folder", str(tmp_path)]) == 0
    assert "no record" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nonsense"], "experiment must be one of"),
        (["run", "first_look", "--scale", "huge"], "scale must be one of"),
    ],
)
def test_wrong_usage_exits_with_2_and_a_sentence(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_a_command_is_required(capsys):
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 2


def test_data_tokenises_files_and_says_what_came_of_it(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LINFCOURSE_DATA", str(tmp_path / "data"))
    (tmp_path / "a.txt").write_text("words " * 100)
    command = ["data", "openwebtext", "--tokenizer", "bytes", "--files", str(tmp_path / "a.txt")]
    for _ in range(2):
        assert main(command) == 0
        assert "601 tokens of 257 (bytes)" in capsys.readouterr().out
    assert main([*command, str(tmp_path / "b.txt")]) == 2
    assert "b.txt, which is not there" in capsys.readouterr().err


def test_data_does_not_take_the_embedded_text_for_what_it_cannot_fetch(
    tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "datasets", None)
    command = ["data", "wikitext", "--tokenizer", "bytes", "--folder", str(tmp_path)]
    assert main(command) == 1
    assert "wikitext could not be fetched" in capsys.readouterr().err
    assert not list(tmp_path.glob("[!.]*"))


def test_a_missing_library_is_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    arguments = ["run", "rotated_resnet", "--scale", "paper", "--folder", str(tmp_path)]
    assert main(arguments) == 2
    assert "cifar10 needs torchvision" in capsys.readouterr().err


def test_a_changed_grid_that_cannot_be_judged_is_said_and_is_no_error(small, tmp_path, capsys):
    command = ["run", "first_look", "--folder", str(tmp_path), "--set", "methods=adam,sgd"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "not judged    Adam ends at a lower training loss" in out and "rotated_adam" in out
    assert (tmp_path / "first_look-custom.json").exists()


def test_a_preset_that_cannot_be_judged_is_an_error(small, tmp_path, monkeypatch):
    from dataclasses import replace

    presets = experiments.get("first_look").presets
    monkeypatch.setitem(presets, "cpu", replace(small, methods=("adam",)))
    assert main(["run", "first_look", "--folder", str(tmp_path)]) == 2
