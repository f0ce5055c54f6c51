"""Submissions that mean no good gain nothing, and do not stop the others."""

import json
import time

import pytest

from linfcourse.classroom import confinement
from linfcourse.classroom.archive import assignment_from
from linfcourse.classroom.gradebook import grade_folder
from linfcourse.classroom.grading import cells_of, grade
from linfcourse.classroom.session import Limits, Session

PUBLIC = """\
@test_case(points=1, hidden=False)
def test_two(double):
    assert double(2) == 4, "double(2) should be 4."
"""
HIDDEN = """\
@test_case(points=3, hidden=True)
def test_others(double):
    import torch
    for x in (3, -5, 0.5):
        assert double(x) == 2 * x
    assert torch.allclose(double(torch.ones(3)), 2 * torch.ones(3))
"""
DESCRIPTION = {
    "name": "0_double",
    "title": "Assignment 0: Double",
    "questions": [{"name": "q1", "points": 4, "manual": False}],
}
ASSIGNMENT = assignment_from(DESCRIPTION, {"q1": PUBLIC + HIDDEN})
LIMITS = Limits(total=60, cell=20, call=5, memory=2**30, processes=16)

RIGHT = "def double(x):\n    return 2 * x"
WRONG = "def double(x):\n    return 4"
linux = pytest.mark.skipif(not confinement.namespaces(), reason="needs Linux namespaces")


