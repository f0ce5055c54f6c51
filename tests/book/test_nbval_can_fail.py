"""The check of the chapters is itself checked: altering one stored number makes nbval fail.

The chapters' own cells are too slow to run twice. So each checked cell is replayed: a cell with
the same tags that prints the chapter's stored output, once with the output stored as it is (must
pass) and once with one digit altered (must fail). What runs is the real nbval with the options of
`make test`, on the chapter's real outputs.
"""

import copy
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.book.test_chapters import CHAPTERS, CHECK, executed, tags


def run_nbval(notebook: Path) -> dict[int, str]:
    """The outcome of each cell under the options of `make test`."""
    command = [sys.executable, "-m", "pytest", str(notebook), "--nbval-lax", "--nbval-current-env"]
    report = subprocess.run(
        [*command, "-rA", "-q", "-p", "no:cacheprovider", "--rootdir", str(notebook.parent)],
        cwd=notebook.parent,
        capture_output=True,
        text=True,
    ).stdout
    found = re.findall(r"^(PASSED|FAILED) \S*::Cell (\d+)", report, re.MULTILINE)
    assert found, report
    return {int(number): outcome for outcome, number in found}


def write(path: Path, cells: list[nbformat.NotebookNode]) -> Path:
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, path)
    return path


def cell_with(source: str, outputs: list, tags: list[str]) -> nbformat.NotebookNode:
    # nbval refuses outputs of a cell that was never counted as executed
    return nbformat.v4.new_code_cell(
        source, outputs=outputs, execution_count=1, metadata={"tags": tags}
    )


def checked_cell(source: str, outputs: list) -> nbformat.NotebookNode:
    return cell_with(source, outputs, [CHECK])


def stdout(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def replay(cell: nbformat.NotebookNode) -> str:
    """Code that prints a cell's stored outputs."""
    lines = ["from IPython.display import publish_display_data"]
    for output in cell.outputs:
        if output.output_type == "stream":
            lines.append(f"print({output.text!r}, end='')")
        else:
            lines.append(f"publish_display_data({dict(output.data)!r})")
    return "\n".join(lines)


def with_one_digit_altered(outputs: list) -> list:
    """A copy of the outputs in which the first digit of the first text is another one."""
    altered = copy.deepcopy(outputs)
    for output in altered:
        holder, key = (
            (output, "text") if output.output_type == "stream" else (output.data, "text/plain")
        )
        text = holder.get(key, "")
        digit = re.search(r"\d", text)
        if digit:
            other = str((int(digit.group()) + 1) % 10)
            holder[key] = text[: digit.start()] + other + text[digit.end() :]
            return altered
    raise AssertionError("no digit in the outputs")


def test_a_synthetic_notebook_passes_until_a_number_is_altered(tmp_path):
    right, wrong = stdout("loss 2.31\n"), stdout("loss 2.41\n")
    cells = [
        checked_cell("print('loss 2.31')", [right]),
        checked_cell("print('loss 2.31')", [wrong]),
        cell_with("print('unchecked 1')", [stdout("unchecked 2\n")], []),
    ]
    outcomes = run_nbval(write(tmp_path / "synthetic.ipynb", cells))
    assert outcomes == {0: "PASSED", 1: "FAILED", 2: "PASSED"}


def test_nbval_lets_a_checked_cell_without_output_pass_which_is_why_we_look(tmp_path):
    """If this fails, nbval has learned it and our own test of stored outputs may go."""
    never_run = checked_cell("print('loss 2.31')", [])
    never_run.execution_count = None
    cells = [never_run]
    assert run_nbval(write(tmp_path / "silent.ipynb", cells)) == {0: "PASSED"}


@pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)
def test_altering_one_stored_number_of_a_chapter_fails(source, tmp_path):
    cells, expected = [], {}
    for cell in executed(source).cells:
        if CHECK not in tags(cell):
            continue
        expected[len(cells)] = "PASSED"
        cells.append(checked_cell(replay(cell), cell.outputs))
        expected[len(cells)] = "FAILED"
        cells.append(checked_cell(replay(cell), with_one_digit_altered(cell.outputs)))
    assert expected
    assert run_nbval(write(tmp_path / source.with_suffix(".ipynb").name, cells)) == expected
