"""Are the recorded runs what they say they are? Hashes, configuration, verdicts, and runs again."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import torch

from linfcourse import experiments, ledger
from linfcourse.experiments import Experiment
from linfcourse.experiments.configs import differing_fields
from linfcourse.records import (
    Record,
    Trial,
    decode,
    dump_line,
    encode,
    hash_data,
    is_in_history,
)

# What a run on another processor may differ by: rounding, amplified by training.
TOLERANCE = 0.02


@dataclass(frozen=True)
class Finding:
    """One thing that was verified: what, of which record, and what is wrong with it (or None)."""

    record: str
    what: str
    fault: str | None = None


def verify(folder: str | Path, rerun: int = 1, table: str | None = None) -> Iterator[Finding]:
    """Go through all records of a folder.

    For each: the file can be read; a commit of this history made it; it has the trials of its
    configuration's grid, each once; at a scale with a preset the configuration is the preset's; the
    data files it read are those of this package; every claim gives a verdict; every figure can be
    drawn. For the `cpu` records some trials are run again, and have to give what is stored.

    Args:
        folder: where the records lie, as `NAME-SCALE.json`.
        rerun: how many trials of each `cpu` record are run again, spread over its grid.
        table: the table of claims as published (Markdown), if it is to be held against the records.

    Yields:
        A `Finding` for each of these, as soon as it is known.

    Raises:
        ValueError: `rerun` is negative, or there is no record in the folder.
    """
    if rerun < 0:
        raise ValueError(f"rerun must be a number of trials, 0 or more; got {rerun}")
    folder = Path(folder)
    paths = [
        (name, scale, folder / f"{name}-{scale}.json")
        for name in experiments.NAMES
        for scale in experiments.SCALES
    ]
    paths = [entry for entry in paths if entry[2].exists()]
    if not paths:
        raise ValueError(f"there is no record in {folder}")
    readable = True
    for name, scale, path in paths:
        try:
            record = Record.load(path)
        except ValueError as error:
            readable = False
            yield Finding(path.stem, "file", str(error))
            continue
        yield from _verify_record(experiments.get(name), record, path.stem)
        if scale == "cpu":
            yield from _run_again(experiments.get(name), record, path.stem, rerun)
    if table is not None and readable:
        now = ledger.to_page(ledger.read_ledger(folder))
        same = now.strip() == table.strip()
        fault = None if same else "is not what the records give: run `make claims`"
        yield Finding("claims", "published table", fault)


def _verify_record(experiment: Experiment, record: Record, stem: str) -> Iterator[Finding]:
    for what, check in (
        ("commit", _fault_of_commit),
        ("configuration", _fault_of_config),
        ("trials", _fault_of_trials),
        ("data", _fault_of_data),
        ("verdicts", _fault_of_verdicts),
        ("figures", _fault_of_figures),
    ):
        yield Finding(stem, what, check(experiment, record))


def _fault_of_commit(_: Experiment, record: Record) -> str | None:
    """Only where the history is at hand: in a checkout that is not a shallow one."""
    if record.commit is None:
        return "was made outside a checkout: nobody can tell by which code"
    commit, _, changes = record.commit.partition("+")
    if changes:
        return "was made by code that was never committed"
    if is_in_history(commit) is False:
        return f"was made by commit {commit}, which is not in this history"
    return None


def _fault_of_config(experiment: Experiment, record: Record) -> str | None:
    differing = differing_fields(asdict(experiment.config(record.scale)), record.config)
    return f"differs from the preset in {', '.join(differing)}" if differing else None


def _fault_of_trials(experiment: Experiment, record: Record) -> str | None:
    asked = [dump_line(s) for s in experiment.trials(experiment.config(record.scale))]
    there = [dump_line(trial.setting) for trial in record.trials]
    if len(set(there)) < len(there):
        return "a trial occurs twice"
    missing, foreign = len({*asked} - {*there}), len({*there} - {*asked})
    return f"{missing} missing, {foreign} not in the grid" if missing or foreign else None


def _fault_of_data(experiment: Experiment, record: Record) -> str | None:
    differing = [n for n, sha in hash_data(record.data).items() if sha != record.data[n]]
    absent = [name for name in experiment.data if name not in record.data]
    if differing or absent:
        return f"another {', '.join(differing)}" if differing else f"no hash of {', '.join(absent)}"
    return None


def _fault_of_verdicts(experiment: Experiment, record: Record) -> str | None:
    return _first_error(lambda: experiment.judge(record))


def figures_of(experiment: Experiment) -> dict[str, Callable[..., Any]]:
    """The functions of an experiment that draw a figure from a record alone."""
    module = inspect.getmodule(experiment.run_trial)
    drawn = {}
    for name, function in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("draw_"):
            first, *others = inspect.signature(function).parameters.values()
            if first.name == "record" and all(p.default is not p.empty for p in others):
                drawn[name] = function
    return drawn


def _fault_of_figures(experiment: Experiment, record: Record) -> str | None:
    for name, draw in figures_of(experiment).items():
        with matplotlib.rc_context():
            fault = _first_error(lambda draw=draw: draw(record))
        plt.close("all")
        if fault:
            return f"{name}: {fault}"
    return None


def _first_error(run: Callable[[], Any]) -> str | None:
    try:
        run()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def _run_again(experiment: Experiment, record: Record, stem: str, count: int) -> Iterator[Finding]:
    n = len(record.trials)
    for index in sorted({round((k + 0.5) * n / count - 0.5) for k in range(min(count, n))}):
        trial = record.trials[index]
        config = experiment.config("cpu")
        fault = _first_error(lambda trial=trial, config=config: _compare(experiment, config, trial))
        yield Finding(stem, f"trial {dump_line(trial.setting)} again", fault)


def _compare(experiment: Experiment, config: Any, trial: Trial) -> None:
    again = experiment.run_trial(config, torch.device("cpu"), **decode(encode(trial.setting)))
    stored = dict(_numbers(trial.result))
    found = dict(_numbers(decode(encode(again))))
    if stored.keys() != found.keys():
        raise ValueError(f"other entries: {sorted(stored.keys() ^ found.keys())[:3]}")
    for place, value in stored.items():
        name = place.split(".")[0].split("[")[0]
        if experiment.steady and name not in experiment.steady:
            continue
        if not _alike(value, found[place]):
            raise ValueError(f"{place} is {found[place]!r}, and {value!r} is stored")


def _alike(a: Any, b: Any) -> bool:
    if isinstance(a, float | int) and isinstance(b, float | int):
        return (
            a == b
            or (math.isnan(a) and math.isnan(b))
            or math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=1e-9)
        )
    return a == b


def _numbers(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of a result, each with its place in it."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from _numbers(part, f"{place}.{name}" if place else name)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _numbers(part, f"{place}[{index}]")
    else:
        yield place, value
