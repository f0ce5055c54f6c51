"""Running a chapter: same outputs, same file; and what should not be stored is refused."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tools.execute_chapter import RECORD, ChapterError, execute, is_current, store

ROOT = Path(__file__).parents[2]

HEADER = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {display_name: Python 3, language: python, name: python3}
---

# A small chapter

"""


def chapter(path: Path, *cells: str) -> Path:
    fences = [f"```{{code-cell}} python\n{cell}\n```\n" for cell in cells]
    path.write_text(HEADER + "\n".join(fences))
    return path


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    source = chapter(
        tmp_path_factory.mktemp("chapter") / "01_small.md",
        "import os\nprint('threads', os.environ['OMP_NUM_THREADS'])",
        ":tags: [nbval-check-output]\n\nprint(1)\nprint(2)\n1 + 2",
    )
    target = source.with_suffix(".ipynb")
    assert store(execute(source), target)
    return source, target


def test_outputs_versions_and_seconds_are_stored(stored):
    _, target = stored
    notebook = nbformat.read(target, as_version=4)
    threads, checked = (cell for cell in notebook.cells if cell.cell_type == "code")
    assert threads.outputs[0].text == "threads 1\n"
    assert [output.output_type for output in checked.outputs] == ["stream", "execute_result"]
    assert checked.metadata.tags == ["nbval-check-output"]
    assert "execution" not in checked.metadata
    record = notebook.metadata[RECORD]
    assert record["seconds"] >= 0
    assert {"python", "torch", "numpy", "matplotlib", "linfcourse", "cpu"} <= set(record)


def test_running_again_leaves_the_same_bytes(stored):
    source, target = stored
    before = target.read_bytes()
    again = execute(source)
    again.metadata[RECORD]["seconds"] += 1  # time differs from run to run: no reason to write
    assert not store(again, target)
    assert target.read_bytes() == before


def test_a_changed_cell_is_noticed_and_changed_prose_too(stored, tmp_path):
    source, target = stored
    assert is_current(source, target)
    copy = tmp_path / source.name
    for old, new in (("1 + 2", "1 + 3"), ("A small chapter", "Another chapter")):
        copy.write_text(source.read_text().replace(old, new))
        assert not is_current(copy, target)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("x = 1\nraise RuntimeError('no such thing')", r"cell 1 \('x = 1'\) raised"),
        ("import sys\nprint('noise', file=sys.stderr)", "cell 1 wrote to stderr"),
        ("object()", "cell 1 shows an object's address"),
    ],
)
def test_what_should_not_be_stored_is_refused_by_cell(tmp_path, cell, message):
    with pytest.raises(ChapterError, match=message):
        execute(chapter(tmp_path / "01_bad.md", cell))


def test_a_failure_exits_non_zero_and_leaves_the_notebook(stored, tmp_path):
    _, target = stored
    source = chapter(tmp_path / target.with_suffix(".md").name, "1 / 0")
    copy = tmp_path / target.name
    copy.write_bytes(target.read_bytes())
    answer = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "execute_chapter.py"), str(source)],
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert answer.returncode == 1
    assert "ZeroDivisionError" in answer.stderr
    assert copy.read_bytes() == target.read_bytes()


def test_a_widget_is_refused(tmp_path):
    source = chapter(
        tmp_path / "01_widget.md", "import ipywidgets\n\nipywidgets.IntSlider(value=1)"
    )
    with pytest.raises(ChapterError, match="shows a widget, which would be dead"):
        execute(source)
