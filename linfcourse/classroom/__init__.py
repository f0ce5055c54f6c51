"""The classroom: grade notebooks of students, each in a process of its own.

A submission's code and the tests never share a process. The submission runs in a confined process
and answers calls with plain data; the tests run here, on inputs that the submission has not seen.
Whatever it patches, prints or redefines, it gains points only by right answers.

    personal        parameters drawn from a student's number
    notebook_checks the public tests inside a student's notebook
    archive         an assignment's archive: its questions, points and tests
    wire            what may pass between the two processes
    confinement     what the submission's process may not do
    worker          the submission's side
    session         our side
    grading         one submission
    gradebook       a folder of them, and the CSV for Canvas
    gradescope      the same on Gradescope
"""

from linfcourse.classroom.notebook_checks import Checks
from linfcourse.classroom.personal import personal

__all__ = ["Checks", "personal"]
