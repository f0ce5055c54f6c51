"""What passes between a submission and its tests: plain data, and nothing else."""

import pickle

import numpy as np
import pytest
import torch

from linfcourse.classroom.wire import Malformed, decode, encode

VALUES = [
    None, True, 3, -(2**80), 0.1, float("inf"), "ℓ∞", [1, (2.5, None)], {"a": 1, 2: [3]},
    torch.arange(6.0).reshape(2, 3), torch.tensor(3), torch.empty(0, 4), torch.tensor([1 + 2j]),
    torch.tensor([True, False]), torch.arange(6).reshape(2, 3).T,
]  # fmt: skip


def same(a, b):
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return type(a) is type(b) and a == b


@pytest.mark.parametrize("value", VALUES, ids=[str(n) for n in range(len(VALUES))])
def test_plain_data_arrives_as_it_was(value):
    assert same(value, decode(encode(value, None), None))


def test_arrays_arrive_as_tensors_and_functions_under_their_number():
    assert torch.equal(decode(encode(np.ones(3), None), None), torch.ones(3, dtype=torch.float64))
    assert decode(encode([len], lambda f: 7), lambda number: ("function", number)) == [
        ("function", 7)
    ]


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, ..., [[[[object()]]]]], ids=["object", "set", "dots", "nested"]
)
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError):
        encode(value, None)


def test_a_nan_stays_one():
    assert decode(encode(float("nan"), None), None) != 0


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\0" * 12,
        pickle.dumps(print),
        encode(torch.ones(4), None)[:-3],
        encode(torch.ones(2), None).replace(b"[2]", b"[9]"),
        encode(torch.ones(2), None).replace(b"float32", b"float99"),
        encode(1, None).replace(b'"1"', b'"x"'),
    ],
)
def test_strange_bytes_are_malformed_and_nothing_worse(message):
    with pytest.raises(Malformed):
        decode(message, lambda number: number)
