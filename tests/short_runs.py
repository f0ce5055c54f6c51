"""A small classifier, its batches and a short training run, for the tests of the training loop."""

import torch
from torch import nn

from linfcourse.models import cross_entropy
from linfcourse.optim import AdaSGD, Rotated
from linfcourse.rotations import Hadamard
from linfcourse.training import train


def make_model(dropout=0.2):
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 3))


def batches(step):
    generator = torch.Generator().manual_seed(100 + step)
    x = torch.randn(10, 6, generator=generator)
    return x, (x[:, :3] @ torch.tensor([[1.0, 2, 0], [0, 1, 1], [2, 0, 1]])).argmax(-1)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adasgd": lambda p: AdaSGD(p, lr=0.01),
    "rotated": lambda p: Rotated(p, lambda w: torch.optim.Adam(w, lr=0.01), Hadamard(seed=3)),
}


def run(model=None, optimizer="adamw", *, steps=20, data=batches, **options):
    """A model trained from the start, and its history."""
    model = make_model() if model is None else model
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    return model, train(model, cross_entropy, data, optimizer, steps=steps, **options)


def assert_same_run(a, b):
    (model_a, history_a), (model_b, history_b) = a, b
    for name, value in model_a.state_dict().items():
        assert torch.equal(value, model_b.state_dict()[name]), name
    for name in ("loss", "lr", "evaluations", "diverged"):
        assert getattr(history_a, name) == getattr(history_b, name), name


def stopping_at(step, data=batches):
    """The batches of an interrupted run."""

    def interrupted(asked):
        if asked >= step:
            raise KeyboardInterrupt
        return data(asked)

    return interrupted


def draw(model):
    return {"draw": torch.rand(()).item(), "weight": model[0].weight.sum().item()}
