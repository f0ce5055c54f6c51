"""For every test, set before torch is imported, here and in the kernels of nbval: one thread, and
figures without sliders also where the tests are started from a notebook. And figures are closed."""

import os
import sys

import pytest

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LINFCOURSE_SLIDERS"] = "0"


@pytest.fixture(autouse=True)
def _figures_are_closed():
    """Whatever a test or a doctest has drawn; matplotlib warns when more than twenty are open."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


def pytest_terminal_summary(terminalreporter):
    """The weight of every page, where it was measured."""
    weights = [
        value
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        for name, value in report.user_properties
        if name == "page weight"
    ]
    if weights:
        terminalreporter.section("pages on first load")
        for line in sorted(set(weights)):
            terminalreporter.write_line(line)
