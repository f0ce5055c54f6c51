"""Nothing on the way of a training step makes the host wait for the device, without a GPU at hand.

Tensors on torch's "meta" device stand for those on a GPU. They have shapes and no numbers: `Meter`
makes some up, counts how often it is asked, and notes operations that mix them with the CPU's.
"""

import math

import pytest
import torch
from torch import nn

from linfcourse import optim, partitions
from linfcourse.data import fashion_mnist, shakespeare
from linfcourse.experiments.methods import make_optimizer
from linfcourse.hessian import HessianOperator
from linfcourse.models import GPT, GPTConfig, cross_entropy, resnet18
from linfcourse.norms import L1, L2, LInf
from linfcourse.rotations import Haar, Hadamard, Identity, PermutedKronecker
from linfcourse.training import train, warmup_cosine
from tools.card_meter import T4, Meter, as_on_a_gpu

META = torch.device("meta")
RULES = ("coordinatewise", "whole", "per_tensor", "per_row")
OPTIMIZERS = {
    **{
        f"{rule}, ε {'inside' if inside else 'outside'}": lambda ps, rule=rule, inside=inside: (
            optim.BlockwiseAdam(ps, partition=getattr(partitions, rule), eps_inside_root=inside)
        )
        for rule in RULES
        for inside in (False, True)
    },
    "AdamW": lambda ps: optim.AdamW(ps, weight_decay=0.1),
    "SignSGD": lambda ps: optim.SignSGD(ps, lr=0.1),
    "Signum": lambda ps: optim.Signum(ps, lr=0.1),
    "NormalizedSGD": lambda ps: optim.NormalizedSGD(ps, lr=0.1, momentum=0.9),
    "Lion": lambda ps: optim.Lion(ps, lr=0.1),
    **{
        f"SteepestDescent, {norm}": lambda ps, norm=norm: optim.SteepestDescent(
            ps, lr=0.1, norm=norm, momentum=0.9, weight_decay=0.1
        )
        for norm in (L1(), L2(), LInf())
    },
}


def make_gpt(device=META):
    torch.manual_seed(0)
    return GPT(GPTConfig(84, context=8, n_layer=2, n_head=2, width=8, tie_weights=False)).to(device)


def step_twice(optimizer, params):
    """Where numbers are read, or tensors of both devices mixed, in two steps."""
    with Meter(T4) as meter:
        for _ in range(2):
            for p in params:
                p.grad = torch.empty_like(p)
            nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
    return meter.waits, meter.mixed


class TestOptimizers:
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_step_without_reading_a_number(self, name):
        params = list(make_gpt().parameters())
        assert step_twice(OPTIMIZERS[name](params), params) == (0, [])

    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_step_as_they_would_on_cuda(self, name):
        params = list(make_gpt().parameters())
        with as_on_a_gpu():
            assert step_twice(OPTIMIZERS[name](params), params) == (0, [])

    def test_adam_mini(self):
        model = make_gpt()
        params = list(model.parameters())
        with Meter(T4):  # its labels are made on the CPU, once
            optimizer = optim.AdamMini(params, model=model)
        assert step_twice(optimizer, params) == (0, [])

    def test_one_that_reads_or_mixes_is_noticed(self):
        class Clumsy(torch.optim.SGD):
            def step(self, closure=None):
                for p in self.param_groups[0]["params"][:3]:
                    p.data.add_(torch.zeros(p.shape))
                    p.grad.norm().item()

        params = list(make_gpt().parameters())
        assert step_twice(Clumsy(params, lr=0.1), params) == (6, ["add_"] * 6)


@pytest.mark.parametrize("rotation", [Hadamard(0), PermutedKronecker(0), Haar(0), Identity()])
@pytest.mark.parametrize("shape", [(40,), (3, 1000)])
def test_rotations_do_not_read(rotation, shape):
    x = torch.empty(shape, device=META)
    assert rotation.inverse(rotation(x)).device == META


def test_hadamard_of_a_large_vector_does_not_read():
    x = torch.empty(70_000, device=META)
    assert Hadamard(0).inverse(Hadamard(0)(x)).shape == x.shape


class TestTraining:
    @pytest.mark.parametrize("method", ["adam", "adasgd", "sgd", "sign", "rotated_adam"])
    def test_losses_are_read_every_fifty_steps_and_nothing_else_is(self, method):
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(META)
        rotation = {"seed": 0} if method.startswith("rotated") else {}
        optimizer = make_optimizer(method, model.parameters(), 0.1, **rotation)
        batch = torch.empty(5, 4, device=META), torch.empty(5, dtype=torch.int64, device=META)
        with Meter(T4) as meter, as_on_a_gpu():
            train(
                model, cross_entropy, lambda step: batch, optimizer, steps=60,
                schedule=warmup_cosine(10), clip=1.0,
            )  # fmt: skip
        losses = math.ceil(60 / 50)
        if rotation:  # looks once a step whether somebody changed the weights
            assert meter.waits <= losses + 60
        else:
            assert meter.waits == losses
        assert not meter.mixed

    def test_of_a_resnet_in_parts(self):
        model = resnet18(width=4, in_channels=1).to(META)
        batches = fashion_mnist().sampler(8, device=META)
        with Meter(T4) as meter, as_on_a_gpu():
            optimizer = optim.AdamW(model.parameters())
            train(model, cross_entropy, batches, optimizer, steps=3, accumulate=2)
        assert meter.waits == 1 and not meter.mixed


class TestData:
    @pytest.mark.parametrize("make", [
        lambda: shakespeare().sampler(4, 8, device=META),
        lambda: fashion_mnist().sampler(8, device=META),
    ])  # fmt: skip
    def test_batches_are_on_the_device_and_take_no_way_back(self, make):
        sampler = make()
        with Meter(T4) as meter:
            assert all(part.device == META for part in sampler(7))
        assert meter.waits == 0

    def test_images_are_moved_once(self):
        sampler = fashion_mnist().sampler(8, device=META)
        assert sampler.images.device == META and sampler.images.shape[0] == 8000


def test_hessian_products_read_nothing():
    model = make_gpt()
    batch = shakespeare().sampler(4, 8, device=META)(0)
    with Meter(T4) as meter:
        H = HessianOperator(model.loss(*batch), list(model.parameters()))
        made = meter.waits  # the loss is looked at once
        assert (H @ torch.empty(H.dim, device=META)).device == META
        assert H.matmat(torch.empty(H.dim, 3, device=META)).shape == (H.dim, 3)
        assert H.rotated(Hadamard(0)).matmat(torch.empty(H.dim, 2, device=META)).device == META
    assert made <= 1 and meter.waits == made
