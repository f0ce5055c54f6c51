"""The table of what the paper presets ask for is what the presets say."""

from dataclasses import replace

import pytest

from linfcourse.experiments import rotated_gpt
from tools import resource_table


def test_the_books_table_is_that_of_the_presets():
    written = resource_table.TABLE.read_text(encoding="utf-8")
    assert written == resource_table.render(), "run `python tools/resource_table.py`"
    page = resource_table.TABLE.with_name("larger_runs.md").read_text(encoding="utf-8")
    assert ":::{include} resource_table.md" in page


def test_the_papers_gpt_needs_what_is_known_of_it():
    needs = resource_table.needs("rotated_gpt")
    assert needs.parameters == 124_373_760 and needs.examples == 480 * 1024 and needs.parts == 40
    assert needs.memory(4) == pytest.approx(16 * needs.parameters / 1e9)
    assert needs.resumes and not resource_table.needs("first_look").resumes


def test_another_preset_is_another_table(monkeypatch):
    before = resource_table.render()
    paper = replace(rotated_gpt.PRESETS["paper"], accumulate=41)
    monkeypatch.setitem(rotated_gpt.PRESETS, "paper", paper)
    assert resource_table.render() != before
