"""Checkpoint files: what comes back, and what is refused."""

import os
import pickle

import pytest
import torch

from linfcourse.checkpoints import load_checkpoint, save_checkpoint

RUN = {"steps": 5, "lr": [0.1], "clip": None}


@pytest.fixture
def weight():
    return torch.randn(50, 20, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def path(tmp_path, weight):
    file = tmp_path / "folder" / "run.pt"
    save_checkpoint(file, RUN, {"weight": weight, "history": [(0, {"x": 0.1})], "none": None})
    return file


class Dangerous:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_everything_comes_back_as_it_was(path, weight):
    state = load_checkpoint(path, RUN)
    assert torch.equal(state["weight"], weight)
    assert state["history"] == [(0, {"x": 0.1})] and state["none"] is None


def test_nothing_else_is_left_in_the_folder(path):
    save_checkpoint(path, RUN, {"second": 2})
    assert load_checkpoint(path, RUN) == {"second": 2}
    assert [p.name for p in path.parent.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("part", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_off_at_any_length_is_refused(path, part):
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    with pytest.raises(ValueError, match=r"run\.pt cannot be read.*delete it"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize("place", [0, 1234, 3999])
def test_one_changed_bit_of_a_weight_is_noticed(path, weight, place):
    content = bytearray(path.read_bytes())
    start = content.find(weight.numpy().tobytes())
    assert start > 0
    content[start + place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"run\.pt is damaged.*delete it"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize("content", [{"model": {}}, [1, 2], torch.ones(2)])
def test_a_file_of_somebody_else_is_refused(path, content):
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"run\.pt is not a checkpoint"):
        load_checkpoint(path, RUN)


def test_code_in_a_file_is_not_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "run": RUN, "state": Dangerous()}, path)
    with pytest.raises(ValueError, match=r"run\.pt cannot be read"):
        load_checkpoint(path, RUN)
    path.write_bytes(pickle.dumps(Dangerous()))
    with pytest.raises(ValueError, match=r"run\.pt cannot be read"):
        load_checkpoint(path, RUN)
    assert not (tmp_path / "harm").exists()


def test_another_format_is_refused(path):
    torch.save({"format": 99, "run": RUN, "state": {}}, path)
    with pytest.raises(ValueError, match="has format 99"):
        load_checkpoint(path, RUN)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 6}, "steps is 5 there and 6 here"),
        ({"lr": [0.2]}, r"lr is \[0\.1\] there and \[0\.2\] here"),
        ({"extra": 1}, "extra is None there and 1 here"),
        ({"steps": 6, "clip": 1.0}, "clip is None there and 1.0 here; steps is"),
        ({"lr": [0.1] * 100}, r"\.\.\. here"),
    ],
)
def test_a_different_run_is_refused_and_every_difference_named(path, changes, named):
    with pytest.raises(ValueError, match=f"different run: .*{named}"):
        load_checkpoint(path, {**RUN, **changes})
