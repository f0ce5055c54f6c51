"""The GPTs on whose tensors the optimizers are timed: shapes of real models, no one long vector."""

from __future__ import annotations

import torch
from torch import Tensor

from linfcourse.models import GPT, GPTConfig

GPTS = {
    "0.05M": GPTConfig(vocab_size=84, context=32, n_layer=1, n_head=2, width=60),
    "1M": GPTConfig(vocab_size=1000, context=128, n_layer=4, n_head=4, width=128),
    "10M": GPTConfig(vocab_size=8192, context=256, n_layer=6, n_head=5, width=320),
    "124M": GPTConfig.gpt2(),
}
"""By the rounded number of parameters."""


def gpt_with_gradients(name: str, device: torch.device | str = "cpu") -> GPT:
    """The GPT of that size with a gradient at every parameter, as after a backward pass."""
    torch.manual_seed(0)
    model = GPT(GPTS[name]).to(device)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter).mul_(1e-3)
    return model


def copy_with_the_same_gradients(parameters: list[Tensor]) -> list[Tensor]:
    """New parameters of the same values; the gradients are the same tensors, not copies."""
    copies = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    for copy, parameter in zip(copies, parameters, strict=True):
        copy.grad = parameter.grad
    return copies


def describe(parameters: list[Tensor]) -> dict[str, int]:
    """How many numbers in how many tensors."""
    return {"parameters": sum(p.numel() for p in parameters), "tensors": len(parameters)}
