"""The ledger of claims: every claim of the course, with its verdict on the recorded runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linfcourse import experiments
from linfcourse.experiments import Claim, Verdict
from linfcourse.records import Record

_MARKS = {"holds": "✓ holds", "fails": "✗ fails", "inconclusive": "? inconclusive"}


@dataclass(frozen=True)
class Entry:
    """One claim judged on one record; `verdict` is None where there is no record at that scale."""

    experiment: str
    claim: Claim
    scale: str
    verdict: Verdict | None
    seeds: int


def read_ledger(folder: str | Path, scales: Sequence[str] = experiments.SCALES) -> list[Entry]:
    """Judge every claim on every record in a folder.

    Args:
        folder: where the records lie, as `NAME-SCALE.json`.
        scales: which scales to read. A claim without any record appears once, at the first scale.
    """
    folder, entries = Path(folder), []
    for name in experiments.NAMES:
        experiment = experiments.get(name)
        found = [scale for scale in scales if (folder / f"{name}-{scale}.json").exists()]
        for scale in found or scales[:1]:
            record = Record.load(folder / f"{name}-{scale}.json") if found else None
            verdicts = experiment.judge(record) if record else {}
            seeds = len({t.setting.get("seed") for t in record.trials}) if record else 0
            entries += [
                Entry(name, claim, scale, verdicts.get(claim.id), seeds)
                for claim in experiment.claims
            ]
    return entries


def to_text(entries: Sequence[Entry]) -> str:
    """The ledger for a terminal."""
    blocks = []
    for entry in entries:
        verdict = entry.verdict
        mark = _MARKS[verdict.status] if verdict else "– no record"
        lines = [f"{mark:<15} {entry.claim.id}  ({entry.scale})", f"    {entry.claim.statement}"]
        if verdict:
            lines.append(f"    {verdict.reason}")
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def to_markdown(entries: Sequence[Entry]) -> str:
    """The ledger as rows of a Markdown table, for the book's page of claims."""
    rows = [
        "| Claim | Stated in | Verdict | Seeds | Scale | Chapter |",
        "|:--|:--|:--|--:|:--|:--|",
    ]
    for entry in entries:
        verdict = entry.verdict
        mark = _MARKS[verdict.status] if verdict else "no record yet"
        because = f" {_cell(verdict.reason)}." if verdict else ""
        rows.append(
            f"| {_cell(entry.claim.statement)} | {_cell(entry.claim.source)} | "
            f"**{mark}.**{because} | {entry.seeds or '–'} | `{entry.scale}` | "
            f"[{entry.claim.chapter.split('_')[0].lstrip('0')}]"
            f"(chapters/{entry.claim.chapter}.ipynb) |"
        )
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").rstrip(".")
