"""The table of GPT-2's memory: each part runs, and the book's is that of the committed results."""

import copy

import pytest

from benchmarks import gpt2_memory

COMMITTED = gpt2_memory.load()


@pytest.mark.parametrize("part", gpt2_memory.PARTS)
def test_each_part_runs_at_tiny_size(part):
    found = gpt2_memory.measure_part(part, "tiny", "cpu")
    assert found["part"] == part and found["peak_bytes"] >= 0 and found["found"]


def test_a_part_is_measured_in_a_process_of_its_own():
    found = gpt2_memory.measure("tiny", "cpu", only=["SGD step"])
    (case,) = found["cases"]
    assert 1e6 < case["peak_bytes"] < 1e9 and case["seconds"] > 0


def test_the_books_table_is_that_of_the_committed_results():
    assert gpt2_memory.TABLE.read_text(encoding="utf-8") == gpt2_memory.render(COMMITTED)
    altered = copy.deepcopy(COMMITTED)
    altered["cases"][0]["peak_bytes"] *= 2
    assert gpt2_memory.render(altered) != gpt2_memory.render(COMMITTED)
    page = gpt2_memory.TABLE.with_name("larger_runs.md").read_text(encoding="utf-8")
    assert ":::{include} gpt2_memory_table.md" in page


def test_the_committed_results_are_of_gpt2_and_every_part():
    assert COMMITTED["size"] == "full" and COMMITTED["context"] == 1024
    assert [case["part"] for case in COMMITTED["cases"]] == list(gpt2_memory.PARTS)
    assert {case["parameters"] for case in COMMITTED["cases"]} == {124_373_760}


def test_everything_fits_in_16_gb():
    """A T4 has 15 GB to use."""
    assert max(case["peak_bytes"] for case in COMMITTED["cases"]) < 12e9
