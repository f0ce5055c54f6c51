"""Grade a folder of submissions and write what a teacher needs: a CSV for Canvas, feedback, notes.

A run that was stopped goes on where it was: each result is written when it is there.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from linfcourse.classroom import confinement
from linfcourse.classroom.archive import Assignment
from linfcourse.classroom.grading import LARGEST, Graded, as_data, from_data, grade, nothing
from linfcourse.classroom.session import Limits

# Canvas names a download NAME[_LATE]_USER_SUBMISSION_FILE.
CANVAS_FILE = re.compile(r"^(?P<name>[^_]+)_(?:LATE_)?(?P<id>\d+)_\d+_.*$")
COLUMNS = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]  # Canvas wants these first


@dataclass(frozen=True)
class Submission:
    """One file that was handed in."""

    path: Path
    name: str
    canvas_id: str


def submissions(folder: str | Path) -> list[Submission]:
    """The files of a folder, and the first of every folder in it, by name."""
    found = []
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix in (".ipynb", ".zip"))
            found += [Submission(inside[0] if inside else path, path.name, "")]
            continue
        named = CANVAS_FILE.match(path.name)
        found.append(
            Submission(path, named["name"], named["id"])
            if named
            else Submission(path, path.stem, "")
        )
    return found


def grade_submission(submission: Submission, assignment: Assignment, limits: Limits) -> Graded:
    """Grade one file; a zip is searched for the one notebook in it."""
    path = submission.path
    if path.is_dir():
        return nothing(assignment, "no notebook in the folder")
    if path.suffix != ".zip":
        return grade(path, assignment, limits)
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [i for i in archive.infolist() if i.filename.endswith(".ipynb")]
            if len(inside) != 1 or inside[0].file_size > LARGEST:
                return nothing(assignment, f"a zip with {len(inside)} notebooks")
            with tempfile.NamedTemporaryFile(suffix=".ipynb") as file:
                file.write(archive.read(inside[0]))
                file.flush()
                return grade(file.name, assignment, limits)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        return nothing(assignment, f"not a zip ({type(error).__name__})")


def grade_folder(
    folder: str | Path,
    assignment: Assignment,
    out: str | Path,
    limits: Limits = Limits(),  # noqa: B008
    roster: str | Path | None = None,
) -> list[tuple[Submission, Graded]]:
    """Grade all submissions of a folder, one after the other, and write `out`.

    `out` then holds `grades.csv` (for Canvas), `report.csv` (for the teacher), `marks.csv` (to
    fill in points of what is marked by hand; read again by the next run), `feedback/` (for
    students) and `results/` (what has been graded, so that it is not graded again).
    """
    out = Path(out)
    for part in ("results", "feedback"):
        (out / part).mkdir(parents=True, exist_ok=True)
    missing = [what for what, held in confinement.means().items() if not held]
    if missing:
        print(f"This machine cannot hold submissions back from: {', '.join(missing)}.")
    everything = submissions(folder)
    if not everything:
        raise ValueError(f"there is nothing in {folder}")
    results = []
    for number, submission in enumerate(everything, 1):
        graded = _remembered(submission, assignment, out, limits)
        results.append((submission, graded))
        automatic = sum(q.of for q in graded.questions if q.points is not None)
        first = f"  ({graded.notes[0][:70]})" if graded.notes else ""
        print(
            f"[{number:3}/{len(everything)}] {submission.name[:32]:32} "
            f"{graded.points:g}/{automatic:g}{first}",
            flush=True,
        )
    students = _roster(roster) if roster else []
    results = [(s, _noting_strangers(s, graded, students)) for s, graded in _noting_copies(results)]
    marks = _marks(out / "marks.csv", assignment, results)
    results = [(s, _with_marks(graded, marks.get(s.path.name, {}))) for s, graded in results]
    write_canvas(out / "grades.csv", assignment, results, students)
    write_report(out / "report.csv", assignment, results)
    for submission, graded in results:
        (out / "feedback" / f"{submission.path.stem}.md").write_text(
            feedback(assignment, graded), encoding="utf-8"
        )
    return results


def _remembered(
    submission: Submission, assignment: Assignment, out: Path, limits: Limits
) -> Graded:
    content = submission.path.read_bytes() if submission.path.is_file() else b""
    key = hashlib.sha256(content + assignment.version.encode() + repr(limits).encode()).hexdigest()
    file = out / "results" / f"{submission.path.name}.json"
    if file.exists():
        data = json.loads(file.read_text())
        if data["key"] == key:
            return from_data(data)
    graded = grade_submission(submission, assignment, limits)
    file.write_text(json.dumps({"key": key, **as_data(graded)}, indent=1))
    return graded


def _noting_copies(
    results: list[tuple[Submission, Graded]],
) -> Iterable[tuple[Submission, Graded]]:
    """Say where two submissions have the same code, or give the same student."""
    code, student = defaultdict(list), defaultdict(list)
    for submission, graded in results:
        code[graded.fingerprint].append(submission.name)
        student[graded.student].append(submission.name)
    for submission, graded in results:
        notes = list(graded.notes)
        if graded.points and len(code[graded.fingerprint]) > 1:
            others = [n for n in code[graded.fingerprint] if n != submission.name]
            notes.append(f"the same code as {', '.join(others)}")
        if graded.student and len(student[graded.student]) > 1:
            others = [n for n in student[graded.student] if n != submission.name]
            notes.append(f"the same STUDENT as {', '.join(others)}")
        yield submission, replace(graded, notes=notes)


def _marks(
    file: Path, assignment: Assignment, results: list[tuple[Submission, Graded]]
) -> dict[str, dict[str, float]]:
    """Points given by hand: read what is there, and write the table again for all submissions."""
    by_hand = [question for question in assignment.questions if question.manual]
    if not by_hand:
        return {}
    old: dict[str, dict[str, str]] = {}
    if file.exists():
        with file.open(newline="", encoding="utf-8") as lines:
            old = {row["file"]: row for row in csv.DictReader(lines)}
    marks: dict[str, dict[str, float]] = {}
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow(["file", *(question.name for question in by_hand)])
        for submission, _ in results:
            row = old.get(submission.path.name, {})
            given = {question.name: row.get(question.name) or "" for question in by_hand}
            for question in by_hand:
                if given[question.name] == "":
                    continue
                try:
                    points = float(given[question.name])
                except ValueError:
                    points = -1.0
                if not 0 <= points <= question.points:
                    print(
                        f"marks.csv: {submission.path.name}, {question.name}: "
                        f"{given[question.name]!r} is not between 0 and {question.points:g}"
                    )
                    continue
                marks.setdefault(submission.path.name, {})[question.name] = points
            table.writerow([submission.path.name, *given.values()])
    return marks


def _with_marks(graded: Graded, marks: dict[str, float]) -> Graded:
    questions = [
        replace(q, points=marks[q.name]) if q.name in marks else q for q in graded.questions
    ]
    return replace(graded, questions=questions)


def safe(text: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    text = " ".join(text.split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def write_canvas(
    file: Path,
    assignment: Assignment,
    results: list[tuple[Submission, Graded]],
    students: list[list[str]],
) -> None:
    """The table that Canvas imports: total and points of each question.

    `students` are the rows of a gradebook exported from Canvas, and may be empty; a submission
    belongs to the one whose Canvas id is in the file's name, or whose login is the file's name.
    """
    header = [assignment.title, *(f"{assignment.name} {q.name}" for q in assignment.questions)]
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        table.writerow([*COLUMNS, *header])
        possible = [assignment.points, *(q.points for q in assignment.questions)]
        table.writerow(["    Points Possible", "", "", "", "", *possible])
        for submission, graded in results:
            who = _owner(submission, students)
            if students and who not in students:
                print(f"{submission.path.name}: nobody in the roster", file=sys.stderr)
            points = ["" if q.points is None else f"{q.points:g}" for q in graded.questions]
            table.writerow([*who, f"{graded.points:g}", *points])


def _roster(file: str | Path) -> list[list[str]]:
    with Path(file).open(newline="", encoding="utf-8-sig") as lines:
        return [
            [row.get(column) or "" for column in COLUMNS]
            for row in csv.DictReader(lines)
            if (row.get("ID") or "").strip()
        ]


def _noting_strangers(submission: Submission, graded: Graded, students: list[list[str]]) -> Graded:
    """Say so if the student number in a notebook is not that of the student who handed it in."""
    if not students or not graded.student:
        return graded
    owner = [part.lower() for part in _owner(submission, students) if part]
    if any(part.strip().lower() in owner for part in graded.student.split(",")):
        return graded
    return replace(graded, notes=[*graded.notes, "STUDENT is not who handed this in"])


def _owner(submission: Submission, students: list[list[str]]) -> list[str]:
    for student in students:
        if submission.canvas_id and student[1] == submission.canvas_id:
            return student
        if submission.name in (student[2], student[3]):
            return student
    return [safe(submission.name), submission.canvas_id, "", "", ""]


def write_report(
    file: Path, assignment: Assignment, results: list[tuple[Submission, Graded]]
) -> None:
    """The teacher's table: points, the student number in the notebook, and what to look at."""
    with file.open("w", newline="", encoding="utf-8") as lines:
        table = csv.writer(lines)
        names = [question.name for question in assignment.questions]
        table.writerow(["file", "STUDENT in the notebook", "points", *names, "look at"])
        for submission, graded in results:
            wrong = [
                f"{q.name}: {case.message}" for q in graded.questions for case in q.cases
                if not case.passed
            ]  # fmt: skip
            points = ["" if q.points is None else f"{q.points:g}" for q in graded.questions]
            table.writerow(
                [
                    safe(submission.path.name),
                    safe(graded.student or ""),
                    f"{graded.points:g}",
                    *points,
                    safe(" | ".join(graded.notes + wrong))[:2000],
                ]
            )


def feedback(assignment: Assignment, graded: Graded) -> str:
    """What the student may read: messages of public tests, and which hidden ones failed."""
    lines = [f"# {assignment.title}", ""]
    if not graded.fingerprint:
        return "\n".join([*lines, f"This could not be graded: {', '.join(graded.notes)}."]) + "\n"
    for question in graded.questions:
        if question.points is None:
            lines.append(f"- **{question.name}**: {question.of:g} points, marked by hand")
            continue
        lines.append(f"- **{question.name}**: {question.points:g} of {question.of:g}")
        for case in question.cases:
            if not case.passed and not case.hidden:
                lines.append(f"  - {case.message}")
        if any(case.hidden and not case.passed for case in question.cases):
            lines.append("  - wrong on inputs that are not in the notebook")
    return "\n".join(lines) + "\n"
