"""Records: what a run measured, with everything needed to run it again.

A record is a JSON file written by a run, never by hand. It holds one entry per *trial* (one
optimizer, one learning rate, one seed), the configuration, the versions and the machine, the
commit of the code, and the hashes of the data that were read.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy
import torch

import linfcourse

SCHEMA = 1
_DIGITS = 7  # significant digits kept of every float: more than any figure or verdict needs
_NON_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


@dataclass(frozen=True)
class Trial:
    """One independent piece of a run: what was asked (`setting`) and what came out (`result`)."""

    setting: dict[str, Any]
    result: dict[str, Any]


@dataclass(frozen=True)
class Record:
    """What one experiment measured at one scale.

    Args:
        experiment: name of the experiment's module.
        scale: preset it ran at (`"cpu"`, `"gpu"`, `"paper"`, or `"custom"`).
        config: the configuration as plain JSON values.
        trials: one `Trial` per independent run, in the order of the experiment's grid.
        environment: versions, machine and device (`describe_environment`).
        commit: git commit of the code, or None outside a checkout.
        data: file name -> SHA-256 of each data file that was read.
        seconds: wall time of all trials together.
    """

    experiment: str
    scale: str
    config: dict[str, Any]
    trials: tuple[Trial, ...]
    environment: dict[str, Any] = field(default_factory=dict)
    commit: str | None = None
    data: dict[str, str] = field(default_factory=dict)
    seconds: float = math.nan

    def select(self, **where: Any) -> list[Trial]:
        """Trials whose setting has all the given values, in the order in which they were made.

        Raises:
            KeyError: no trial of this record has a setting of that name.
        """
        places = range(len(self.trials))
        for name, value in where.items():
            if name not in self._index:
                raise KeyError(
                    f"{self.experiment} has no setting {name!r}; choose from {sorted(self._index)}"
                )
            found = self._index[name].get(_key(value), frozenset())
            places = [place for place in places if place in found]
        return [self.trials[place] for place in places]

    @functools.cached_property
    def _index(self) -> dict[str, dict[Any, set[int]]]:
        """Setting -> value -> numbers of the trials that have it: claims select thousands of times.

        A trial without a setting counts as one whose value is None.
        """
        names = {name for trial in self.trials for name in trial.setting}
        index: dict[str, dict[Any, set[int]]] = {name: {} for name in names}
        for place, trial in enumerate(self.trials):
            for name in names:
                key = _key(trial.setting.get(name))
                index[name].setdefault(key, set()).add(place)
        return index

    def values(self, name: str) -> list[Any]:
        """The distinct values of one setting, in order of first appearance."""
        return list(dict.fromkeys(t.setting[name] for t in self.trials if name in t.setting))

    def save(self, path: str | Path) -> Path:
        """Write the record as JSON, all at once: a reader never sees half a file."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = {"schema": SCHEMA, **asdict(self)}
        trials = body.pop("trials")
        # One trial a line: git shows which trial changed, and a person can read the file.
        head = json.dumps(encode(body), ensure_ascii=False, indent=1).rstrip("\n}")
        lines = ",\n".join("  " + dump_line(trial) for trial in trials)
        write_atomically(path, f'{head},\n "trials": [\n{lines}\n ]\n}}\n')
        return path

    @classmethod
    def load(cls, path: str | Path) -> Record:
        """Read a record.

        Raises:
            FileNotFoundError: there is no such record; the message names the command that makes it.
            ValueError: the file is not a record, or of a newer schema.
        """
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise FileNotFoundError(
                f"no record at {path}; make it with `linfcourse run {path.stem.rsplit('-', 1)[0]}`"
            ) from None
        try:
            body = decode(json.loads(text))
            schema = body.pop("schema")
            trials = tuple(Trial(**trial) for trial in body.pop("trials"))
            record = cls(trials=trials, **body)
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a record of linfcourse: {error!r}") from error
        if schema > SCHEMA:
            raise ValueError(f"{path} has schema {schema}; update linfcourse, which reads {SCHEMA}")
        return record


def _key(value: Any) -> Any:
    """A setting's value as a dictionary's key; lists and dictionaries by their text."""
    return value if isinstance(value, str | int | float | None) else dump_line(value)


def recorded_folder() -> Path:
    """Where the committed records lie: `book/records` of a checkout, or the copy in the wheel."""
    package = Path(__file__).resolve().parent
    checkout = package.parent / "book" / "records"
    return checkout if checkout.is_dir() else package / "recorded"


def encode(value: Any) -> Any:
    """Plain JSON values: floats at 7 significant digits, infinities and NaN by their names."""
    if isinstance(value, dict):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if isinstance(value, torch.Tensor | numpy.ndarray):
        return encode(value.tolist())
    if isinstance(value, numpy.generic):
        return encode(value.item())
    if isinstance(value, float):
        if math.isnan(value):
            return "NaN"
        if math.isinf(value):
            return "Infinity" if value > 0 else "-Infinity"
        return float(f"{value:.{_DIGITS}g}")
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`, but for the digits."""
    if isinstance(value, dict):
        return {k: decode(v) for k, v in value.items()}
    if isinstance(value, list):
        return [decode(v) for v in value]
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    return value


def dump_line(value: Any) -> str:
    """One JSON value on one line."""
    return json.dumps(encode(value), ensure_ascii=False, separators=(",", ":"))


def write_atomically(path: Path, text: str) -> None:
    """Write a text file so that a kill leaves either the old file or the new one."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def describe_environment(device: torch.device | str = "cpu") -> dict[str, Any]:
    """Versions, processor and device of this run, as plain JSON values."""
    device = torch.device(device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "linfcourse": linfcourse.__version__,
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": device.type,
        "device_name": name,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def current_commit() -> str | None:
    """Commit of the checkout this package lies in (with `+changes` if edited), or None."""
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        tracked = subprocess.run(
            [*git, "ls-files", "--error-unmatch", __file__], capture_output=True, check=False
        )
        if tracked.returncode != 0:  # an installed copy inside somebody else's repository
            return None
        head = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        )
        edited = subprocess.run(
            [*git, "status", "--porcelain", "--untracked-files=no", "--", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return head.stdout.strip() + ("+changes" if edited.stdout.strip() else "")


def is_in_history(commit: str) -> bool | None:
    """Does the checkout's HEAD descend from that commit? None where the history is not at hand."""
    folder = Path(__file__).resolve().parent
    git = ["git", "-C", str(folder)]
    try:
        shallow = subprocess.run(
            [*git, "rev-parse", "--is-shallow-repository"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        if shallow.stdout.strip() != "false" or current_commit() is None:
            return None
        asked = subprocess.run(
            [*git, "merge-base", "--is-ancestor", commit, "HEAD"], capture_output=True, check=False
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return asked.returncode == 0


def hash_data(names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the package's data files of the given names."""
    return {name: _hash_data_file(name) for name in names}


@functools.cache
def _hash_data_file(name: str) -> str:
    file = resources.files("linfcourse") / "data" / name
    return hashlib.sha256(file.read_bytes()).hexdigest()
