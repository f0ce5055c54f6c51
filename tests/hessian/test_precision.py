"""TF32 is off inside and as before outside, whichever of torch's two switches the user set."""

import pytest
import torch

from linfcourse.hessian.precision import full_float32

CUDA = torch.device("cuda")  # the switches exist without a GPU
matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn


@pytest.fixture(autouse=True)
def restore():
    before = torch.get_float32_matmul_precision(), cudnn.allow_tf32
    yield
    torch.set_float32_matmul_precision(before[0])
    cudnn.allow_tf32 = before[1]


@pytest.mark.parametrize("level", ["highest", "high", "medium"])
def test_the_old_switches(level):
    torch.set_float32_matmul_precision(level)
    with full_float32(CUDA):
        assert torch.get_float32_matmul_precision() == "highest"
        assert not matmul.allow_tf32 and not cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == level and cudnn.allow_tf32


@pytest.mark.skipif(not hasattr(matmul, "fp32_precision"), reason="torch < 2.9 has one switch")
def test_the_new_switch_alone():
    matmul.fp32_precision = "tf32"
    try:
        with full_float32(CUDA):
            assert matmul.fp32_precision == "ieee" and not matmul.allow_tf32
        assert matmul.fp32_precision == "tf32"
    finally:
        matmul.fp32_precision = "ieee"


def test_an_error_inside_restores_them():
    torch.set_float32_matmul_precision("high")
    with pytest.raises(KeyError), full_float32(CUDA):
        raise KeyError
    assert torch.get_float32_matmul_precision() == "high"


def test_nothing_is_touched_on_a_cpu():
    torch.set_float32_matmul_precision("high")
    with full_float32(torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == "high"
