"""Which precision a device gets, and where it does not reach: Hessians, optimizers, the outside."""

import math

import pytest
import torch
from torch import nn

from linfcourse import mixed_precision, optim
from linfcourse.hessian import HessianOperator, norm_11
from linfcourse.hessian.precision import full_float32
from linfcourse.mixed_precision import choose_precision
from linfcourse.models import GPT, GPTConfig
from linfcourse.rotations import Hadamard
from linfcourse.tf32 import tf32
from linfcourse.training import train

CPU, CUDA = torch.device("cpu"), torch.device("cuda")  # the switches exist without a GPU
cudnn = torch.backends.cudnn


def switches():
    return torch.get_float32_matmul_precision(), cudnn.allow_tf32


@pytest.fixture(autouse=True)
def restore():
    before = switches()
    yield
    torch.set_float32_matmul_precision(before[0])
    cudnn.allow_tf32 = before[1]


class TestChoice:
    @pytest.mark.parametrize(
        ("capability", "name"),
        [((6, 1), "fp16"), ((7, 5), "fp16"), ((8, 0), "bf16"), ((8, 9), "bf16"), ((10, 0), "bf16")],
    )
    def test_auto_is_what_the_card_computes_in(self, monkeypatch, capability, name):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        # What torch says of a T4, too: it counts emulation.
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        assert choose_precision("auto", CUDA) == name

    def test_auto_is_float32_elsewhere(self):
        assert {choose_precision("auto", torch.device(d)) for d in ("cpu", "mps", "meta")} == {
            "fp32"
        }

    def test_a_named_one_is_itself_on_every_device(self):
        for name in ("fp32", "tf32", "bf16", "fp16"):
            assert choose_precision(name, CPU) == choose_precision(name, CUDA) == name


