"""The file of results: what was measured, where, with what, and how busy the machine was."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from linfcourse.records import (
    current_commit,
    describe_environment,
    encode,
    write_atomically,
)

SCHEMA = 1
FILE = Path(__file__).with_name("results.json")


def empty() -> dict[str, Any]:
    """No results: of the CPU under "benchmarks", of a GPU under "cuda"."""
    return {"schema": SCHEMA, "benchmarks": {}, "cuda": {}}


def load(path: Path = FILE) -> dict[str, Any]:
    """The results in a file; none if there is no file.

    Raises:
        ValueError: the file is not one of ours, or of another schema.
    """
    if not path.exists():
        return empty()
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        schema = results["schema"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} does not hold results of these benchmarks: {error!r}") from error
    if schema != SCHEMA:
        raise ValueError(f"{path} has schema {schema}, not {SCHEMA}: measure again")
    return {**empty(), **results}


def save(results: dict[str, Any], path: Path = FILE) -> None:
    """Write all results at once: a kill leaves the old file."""
    text = json.dumps(encode(results), ensure_ascii=False, indent=1)
    # A list of numbers is one line, so that the file can be read and a change be seen.
    text = re.sub(r"\[[^\[\]{}\"]+\]", lambda match: " ".join(match[0].split()), text)
    write_atomically(path, text + "\n")


def circumstances(device: str = "cpu") -> dict[str, Any]:
    """When, where and with what a measurement is made, besides its load."""
    environment = describe_environment(device)
    if environment["device"] == "cuda":
        environment |= {"driver": _driver(), "cuda": torch.version.cuda}
    environment["lion-pytorch"] = importlib.metadata.version("lion-pytorch")
    environment["cores"] = os.cpu_count()
    return {
        "measured": datetime.now(UTC).isoformat(timespec="minutes"),
        "commit": current_commit(),
        "environment": environment,
    }


def _driver() -> str | None:
    """Version of the NVIDIA driver; None where its tool is not there."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.split()[0] if answer.stdout.split() else None


def load_average() -> list[float] | None:
    """How many processes wanted a core in the last 1, 5, 15 minutes; None where not known."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (OSError, AttributeError):  # Windows has none
        return None
