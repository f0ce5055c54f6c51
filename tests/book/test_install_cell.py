"""The first cell of a chapter: does nothing in a clone, installs one stamped wheel elsewhere."""

import subprocess
import sys

import nbformat
import pytest

from tools.install_cell import INSTALL_CELL, UNSTAMPED
from tools.stamp_notebooks import stamp

WHEEL = "https://example.org/linfcourse-0.1.0-py3-none-any.whl"


@pytest.fixture
def pip_calls(monkeypatch):
    """Record what would be installed, and install nothing."""
    calls = []

    def run(command, **_):
        calls.append(command)
        return subprocess.CompletedProcess(command, returncode=1)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def run_cell(source: str) -> None:
    exec(compile(source, "install cell", "exec"), {})


def test_where_the_library_imports_nothing_happens(pip_calls):
    run_cell(INSTALL_CELL)
    assert pip_calls == []


def test_unstamped_it_says_what_to_do_and_installs_nothing(pip_calls, monkeypatch):
    monkeypatch.setitem(sys.modules, "linfcourse", None)
    with pytest.raises(ModuleNotFoundError, match="make book"):
        run_cell(INSTALL_CELL)
    assert pip_calls == []


def test_stamped_it_installs_that_wheel_and_never_a_bare_name(pip_calls, monkeypatch):
    monkeypatch.setitem(sys.modules, "linfcourse", None)
    with pytest.raises(RuntimeError, match="upload it"):
        run_cell(INSTALL_CELL.replace(UNSTAMPED, f'WHEEL = "{WHEEL}"'))
    (command,) = pip_calls
    assert command[-1] == WHEEL
    assert "linfcourse" not in command


def test_a_broken_dependency_is_not_mistaken_for_a_missing_library(pip_calls, monkeypatch):
    monkeypatch.delitem(sys.modules, "linfcourse", raising=False)

    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "linfcourse":
                raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(ModuleNotFoundError, match="torch"):
        run_cell(INSTALL_CELL)
    assert pip_calls == []


def notebook(source: str = INSTALL_CELL) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source.strip())])


def test_stamping_fills_in_the_wheel_and_nothing_else():
    stamped = notebook()
    stamp(stamped, WHEEL)
    expected = INSTALL_CELL.replace(UNSTAMPED, f'WHEEL = "{WHEEL}"').strip()
    assert stamped.cells[0].source == expected


@pytest.mark.parametrize("address", ["linfcourse", "http://example.org/a.whl", WHEEL + '"#.whl'])
def test_only_the_https_address_of_a_wheel_is_stamped(address):
    with pytest.raises(ValueError, match=r"https address of a \.whl"):
        stamp(notebook(), address)


def test_a_notebook_without_the_cell_is_refused():
    with pytest.raises(ValueError, match="no install cell"):
        stamp(notebook("import linfcourse"), WHEEL)