class TestTF32:
    @pytest.mark.parametrize("level", ["highest", "high", "medium"])
    def test_a_hessian_inside_training_has_none(self, level):
        torch.set_float32_matmul_precision(level)
        before = switches()
        with tf32(CUDA, allowed=True):
            assert torch.backends.cuda.matmul.allow_tf32 and cudnn.allow_tf32
            during = switches()
            with full_float32(CUDA):
                assert switches() == ("highest", False)
                assert not torch.backends.cuda.matmul.allow_tf32
            assert switches() == during
        assert switches() == before

    @pytest.mark.skipif(
        not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="torch < 2.9: one switch"
    )
    def test_also_with_the_new_switch_alone(self):
        matmul = torch.backends.cuda.matmul
        matmul.fp32_precision = "tf32"
        try:
            with full_float32(CUDA):
                with tf32(CUDA, allowed=True):
                    assert matmul.allow_tf32
                assert not matmul.allow_tf32
            assert matmul.fp32_precision == "tf32"
        finally:
            matmul.fp32_precision = "ieee"

    @pytest.mark.parametrize(("precision", "level"), [("bf16", "high"), ("fp32", "highest")])
    def test_is_on_for_a_loss_and_its_gradient_only(self, monkeypatch, precision, level):
        """With a card that has it: the CPU stands in, and the switches are read."""
        monkeypatch.setattr(mixed_precision, "has_tf32", lambda device: True)
        monkeypatch.setattr(mixed_precision, "tf32", lambda device, allowed: tf32(CUDA, allowed))
        torch.set_float32_matmul_precision("highest")
        seen = {}

        def note(place):
            seen.setdefault(place, set()).add(torch.get_float32_matmul_precision())

        class Noted(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                note("forward")
                return x.clone()

            @staticmethod
            def backward(ctx, g):
                note("backward")
                return g

        class SGD(torch.optim.SGD):
            def step(self, closure=None):
                note("optimizer")
                return super().step(closure)

        model = nn.Linear(3, 1)

        def evaluate(model):
            note("evaluate")
            return {}

        def loss_fn(model, batch):
            return Noted.apply(model(batch)).float().square().mean()

        train(
            model, loss_fn, lambda step: torch.ones(2, 3), SGD(model.parameters(), lr=0.1),
            steps=2, precision=precision, evaluate=evaluate,
        )  # fmt: skip
        assert seen == {
            "forward": {level}, "backward": {level},
            "optimizer": {"highest"}, "evaluate": {"highest"},
        }  # fmt: skip

        def fails(model, batch):
            raise KeyError

        before = switches()
        with pytest.raises(KeyError):
            train(
                model, fails, lambda step: torch.ones(2, 3), SGD(model.parameters(), lr=0.1),
                steps=2, precision=precision,
            )  # fmt: skip
        assert switches() == before


class TestHessians:
    @pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16", "fp16", "auto"])
    def test_are_measured_in_float32_whatever_training_is_in(self, precision):
        tokens = torch.randint(7, (4, 7), generator=torch.Generator().manual_seed(1))
        batch = tokens[:, :-1], tokens[:, 1:]

        def measure(model):
            assert not torch.is_autocast_enabled("cpu")
            loss = model.loss(*batch)
            assert loss.dtype == torch.float32
            H = HessianOperator(loss, list(model.parameters()))
            return norm_11(H, probes=8, generator=torch.Generator().manual_seed(0)).value

        torch.manual_seed(0)
        model = GPT(GPTConfig(7, context=6, n_layer=1, n_head=2, width=8, tie_weights=False))
        history = train(
            model, lambda model, batch: model.loss(*batch), lambda step: batch,
            optim.Adam(model.parameters(), lr=1e-3), steps=3, precision=precision,
            evaluate=lambda model: {"norm": measure(model)},
        )  # fmt: skip
        assert history.precision == choose_precision(precision, CPU)
        # The same weights outside of `train`, and in double precision.
        assert history.evaluations[-1][1]["norm"] == measure(model)
        model.double()
        H = HessianOperator(model.loss(*batch), list(model.parameters()))
        exact = norm_11(H, probes=8, generator=torch.Generator().manual_seed(0)).value
        assert history.evaluations[-1][1]["norm"] == pytest.approx(exact, rel=1e-4)


OPTIMIZERS = {
    "Adam": lambda p: optim.Adam(p, lr=0.05),
    "AdamW": lambda p: optim.AdamW(p, lr=0.05),
    "AdaSGD": lambda p: optim.AdaSGD(p, lr=0.05),
    "Adalayer": lambda p: optim.Adalayer(p, lr=0.05),
    "SignSGD": lambda p: optim.SignSGD(p, lr=0.01),
    "Signum": lambda p: optim.Signum(p, lr=0.01),
    "NormalizedSGD": lambda p: optim.NormalizedSGD(p, lr=0.05),
    "Lion": lambda p: optim.Lion(p, lr=0.01),
    "Rotated": lambda p: optim.Rotated(
        p, lambda w: torch.optim.AdamW(w, lr=0.05), rotation=Hadamard(seed=0)
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loss_scale_that_overflows_costs_a_step_and_nothing_else(name):
    """The first scale is 2^127: its gradients are infinite, so the step must not be taken."""

    def make():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    y = x[:, :1] - x[:, 1:2]
    model, plain = make(), make()
    optimizer, other = OPTIMIZERS[name](model.parameters()), OPTIMIZERS[name](plain.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127, backoff_factor=2.0**-110)
    taken = 0
    for _ in range(6):
        optimizer.zero_grad()
        scaler.scale((model(x) - y).square().mean() * 8).backward()
        before = [p.detach().clone() for p in model.parameters()]
        scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        skipped = scaler.get_scale() < scale
        same = all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))
        assert skipped == same
        taken += not skipped
        if not skipped:
            other.zero_grad()
            ((plain(x) - y).square().mean() * 8).backward()
            other.step()
    assert taken == 5
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.equal(p, q)  # the scale is a power of two: no digit is touched


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fp16_learns_with_every_optimizer(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    history = train(
        model, lambda model, x: (model(x) - x[:, :1]).square().mean(), lambda step: x,
        OPTIMIZERS[name](model.parameters()), steps=30, precision="fp16",
    )  # fmt: skip
    assert math.isfinite(history.loss[-1]) and history.loss[-1] < 0.7 * history.loss[0]
    assert history.engine() == {"precision": "fp16", "compiled": False}
