"""Records are held against their code: the committed ones pass, and forgeries are seen."""

import json
import shutil
from dataclasses import replace

import pytest

from linfcourse import experiments, ledger
from linfcourse.cli import main
from linfcourse.records import is_in_history, recorded_folder
from linfcourse.verification import figures_of, verify

NAMES = ("invariances", "sharp_constant", "rotated_gpt")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A few of the committed records, in a folder of their own."""
    monkeypatch.setattr(experiments, "NAMES", NAMES)
    for name in NAMES:
        shutil.copy(recorded_folder() / f"{name}-cpu.json", tmp_path)
    return tmp_path


def forge(folder, name, change):
    path = folder / f"{name}-cpu.json"
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))


def faults(folder, **options):
    return [f for f in verify(folder, **options) if f.fault]


def test_the_committed_records_are_what_they_say():
    table = (recorded_folder().parent / "claims_table.md").read_text()
    found = list(verify(recorded_folder(), rerun=0, table=table))
    assert [f for f in found if f.fault] == []
    assert len(found) >= 5 * len(experiments.NAMES) + 1


def test_trials_that_are_run_again_give_what_is_stored(folder):
    for name in NAMES[1:]:
        (folder / f"{name}-cpu.json").unlink()
    found = [f for f in verify(folder, rerun=2) if "again" in f.what]
    assert len(found) == 2 and not any(f.fault for f in found)


def test_a_result_that_was_changed_is_found_by_running_it_again(folder):
    for name in NAMES[1:]:
        (folder / f"{name}-cpu.json").unlink()

    def change(body):
        for trial in body["trials"]:
            trial["result"]["gap"] = 1.05 * trial["result"]["gap"] + 1e-6

    assert faults(folder, rerun=0) == []
    forge(folder, "invariances", change)
    (fault,) = faults(folder, rerun=1)
    assert "again" in fault.what and "is stored" in fault.fault


FORGERIES = {
    "commit": (lambda body: body.update(commit="0" * 40), "not in this history"),
    "commit, edited": (lambda body: body.update(commit=body["commit"] + "+changes"), "never"),
    "commit, none": (lambda body: body.update(commit=None), "outside a checkout"),
    "configuration": (lambda body: body["config"].update(seeds=[0]), "seeds"),
    "trials": (lambda body: body["trials"].pop(), "1 missing"),
    "trials, twice": (lambda body: body["trials"].append(body["trials"][0]), "occurs twice"),
    "data": (lambda body: body["data"].update({"shakespeare.txt.gz": "0" * 64}), "shakespeare"),
    "data, absent": (lambda body: body["data"].clear(), "no hash"),
    "verdicts": (lambda body: [t["result"].pop("final_loss") for t in body["trials"]], "KeyError"),
    "figures": (lambda body: [t["result"].pop("loss") for t in body["trials"]], "draw_losses"),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_record_is_found(folder, what):
    change, sign = FORGERIES[what]
    if what == "commit" and is_in_history("HEAD") is None:
        pytest.skip("the history is not at hand")
    forge(folder, "rotated_gpt", change)
    found = faults(folder, rerun=0)
    assert any(f.what == what.split(",")[0] and sign in f.fault for f in found), found
    assert {f.record for f in found} == {"rotated_gpt-cpu"}


def test_a_file_that_is_no_record_and_a_table_that_is_stale_are_found(folder):
    table = ledger.to_page(ledger.read_ledger(folder))
    assert faults(folder, rerun=0, table=table) == []
    (stale,) = faults(folder, rerun=0, table=table.replace("holds", "fails", 1))
    assert "make claims" in stale.fault
    (folder / "rotated_gpt-cpu.json").write_text("{}")
    (fault,) = faults(folder, rerun=0)
    assert fault.what == "file"


def test_every_experiment_that_has_figures_lends_them_to_the_check():
    assert "draw_losses" in figures_of(experiments.get("rotated_gpt"))


def test_the_command_says_what_is_at_fault_and_exits_with_1(folder, capsys):
    assert main(["records", "verify", "--folder", str(folder), "--rerun", "0"]) == 0
    forge(folder, "rotated_gpt", FORGERIES["trials"][0])
    assert main(["records", "verify", "--folder", str(folder), "--rerun", "0"]) == 1
    assert "FAULT rotated_gpt-cpu" in capsys.readouterr().out
    assert main(["records", "verify", "--folder", str(folder), "--rerun", "-1"]) == 2


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no record"):
        list(verify(tmp_path))


def test_what_rounding_changes_beyond_recognition_is_not_compared(folder, monkeypatch):
    for name in NAMES[1:]:
        (folder / f"{name}-cpu.json").unlink()

    def change(body):
        for trial in body["trials"]:
            trial["result"]["gap"] = 1.05 * trial["result"]["gap"] + 1e-6

    forge(folder, "invariances", change)
    for steady, found in (((), 1), (("gap",), 1), (("another",), 0)):
        experiment = replace(experiments.get("invariances"), steady=steady)
        with monkeypatch.context() as patch:
            patch.setattr(experiments, "get", lambda name, experiment=experiment: experiment)
            assert len(faults(folder, rerun=1)) == found
