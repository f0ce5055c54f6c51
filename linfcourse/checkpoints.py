"""Checkpoints on disk: written whole or not at all, read with suspicion."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from linfcourse.schedules import Schedule

FORMAT = 1


def save_checkpoint(path: str | Path, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one.

    Args:
        path: the file; missing folders are made.
        run: what tells this run from others, plain values only. See :func:`load_checkpoint`.
        state: tensors and plain values, as in a ``state_dict``.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, because renaming is atomic only within a file system. The name is fixed,
    # so that what a killed writer leaves is overwritten by the next.
    unfinished = path.with_name(path.name + ".unfinished")
    with unfinished.open("wb") as file:
        torch.save({"format": FORMAT, "run": dict(run), "state": dict(state)}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def load_checkpoint(path: str | Path, run: Mapping[str, Any]) -> dict[str, Any]:
    """The state in a checkpoint of the same run.

    Tensors come on the CPU. Nothing but tensors and plain values is unpickled, so that a file from
    somebody else cannot run code.

    Args:
        path: the file.
        run: what the checkpoint's run must agree with, entry by entry.

    Raises:
        ValueError: the file is damaged, is not a checkpoint, or belongs to a different run; the
            message names the file and what differs.
    """
    path = Path(path)
    mend = "delete it to start from the beginning, or pass another path"
    try:
        # torch.load does not compare the checksums that torch.save wrote; zipfile does.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can fail in any of the readers' ways
        raise ValueError(f"the checkpoint {path} cannot be read ({error}): {mend}") from error
    if damaged:
        raise ValueError(f"the checkpoint {path} is damaged in {damaged}: {mend}")
    if not isinstance(content, dict) or content.keys() != {"format", "run", "state"}:
        raise ValueError(f"{path} is not a checkpoint of this library: {mend}")
    if content["format"] != FORMAT:
        raise ValueError(
            f"the checkpoint {path} has format {content['format']}, this library reads {FORMAT}: "
            f"{mend}"
        )
    theirs = content["run"]
    differing = [
        f"{name} is {_short(theirs.get(name))} there and {_short(run.get(name))} here"
        for name in sorted({*theirs, *run})
        if theirs.get(name) != run.get(name)
    ]
    if differing:
        raise ValueError(
            f"the checkpoint {path} belongs to a different run: {'; '.join(differing)}; {mend}"
        )
    return content["state"]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def identify_run(
    model: nn.Module,
    optimizer: Optimizer,
    schedule: Schedule,
    arguments: Mapping[str, Any],
    config: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What two runs must share for one to go on where the other stopped, in plain values.

    Args:
        model: known by the shapes in its state.
        optimizer: known by its class and the numbers in its parameter groups.
        schedule: any function, known by its values at 64 steps.
        arguments: plain values, ``steps`` among them.
        config: what else the caller says identifies the run.
    """
    steps = arguments["steps"]
    probes = sorted({round(i * (steps - 1) / 63) for i in range(64)})
    plain = (bool, int, float, str, tuple, list, type(None))
    settings = [
        {
            name: repr(value.tolist() if isinstance(value, Tensor) else value)
            for name, value in group.items()
            if name != "params" and isinstance(value, (*plain, Tensor))
        }
        for group in optimizer.param_groups
    ]
    shapes = {
        name: list(value.shape)
        for name, value in model.state_dict().items()
        if isinstance(value, Tensor)
    }
    return {
        **arguments,
        "schedule": [float(schedule(step, steps)) for step in probes],
        "optimizer": type(optimizer).__name__,
        "optimizer settings": settings,
        "shapes of the model": shapes,
        **{f"config {name}": repr(value) for name, value in (config or {}).items()},
    }


def capture_state(
    model: nn.Module,
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler | None,
    device: torch.device,
) -> dict[str, Any]:
    """All that the next training step depends on, ready for :func:`save_checkpoint`."""
    return {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": None if scaler is None else scaler.state_dict(),
        "cpu_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def restore_state(
    state: Mapping[str, Any],
    model: nn.Module,
    optimizer: Optimizer,
    scaler: torch.amp.GradScaler | None,
    device: torch.device,
) -> None:
    """Put back what :func:`capture_state` took, in place."""
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if scaler is not None:
        scaler.load_state_dict(state["scaler"])
    torch.set_rng_state(state["cpu_rng"])
    # A checkpoint made on the CPU goes on on a GPU too, though with other random numbers.
    if device.type == "cuda" and state["cuda_rng"] is not None:
        torch.cuda.set_rng_state(state["cuda_rng"], device)
