"""The ledger of claims: every claim of the course, with its verdict on the recorded runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linfcourse import experiments
from linfcourse.experiments import Claim, Verdict
from linfcourse.findings import PAPERS
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


def to_page(entries: Sequence[Entry]) -> str:
    """What the book's page of claims includes: the papers' findings, then the table of claims."""
    parts = {"findings": findings_to_markdown(entries), "claims": to_markdown(entries)}
    return "\n".join(
        f"<!-- {name} -->\n\n{part}\n<!-- end of {name} -->\n" for name, part in parts.items()
    )


def findings_to_markdown(entries: Sequence[Entry]) -> str:
    """Each finding of the three abstracts with the verdicts on the claims that test it."""
    judged: dict[str, list[Entry]] = {}
    for entry in entries:
        judged.setdefault(entry.claim.id, []).append(entry)
    stems = {int(entry.claim.chapter.split("_")[0]): entry.claim.chapter for entry in entries}

    def link(match: re.Match) -> str:
        text, stem = match.group(), stems.get(int(match.group(1)))
        return f"[{text}](chapters/{stem}.ipynb)" if stem else text

    lines = []
    for paper in PAPERS:
        lines += [f"### {paper.name}", "", f"[arXiv {paper.arxiv}](https://arxiv.org/abs/"
                  f"{paper.arxiv})", ""]  # fmt: skip
        for finding in paper.findings:
            remark = re.sub(r"[Cc]hapter (\d+)", link, finding.remark)
            lines.append(f"- **{finding.says}**{f' {remark}' if remark else ''}")
            for entry in (e for name in finding.claims for e in judged.get(name, [])):
                mark = _MARKS[entry.verdict.status] if entry.verdict else "no record yet"
                number = int(entry.claim.chapter.split("_")[0])
                lines.append(
                    f"  - **{mark}** (`{entry.scale}`, [chapter {number}]"
                    f"(chapters/{entry.claim.chapter}.ipynb)): {entry.claim.statement}"
                )
        lines.append("")
    return "\n".join(lines)


def to_markdown(entries: Sequence[Entry]) -> str:
    """The ledger as rows of a Markdown table, for the book's page of claims.

    The first row of each chapter carries the anchor `claims-of-N`, which the chapter links to.
    """
    rows = [
        "| Claim | Stated in | Verdict | Seeds | Scale | Chapter |",
        "|:--|:--|:--|--:|:--|:--|",
    ]
    anchored = set()
    for entry in entries:
        verdict = entry.verdict
        mark = _MARKS[verdict.status] if verdict else "no record yet"
        number = entry.claim.chapter.split("_")[0].lstrip("0")
        anchor = "" if number in anchored else f'<span id="claims-of-{number}"></span>'
        anchored.add(number)
        because = f" {_cell(verdict.reason)}." if verdict else ""
        rows.append(
            f"| {anchor}{_cell(entry.claim.statement)} | {_cell(entry.claim.source)} | "
            f"**{mark}.**{because} | {entry.seeds or '–'} | `{entry.scale}` | "
            f"[{number}](chapters/{entry.claim.chapter}.ipynb) |"
        )
    return "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").rstrip(".")
