"""Figures with sliders: a finished figure on every page, sliders only where somebody moves them."""

import os

import ipywidgets
import matplotlib.pyplot as plt
import nbformat
import pytest
from nbclient import NotebookClient

from linfcourse import sliders as module
from linfcourse.sliders import somebody_is_here, with_sliders

WIDGET = "application/vnd.jupyter.widget-view+json"
SOURCE = """
import matplotlib.pyplot as plt
from linfcourse.figures import use_style
from linfcourse.sliders import with_sliders
use_style()
def draw(lr=0.1, beta1=0.9):
    figure, ax = plt.subplots()
    ax.plot([0, lr], [0, beta1])
    return figure
with_sliders(draw, lr=(0.01, 0.1), beta1=(0.0, 0.9))
"""


def draw(lr=0.1, beta1=0.9):
    figure, ax = plt.subplots()
    ax.set_title(f"{lr} {beta1}")
    return figure


@pytest.fixture
def shown(monkeypatch):
    """What `with_sliders` displays, in order."""
    things = []
    monkeypatch.setattr(module, "display", things.append)
    return things


def execute(monkeypatch, source=SOURCE, **variables):
    """The outputs of one cell in a fresh kernel that a program starts."""
    monkeypatch.delenv(module.SWITCH, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [output.get("data", {}) for output in notebook.cells[0].outputs]


def test_where_a_program_executes_the_notebook_there_is_one_finished_figure(monkeypatch):
    (data,) = execute(monkeypatch)
    assert "image/svg+xml" in data
    assert WIDGET not in data


def test_where_a_jupyter_server_started_the_kernel_there_are_sliders(monkeypatch):
    data = execute(monkeypatch, JPY_SESSION_NAME="/home/reader/05.ipynb")
    assert any(WIDGET in output for output in data)
    data = execute(monkeypatch, JPY_SESSION_NAME="/home/reader/05.ipynb", LINFCOURSE_SLIDERS="0")
    assert not any(WIDGET in output for output in data)


def test_in_colab_and_vs_code_somebody_is_here_and_in_plain_python_nobody_is(monkeypatch):
    monkeypatch.delenv(module.SWITCH)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    assert not somebody_is_here()
    shell = type("Shell", (), {"kernel": object(), "user_ns": {}})()
    monkeypatch.setattr(module, "get_ipython", lambda: shell)
    assert not somebody_is_here()
    shell.user_ns["__vsc_ipynb_file__"] = "05.ipynb"
    assert somebody_is_here()
    shell.user_ns.clear()
    monkeypatch.setitem(module.sys.modules, "google.colab", object())
    assert somebody_is_here()
    monkeypatch.setenv(module.SWITCH, "0")
    assert not somebody_is_here()


def test_tests_never_see_sliders():
    assert os.environ[module.SWITCH] == "0"


def test_the_figure_is_that_of_the_defaults_and_is_closed(shown):
    before = plt.get_fignums()
    with_sliders(draw, lr=(0.01, 0.1))
    assert [figure.axes[0].get_title() for figure in shown] == ["0.1 0.9"]
    assert plt.get_fignums() == before


def test_moving_a_slider_draws_the_figure_of_the_new_value(shown):
    with_sliders(draw, sliders=True, lr=(0.01, 0.1), beta1=(0.0, 0.9))
    (box,) = [thing for thing in shown if isinstance(thing, ipywidgets.VBox)]
    lr, beta1, _ = box.children
    assert (lr.value, beta1.value, beta1.description) == (0.1, 0.9, "β₁")
    lr.value = 0.01
    titles = [t.axes[0].get_title() for t in shown if not isinstance(t, ipywidgets.VBox)]
    assert titles == ["0.1 0.9", "0.01 0.9"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"eta": (1, 2)}, TypeError, "no argument 'eta'"),
        ({"lr": (1.0, 2.0)}, ValueError, "must offer draw's default 0.1"),
        ({}, TypeError, "at least one control"),
    ],
)
def test_a_control_that_does_not_fit_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        with_sliders(draw, **arguments)


def test_what_is_no_figure_or_has_no_default_is_refused(shown):
    with pytest.raises(TypeError, match="must return a matplotlib Figure"):
        with_sliders(lambda lr=1: "figure", lr=(1, 2))
    with pytest.raises(TypeError, match="needs a default"):
        with_sliders(lambda lr: draw(lr), lr=(1, 2))
    assert shown == []
