"""The table of GPT-2's memory: each part runs."""

import pytest

from benchmarks import gpt2_memory


@pytest.mark.parametrize("part", gpt2_memory.PARTS)
def test_each_part_runs_at_tiny_size(part):
    found = gpt2_memory.measure_part(part, "tiny", "cpu")
    assert found["part"] == part and found["peak_bytes"] >= 0 and found["found"]


def test_a_part_is_measured_in_a_process_of_its_own():
    found = gpt2_memory.measure("tiny", "cpu", only=["SGD step"])
    (case,) = found["cases"]
    assert 1e6 < case["peak_bytes"] < 1e9 and case["seconds"] > 0
