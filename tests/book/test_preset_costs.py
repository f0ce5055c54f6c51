"""The `gpu` presets fit in fifteen minutes of a T4, by a model that counts what it should."""

import dataclasses

import pytest
import torch

from linfcourse import experiments
from tools import preset_cost
from tools.card_meter import META, T4, Meter

ROWS = preset_cost.read_table()


@pytest.mark.parametrize("name", ROWS)
def test_the_table_is_of_this_preset_and_within_the_limit(name):
    minutes, sha, _ = ROWS[name]
    assert sha == preset_cost.preset_hash(name), f"run `python tools/preset_cost.py {name}`"
    assert 0 < minutes <= preset_cost.LIMIT
    assert len(experiments.get(name).config("gpu").seeds) >= 3


def test_a_row_is_what_is_counted_now():
    trials, launches, flops = (cell.strip() for cell in ROWS["block_spectra"][2].split("|")[2:5])
    again = preset_cost.to_row("block_spectra", preset_cost.estimate("block_spectra"))
    assert [cell.strip() for cell in again.split("|")[2:5]] == [trials, launches, flops]


def test_a_page_shows_the_table():
    page = preset_cost.TABLE.with_name("larger_runs.md").read_text(encoding="utf-8")
    assert ":::{include} preset_costs_table.md" in page


def test_a_product_costs_its_operations_a_small_one_its_launch_a_sum_its_bytes():
    for make, seconds, flops in (
        (lambda: torch.empty(4096, 4096, device=META), 2 * 4096**3 / 4e12, 2 * 4096**3),
        (lambda: torch.empty(4, 4, device=META), T4.launch, 2 * 4**3),
    ):
        x = make()
        with Meter(T4) as meter:
            x @ x
        assert (meter.seconds, meter.flops) == pytest.approx((seconds, flops))
        assert meter.launches == 1
    x = torch.empty(2**24, device=META)
    with Meter(T4) as meter:
        x + x
    assert meter.seconds == pytest.approx(3 * 4 * 2**24 / 240e9)


def test_a_view_is_free_a_read_waits_and_the_cpu_is_not_the_card():
    x = torch.empty(8, 8, device=META)
    with Meter(T4) as meter:
        x.T.reshape(64)[:3].view(3)
        launches = meter.launches
        x.sum().item()
        torch.ones(3).add(1)
    assert launches == 1  # the copy in reshape
    assert meter.launches == 2 and meter.waits == 1 and meter.cpu_seconds > 0


def test_what_is_taken_to_go_on_is_what_a_whole_run_costs():
    experiment = experiments.get("first_look")
    config = dataclasses.replace(experiment.config("cpu"), steps=40, width=8)
    setting = {"seed": 0, "method": "adam", "lr": 0.1}
    _, guessed = preset_cost.count_full(experiment, config, setting, 1.0)
    whole = preset_cost.count(experiment, config, setting, 1.0)
    assert guessed.launches == pytest.approx(whole.launches, rel=0.02)
    assert guessed.flops == pytest.approx(whole.flops, rel=0.02)
    assert guessed.seconds == pytest.approx(whole.seconds, rel=0.02)
