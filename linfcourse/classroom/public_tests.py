"""The public tests of a student's folder, for pytest."""

from __future__ import annotations

import json
from pathlib import Path

from linfcourse.classroom.archive import read_folder
from linfcourse.classroom.grading import grade


def outcomes(notebook: str | Path, tests: str | Path) -> dict[str, str]:
    """Run a notebook apart and put the public tests to it.

    Returns what is wrong with each question; an empty text if nothing is.
    """
    folder = Path(tests).parent
    description = json.loads((folder / "questions.json").read_text())
    graded = grade(notebook, read_folder(description, folder))
    failed = {}
    for question in graded.questions:
        if question.points is not None:
            wrong = [case.message for case in question.cases if not case.passed]
            failed[question.name] = wrong[0] if wrong else ""
    return failed
