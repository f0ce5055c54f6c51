"""Two processes on the CPU: the path of one, the same weights in both, and a clear end."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from linfcourse import distributed
from linfcourse.records import Record

HERE = Path(__file__).parent


def start(script, *arguments, processes=2, check=True):
    command = [sys.executable, str(HERE / script), *map(str, arguments)]
    if processes > 1:
        command[1:1] = [
            "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}",
        ]  # fmt: skip
    # The package that is under test, wherever the script lies.
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    start("together.py", folder, processes=1)
    start("together.py", folder, processes=2)
    return folder, {name: torch.load(folder / f"{name}.pt") for name in ("1-0", "2-0", "2-1")}


def gpt_runs(saved):
    return {key: run for key, run in saved.items() if key != "resnet"}


def test_two_processes_take_the_path_of_one(results):
    _, saved = results
    assert len(gpt_runs(saved["1-0"])) == 8
    for key, alone in gpt_runs(saved["1-0"]).items():
        together = saved["2-0"][key]
        assert together["loss"] == pytest.approx(alone["loss"], rel=1e-9), key
        assert torch.allclose(together["params"], alone["params"], rtol=1e-6, atol=1e-9), key


def test_two_processes_that_compile_take_it_too(results):
    _, saved = results
    alone, together = saved["1-0"]["adamw", 2], saved["2-0"]["adamw", 2, "compiled"]
    assert together["loss"] == pytest.approx(alone["loss"], rel=1e-9)
    assert torch.allclose(together["params"], alone["params"], rtol=1e-6, atol=1e-9)


def test_all_processes_hold_the_same_weights_bit_for_bit(results):
    _, saved = results
    for key, first in gpt_runs(saved["2-0"]).items():
        assert torch.equal(first["params"], saved["2-1"][key]["params"]), key
        assert first["loss"] == saved["2-1"][key]["loss"], key


def test_norms_of_the_whole_batch_are_measured_from_the_parts(results):
    _, saved = results
    alone, together = (saved[name]["adamw", 1]["norms"] for name in ("1-0", "2-0"))
    assert [step for step, _ in together] == [0, 6]
    for (_, one), (_, two) in zip(alone, together, strict=True):
        assert two == pytest.approx(one, rel=1e-6)


def test_batch_norm_sees_the_whole_batch(results):
    _, saved = results
    alone, *together = (saved[name]["resnet"] for name in ("1-0", "2-0", "2-1"))
    for one in together:
        assert one["loss"] == pytest.approx(alone["loss"], rel=1e-9)
        torch.testing.assert_close(one["buffers"], alone["buffers"], rtol=1e-9, atol=1e-12)


def test_hessian_products_go_through_the_whole_batchs_statistics(results):
    _, saved = results
    alone, *together = (saved[name]["resnet"]["products"] for name in ("1-0", "2-0", "2-1"))
    for products in together:
        error = (products - alone).norm(dim=1) / alone.norm(dim=1)
        assert error.max() < 1e-9, error


def test_a_batch_that_does_not_divide_is_refused(results):
    folder, _ = results
    for rank in (0, 1):
        assert "cannot be cut in 2 equal parts" in (folder / f"uneven-{rank}").read_text()


def test_one_process_tokenises_while_the_others_wait_beyond_the_timeout(tmp_path):
    for name, content in (("good", b"some text " * 9), ("other", b"else " * 9), ("bad", b"\x89")):
        (tmp_path / f"{name}.txt").write_bytes(content)
    start("tokenising.py", tmp_path)

    def found(name):
        return [(tmp_path / f"{name}-{rank}").read_text() for rank in (0, 1)]

    assert found("good")[0] == found("good")[1] and found("good")[0].startswith("files ")
    # Where one fails, all of them end, and say why.
    assert found("bad")[0].startswith("ValueError: files must be text in UTF-8")
    assert found("bad")[1].startswith("RuntimeError: opening openwebtext failed in process 0: Val")
    # Two machines without a shared disk: each has a text of its own, which must be the same.
    assert found("own") == found("good")
    assert all("the text differs between the processes" in text for text in found("different"))
    assert (tmp_path / "log").read_text().splitlines() == [
        "good.txt by 0", "bad.txt by 0", "good.txt by 0", "good.txt by 1", "good.txt by 0",
        "other.txt by 1",
    ]  # fmt: skip


def test_a_process_that_is_killed_while_it_tokenises_ends_those_that_wait(tmp_path):
    (tmp_path / "good.txt").write_text("some text " * 9)
    done = start("tokenising.py", tmp_path, "killed", check=False)
    assert done.returncode != 0 and (tmp_path / "begun").exists()
    assert (tmp_path / "killed-1").read_text().startswith("RuntimeError")
    assert not list((tmp_path / "shared").glob("[!.]*"))


def test_a_killed_process_ends_the_run_with_a_sentence_and_it_resumes_to_the_same_record(tmp_path):
    def run(name, kill_at, check=True):
        folder = tmp_path / name
        return start("killed.py", folder, folder / "checkpoints", kill_at, check=check)

    run("whole", 0)
    done = run("cut", 14, check=False)  # in the first trial, past its checkpoint at ten steps
    assert done.returncode != 0
    assert "goes on" in done.stderr and "linfcourse" in done.stderr
    assert list((tmp_path / "cut" / "checkpoints").glob("*.pt"))
    assert not (tmp_path / "cut" / "rotated_gpt-cpu.json").exists()
    run("cut", 0)
    whole, cut = (Record.load(tmp_path / n / "rotated_gpt-cpu.json") for n in ("whole", "cut"))
    assert [t.setting for t in cut.trials] == [t.setting for t in whole.trials]
    assert [t.result for t in cut.trials] == [t.result for t in whole.trials]
    assert not list((tmp_path / "cut" / "checkpoints").glob("*.pt"))


def test_without_torchrun_the_mend_is_named():
    with pytest.raises(RuntimeError, match="torchrun"), distributed.data_parallel():
        pass


def test_alone_nothing_is_cut_or_averaged():
    batch = {"x": torch.arange(3), "y": [torch.arange(4), None]}
    assert distributed.own_part(batch) is batch
    assert distributed.world_size() == 1 and distributed.is_writer()
