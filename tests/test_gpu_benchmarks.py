"""The benchmarks of a GPU: their clock, their parts at tiny size without one, and their page."""

import copy

import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import aims, gpu_optimizers, gpu_training, page, results, timing

every_part = pytest.mark.parametrize("name", page.ON_GPU)


@pytest.fixture(scope="module")
def on_cpu():
    """The parts of a GPU, measured on the CPU at tiny size, as a GPU's sections."""
    card = {"device": "cuda", "device_name": "Card 1", "driver": "9.9", "cuda": "13.0"}
    return {
        name: {
            "size": "tiny",
            **results.circumstances(),
            **module.measure("tiny", device="cpu"),
            "load": {"before": None, "after": None},
            "environment": results.circumstances()["environment"] | card,
        }
        for name, module in page.ON_GPU.items()
    }


class Device:
    """A pretended CUDA device: work is handed over at once and takes device time later."""

    def __init__(self, monkeypatch):
        self.queue, self.now = [], 0.0
        device = self

        class Event:
            def __init__(self, enable_timing=False):
                assert enable_timing
                self.at = None

            def record(self, stream=None):
                device.queue.append(self)

            def synchronize(self):
                device.drain()
                assert self.at is not None

            def elapsed_time(self, end):  # as torch: in milliseconds, of recorded events only
                return 1e3 * (end.at - self.at)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda _: self.drain())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda _: None)
        monkeypatch.setattr(timing.time, "perf_counter", lambda: self.now)  # of who waits for it

    def work(self, seconds):
        self.queue.append(seconds)

    def drain(self):
        for item in self.queue:
            if isinstance(item, float):
                self.now += item
            else:
                item.at = self.now
        self.queue.clear()


def test_a_devices_time_is_that_between_its_events_and_for_one_call(monkeypatch):
    device = Device(monkeypatch)
    clock = timing.EventClock("cuda", repeats=4)
    device.work(100.0)  # left over from before: not to be counted
    calls = []
    assert clock.time(lambda: (calls.append(1), device.work(2.0))) == (2.0, 2.0)
    assert len(calls) == 4


def test_a_race_on_a_device_keeps_the_times_of_its_entrants_apart(monkeypatch):
    device = Device(monkeypatch)
    entrants = {"a": lambda: device.work(1.0), "b": lambda: device.work(3.0)}
    times = timing.race(entrants, 3, clock=timing.EventClock("cuda", repeats=2))
    assert times["a"]["seconds"] == [1.0] * 3 and times["b"]["median"] == 3.0
    assert timing.ratios(times["b"], times["a"]) == (3.0, 3.0)


def test_the_clock_goes_with_the_device():
    assert isinstance(timing.clock_of("cpu"), timing.ProcessorClock)
    clock = timing.clock_of("cuda:1", repeats=7)
    assert isinstance(clock, timing.EventClock)
    assert (clock.device, clock.repeats) == (torch.device("cuda:1"), 7)


@every_part
def test_each_part_runs_at_tiny_size_and_judges_every_aim(on_cpu, name):
    section, module = on_cpu[name], page.ON_GPU[name]
    assert [row["aim"] for row in section["aims"]] == [aim.text for aim in module.AIMS]
    (case,) = section["cases"]
    for times in case["times"].values():
        assert len(times["seconds"]) == len(times["wall_seconds"]) == 2
        assert 0 < times["min"] <= times["median"]


def test_aims_of_a_gpu_follow_from_made_up_times():
    names = [*gpu_optimizers.OURS, gpu_optimizers.ROTATED]
    times = {name: {"median": 1.05, "min": 1.0} for name in names}
    times[gpu_optimizers.FUSED] = {"median": 1.0, "min": 1.0}
    times[gpu_optimizers.LION] = {"median": 1.2, "min": 1.05}
    times[gpu_optimizers.ROTATED] = {"median": 3.5, "min": 3.1}
    rows = aims.judge_all(gpu_optimizers.AIMS, [{"case": "x", "times": times}])
    verdicts = {row["aim"].split(" within")[0]: row["verdict"] for row in rows}
    expected = dict.fromkeys(gpu_optimizers.OURS.values(), aims.MET)
    assert verdicts == {**expected, "Lion": aims.ON_THE_LINE, "Rotated AdamW": aims.MISSED}


