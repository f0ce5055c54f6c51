"""What an experiment is, and the one loop that runs any of them.

An experiment is a module with a frozen `Config`, a grid of *trials* (plain dictionaries), a
function that runs one trial, and the claims that its record is held against. Trials are independent
of each other, so a killed run loses at most the trial it was in: each finished one is a line in a
file.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from linfcourse import distributed
from linfcourse.experiments.journal import Journal
from linfcourse.experiments.judging import Claim, Verdict
from linfcourse.records import (
    Record,
    Trial,
    current_commit,
    decode,
    describe_environment,
    dump_line,
    encode,
    hash_data,
    recorded_folder,
)

SCALES = ("cpu", "gpu", "paper")

# One trial: encoded setting -> (that setting, encoded result, seconds it took).
RunOne = Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any], float]]
# What runs several: they may come back in any order.
Runner = Callable[
    [RunOne, Sequence[dict[str, Any]]], Iterable[tuple[dict[str, Any], dict[str, Any], float]]
]


def one_after_another(run_one: RunOne, settings: Sequence[dict[str, Any]]):
    """The plain `Runner`, in this process. Others are made by `linfcourse.sweeps`."""
    return map(run_one, settings)


@dataclass(frozen=True)
class Experiment:
    """One experiment: its presets, its grid of trials, and its claims.

    Args:
        name: the module's name, also the record's file name.
        title: what it asks, in one line.
        presets: scale -> frozen Config. `cpu` takes seconds to a minute on one core, `gpu` minutes
            on one Colab T4, `paper` is the paper's own setting.
        trials: `config -> list of settings`, each a dictionary of JSON values.
        run_trial: `(config, device, **setting) -> result`, a dictionary of JSON values. Must depend
            on nothing but its arguments: same setting, same result.
        claims: what the record is judged by.
        data: names of the package's data files that it reads.
        steady: names of the results that survive rounding, where a run is so long that training
            amplifies rounding beyond recognition; they are what another processor can repeat.
            Empty: all of them.
    """

    name: str
    title: str
    presets: Mapping[str, Any]
    trials: Callable[[Any], Sequence[dict[str, Any]]]
    run_trial: Callable[..., dict[str, Any]]
    claims: tuple[Claim, ...] = ()
    data: tuple[str, ...] = ()
    steady: tuple[str, ...] = ()

    def config(self, scale: str) -> Any:
        """The preset of that scale.

        Raises:
            ValueError: this experiment has no preset of that name.
        """
        try:
            return self.presets[scale]
        except KeyError:
            raise ValueError(
                f"scale must be one of {sorted(self.presets)} for {self.name}, got {scale!r}"
            ) from None

    def run(
        self,
        config: Any = "cpu",
        *,
        folder: str | Path | None = None,
        device: torch.device | str | None = None,
        progress: bool | None = None,
        runner: Runner = one_after_another,
        reuse: bool = False,
    ) -> Record:
        """Run all trials and return the record.

        Args:
            config: a preset's name, or a `Config` of this experiment.
            folder: keep finished trials here, so that a killed run goes on where it was and ends in
                the same record; the finished record is written here too. None keeps nothing.
            device: where to run; None takes the GPU if there is one, unless the scale is `cpu`.
            progress: a bar on stderr; None shows one only in a terminal.
            runner: what runs the trials that are left to do; `linfcourse.sweeps` has parallel ones.
            reuse: take trials from the finished record in `folder` where it was made by the same
                code with the same configuration but for the grid, its seeds and learning rates.

        Raises:
            ValueError: unknown scale; or `folder` holds trials of another configuration; or, with
                `reuse`, a record that cannot be taken up, or whose trials would be lost.
        """
        scale = config if isinstance(config, str) else self._scale_of(config)
        config = self.config(config) if isinstance(config, str) else config
        if device is None:
            device = "cuda" if scale != "cpu" and torch.cuda.is_available() else "cpu"
        grid = [encode(dict(setting)) for setting in self.trials(config)]
        writes = distributed.is_writer()
        journal = Journal(folder if writes else None, self.name, scale, dataclasses.asdict(config))
        done = journal.finished(grid) if reuse else {}
        done |= journal.read()
        done = distributed.from_writer(done)
        pending = [setting for setting in grid if dump_line(setting) not in done]
        show = writes and (sys.stderr.isatty() if progress is None else progress)
        run_one = functools.partial(_run_one, self.run_trial, config, str(device))
        with tqdm(
            total=len(grid), initial=len(grid) - len(pending), desc=self.name,
            disable=not show, leave=False, file=sys.stderr,
        ) as bar:  # fmt: skip
            for setting, result, took in runner(run_one, pending):
                done[dump_line(setting)] = (result, took)
                journal.append(setting, result, took)
                bar.update()
        finished = [(setting, *done[dump_line(setting)]) for setting in grid]
        record = Record(
            experiment=self.name,
            scale=scale,
            config=decode(encode(dataclasses.asdict(config))),
            trials=tuple(Trial(decode(setting), decode(result)) for setting, result, _ in finished),
            environment=describe_environment(device),
            commit=current_commit(),
            data=hash_data(self.data),
            seconds=round(sum(took for *_, took in finished), 1),
        )
        journal.finish(record)
        return record

    def _scale_of(self, config: Any) -> str:
        kinds = {type(preset) for preset in self.presets.values()}
        if type(config) not in kinds:
            raise TypeError(
                f"config must be one of {sorted(self.presets)} or a Config of {self.name}, "
                f"got {type(config).__name__}"
            )
        return next((s for s, preset in self.presets.items() if preset == config), "custom")

    def recorded(self, scale: str = "cpu") -> Record:
        """The committed record of that scale.

        Raises:
            FileNotFoundError: no run of that scale has been recorded.
        """
        return Record.load(recorded_folder() / f"{self.name}-{scale}.json")

    def judge(self, record: Record) -> dict[str, Verdict]:
        """The verdict on each claim, by the claim's id.

        Raises:
            ValueError: the record is of another experiment.
        """
        if record.experiment != self.name:
            raise ValueError(f"record must be of {self.name}, got one of {record.experiment}")
        return {claim.id: claim.judge(record) for claim in self.claims}


def _run_one(run_trial, config, device, setting):
    start = time.perf_counter()
    result = encode(run_trial(config, torch.device(device), **decode(setting)))
    return setting, result, time.perf_counter() - start


def mean_over_seeds(record: Record, measure: str, **where: Any) -> float:
    """Mean of one result over all trials of a setting; infinite if one of them diverged."""
    values = [trial.result[measure] for trial in record.select(**where)]
    if not values:
        raise ValueError(f"no trial of {record.experiment} has the setting {where}")
    return math.fsum(values) / len(values) if all(map(math.isfinite, values)) else math.inf


def best_lr(record: Record, measure: str = "final_loss", **where: Any) -> float:
    """The learning rate with the smallest mean of `measure` over the seeds, for one method.

    >>> trials = [Trial({"lr": lr, "seed": s}, {"final_loss": (lr - 0.2) ** 2 + s})
    ...           for lr in (0.1, 0.2, 0.4) for s in (0, 1)]
    >>> best_lr(Record("toy", "cpu", {}, tuple(trials)))
    0.2
    """
    lrs = list(dict.fromkeys(trial.setting["lr"] for trial in record.select(**where)))
    if not lrs:
        raise ValueError(f"no trial of {record.experiment} has the setting {where}")
    return min(lrs, key=lambda lr: mean_over_seeds(record, measure, lr=lr, **where))


def at_best_lr(record: Record, measure: str = "final_loss", **where: Any) -> list[Trial]:
    """The trials of one method at its best learning rate, one a seed."""
    return record.select(lr=best_lr(record, measure, **where), **where)


def on_edge_of_grid(record: Record, measure: str = "final_loss", **where: Any) -> bool:
    """Is the best learning rate the smallest or largest tried? Then the grid was too narrow."""
    lrs = sorted({trial.setting["lr"] for trial in record.select(**where)})
    return len(lrs) > 1 and best_lr(record, measure, **where) in (lrs[0], lrs[-1])
