"""Grade a solution, or one with a mistake in it, without a process of its own: in milliseconds."""

import contextlib
import io
import os
import sys
import tempfile
import types

import torch

from linfcourse.classroom.archive import assignment_from
from linfcourse.classroom.grading import run_case
from tools.assignment_source import SOURCES, answer_cells, describe, sources_of_tests, stubbed


class Names:
    """Stands for a session: the names that cells leave, looked up as a session does."""

    def __init__(self, cells: list[str]) -> None:
        module = types.ModuleType("student")
        sys.modules["student"] = module
        self.names = module.__dict__
        for cell in cells:
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    exec(compile(cell, "<cell>", "exec"), self.names)
                except Exception as error:
                    self.names.setdefault("_errors", []).append(error)

    def get(self, name: str):
        value = self.names.get(name, ...)
        assert value is not ..., f"{name}: no answer yet"
        return value


def points(name: str, cells: list[str]) -> dict[str, float]:
    """Points of each question that is graded by tests."""
    source = SOURCES / f"{name}.md"
    assignment = assignment_from(describe(source), sources_of_tests(source))
    default = torch.get_default_dtype()
    here = os.getcwd()
    try:
        with tempfile.TemporaryDirectory() as folder:  # cells may write files
            os.chdir(folder)
            names = Names(cells)
            os.chdir(here)
        return {
            question.name: sum(run_case(case, names).points for case in question.cases)
            for question in assignment.questions
            if not question.manual
        }
    finally:
        os.chdir(here)
        torch.set_default_dtype(default)


def full(name: str) -> dict[str, float]:
    """What there is to get."""
    questions = describe(SOURCES / f"{name}.md")["questions"]
    return {entry["name"]: entry["points"] for entry in questions if not entry["manual"]}


def reference(name: str) -> list[str]:
    """The solution."""
    return answer_cells(SOURCES / f"{name}.md")


def untouched(name: str) -> list[str]:
    """The student's version."""
    return [stubbed(cell) for cell in reference(name)]


def mutated(name: str, right: str, wrong: str) -> list[str]:
    """The solution with one passage replaced; it has to stand there exactly once."""
    cells = reference(name)
    assert sum(cell.count(right) for cell in cells) == 1, f"{right!r} is not there exactly once"
    return [cell.replace(right, wrong) for cell in cells]