def test_an_update_is_its_parts_and_the_step_is_compared_with_all_of_them(on_cpu):
    (case,) = on_cpu["training"]["cases"]
    assert case["parts"] * case["part"][0] == gpu_training.SEQUENCES
    part, update = (case["times"][name] for name in (gpu_training.PART, gpu_training.UPDATE))
    assert update["median"] == pytest.approx(240 * part["median"])
    times = {gpu_training.UPDATE: update, gpu_training.ROTATED: copy.deepcopy(update)}
    for share, expected in ((0.019, aims.MET), (0.021, aims.MISSED)):
        for key in ("median", "min"):
            times[gpu_training.ROTATED][key] = share * update[key]
        (row,) = aims.judge_all(gpu_training.AIMS, [{"case": "x", "times": times}])
        assert row["verdict"] == expected


def test_the_page_has_a_chapter_on_a_gpu_only_with_results(on_cpu):
    without = page.render(results.empty())
    assert "## On a GPU" not in without
    text = page.render({**results.empty(), "cuda": on_cpu})
    chapter = text.split("<!-- cuda -->")[1].split("<!-- end of cuda -->")[0]
    for module in page.ON_GPU.values():
        assert f"### {module.TITLE}" in chapter and module.TEXT in chapter
    assert "on one Card 1, driver 9.9, CUDA 13.0, torch" in chapter
    assert "A part is 2 sequences of 32 tokens in fp32, not compiled" in chapter
    assert text.replace(chapter, "") == without.replace("\n\n<!-- end of cuda", "<!-- end of cuda")


def test_memory_speed_counts_the_bytes_of_the_rotated_step():
    words = gpu_optimizers.GPU_WORDS
    times = {name: {"median": 1.0, "min": 1.0, "words": words[name]} for name in words}
    _, rows = gpu_optimizers.columns({"parameters": 10**9, "times": times})
    cells = {row[0]: row[-2:] for row in rows}
    assert cells[gpu_optimizers.COPY] == ["8", "100 %"]
    assert cells[gpu_optimizers.ROTATED] == ["44", "550 %"]


def test_without_a_gpu_the_command_says_so_and_fails(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    path = tmp_path / "results.json"
    assert command.main(["--device", "cuda", "--output", str(path)]) != 0
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and "needs an NVIDIA GPU" in printed.err
    assert printed.out == "" and not path.exists()


def test_results_of_a_gpu_stand_beside_those_of_the_cpu(monkeypatch, tmp_path, on_cpu):
    """The command's way for a GPU, up to the measuring itself."""
    path = tmp_path / "results.json"
    cpu = {"optimizers": {"size": "tiny"}}
    results.save({**results.empty(), "benchmarks": cpu}, path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(command, "_measured", lambda name, size, device: {name: [size, device]})
    arguments = ["--device", "cuda", "--size", "tiny", "--only", "training"]
    assert command.main([*arguments, "--output", str(path)]) == 0
    assert results.load(path) == {
        "schema": results.SCHEMA,
        "benchmarks": cpu,
        "cuda": {"training": {"training": ["tiny", "cuda"]}},
    }


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_the_command_measures_every_part_at_tiny_size(tmp_path):
    path = tmp_path / "results.json"
    assert command.main(["--device", "cuda", "--size", "tiny", "--output", str(path)]) == 0
    found = results.load(path)["cuda"]
    assert set(found) == set(page.ON_GPU)
    for section in found.values():
        assert section["environment"]["device"] == "cuda" and section["environment"]["cuda"]
        for case in section["cases"]:
            for times in case["times"].values():  # handing over is not all that is timed
                assert 0 < times["min"] <= 1.5 * max(times["wall_seconds"])
