"""The benchmarks run at tiny size, and the book's tables are those of the committed results."""

import copy
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import aims, equal_accuracy, estimators, optimizers, page, results, timing
from linfcourse.hessian import DenseOperator, norm_11
from linfcourse.hessian.cauchy import cauchy

ROOT = Path(__file__).resolve().parents[1]
COMMITTED = results.load()
OF_ERRORS = ("estimators", "equal_accuracy")
every_benchmark = pytest.mark.parametrize("name", page.BENCHMARKS)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Results of everything at tiny size, through the command."""
    path = tmp_path_factory.mktemp("bench") / "tiny.json"
    assert command.main(["--size", "tiny", "--output", str(path)]) == 0
    return results.load(path)


def check_section(name, section):
    """The schema: what the page and a reader of the JSON rely on."""
    assert {"size", "title", "measured", "commit", "environment", "load", "wall_seconds"} <= set(
        section
    )
    assert {"torch", "numpy", "python", "lion-pytorch", "device_name", "threads", "cores"} <= set(
        section["environment"]
    )
    assert section["environment"]["threads"] == 1
    assert set(section["load"]) == {"before", "after"}
    assert section["cases"] and section["aims"]
    for case in section["cases"]:
        assert case["case"] and case["parameters"] > 0
        if name in OF_ERRORS:
            check_errors(case)
        else:
            check_times(case)
    for row in section["aims"]:
        assert row["verdict"] in (aims.MET, aims.MISSED, aims.ON_THE_LINE)
        assert row["case"] in {case["case"] for case in section["cases"]}


def check_times(case):
    lengths = set()
    for times in case["times"].values():
        assert times["min"] == min(times["seconds"]) > 0
        assert times["min"] <= times["median"] <= max(times["seconds"])
        lengths |= {len(times["seconds"]), len(times["wall_seconds"])}
    assert len(lengths) == 1, "every entrant is timed once a round"


def check_errors(case):
    found = {(e["estimator"], e["probes"]) for e in case["errors"]}
    assert {name for name, _ in found} == set(estimators.ESTIMATORS)
    assert len(found) == len(case["errors"])
    assert all(e["relative_sd"] >= 0 and e["relative_rms"] >= 0 for e in case["errors"])


@every_benchmark
def test_each_runs_at_tiny_size_and_keeps_the_schema(tiny, name):
    check_section(name, tiny["benchmarks"][name])
    assert tiny["benchmarks"][name]["size"] == "tiny"


@every_benchmark
def test_committed_results_are_of_full_size_and_keep_the_schema(name):
    section = COMMITTED["benchmarks"][name]
    check_section(name, section)
    assert section["size"] == "full"
    module = page.BENCHMARKS[name]
    if name not in OF_ERRORS:
        assert [case["case"] for case in section["cases"]] == list(module.SIZES["full"])


@every_benchmark
def test_committed_verdicts_follow_from_the_committed_numbers(name):
    section, module = COMMITTED["benchmarks"][name], page.BENCHMARKS[name]
    if name == "estimators":
        judged = estimators.judge(section["cases"], max(module.SIZES["full"]["probes"]))
    elif name == "equal_accuracy":
        judged = equal_accuracy.judge(section["cases"])
    else:
        judged = aims.judge_all(module.AIMS, section["cases"])
    assert [row["verdict"] for row in judged] == [row["verdict"] for row in section["aims"]]
    for mine, stored in zip(judged, section["aims"], strict=True):
        assert {
            k: pytest.approx(v, rel=1e-5) if isinstance(v, float) else v for k, v in mine.items()
        } == stored


def test_the_books_tables_are_those_of_the_committed_results():
    tables = (ROOT / "book" / "benchmarks_tables.md").read_text(encoding="utf-8")
    assert tables == page.render(COMMITTED), "run `python -m benchmarks --tables`"


def test_another_number_in_the_results_is_another_table():
    altered = copy.deepcopy(COMMITTED)
    times = altered["benchmarks"]["optimizers"]["cases"][0]["times"]
    times[optimizers.FUSED]["median"] *= 2
    assert page.render(altered) != page.render(COMMITTED)


@every_benchmark
def test_the_books_page_includes_every_table(name):
    text = (ROOT / "book" / "benchmarks.md").read_text(encoding="utf-8")
    assert f":start-after: <!-- {name} -->\n:end-before: <!-- end of {name} -->" in text
    part = page.render(COMMITTED).split(f"<!-- {name} -->")[1].split(f"<!-- end of {name} -->")[0]
    assert part.count("|") > 20 and "<!--" not in part
    assert "book/benchmarks\n" in (ROOT / "_toc.yml").read_text(encoding="utf-8")


def test_every_row_of_a_table_has_as_many_cells_as_its_header(tiny):
    for line in page.render(tiny).split("\n\n"):
        if line.startswith("|"):
            counts = {len(re.findall(r"(?<!\\)\|", row)) for row in line.splitlines()}
            assert len(counts) == 1, line


def test_a_race_takes_everyone_in_turn_and_turns_round():
    order = []
    entrants = {name: lambda name=name: order.append(name) for name in "abc"}
    times = timing.race(entrants, rounds=3, warmup=1)
    assert "".join(order) == "abc" + "abc" + "cba" + "abc"
    assert all(len(t["seconds"]) == len(t["wall_seconds"]) == 3 for t in times.values())


def test_times_are_the_processors_and_the_walls_are_kept(monkeypatch):
    clock = {"processor": 0.0, "wall": 0.0}

    def work(seconds):
        clock["processor"] += seconds
        clock["wall"] += 10 * seconds  # somebody else had the core

    monkeypatch.setattr(timing.time, "process_time", lambda: clock["processor"])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["wall"])
    lengths = iter([1.0, 2.0, 6.0, 1.0, 1.0, 1.0])  # a b, b a, a b
    entrants = {name: lambda: work(next(lengths)) for name in "ab"}
    times = timing.race(entrants, rounds=3, warmup=0, idle=math.inf)
    assert times["a"]["seconds"] == [1.0, 1.0, 1.0] and times["b"]["seconds"] == [2.0, 6.0, 1.0]
    assert times["b"]["wall_seconds"] == [20.0, 60.0, 10.0]
    assert timing.ratios(times["b"], times["a"]) == (2.0, 1.0)


def test_who_has_waited_long_is_called_once_before_it_is_timed(monkeypatch):
    clock, calls = {"now": 0.0}, {"quick": 0, "slow": 0}

    def called(name, seconds):
        calls[name] += 1
        clock["now"] += seconds

    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock["now"])
    entrants = {"quick": lambda: called("quick", 0.1), "slow": lambda: called("slow", 10.0)}
    times = timing.race(entrants, rounds=2, warmup=1, idle=5.0)
    # quick waits for slow before each round; slow's two rounds follow each other
    assert calls == {"quick": 1 + 2 * 2, "slow": 1 + 2}
    assert all(len(entry["seconds"]) == 2 for entry in times.values())


@pytest.mark.parametrize(
    "entrants, rounds, message",
    [({}, 1, "entrants is empty"), ({"a": int}, 0, "rounds must be at least 1")],
)
def test_a_race_of_nobody_or_of_no_rounds_is_refused(entrants, rounds, message):
    with pytest.raises(ValueError, match=message):
        timing.race(entrants, rounds)


@pytest.mark.parametrize(
    "ours, expected",
    [((0.4, 0.5), aims.MET), ((0.4, 0.6), aims.ON_THE_LINE), ((0.51, 0.6), aims.MISSED)],
)
def test_an_aim_is_met_only_if_both_ratios_say_so(ours, expected):
    times = {
        "us": {"median": ours[0], "min": ours[1]},
        "peer": {"median": 1.0, "min": 1.0},
    }
    aim = aims.Aim("at most half", "us", "peer", 0.5)
    assert aim.judge({"case": "x", "times": times})["verdict"] == expected


def test_an_aim_may_count_several_of_the_peers_times_as_one():
    times = {"us": {"median": 6.0, "min": 5.0}, "peer": {"median": 2.0, "min": 2.0}}
    row = aims.Aim("as one copy and a half", "us", "peer", 2.0, 1.5).judge(
        {"case": "x", "times": times}
    )
    assert (row["ratio_of_medians"], row["limit"], row["verdict"]) == (2.0, 2.0, aims.MET)


def test_measuring_one_benchmark_keeps_the_others(tmp_path, tiny):
    path = tmp_path / "results.json"
    before = copy.deepcopy(tiny)
    results.save(before, path)
    command.main(["--size", "tiny", "--only", "hessian_products", "--output", str(path)])
    after = results.load(path)
    assert after["benchmarks"]["optimizers"] == before["benchmarks"]["optimizers"]
    assert after["benchmarks"]["hessian_products"] != before["benchmarks"]["hessian_products"]


def test_a_failed_write_leaves_the_old_results(tmp_path, tiny, monkeypatch):
    path = tmp_path / "results.json"
    results.save(tiny, path)
    old = path.read_text()

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        results.save({"schema": 1, "benchmarks": {}}, path)
    assert path.read_text() == old and list(tmp_path.iterdir()) == [path]


def test_a_small_run_leaves_the_committed_files_alone(capsys, monkeypatch):
    files = [results.FILE, command.TABLES]
    before = [file.read_bytes() for file in files]
    monkeypatch.setitem(estimators.SIZES, "small", estimators.SIZES["tiny"])
    command.main(["--size", "small", "--only", "estimators"])
    assert [file.read_bytes() for file in files] == before
    printed = capsys.readouterr()
    assert "two_stage / median" in printed.out and "Not measured yet." in printed.out
    assert "estimators: done" in printed.err


def test_an_unknown_benchmark_is_refused_by_name(capsys):
    with pytest.raises(SystemExit) as error:
        command.main(["--only", "speed"])
    assert error.value.code == 2 and "speed" in capsys.readouterr().err


def test_a_benchmark_of_the_other_device_is_refused_by_name(capsys):
    with pytest.raises(SystemExit):
        command.main(["--only", "training"])
    assert "no benchmark training for --device cpu" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"schema": 99, "benchmarks": {}})])
def test_a_file_that_holds_something_else_is_refused(tmp_path, text):
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"results\.json"):
        results.load(path)


def test_the_products_needed_follow_a_power_law_between_the_numbers_tried():
    grid = (4, 8, 16, 32)
    errors = [1 / k for k in grid]  # like two_stage: half the error for twice the products
    assert equal_accuracy.needed(grid, errors, 1 / 11) == pytest.approx(11)
    assert equal_accuracy.needed(grid, errors, 1 / 8) == pytest.approx(8)
    assert equal_accuracy.needed(grid, errors, 1.0) == 4.0
    assert equal_accuracy.needed(grid, errors, 1 / 64) == math.inf
    up_again = [0.1, 0.3, 0.05, 0.04]  # it counts from where the error stays below
    assert 8 < equal_accuracy.needed(grid, up_again, 0.2) < 16


def test_remembered_products_change_no_estimate_and_are_not_computed_again(monkeypatch):
    H = torch.randn(70, 70, generator=torch.Generator().manual_seed(0))
    op = DenseOperator(H + H.T)
    seeded = torch.Generator().manual_seed(3)
    probes = cauchy(100, 70, op.device, seeded).float().T
    remembered = equal_accuracy.Remembered(op, probes)
    expected = {
        name: norm_11(op, k, name, seeded.manual_seed(3)).value
        for name, k in (("median", 69), ("iqr", 100), ("geometric", 7), ("two_stage", 40))
    }
    monkeypatch.setattr(op, "matmat", lambda _: pytest.fail("computed again"))
    for (name, value), k in zip(expected.items(), (69, 100, 7, 40), strict=True):
        found = norm_11(remembered, k, name, seeded.manual_seed(3)).value
        assert found == pytest.approx(value, rel=1e-5)


def test_products_needed_are_found_from_made_up_estimates():
    """Errors of ±c/√K for the Cauchy estimators, iqr's all on one side, and ±c/K for two_stage."""
    grid, signs = (5, 10, 50, 100), np.tile([1.0, -1.0], 20)
    size = {name: [0.5 / math.sqrt(k) for k in grid] for name in estimators.ESTIMATORS}
    size["two_stage"] = [0.5 / k for k in grid]
    size["geometric"] = [1.0 / math.sqrt(k) for k in grid]
    values = 1 + signs[:, None, None] * np.array([size[name] for name in estimators.ESTIMATORS])
    values[:, estimators.ESTIMATORS.index("iqr")] = 1 + np.array(size["iqr"])  # nothing but bias
    case = equal_accuracy.case_of("made up", 9, 1.0, grid, values)
    assert case["needed"]["median"]["products"] == 50
    assert case["needed"]["iqr"]["products"] == pytest.approx(50)
    assert case["needed"]["two_stage"]["products"] == pytest.approx(math.sqrt(50))
    assert case["needed"]["geometric"] == {"products": None, "low": None, "high": None}
    (row,) = equal_accuracy.judge([case])
    assert row["ratio_products"] == pytest.approx(1 / math.sqrt(50)) and row["verdict"] == aims.MET
    table = equal_accuracy.tables([case])[0]
    assert table[1][0][-2:] == ["> 100 (> 100 to > 100)", "7 (7 to 7)"]


@pytest.mark.parametrize(
    "high, expected", [(24.0, aims.MET), (26.0, aims.ON_THE_LINE), (None, aims.ON_THE_LINE)]
)
def test_an_interval_across_the_limit_is_on_the_line(high, expected):
    needed = {"two_stage": {"products": 20.0, "low": 15.0, "high": high}}
    (row,) = equal_accuracy.judge([{"case": "x", "needed": needed}])
    assert row["verdict"] == expected
