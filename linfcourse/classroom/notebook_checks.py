"""The checks inside a student's notebook: the public tests, on the names of the notebook."""

from __future__ import annotations

import inspect
from typing import Any

from linfcourse.checks.check import Wrong
from linfcourse.classroom.archive import cases_of


class Checks:
    """`grader.check("q1")` says what the public tests find; the hidden ones run after hand-in.

    Args:
        tests: the source of each question's public tests.
        names: where answers are looked up: the notebook's `globals()`.

    >>> test = "@test_case(points=1)\\ndef test(x):\\n    assert x == 2, 'x should be 2.'"
    >>> Checks({"q1": test}, {"x": 3}).check("q1")
    q1: not yet. x should be 2.
    >>> Checks({"q1": test}, {"x": 2}).check("q1")
    q1: right, as far as the tests in this notebook see. More tests run after you hand in.
    """

    def __init__(self, tests: dict[str, str], names: dict[str, Any]) -> None:
        self._tests, self._names = tests, names

    def check(self, question: str) -> None:
        """Run the public tests of one question and print what they find.

        Raises:
            ValueError: there is no such question.
        """
        if question not in self._tests:
            raise ValueError(f"question must be one of {', '.join(self._tests)}, not {question!r}")
        print(f"{question}: {self._finding(question)}")

    def check_all(self) -> None:
        """Check every question that has public tests."""
        for question in self._tests:
            self.check(question)

    def _finding(self, question: str) -> str:
        for case in cases_of(self._tests[question], question):
            wanted = inspect.signature(case.function).parameters
            for name in wanted:
                if self._names.get(name, ...) is ...:
                    return f"no answer yet. Define {name} and run this cell again."
            try:
                case.function(**{name: self._names[name] for name in wanted})
            except (AssertionError, Wrong) as error:
                return f"not yet. {error}"
            except Exception as error:
                return f"not yet. {type(error).__name__}: {error}"
        return "right, as far as the tests in this notebook see. More tests run after you hand in."
