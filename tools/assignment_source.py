"""Read an assignment's source, `assignments/NAME.md`: its questions, solutions, tests, secrets.

The format is otter's: blocks ```otter that say what follows, `# SOLUTION` marks in the code.
"""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import jupytext
import yaml

SOURCES = Path(__file__).resolve().parents[1] / "assignments"
TEST_CONFIG = re.compile(r'\A""" # BEGIN TEST CONFIG\n(.*?)""" # END TEST CONFIG\n', re.S)


def names() -> list[str]:
    """Names of all assignments, in order."""
    return [path.stem for path in sorted(SOURCES.glob("[0-9]_*.md"))]


def blocks(text: str, kind: str) -> list[dict[str, Any]]:
    """The YAML of every ```otter block that begins with `# kind`."""
    found = re.findall(rf"^```otter\n# {kind}\n(.*?)^```$", text, flags=re.M | re.S)
    return [yaml.safe_load(block) or {} for block in found]


def describe(source: Path) -> dict[str, Any]:
    """What the archive's `questions.json` says: name, title, questions in order.

    Raises:
        ValueError: a question without a name or points.
    """
    text = source.read_text()
    questions = []
    for block in blocks(text, "BEGIN QUESTION"):
        if not {"name", "points"} <= set(block):
            raise ValueError(f"{source.name}: a question needs a name and points, got {block}")
        questions.append(
            {"name": block["name"], "points": block["points"], "manual": block.get("manual", False)}
        )
    title = re.search(r"^# (Assignment .*)$", text, flags=re.M)
    if not title:
        raise ValueError(f"{source.name}: the title should be '# Assignment N: …'")
    withheld = re.search(r"^withheld: (.*)$", text, flags=re.M)
    return {
        "name": source.stem,
        "title": title[1],
        "questions": questions,
        "withheld": withheld[1].split(", ") if withheld else [],
    }


def answer_cells(source: Path) -> list[str]:
    """The code cells of the source, with solutions, without tests and what is marked by hand."""
    cells, manual = [], False
    for cell in jupytext.read(source).cells:
        if cell.cell_type != "code":
            opened = re.findall(r"# BEGIN QUESTION\n(.*?)```", cell.source, flags=re.S)
            manual = "manual: true" in opened[-1] if opened else manual
        elif not TEST_CONFIG.match(cell.source) and not manual:
            cells.append(cell.source)
    return cells


def stubbed(cell: str) -> str:
    """A cell with its solution cut out, as otter does it."""
    cell = re.sub(r"^# BEGIN SOLUTION NO PROMPT\n.*?^# END SOLUTION$", "", cell, flags=re.M | re.S)
    cell = re.sub(r"^( *)# BEGIN SOLUTION\n.*?# END SOLUTION$", r"\1...", cell, flags=re.M | re.S)
    cell = re.sub(r"^( *[\w, ]+ = ).* # SOLUTION$", r"\1...", cell, flags=re.M)
    return re.sub(r"^( *).* # SOLUTION$", r"\1...", cell, flags=re.M)


def sources_of_tests(source: Path) -> dict[str, str]:
    """The text of each question's tests, as otter writes it."""
    files, question = {}, ""
    for cell in jupytext.read(source).cells:
        if cell.cell_type != "code":
            named = re.findall(r"# BEGIN QUESTION\nname: (.*)\n", cell.source)
            question = named[-1] if named else question
        elif config := TEST_CONFIG.match(cell.source):
            options = yaml.safe_load(config[1])
            options = f"points={options['points']}, hidden={options.get('hidden', False)}"
            body = cell.source[config.end() :]
            files[question] = files.get(question, "") + f"@test_case({options})\n{body}\n\n\n"
    return files


def secrets(source: Path) -> list[str]:
    """Lines that no student may see: solutions and hidden tests, without what is public, too."""
    secret, shown = [], set()
    manual, state, before = False, "shown", ""
    for line in source.read_text().splitlines():
        stripped, fence = line.strip(), before == "```otter"
        before = stripped
        if stripped.startswith(("manual: ", "# BEGIN QUESTION")):
            manual = stripped == "manual: true"
        if stripped in ("# BEGIN SOLUTION", "# BEGIN SOLUTION NO PROMPT"):
            state = "secret" if manual or not fence else "shown"
        elif stripped == "# END SOLUTION" and (fence or not manual):
            state = "shown"
        elif stripped.endswith("# SOLUTION"):
            secret.append(stripped.removesuffix("# SOLUTION").strip())
            continue
        elif stripped == "hidden: true":
            state = "hidden"
        elif state == "hidden" and stripped == "```":
            state = "shown"
        if state == "shown":
            shown.add(stripped)
        else:
            secret.append(stripped)
    return [line for line in secret if len(line) > 24 and line not in shown]


def leaks(source: Path, folder: Path) -> list[str]:
    """Secret lines that stand in any file of a folder, also inside zips and as JSON text."""
    texts = []
    for path in folder.rglob("*"):
        if path.suffix in (".zip", ".whl"):
            with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
                texts += [archive.read(name).decode(errors="ignore") for name in archive.namelist()]
        elif path.is_file():
            texts.append(path.read_text(errors="ignore"))
    together = "\n".join(texts)
    together += together.replace('\\\\\\"', '"').replace('\\"', '"').replace("\\\\", "\\")
    squeezed = re.sub(r"\s+", "", together)
    return [line for line in secrets(source) if re.sub(r"\s+", "", line) in squeezed]
