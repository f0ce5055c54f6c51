"""The one loss of every network in the course: cross-entropy, for classes and for next tokens."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Mean negative log-probability of the targets: the ``loss_fn`` to hand to ``train``.

    It calls ``model(inputs)`` and nothing else of the model, so the model may be wrapped
    (``DistributedDataParallel``, ``torch.compile``).

    Args:
        model: maps inputs to logits, classes last: (B, V) for images, (B, T, V) for text.
        batch: (inputs, targets) with int64 targets of shape (B,) or (B, T); -100 is ignored.

    Returns:
        A scalar, in nats per target.

    Raises:
        ValueError: the targets do not have the shape of the logits without their last dimension.

    >>> import torch
    >>> logits, targets = torch.zeros(5, 8), torch.arange(5)
    >>> round(cross_entropy(nn.Identity(), (logits, targets)).item(), 4)  # log 8
    2.0794
    """
    inputs, targets = batch
    logits = model(inputs)
    if targets.shape != logits.shape[:-1]:
        raise ValueError(
            f"targets must have shape {tuple(logits.shape[:-1])}, one per place where the model "
            f"predicts, got {tuple(targets.shape)}"
        )
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())
