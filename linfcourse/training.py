"""One training loop for the whole course: seeds, schedules, clipping, evaluation, resume."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from tqdm import tqdm

from linfcourse import distributed
from linfcourse.checkpoints import (
    capture_state,
    identify_run,
    load_checkpoint,
    restore_state,
    save_checkpoint,
)
from linfcourse.mixed_precision import choose_precision
from linfcourse.schedules import Schedule, constant, warmup_constant, warmup_cosine
from linfcourse.training_arguments import check_arguments
from linfcourse.training_step import UpdateGradient

__all__ = ["History", "constant", "train", "warmup_constant", "warmup_cosine"]

# How many steps' losses may wait on a GPU: reading one makes the host wait for the device.
_READ_EVERY = 50


@dataclass
class History:
    """What happened in a run.

    Attributes:
        loss: training loss of each step, before its update. If the run diverged, the last one is
            the first that was not finite, and the list is shorter than the run was to be.
        lr: learning rate of each of these steps, of the first parameter group.
        evaluations: (updates made so far, what ``evaluate`` returned), in order.
        seconds: wall time of the loop, over all sessions of a resumed run.
        diverged: whether a training loss was not finite; the run stopped there.
        precision: in which the losses and their gradients were computed, "auto" resolved.
        compiled: whether the loss was compiled when the run ended.
    """

    loss: list[float] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    evaluations: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    seconds: float = 0.0
    diverged: bool = False
    precision: str = "fp32"
    compiled: bool = False

    def engine(self) -> dict[str, Any]:
        """How the losses were computed, for a record; nothing where it was plain float32.

        >>> History(precision="bf16").engine()
        {'precision': 'bf16', 'compiled': False}
        """
        if (self.precision, self.compiled) == ("fp32", False):
            return {}
        return {"precision": self.precision, "compiled": self.compiled}

    def final_loss(self, last: int = 50) -> float:
        """Mean training loss of the last ``last`` steps; infinite if the run diverged.

        >>> History(loss=[3.0, 2.0, 1.0]).final_loss(last=2)
        1.5
        """
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise ValueError(f"last must be an integer >= 1, got {last!r}")
        if not self.loss:
            raise ValueError("the history holds no steps yet")
        if self.diverged:
            return math.inf
        tail = self.loss[-last:]
        return math.fsum(tail) / len(tail)


def train(
    model: nn.Module,
    loss_fn: Callable[[nn.Module, Any], Tensor],
    batches: Callable[[int], Any],
    optimizer: Optimizer,
    *,
    steps: int,
    schedule: Schedule | None = None,
    clip: float | None = None,
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None = None,
    eval_every: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    accumulate: int = 1,
    precision: str = "fp32",
    compile: str = "off",
    config: Mapping[str, Any] | None = None,
) -> History:
    """Train ``model`` for ``steps`` updates and say how it went.

    The run is a function of its arguments: torch's random numbers are seeded with ``seed`` for its
    duration and put back as they were, and neither evaluating nor checkpointing changes its path.
    With ``checkpoint``, a call that was killed can be made again, with everything made anew as at
    the first time, and goes on after the last checkpoint; on a CPU bit for bit as if nothing had
    happened. On a GPU the loop does not make the host wait for the device.

    Within ``linfcourse.distributed.data_parallel`` all processes call it with the same arguments,
    train one model together, each on its part of every batch, and get the same history, that of a
    single process to rounding. Checkpoints then lie on a disk that all of them see.

    Args:
        model: a module, also a wrapped one (``DistributedDataParallel``, ``torch.compile``; of the
            latter checkpoints and ``evaluate`` see the module inside). It is put in training mode,
            and in evaluation mode for ``evaluate``; at the end it is as before.
        loss_fn: ``(model, batch) -> scalar``, for instance ``linfcourse.models.cross_entropy``.
        batches: ``step -> batch``, on the model's device. With ``accumulate`` > 1 its argument
            counts the parts: update s uses ``batches(s·accumulate), …``. A function of its argument
            alone, or a resumed run sees other data.
        optimizer: any torch optimizer that needs no closure.
        steps: number of updates.
        schedule: ``(step, steps) ->`` multiplier of each group's learning rate as given (default:
            constant). The learning rates are put back at the end.
        clip: the gradient is scaled to this norm, over all parameters, where it is longer.
        evaluate: ``model -> {name: number}``; called before the first update, after every
            ``eval_every`` updates, and after the last one. Gradients are enabled, so that
            Hessians can be measured; use ``torch.no_grad`` where they are not needed.
        eval_every: in updates; None evaluates at the start and the end only.
        seed: of torch's global generators (dropout).
        progress: a bar on stderr; None shows one only in a terminal, never in a notebook.
        checkpoint: a file to resume from if it is there, and to write to.
        checkpoint_every: in updates (default: ten times in a run). It is always written at the end.
        accumulate: batches whose gradients are averaged for one update.
        precision: of the loss and its gradient. ``"fp32"``: the model's own dtype; ``"tf32"``: the
            same, with products in TF32 on cards that have it; ``"bf16"`` or ``"fp16"``: autocast,
            fp16 with loss scaling, which waits for the device at each step; ``"auto"``: bf16 on
            CUDA cards that compute in it, fp16 on older ones, fp32 elsewhere. ``evaluate`` and the
            optimizer run outside all that.
        compile: ``"on"`` compiles ``loss_fn`` with its model (``torch.compile``), ``"auto"`` does
            so on CUDA. The run is the same to rounding. Where it cannot be done, a warning says why
            and the run goes on without.
        config: plain values that identify the run beyond these arguments, such as the sizes of the
            model and the seed of the data. A checkpoint with others is refused.

    Returns:
        The :class:`History`. A loss that is not finite ends the run and is not an error: learning
        rates are chosen by trying too large ones. On a GPU it is noticed up to 50 steps late, and
        those steps are left out.

    Raises:
        TypeError, ValueError: an argument that does not fit; a loss that is not a scalar with a
            gradient; a checkpoint that is damaged or of a different run. The model is unchanged.

    >>> from linfcourse.models import narrow_valley
    >>> valley = narrow_valley(condition=10.0)
    >>> sgd = torch.optim.SGD(valley.parameters(), lr=0.1)
    >>> history = train(valley, lambda model, _: model.loss(), lambda step: None, sgd, steps=20)
    >>> round(history.loss[0], 1), round(history.loss[-1], 3)
    (7.0, 0.036)
    """
    schedule = constant() if schedule is None else schedule
    check_arguments(
        model, loss_fn, batches, optimizer, steps, schedule, clip, evaluate, eval_every, seed,
        checkpoint, checkpoint_every, accumulate, precision, compile,
    )  # fmt: skip
    if checkpoint_every is None:
        checkpoint_every = math.ceil(steps / 10)
    params = [p for group in optimizer.param_groups for p in group["params"]]
    device = params[0].device
    precision = choose_precision(precision, device)
    compiles = compile == "on" or (compile == "auto" and device.type == "cuda")
    plain = getattr(model, "_orig_mod", model)  # what torch.compile has wrapped
    base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(device.type) if precision == "fp16" else None
    resumed = run = None
    if checkpoint is not None:
        arguments = {
            "steps": steps, "seed": seed, "clip": clip, "eval_every": eval_every,
            "accumulate": accumulate, "precision": precision,
        }  # fmt: skip
        run = identify_run(plain, optimizer, schedule, arguments, config)
        if Path(checkpoint).exists():
            resumed = load_checkpoint(checkpoint, run)
        distributed.require_agreement(
            None if resumed is None else resumed["done"],
            f"the step at which {checkpoint} goes on (do all machines see the same folder?)",
        )

    history, start = History(), 0
    waiting: list[Tensor] = []  # losses still on the device
    show = sys.stderr.isatty() if progress is None else progress
    show = show and distributed.is_writer()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_fork_rng(device))
        stack.callback(_set_lrs, optimizer, base_lrs, 1.0)
        stack.callback(model.train, model.training)
        if resumed is None:
            _seed_rng(seed + 10_007 * distributed.rank(), device)
        else:
            # Taken out, so that its tensors do not stay in memory beside those of the run.
            restore_state(resumed.pop("training"), plain, optimizer, scaler, device)
            history, start = History(**resumed["history"]), resumed["done"]
            if distributed.rank():  # the checkpoint holds the writer's random numbers
                _seed_rng(seed + 10_007 * distributed.rank() + start, device)
        model.train()
        with _fork_rng(device):
            gradient = UpdateGradient(
                model, loss_fn, batches, accumulate, device, precision, scaler,
                compile_at=start if compiles and start < steps else None,
            )  # fmt: skip
        history.precision = precision
        bar = stack.enter_context(
            tqdm(
                total=steps,
                initial=start,
                disable=not show,
                leave=False,
                file=sys.stderr,
            )
        )
        began = time.perf_counter() - history.seconds
        if resumed is None and evaluate is not None:
            _evaluate(evaluate, plain, device, 0, history)

        for step in range(start, steps):
            if history.diverged:  # also where the checkpoint of a diverged run was loaded
                break
            multiplier = float(schedule(step, steps))
            if not math.isfinite(multiplier):
                raise ValueError(
                    f"schedule must return a finite multiplier, got {multiplier} at step {step}"
                )
            _set_lrs(optimizer, base_lrs, multiplier)
            optimizer.zero_grad(set_to_none=True)
            loss = gradient(step)
            if scaler is not None:
                scaler.unscale_(optimizer)
            if clip is not None:
                nn.utils.clip_grad_norm_(params, clip)
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
                scaler.update()
            waiting.append(loss)
            history.lr.append(base_lrs[0] * multiplier)
            bar.update()

            done = step + 1
            evaluating = evaluate is not None and _is_due(done, eval_every, steps)
            saving = checkpoint is not None and _is_due(done, checkpoint_every, steps)
            enough = device.type == "cpu" or len(waiting) >= _READ_EVERY
            if enough or evaluating or saving or done == steps:
                _read_losses(waiting, history)
                bar.set_postfix(loss=f"{history.loss[-1]:.4g}", refresh=False)
            if evaluating and not history.diverged:
                _evaluate(evaluate, plain, device, done, history)
            history.seconds = time.perf_counter() - began
            history.compiled = gradient.compiled
            if checkpoint is not None and (saving or history.diverged) and distributed.is_writer():
                training = capture_state(plain, optimizer, scaler, device)
                state = {"done": done, "training": training, "history": asdict(history)}
                save_checkpoint(checkpoint, run, state)
    return history


def _is_due(done: int, every: int | None, steps: int) -> bool:
    return done == steps or (every is not None and done % every == 0)


def _read_losses(waiting: list[Tensor], history: History) -> None:
    """Move the losses that wait on the device to the history, up to the first not finite one."""
    losses = distributed.mean_over_processes(torch.stack(waiting)).tolist()
    waiting.clear()
    for loss in losses:
        history.loss.append(loss)
        if not math.isfinite(loss):
            history.diverged = True
            del history.lr[len(history.loss) :]
            break


def _evaluate(evaluate, model, device, done: int, history: History) -> None:
    model.eval()
    with _fork_rng(device):  # what evaluating draws is not taken from the training
        result = evaluate(model)
    model.train()
    if not isinstance(result, Mapping):
        raise TypeError(f"evaluate must return {{name: number}}, got {type(result).__name__}")
    history.evaluations.append((done, {str(k): float(v) for k, v in result.items()}))


def _set_lrs(optimizer: Optimizer, base_lrs: list[float], multiplier: float) -> None:
    for group, base in zip(optimizer.param_groups, base_lrs, strict=True):
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(base * multiplier)  # the optimizer may hold on to this very tensor
        else:
            group["lr"] = base * multiplier


def _fork_rng(device: torch.device) -> contextlib.AbstractContextManager:
    """Put torch's random numbers back as they were at the end of the block."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def _seed_rng(seed: int, device: torch.device) -> None:
    # Not torch.manual_seed, which would also seed the GPUs that other processes use.
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
