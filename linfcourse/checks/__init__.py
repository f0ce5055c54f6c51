"""Checks of the exercises: `from linfcourse.checks import check`."""

from linfcourse.checks import (  # noqa: F401  (registers their exercises)
    chapter_01,
    chapter_02,
    chapter_03,
    chapter_04,
    chapter_05,
    chapter_06,
    chapter_07,
    chapter_08,
    chapter_09,
    chapter_10,
    chapter_11,
    chapter_12,
    chapter_13,
    chapter_14,
    chapter_15,
    chapter_16,
    chapter_17,
)
from linfcourse.checks.check import CheckResult, check, exercises

__all__ = ["CheckResult", "check", "exercises"]
