"""What `linfcourse.training.train` is given, checked before anything has happened."""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn
from torch.optim import Optimizer

from linfcourse.mixed_precision import PRECISIONS
from linfcourse.training_step import COMPILE


def check_arguments(
    model, loss_fn, batches, optimizer, steps, schedule, clip, evaluate, eval_every, seed,
    checkpoint, checkpoint_every, accumulate, precision, compile,
) -> None:  # fmt: skip
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be a torch Optimizer, got {type(optimizer).__name__}")
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "optimizer holds no parameter of this model: make it from model.parameters() of the "
            "model that is trained, after it was moved to its device"
        )
    for name, function in (("loss_fn", loss_fn), ("batches", batches), ("schedule", schedule)):
        if not callable(function):
            hint = ""
            if name == "batches" and isinstance(function, Iterable):
                hint = ", step -> batch: a loader has no way back to the batch where a run stopped"
            raise TypeError(f"{name} must be a function{hint}, got {type(function).__name__}")
    if evaluate is not None and not callable(evaluate):
        raise TypeError(f"evaluate must be a function of the model, got {type(evaluate).__name__}")
    counts = {"steps": steps, "accumulate": accumulate, "eval_every": eval_every,
              "checkpoint_every": checkpoint_every}  # fmt: skip
    for name, value in counts.items():
        if value is None and name.endswith("every"):
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an integer, got {seed!r}")
    if eval_every is not None and evaluate is None:
        raise ValueError("eval_every needs evaluate, a function of the model")
    if checkpoint_every is not None and checkpoint is None:
        raise ValueError("checkpoint_every needs checkpoint, the path of a file")
    if clip is not None and (isinstance(clip, str | bool) or not 0.0 < clip <= math.inf):
        raise ValueError(f"clip must be a positive norm or None, got {clip!r}")
    for name, value, allowed in (
        ("precision", precision, PRECISIONS),
        ("compile", compile, COMPILE),
    ):
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