def notebook(path, *cells):
    cells = [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": []} for cell in cells]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    return path


# Each could at best get the one public point that WRONG has.
HOSTILE = {
    "redefines_check": "import linfcourse.classroom as c\nimport linfcourse.checks as k\n"
    "grader = type('G', (), {'check': lambda *a: True})()\nk.check = lambda *a: True\n"
    "import builtins\nbuiltins.isinstance = lambda *a: True",
    "patches_torch_and_tests": "import torch, unittest\ntorch.allclose = lambda *a, **k: True\n"
    "torch.Tensor.__eq__ = lambda *a: True\nimport linfcourse.classroom.grading as g\n"
    "g.run_case = lambda *a: g.CaseResult(True, 100, False, 'passed')",
    "equal_to_everything": "class Any(float):\n    __eq__ = lambda *a: True\n"
    "    __ne__ = lambda *a: False\n    __hash__ = float.__hash__\n"
    "def double(x):\n    return Any(4)",
    "prints_a_score": "print('{\"score\": 100}'); open('results.json', 'w').write('100')\n"
    "import os, sys\nos.write(1, b'[  1/1] 4/4'); sys.exit(0)",
    "answers_for_itself": "import os\nfor fd in range(3, 30):\n    try:\n"
    "        os.write(fd, b'\\0' * 7 + b'\\x10' + b'{\"value\": true}  ' * 9)\n"
    "    except OSError: pass",
    "looks_for_the_caller": "import os, signal\nfound = []\nfor pid in range(2, 60000):\n"
    "    try: os.kill(pid, 0); found.append(pid)\n    except OSError: pass\n"
    "assert not found, found",
    "floods": "import sys\nfor _ in range(300): sys.stdout.write('x' * 2**20)",
}


@linux
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_submission_gains_nothing(name, tmp_path):
    cells = [HOSTILE[name]] if "def double" in HOSTILE[name] else [WRONG, HOSTILE[name]]
    graded = grade(notebook(tmp_path / "a.ipynb", *cells), ASSIGNMENT, LIMITS)
    assert graded.points <= 1
    assert not any("AssertionError" in note for note in graded.notes), graded.notes


@linux
@pytest.mark.parametrize(
    "cell, note",
    [
        ("import os\nos._exit(0)", "ended the process"),
        (
            "import signal\nsignal.setitimer = lambda *a: None\nsignal.signal(14, signal.SIG_IGN)\n"
            "while True: pass",
            "took too long",
        ),
        ("kept = []\nwhile True: kept.append(bytearray(2**26))", "MemoryError"),
        (
            "import os, time\nfor _ in range(200):\n    if os.fork() == 0: time.sleep(60)",
            "ended the process",
        ),
        (
            "for n in range(10**6):\n    open(f'{n}', 'w').write('x' * 2**20)",
            "ended the process",
        ),
    ],
    ids=["exits", "loops_for_ever", "fills_memory", "forks", "fills_the_disk"],
)
def test_what_a_notebook_breaks_it_breaks_for_itself(cell, note, tmp_path):
    total = 12 if note == "took too long" else 60
    limits = Limits(total=total, cell=total / 2, call=2, memory=2**30, disk=2**26, processes=16)
    started = time.monotonic()
    graded = grade(notebook(tmp_path / "a.ipynb", WRONG, cell), ASSIGNMENT, limits)
    assert time.monotonic() - started < 90
    assert graded.points <= 1
    assert note in " ".join(graded.notes)


@linux
def test_a_submission_sees_neither_tests_nor_network_nor_other_files(tmp_path):
    (tmp_path / "secret.txt").write_text("the hidden tests")
    look = f"""
import os, pathlib, socket
seen = []
for path in ({str(tmp_path / "secret.txt")!r}, {__file__!r}):
    try: seen.append(pathlib.Path(path).read_text())
    except OSError: pass
try: seen.append(os.listdir({str(tmp_path)!r}))
except OSError: pass
try: open("/tmp/left_behind", "w"); seen.append("wrote")
except OSError: pass
try: socket.create_connection(("127.0.0.1", 22), 1); seen.append("connected")
except OSError as error: seen += [error] * (error.errno == 111)
try: seen.append(open(f"/proc/{{os.getppid()}}/mem", "rb").read(1))
except OSError: pass
processes = [p for p in os.listdir("/proc") if p.isdigit()]
import gc
seen += [o for o in gc.get_objects() if type(o).__name__ in ("Case", "Assignment")]
"""
    with Session([look], LIMITS) as session:
        assert session.get("seen") == []
        assert session.errors == []
        if "--mount-proc" in confinement.namespaces():
            assert len(session.get("processes")) < 5


@linux
def test_the_others_are_graded_and_the_table_is_right(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    notebook(folder / "adaada_101_9001_double.ipynb", "STUDENT = '=cmd()'", RIGHT)
    notebook(folder / "bobbob_LATE_102_9002_double.ipynb", "import os\nos._exit(1)", RIGHT)
    notebook(folder / "cyd_103_9003_double.ipynb", WRONG, "%matplotlib inline\n!ls", "1 / 0")
    (folder / "dee_104_9004_double.ipynb").write_bytes(b"\xff\xfe no notebook")
    (folder / "eve_105_9005_double.ipynb").write_text("[" * 100_000)
    notebook(folder / "fay_106_9006_double.ipynb", "# mine", "STUDENT = 's2'", RIGHT)
    roster = tmp_path / "roster.csv"
    roster.write_text(
        "Student,ID,SIS User ID,SIS Login ID,Section\n    Points Possible,,,,\n"
        '"Ada, A",101,s1,ada,1\n"Bob, B",102,s2,bob,1\n'
    )
    grade_folder(folder, ASSIGNMENT, tmp_path / "out", LIMITS, roster)
    lines = (tmp_path / "out" / "grades.csv").read_text().splitlines()
    assert lines == [
        "Student,ID,SIS User ID,SIS Login ID,Section,Assignment 0: Double,0_double q1",
        "    Points Possible,,,,,4,4",
        '"Ada, A",101,s1,ada,1,4,4',
        '"Bob, B",102,s2,bob,1,0,0',
        "cyd,103,,,,1,1",
        "dee,104,,,,0,0",
        "eve,105,,,,0,0",
        "fay,106,,,,4,4",
    ]
    report = (tmp_path / "out" / "report.csv").read_text()
    assert "'=cmd()" in report and "the same code as fay" in report
    assert report.count("STUDENT is not who handed this in") == 2  # Ada, and Fay whom nobody knows
    feedback = (tmp_path / "out" / "feedback" / "cyd_103_9003_double.md").read_text()
    assert "wrong on inputs that are not in the notebook" in feedback and "-5" not in feedback


def test_shell_lines_and_magics_do_not_stop_a_cell(tmp_path):
    path = notebook(
        tmp_path / "a.ipynb", "%matplotlib inline\nx = 7 \\\n % 4\n!ls\ny = x", "%%bash\nls"
    )
    with Session(cells_of(path), LIMITS) as session:
        assert session.get("y") == 3
        assert session.errors == []


@pytest.mark.skipif(not confinement.means()["files"], reason="needs Landlock")
def test_without_namespaces_files_are_still_out_of_reach(tmp_path, monkeypatch):
    monkeypatch.setattr(confinement, "namespaces", list)
    (tmp_path / "secret.txt").write_text("the hidden tests")
    look = (
        f"try: seen = open({str(tmp_path / 'secret.txt')!r}).read()\n"
        "except OSError as error: seen = error.errno"
    )
    with Session([look], LIMITS) as session:
        assert session.get("seen") == 13  # permission denied
