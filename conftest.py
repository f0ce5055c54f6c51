"""For every test, set before torch is imported, here and in the kernels of nbval: one thread, and
figures without sliders also where the tests are started from a notebook."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["LINFCOURSE_SLIDERS"] = "0"


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
