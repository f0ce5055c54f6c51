"""Records: what is written is what is read."""

import hashlib
import json
import math
import os

import numpy
import pytest
import torch

from linfcourse.records import (
    Record,
    Trial,
    decode,
    describe_environment,
    encode,
    hash_data,
    write_atomically,
)


def make(**result):
    return Record(
        "toy", "cpu", {"lrs": [0.1]}, (Trial({"lr": 0.1, "seed": 0}, result),), seconds=1.5
    )


def test_a_saved_record_is_read_back_equal(tmp_path):
    record = make(loss=[1.0, math.inf, -math.inf], name="ℓ∞", flag=True, none=None)
    assert Record.load(record.save(tmp_path / "deep" / "toy-cpu.json")) == record


def test_nan_survives(tmp_path):
    loaded = Record.load(make(loss=math.nan).save(tmp_path / "toy-cpu.json"))
    assert math.isnan(loaded.trials[0].result["loss"])


def test_the_file_is_strict_json(tmp_path):
    path = make(loss=[math.inf, math.nan]).save(tmp_path / "toy-cpu.json")

    def refuse(constant):
        raise AssertionError(constant)

    json.loads(path.read_text(), parse_constant=refuse)


def test_encode_takes_tensors_and_numpy_and_rounds_to_seven_digits():
    value = {"a": torch.tensor([1 / 3]), "b": numpy.float64(2 / 3), "c": (numpy.int64(3),)}
    assert encode(value) == {"a": [0.3333333], "b": 0.6666667, "c": [3]}
    assert decode(encode([math.inf, "text"])) == [math.inf, "text"]


def test_a_missing_record_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="linfcourse run rotated_quadratic"):
        Record.load(tmp_path / "rotated_quadratic-cpu.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '{"schema": 1, "trials": 3}'])
def test_a_file_that_is_no_record_is_refused_by_name(tmp_path, text):
    path = tmp_path / "x-cpu.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not a record"):
        Record.load(path)


def test_a_newer_schema_is_refused(tmp_path):
    path = make(loss=1.0).save(tmp_path / "toy-cpu.json")
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(ValueError, match="update linfcourse"):
        Record.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_hashes_are_of_the_files_in_the_package():
    from importlib import resources

    content = (resources.files("linfcourse") / "data" / "shakespeare.txt.gz").read_bytes()
    expected = {"shakespeare.txt.gz": hashlib.sha256(content).hexdigest()}
    assert hash_data(["shakespeare.txt.gz"]) == expected


def test_the_environment_says_what_ran_where():
    environment = describe_environment("cpu")
    assert environment["torch"] == torch.__version__ and environment["device"] == "cpu"
    json.dumps(environment)
