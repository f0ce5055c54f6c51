"""Grade one submission: run it apart, put the tests to it, add up the points."""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from linfcourse.checks.check import Wrong
from linfcourse.classroom.archive import Assignment, Case, Question
from linfcourse.classroom.session import Limits, Session, SubmissionError
from linfcourse.classroom.worker import python_of

LARGEST = 20 * 2**20  # bytes of a notebook


class NotANotebook(Exception):
    """A file that cannot be read as a notebook; the text says why."""


@dataclass
class CaseResult:
    """How one test went; the message is for the student only if the test is public."""

    passed: bool
    points: float
    hidden: bool
    message: str


@dataclass
class QuestionResult:
    """Points of one question; None while it waits to be marked by hand."""

    name: str
    points: float | None
    of: float
    cases: list[CaseResult] = field(default_factory=list)


@dataclass
class Graded:
    """The result of one submission, and what a teacher should look at."""

    student: str | None
    questions: list[QuestionResult]
    notes: list[str]
    fingerprint: str

    @property
    def points(self) -> float:
        """Points so far, without what is marked by hand."""
        return sum(question.points or 0 for question in self.questions)


def cells_of(path: str | Path) -> list[str]:
    """The code cells of a notebook, as text.

    Raises:
        NotANotebook: it is too large, no JSON, or not of notebook format 4.
    """
    path = Path(path)
    if path.stat().st_size > LARGEST:
        raise NotANotebook(f"larger than {LARGEST // 2**20} MiB")
    try:
        notebook = json.loads(path.read_bytes())
        cells = notebook["cells"]
        code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return ["".join(source) for source in code]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotANotebook(f"not a notebook ({type(error).__name__})") from None


def nothing(assignment: Assignment, why: str) -> Graded:
    """No points, and the reason."""
    return Graded(None, [_unread(question) for question in assignment.questions], [why], "")


def _unread(question: Question) -> QuestionResult:
    cases = [CaseResult(False, 0, case.hidden, "not run") for case in question.cases]
    return QuestionResult(question.name, 0, question.points, cases)


def grade(
    path: str | Path,
    assignment: Assignment,
    limits: Limits = Limits(),  # noqa: B008
) -> Graded:
    """Grade one notebook. It never raises for what a submission does."""
    try:
        cells = cells_of(path)
    except (NotANotebook, OSError) as error:
        return nothing(assignment, str(error))
    with Session(cells, limits) as session:
        questions = [_grade_question(question, session) for question in assignment.questions]
        student, notes = _student(session), list(session.errors)
        if session.hopeless:
            notes.append(str(session.hopeless))
    notes += mentions(cells, assignment.withheld)
    fingerprint = hashlib.sha256("\n".join(filter(None, map(_normal, cells))).encode()).hexdigest()
    return Graded(student, questions, list(dict.fromkeys(notes)), fingerprint)


def _grade_question(question: Question, session: Session) -> QuestionResult:
    if question.manual:
        return QuestionResult(question.name, None, question.points)
    cases = [run_case(case, session) for case in question.cases]
    points = round(sum(case.points for case in cases), 6)
    return QuestionResult(question.name, points, question.points, cases)


def run_case(case: Case, session: Session) -> CaseResult:
    """Put one test to the submission."""
    torch.manual_seed(0)
    try:
        names = inspect.signature(case.function).parameters
        case.function(**{name: session.get(name) for name in names})
    except (AssertionError, SubmissionError, Wrong) as error:
        return CaseResult(False, 0, case.hidden, str(error) or "the test failed")
    except Exception as error:  # a test that stumbles over what it was given
        return CaseResult(False, 0, case.hidden, f"{type(error).__name__}: {error}"[:400])
    return CaseResult(True, case.points, case.hidden, "passed")


def _student(session: Session) -> str | None:
    try:
        student = session.get("STUDENT")
    except SubmissionError:
        return None
    return student.strip()[:60] if isinstance(student, str) else None


def _normal(cell: str) -> str:
    """A cell without comments, layout and the student's number, to find copies."""
    try:
        tree = ast.parse(python_of(cell))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return cell
    kept = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == "STUDENT"
        )
    ]
    return ast.unparse(ast.Module(kept, [])) if kept else ""


def mentions(cells: list[str], withheld: tuple[str, ...]) -> list[str]:
    """Where a submission uses what it is asked to write: a hint for the teacher, not a verdict."""
    found = []
    for number, cell in enumerate(cells, 1):
        for name in withheld:
            package, short = name.rsplit(".", 1)
            if name in cell or f"from {package} import {short}" in cell:
                found.append(f"cell {number} mentions {name}")
    return found


def as_data(graded: Graded) -> dict[str, Any]:
    """The result as plain data for JSON."""
    return {
        "student": graded.student,
        "notes": graded.notes,
        "fingerprint": graded.fingerprint,
        "questions": [
            {
                "name": question.name,
                "points": question.points,
                "of": question.of,
                "cases": [vars(case) for case in question.cases],
            }
            for question in graded.questions
        ],
    }


def from_data(data: dict[str, Any]) -> Graded:
    """What `as_data` made of a result."""
    questions = [
        QuestionResult(
            question["name"],
            question["points"],
            question["of"],
            [CaseResult(**case) for case in question["cases"]],
        )
        for question in data["questions"]
    ]
    return Graded(data["student"], questions, data["notes"], data["fingerprint"])
