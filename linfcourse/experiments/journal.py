"""What a run has finished so far, on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from linfcourse.experiments.configs import GRID, differing_fields
from linfcourse.records import Record, current_commit, dump_line, encode


class Journal:
    """Finished trials on disk: one JSON line each, under a first line that names the run."""

    def __init__(self, folder: str | Path | None, name: str, scale: str, config: dict) -> None:
        self.name, self.scale = name, scale
        self.header = {"experiment": name, "scale": scale, "config": encode(config)}
        self.path = None
        if folder is not None:
            folder = Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / f"{name}-{scale}.partial.jsonl"
            self.record_path = folder / f"{name}-{scale}.json"

    def read(self) -> dict[str, tuple[Any, float]]:
        if self.path is None:
            return {}
        if not self.path.exists():
            self.path.write_text(dump_line(self.header) + "\n", encoding="utf-8")
            return {}
        text = self.path.read_text(encoding="utf-8")
        lines = text.splitlines()
        if lines and not text.endswith("\n"):  # a kill in the middle of a line: that trial is lost
            lines.pop()
            self.path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if not lines:
            self.path.write_text(dump_line(self.header) + "\n", encoding="utf-8")
            return {}
        theirs = json.loads(lines[0])
        differing = differing_fields(theirs.pop("config", {}), self.header["config"])
        if differing or theirs != {"experiment": self.name, "scale": self.scale}:
            raise ValueError(
                f"{self.path} holds trials of another configuration; "
                "delete it, or give another folder"
            )
        entries = [json.loads(line) for line in lines[1:]]
        return {
            dump_line(entry["setting"]): (entry["result"], entry["seconds"]) for entry in entries
        }

    def finished(self, grid: list[dict]) -> dict[str, tuple[Any, float]]:
        """Trials of the finished record in the folder that belong to this grid.

        Raises:
            ValueError: the record was made by other code, with another configuration, or holds
                trials that are not in the grid and would be lost.
        """
        if self.path is None or not self.record_path.exists():
            return {}
        record = Record.load(self.record_path)
        mend = "move it away, or give another folder"
        differing = differing_fields(record.config, self.header["config"], but=GRID)
        if differing:
            raise ValueError(f"{self.record_path} was run with another {differing[0]}: {mend}")
        if record.commit != current_commit():
            raise ValueError(
                f"{self.record_path} was made by commit {record.commit}, this is "
                f"{current_commit()}: {mend}"
            )
        done = {dump_line(trial.setting): (encode(trial.result), 0.0) for trial in record.trials}
        lost = len(done.keys() - {dump_line(setting) for setting in grid})
        if lost:
            raise ValueError(
                f"{self.record_path} holds {lost} trials that are not in this grid and would be "
                f"lost: {mend}"
            )
        share = record.seconds / max(len(done), 1)  # the record keeps only their sum
        return {key: (result, share) for key, (result, _) in done.items()}

    def append(self, setting: dict, result: dict, seconds: float) -> None:
        if self.path is not None:
            entry = {"setting": setting, "result": result, "seconds": seconds}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(dump_line(entry) + "\n")

    def finish(self, record: Record) -> None:
        if self.path is not None:
            record.save(self.record_path)
            self.path.unlink()
