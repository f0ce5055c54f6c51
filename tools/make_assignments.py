"""Make everything that an assignment's source stands for: `make assignments`.

    assignments/NAME.md  →  build/assignments/NAME/
        student/         what is handed out: the notebook, the public tests, a test for pytest
        solutions/       the same with solutions and rubrics, for teachers
        autograder.zip   Gradescope takes it; `make grade` and `otter run` read it

otter-grader cuts the source into versions. What is added here: the cells that install the library
and make the checks ready wherever the notebook is opened, and a grader that keeps a submission's
code away from the tests.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import yaml

from linfcourse.classroom.archive import IMPORT, assignment_from
from tools.assignment_source import SOURCES, describe, leaks, names
from tools.install_cell import INSTALL_CELL

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "assignments"
WHEELS = ROOT / "build" / "wheel"

CHECKS_CELL = """\
# Makes the checks of this notebook ready. Run it first, and again after a restart.
from linfcourse.classroom import Checks

TESTS = {tests}
grader = Checks(TESTS, globals())
"""

PYTEST_FILE = '''\
"""The public tests without any system around them: `pytest` in this folder."""

from pathlib import Path

import pytest

from linfcourse.classroom.public_tests import outcomes

HERE = Path(__file__).parent
OUTCOMES = outcomes(HERE / "{name}.ipynb", HERE / "tests")


@pytest.mark.parametrize("question", OUTCOMES)
def test_question(question):
    assert not OUTCOMES[question], OUTCOMES[question]
'''

RUN_AUTOGRADER = """\
#!/usr/bin/env bash
# The submission runs in a process of its own; see linfcourse/classroom. `otter run` does not use
# this file, and runs submission and tests in one process.
export PATH=/root/miniforge3/bin:$PATH
chmod a+x /root
cd /
PYTHON="mamba run --no-capture-output -n otter-env python"
exec $PYTHON -m linfcourse.classroom gradescope /autograder
"""

REQUIREMENTS = """\
--extra-index-url https://download.pytorch.org/whl/cpu
torch
numpy
matplotlib
cloudpickle
/autograder/source/files/{wheel}
"""


def cut(source: Path, folder: Path) -> None:
    """Let otter cut the source into `folder`/student and `folder`/autograder."""
    from otter.assign import main as otter_assign

    notebook = jupytext.read(source)
    notebook.metadata = {"kernelspec": notebook.metadata["kernelspec"]}
    master = folder / f"{source.stem}.ipynb"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nbformat.write(notebook, master)
        logging.getLogger("otter").setLevel(logging.ERROR)
        otter_assign(str(master), str(folder), no_pdfs=True, no_run_tests=True)
    master.unlink()


def public(source: str) -> str:
    """A test file's text for students: without the import that only otter has."""
    return source.replace(IMPORT, "", 1).lstrip("\n")


def finish(notebook: Path, tests: dict[str, str]) -> None:
    """Put the installing cell and the checks in front, and drop what a student need not see."""
    content = nbformat.read(notebook, as_version=4)
    shown = {name: public(text) for name, text in tests.items()}
    shown = json.dumps(shown, indent=1, ensure_ascii=False)
    folded = {"cellView": "form", "jupyter": {"source_hidden": True}, "deletable": False}
    front = [
        nbformat.v4.new_code_cell(INSTALL_CELL, metadata=folded),
        nbformat.v4.new_code_cell(CHECKS_CELL.format(tests=shown), metadata=folded),
    ]
    for place, cell in enumerate([*front, *content.cells]):
        cell.id = f"cell-{place}"
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    content.cells = front + content.cells
    # The title first: it is what one wants to see.
    content.cells.insert(0, content.cells.pop(2))
    content.metadata = {
        "kernelspec": content.metadata["kernelspec"],
        "otter": {"assignment_name": notebook.stem},
    }
    nbformat.write(content, notebook)


def wheel() -> Path:
    """The library's wheel, made once a run."""
    shutil.rmtree(WHEELS, ignore_errors=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*command, str(WHEELS), str(ROOT)], check=True)
    return next(WHEELS.glob("linfcourse-*.whl"))


def pack(
    folder: Path, description: dict[str, Any], tests: dict[str, str], library: Path | None
) -> Path:
    """Turn otter's archive into ours: the isolating grader, the questions, the wheel."""
    (theirs,) = (folder / "autograder").glob("*.zip")
    ours = folder / "autograder.zip"
    files: dict[str, bytes] = {}
    with zipfile.ZipFile(theirs) as archive:
        for name in archive.namelist():
            files[name] = archive.read(name)
    files["run_autograder"] = RUN_AUTOGRADER.encode()
    files["questions.json"] = json.dumps(description, indent=1).encode()
    environment = yaml.safe_load(files["environment.yml"])
    requirements = REQUIREMENTS.format(wheel=library.name if library else "linfcourse.whl")
    for entry in environment["dependencies"]:
        if isinstance(entry, dict):
            entry["pip"] = requirements.splitlines()
    files["environment.yml"] = yaml.safe_dump(environment).encode()
    if library:
        files[f"files/{library.name}"] = library.read_bytes()
    with zipfile.ZipFile(ours, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))  # the same bytes every time
            entry.external_attr = (0o755 if name in ("run_autograder", "setup.sh") else 0o644) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return ours


def make(source: Path, build: Path, library: Path | None = None) -> Path:
    """Make one assignment; returns its folder.

    Raises:
        ValueError: points that do not add up, or a solution in the student's version.
    """
    folder = build / source.stem
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    description = describe(source)
    cut(source, folder)
    student, teacher = folder / "student", folder / "autograder"
    tests = {path.stem: path.read_text() for path in sorted((teacher / "tests").glob("*.py"))}
    shown = {path.stem: path.read_text() for path in sorted((student / "tests").glob("*.py"))}
    for question in assignment_from(description, tests).questions:
        total = sum(case.points for case in question.cases)
        if not question.manual and abs(total - question.points) > 1e-9:
            raise ValueError(
                f"{question.name}: {question.points} points, but its tests give {total}"
            )
    for place in (student, teacher):
        finish(place / f"{source.stem}.ipynb", shown)
    (student / f"test_{source.stem}.py").write_text(PYTEST_FILE.format(name=source.stem))
    for name, text in shown.items():
        (student / "tests" / f"{name}.py").write_text(public(text))
    (student / "questions.json").write_text(json.dumps(description, indent=1))
    pack(folder, description, tests, library)
    solutions = folder / "solutions"
    solutions.mkdir()
    (teacher / f"{source.stem}.ipynb").rename(solutions / f"{source.stem}.ipynb")
    shutil.rmtree(teacher)
    if found := leaks(source, student):
        raise ValueError(f"{source.name}: in the student's version: {found[:3]}")
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; default all"
    )
    parser.add_argument("--build", type=Path, default=BUILD, help="where to")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(names())
    if unknown:
        parser.error(f"no assignment {', '.join(unknown)}; there are {', '.join(names())}")
    library = wheel()
    for name in arguments.names or names():
        folder = make(SOURCES / f"{name}.md", arguments.build, library)
        print(f"{name}: {folder}")


if __name__ == "__main__":
    main()
