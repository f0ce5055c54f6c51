"""`python -m linfcourse.classroom grade ARCHIVE FOLDER`, and `gradescope ROOT`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from linfcourse.classroom.archive import read_archive
from linfcourse.classroom.gradebook import grade_folder
from linfcourse.classroom.gradescope import grade_here
from linfcourse.classroom.session import Limits


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m linfcourse.classroom", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    grade = commands.add_parser("grade", help="grade a folder of submissions")
    grade.add_argument("archive", type=Path, help="autograder.zip of the assignment")
    grade.add_argument("folder", type=Path, help="notebooks, zips, or a folder for each student")
    grade.add_argument("--out", type=Path, default=Path("grades"), help="default: %(default)s")
    grade.add_argument("--roster", type=Path, help="gradebook exported from Canvas, a CSV")
    grade.add_argument("--seconds", type=float, default=300, help="for one submission")
    grade.add_argument("--cell-seconds", type=float, default=60, help="for one cell")
    gradescope = commands.add_parser("gradescope", help="grade what Gradescope has laid out")
    gradescope.add_argument("root", type=Path, help="/autograder there")
    given = parser.parse_args(arguments)
    try:
        if given.command == "gradescope":
            grade_here(given.root)
            return 0
        limits = Limits(total=given.seconds, cell=given.cell_seconds)
        grade_folder(given.folder, read_archive(given.archive), given.out, limits, given.roster)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Points for Canvas: {given.out / 'grades.csv'}; for you: {given.out / 'report.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
