"""Every optimizer of ours in every form, and a small model for it to train."""

import functools
import io

import pytest
import torch
from torch import nn

from linfcourse.norms import L1, L2, Blockwise, LInf, Spectral
from linfcourse.optim import (
    Adalayer,
    Adam,
    AdamMini,
    AdamW,
    AdaSGD,
    BlockwiseAdam,
    Lion,
    NormalizedSGD,
    Rotated,
    SignSGD,
    Signum,
    SteepestDescent,
)
from linfcourse.partitions import adam_mini, coordinatewise, from_ids, per_row, per_tensor, whole


def tensors_of(params):
    """The tensors in any form in which an optimizer takes its parameters."""
    for entry in list(params):
        if isinstance(entry, dict):
            given = entry["params"]
            yield from tensors_of([given] if isinstance(given, torch.Tensor) else given)
        else:
            yield entry[1] if isinstance(entry, tuple) else entry


def blockwise(rule):
    """A factory of BlockwiseAdam; ``later`` are parameters that will be added."""

    def factory(params, later=(), **options):
        params = list(params)  # read twice, and it may be a generator
        partition = rule([*tensors_of(params), *later])
        return BlockwiseAdam(params, partition=partition, **options)

    return factory


def shared_ids(tensors):
    """Three blocks, each in every tensor."""
    return from_ids({p: torch.arange(p.numel()).reshape(p.shape) % 3 for p in tensors})


def own_ids(tensors):
    return from_ids(
        {p: torch.arange(p.numel()).reshape(p.shape) % 2 + 2 * k for k, p in enumerate(tensors)}
    )


def adam_mini_factory(params, later=(), **options):
    params = list(params)
    model = nn.ParameterList([*tensors_of(params), *later])
    return AdamMini(params, model=model, **options)


def rotated(params, later=(), **options):
    """Adam in coordinates that mix all parameters; the maker can be pickled, unlike a lambda."""
    return Rotated(params, functools.partial(torch.optim.Adam, **options))


def plain(cls, **fixed):
    return lambda params, later=(), **options: cls(params, **{**fixed, **options})


OPTIMIZERS = {
    "BlockwiseAdam(coordinatewise)": plain(BlockwiseAdam, partition=coordinatewise),
    "BlockwiseAdam(whole)": plain(BlockwiseAdam, partition=whole),
    "BlockwiseAdam(per_tensor)": plain(BlockwiseAdam, partition=per_tensor),
    "BlockwiseAdam(per_row)": plain(BlockwiseAdam, partition=per_row),
    "BlockwiseAdam(adam_mini)": blockwise(lambda ps: adam_mini(nn.ParameterList(ps))),
    "BlockwiseAdam(own ids)": blockwise(own_ids),
    "BlockwiseAdam(shared ids)": blockwise(shared_ids),
    "BlockwiseAdam(eps inside)": plain(BlockwiseAdam, eps_inside_root=True),
    "BlockwiseAdam(uncorrected)": plain(BlockwiseAdam, bias_correction=False),
    "Adam": plain(Adam),
    "AdamW": plain(AdamW),
    "AdaSGD": plain(AdaSGD),
    "Adalayer": plain(Adalayer),
    "AdamMini": adam_mini_factory,
    "SteepestDescent(LInf)": plain(SteepestDescent, norm=LInf()),
    "SteepestDescent(L2)": plain(SteepestDescent, norm=L2(), momentum=0.9),
    "SteepestDescent(L1)": plain(SteepestDescent, norm=L1()),
    "SteepestDescent(Spectral)": plain(SteepestDescent, norm=Spectral(), momentum=0.9),
    "SteepestDescent(Blockwise)": plain(SteepestDescent, norm=Blockwise(per_row), momentum=0.5),
    "SteepestDescent(joint LInf)": plain(SteepestDescent, norm=LInf(), joint=True),
    "SignSGD": plain(SignSGD),
    "Signum": plain(Signum),
    "NormalizedSGD": plain(NormalizedSGD, momentum=0.9),
    "Lion": plain(Lion),
    "Rotated(Adam)": rotated,
}

every = pytest.mark.parametrize("name", OPTIMIZERS)


def new_model(dtype=torch.float32, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).to(dtype)


def loss_of(model, seed=0):
    p = next(iter(model.parameters()))
    x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).to(p.dtype)
    return (model(x) - 1).square().mean()


def train(optimizer, model, steps=3, seed=0):
    for k in range(steps):
        optimizer.zero_grad()
        loss_of(model, seed + k).backward()
        optimizer.step()


def values(model_or_params):
    given = model_or_params
    params = given.parameters() if isinstance(given, nn.Module) else given
    return [p.detach().clone() for p in params]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(values(a), values(b), strict=True))


def make(name, params, **options):
    options.setdefault("lr", 0.01)
    return OPTIMIZERS[name](params, **options)


def save_and_load(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def eps_if_it_has_one(name):
    """Half precision needs a bigger eps, as in torch's own tests."""
    probe = make(name, [nn.Parameter(torch.zeros(1))])
    return {"eps": 1e-3} if "eps" in probe.defaults else {}


def needs_tensors(name):
    """Whether the factory itself reads the parameters and would stumble first."""
    return "ids" in name or "mini" in name.lower()
