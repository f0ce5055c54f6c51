"""Checks of the exercises: `from linfcourse.checks import check`."""

from linfcourse.checks import chapter_01  # noqa: F401  (registers its exercises)
from linfcourse.checks.check import CheckResult, check, exercises

__all__ = ["CheckResult", "check", "exercises"]
