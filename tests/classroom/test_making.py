"""What `make assignments` makes: complete, and without a solution where students look."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest

from linfcourse.classroom.archive import read_archive
from linfcourse.classroom.gradescope import grade_here
from linfcourse.classroom.grading import grade
from linfcourse.classroom.session import Limits
from tools.assignment_source import SOURCES, describe, leaks, names, secrets

ROOT = Path(__file__).parents[2]
LIMITS = Limits(total=200)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """All assignments, made once."""
    if "CI" not in os.environ:
        pytest.importorskip("otter", reason="make classroom installs otter-grader")
    from tools.make_assignments import make

    build = tmp_path_factory.mktemp("assignments")
    return {name: make(SOURCES / f"{name}.md", build) for name in names()}


@pytest.mark.parametrize("name", names())
def test_the_student_version_is_complete_and_holds_no_secret(name, made):
    student = made[name] / "student"
    notebook = nbformat.read(student / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert leaks(SOURCES / f"{name}.md", student) == []
    assert all(not cell.get("outputs") and not cell.get("attachments") for cell in notebook.cells)
    assert "# SOLUTION" not in (student / f"{name}.ipynb").read_text()
    shown = {path.name for path in student.rglob("*") if path.is_file()}
    tests = {
        f"{q['name']}.py" for q in describe(SOURCES / f"{name}.md")["questions"] if not q["manual"]
    }
    assert shown == {f"{name}.ipynb", f"test_{name}.py", "questions.json"} | tests
    assert "hidden=True" not in "".join(p.read_text() for p in student.rglob("*.py"))


@pytest.mark.parametrize("name", names())
def test_the_search_for_leaks_finds_one(name, made, tmp_path):
    secret = secrets(SOURCES / f"{name}.md")
    assert len(secret) > 5
    folder = tmp_path / "student"
    shutil.copytree(made[name] / "student", folder)
    file = folder / f"{name}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    for place in ("source", "metadata", "output", "sibling"):
        changed = nbformat.from_dict(json.loads(json.dumps(notebook)))
        line = secret[len(secret) // 2]
        if place == "source":
            changed.cells[-1].source += line
        elif place == "metadata":
            changed.metadata["note"] = line
        elif place == "output":
            cell = nbformat.v4.new_code_cell(
                "1", outputs=[nbformat.v4.new_output("stream", text=line)]
            )
            changed.cells.append(cell)
        nbformat.write(changed, file)
        with zipfile.ZipFile(folder / "more.zip", "w") as archive:
            archive.writestr("a.txt", line if place == "sibling" else "")
        assert line in leaks(SOURCES / f"{name}.md", folder), place


def prose(line):
    return len(line) > 80 and line[0].isupper() and line.endswith(".")


def test_neither_the_book_nor_the_wheel_gives_a_solution_or_a_test_away():
    secret = {line for name in names() for line in secrets(SOURCES / f"{name}.md")}
    telling = {line for line in secret if "raise Wrong(" in line or prose(line)}
    assert telling
    texts = [path.read_text(errors="ignore") for path in (ROOT / "book").rglob("*.md")]
    texts += [path.read_text(errors="ignore") for path in (ROOT / "linfcourse").rglob("*.py")]
    together = "\n".join(texts)
    assert [line for line in telling if line in together] == []
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["packages"] == ["linfcourse"]
    assert set(wheel["targets"]["wheel"]["force-include"]) == {"book/records"}


@pytest.mark.parametrize("name", names())
def test_the_archive_grades_its_own_solution_apart_from_the_tests(name, made):
    assignment = read_archive(made[name] / "autograder.zip")
    graded = grade(made[name] / "solutions" / f"{name}.ipynb", assignment, LIMITS)
    automatic = sum(q.points for q in assignment.questions if not q.manual)
    assert (graded.points, graded.notes) == (automatic, [])


def test_gradescopes_folders_are_graded_and_the_tests_gone_before_the_code_runs(made, tmp_path):
    folder = made["2_adam"]
    for part in ("source", "submission", "results"):
        (tmp_path / part).mkdir()
    with zipfile.ZipFile(folder / "autograder.zip") as archive:
        archive.extractall(tmp_path / "source")
        assert archive.getinfo("run_autograder").external_attr >> 16 & 0o100
    shutil.copy(folder / "student" / "2_adam.ipynb", tmp_path / "submission")
    grade_here(tmp_path, LIMITS)
    results = json.loads((tmp_path / "results" / "results.json").read_text())
    assert not (tmp_path / "source" / "tests").exists()
    assert [test["name"] for test in results["tests"] if test["max_score"]] == [
        "q1",
        "q2",
        "q3",
        "q4",
    ]
    assert sum(test["score"] for test in results["tests"]) == 0
    assert all("raise" not in test["output"] for test in results["tests"])


def test_plain_pytest_runs_the_public_tests_of_a_students_folder(made, tmp_path):
    shutil.copytree(made["2_adam"] / "student", tmp_path / "work")
    notebook = json.loads((made["2_adam"] / "student" / "2_adam.ipynb").read_text())
    (asked,) = [
        c for c in notebook["cells"] if c["source"][:1] and "def adam_step" in c["source"][0]
    ]
    solved = json.loads((made["2_adam"] / "solutions" / "2_adam.ipynb").read_text())
    (asked["source"],) = [
        c["source"]
        for c in solved["cells"]
        if c["source"][:1] and "def adam_step" in c["source"][0]
    ]
    (tmp_path / "work" / "2_adam.ipynb").write_text(json.dumps(notebook))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        command, cwd=tmp_path / "work", capture_output=True, text=True, env=environment
    )
    assert "3 failed, 1 passed" in ran.stdout, ran.stdout
    assert "blockwise_step should return three tensors" in ran.stdout
