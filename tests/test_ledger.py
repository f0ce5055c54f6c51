"""The ledger of claims, and the book's page that shows it."""

from pathlib import Path

import pytest

from linfcourse import experiments, ledger
from linfcourse.records import Record, recorded_folder

BOOK = Path(__file__).resolve().parents[1] / "book"


def test_every_claim_appears_even_without_a_record(tmp_path):
    entries = ledger.read_ledger(tmp_path)
    claims = [claim.id for name in experiments.NAMES for claim in experiments.get(name).claims]
    assert [entry.claim.id for entry in entries] == claims
    assert all(entry.verdict is None for entry in entries)
    assert "no record" in ledger.to_text(entries)


def test_verdicts_are_those_of_the_records():
    entries = ledger.read_ledger(recorded_folder(), ["cpu"])
    for entry in entries:
        if entry.verdict is not None:
            record = Record.load(recorded_folder() / f"{entry.experiment}-{entry.scale}.json")
            assert entry.verdict == entry.claim.judge(record)
            assert entry.verdict.status in ("holds", "fails", "inconclusive")


def test_the_books_page_shows_the_ledger_of_the_committed_records():
    page = ledger.to_page(ledger.read_ledger(recorded_folder()))
    assert (BOOK / "claims_table.md").read_text(encoding="utf-8") == page, "run `make claims`"
    text = (BOOK / "claims.md").read_text(encoding="utf-8")
    for part in ("findings", "claims"):
        assert f"claims_table.md\n:start-after: <!-- {part} -->" in text


def test_claims_have_distinct_ids_and_chapters_that_exist():
    entries = ledger.read_ledger(recorded_folder(), ["cpu"])
    ids = [entry.claim.id for entry in entries]
    assert len(ids) == len(set(ids))
    for entry in entries:
        assert (BOOK / "chapters" / f"{entry.claim.chapter}.md").exists(), entry.claim.id
        assert entry.claim.id.startswith(f"{entry.experiment}."), entry.claim.id


@pytest.mark.parametrize("name", experiments.NAMES)
def test_every_experiment_has_the_presets_a_title_and_claims(name):
    experiment = experiments.get(name)
    assert experiment.name == name and experiment.title and experiment.claims
    assert set(experiment.presets) == set(experiments.SCALES)


def test_a_bar_in_a_sentence_does_not_break_the_table():
    claim = experiments.Claim("x.y", "a |H| b", "here", "01_x", lambda record: None)
    row = ledger.to_markdown([ledger.Entry("x", claim, "cpu", None, 0)]).splitlines()[2]
    assert row.replace("\\|", "").count("|") == 7
