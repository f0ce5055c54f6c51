"""An assignment's archive: the zip that `make assignments` makes and Gradescope takes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

IMPORT = "from otter.test_files import test_case\n"


@dataclass(frozen=True)
class Case:
    """One test of a question: a function whose arguments are names of the notebook."""

    function: Callable[..., None]
    points: float
    hidden: bool


@dataclass(frozen=True)
class Question:
    """A question; one that is marked by hand has no cases."""

    name: str
    points: float
    manual: bool = False
    cases: tuple[Case, ...] = ()


@dataclass(frozen=True)
class Assignment:
    """What is needed to grade: the questions in order, and what identifies this version."""

    name: str
    title: str
    questions: tuple[Question, ...]
    withheld: tuple[str, ...] = ()
    version: str = field(default="", compare=False)

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)


def read_archive(path: str | Path | bytes) -> Assignment:
    """Read an archive, or its bytes, into memory.

    Raises:
        ValueError: it is not an archive made by `make assignments`.
    """
    content = path if isinstance(path, bytes) else Path(path).read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            description = json.loads(archive.read("questions.json"))
            tests = {
                Path(name).stem: archive.read(name).decode()
                for name in archive.namelist()
                if name.startswith("tests/") and name.endswith(".py")
            }
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"{path if not isinstance(path, bytes) else 'the bytes'}: not an archive of "
            f"`make assignments` ({error})"
        ) from None
    return assignment_from(description, tests, hashlib.sha256(content).hexdigest())


def read_folder(questions: dict[str, Any], folder: str | Path) -> Assignment:
    """The public part of an assignment from a student's folder, whose tests lie in `tests/`."""
    tests = {path.stem: path.read_text() for path in sorted(Path(folder, "tests").glob("*.py"))}
    return assignment_from(questions, tests)


def assignment_from(
    description: dict[str, Any], tests: dict[str, str], version: str = ""
) -> Assignment:
    """Put description and sources of tests together."""
    questions = tuple(
        Question(
            entry["name"],
            entry["points"],
            entry["manual"],
            () if entry["manual"] else tuple(cases_of(tests[entry["name"]], entry["name"])),
        )
        for entry in description["questions"]
        if entry["manual"] or entry["name"] in tests
    )
    return Assignment(
        description["name"],
        description["title"],
        questions,
        tuple(description.get("withheld", ())),
        version,
    )


def cases_of(source: str, name: str) -> Iterable[Case]:
    """The cases of one test file in otter's exception format."""
    found: list[Case] = []

    def test_case(
        points: float = 0, hidden: bool = False, **_: Any
    ) -> Callable[[Callable[..., None]], None]:
        return lambda function: found.append(Case(function, points or 0, hidden))

    # "__main__", so that a function which a test passes on is sent whole and not by its name
    environment = {"test_case": test_case, "__name__": "__main__"}
    exec(compile(source.replace(IMPORT, "", 1), f"<tests of {name}>", "exec"), environment)
    return found
