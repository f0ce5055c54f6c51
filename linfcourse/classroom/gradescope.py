"""Grade on Gradescope: its folders in, its `results.json` out."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

from linfcourse.classroom.archive import Assignment, read_archive
from linfcourse.classroom.grading import Graded, grade, nothing
from linfcourse.classroom.session import Limits


def take_tests(source: Path) -> Assignment:
    """Read the tests into memory and remove them from disk, before a submission's code runs."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.write(source / "questions.json", "questions.json")
        for test in sorted((source / "tests").glob("*.py")):
            archive.write(test, f"tests/{test.name}")
    shutil.rmtree(source / "tests")
    return read_archive(content.getvalue())


def grade_here(
    root: str | Path,
    limits: Limits = Limits(),  # noqa: B008
) -> dict[str, Any]:
    """Grade `root`/submission with `root`/source and write `root`/results/results.json."""
    root = Path(root)
    assignment = take_tests(root / "source")
    out = root / "results"
    out.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chmod(out, 0o700)
    notebooks = sorted((root / "submission").glob("*.ipynb"))
    if len(notebooks) == 1:
        graded = grade(notebooks[0], assignment, limits)
    else:
        graded = nothing(assignment, f"hand in one notebook; there are {len(notebooks)}")
    results = as_gradescope(graded)
    (out / "results.json").write_text(json.dumps(results, indent=1))
    return results


def as_gradescope(graded: Graded) -> dict[str, Any]:
    """The result in Gradescope's form; what a hidden test found is shown after publication."""
    tests = []
    for question in graded.questions:
        if question.points is None:
            continue  # these are marked in Gradescope's own rubric
        public = [case.message for case in question.cases if not (case.hidden or case.passed)]
        hidden = [case for case in question.cases if case.hidden and not case.passed]
        said = public + ["Wrong on inputs that are not in the notebook."] * bool(hidden)
        tests.append(
            {
                "name": question.name,
                "score": question.points,
                "max_score": question.of,
                "visibility": "after_published",
                "output": "\n".join(said) or "Right.",
            }
        )
        tests.append(
            {
                "name": f"{question.name}, public tests",
                "score": 0,
                "max_score": 0,
                "status": "failed" if public else "passed",
                "visibility": "visible",
                "output": "\n".join(public) or "Passed.",
            }
        )
    notes = "\n".join(graded.notes) if graded.notes else "The notebook ran to its end."
    return {"output": notes, "visibility": "visible", "stdout_visibility": "hidden", "tests": tests}
