"""Coordinate-wise steps on a GPU take torch's fused kernel: seen on tensors without memory."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from linfcourse.optim import Adam, AdamW


class Calls(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize(("make", "kernel"), [(Adam, "_fused_adam_"), (AdamW, "_fused_adamw_")])
def test_one_kernel_takes_all_tensors_and_nothing_waits_for_the_device(make, kernel, corrected):
    with FakeTensorMode():
        params = [torch.nn.Parameter(torch.randn(n, 4, device="cuda")) for n in range(1, 9)]
        optimizer = make(params, bias_correction=corrected)
        for first, constants in ((1, 1), (0, 8 if corrected else 1)):
            # In the second step one tensor is behind; equal counts are one constant.
            for p in params[first:]:
                p.grad = torch.randn_like(p)
            with Calls() as calls:
                optimizer.step()
            assert calls.names.count(kernel) == 1
            assert calls.names.count("full") == constants
        assert all(optimizer.state[p]["step"].device.type == "cpu" for p in params)
        assert all(optimizer.state[p]["exp_avg"].device.type == "cuda" for p in params)
