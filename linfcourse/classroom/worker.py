"""The submission's side: runs its cells, then answers calls. Nothing of a test is in this process.

What a submission does to this code it does to itself: the other side believes only plain data.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import pickle
import signal
import struct
import sys
import tempfile
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from linfcourse import classroom
from linfcourse.classroom import confinement, wire

LONGEST_ERROR = 400  # characters of an exception's text


class OutOfTime(BaseException):
    """A cell or a call took too long. Not an Exception, so that a bare `except` lets it pass."""


@contextlib.contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """A soft limit; the hard one is on the other side."""

    def stop(*_: Any) -> None:
        raise OutOfTime(f"longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def python_of(source: str) -> str:
    """A cell's code without what only a notebook understands: magics and shell commands."""
    if source.startswith(("%%bash", "%%sh", "%%html", "%%javascript", "%%writefile", "%%latex")):
        return ""
    lines = source.splitlines()
    for _ in range(len(lines)):
        try:
            compile("\n".join(lines), "cell", "exec")
        except SyntaxError as error:
            at = (error.lineno or 0) - 1
            line = lines[at] if 0 <= at < len(lines) else ""
            if not (line.lstrip().startswith(("%", "!", "?")) or line.rstrip().endswith("?")):
                return source
            lines[at] = line[: len(line) - len(line.lstrip())] + "pass"
        else:
            break
    return "\n".join(lines)


def _stand_ins() -> None:
    """For the checks inside the student's notebook: the same names, and they do nothing."""

    class Notebook:
        def __init__(self, *_: Any, **__: Any) -> None:
            pass

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    otter = types.ModuleType("otter")
    otter.Notebook = Notebook
    sys.modules["otter"] = otter
    classroom.Checks = Notebook
    builtins.display = lambda *_, **__: None
    builtins.get_ipython = lambda: Notebook()


def run_cells(cells: list[str], seconds: float) -> tuple[dict[str, Any], list[str]]:
    """Run the cells one after the other; one that fails does not stop the next.

    Returns the names they leave and what went wrong, one line a cell.
    """
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    errors = []
    for number, source in enumerate(cells, 1):
        try:
            with at_most(seconds):
                exec(compile(python_of(source), f"<cell {number}>", "exec"), module.__dict__)
        except BaseException as error:
            errors.append(f"cell {number}: {_text(error)}")
    return module.__dict__, errors


def _text(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:LONGEST_ERROR]
    except BaseException:
        return type(error).__name__


class Answers:
    """Answers calls over the two pipes until the other side hangs up."""

    def __init__(self, reader: int, writer: int) -> None:
        self.reader = os.fdopen(reader, "rb")
        self.writer = os.fdopen(writer, "wb")
        self.kept: list[Any] = []
        self.names: dict[str, Any] = {}

    def receive(self) -> Any:
        head = self.reader.read(8)
        if len(head) < 8:
            raise EOFError
        (length,) = struct.unpack(">Q", head)
        return pickle.loads(self.reader.read(length))

    def send(self, value: Any) -> None:
        self.writer.write(wire.frame(wire.encode(value, self.keep)))
        self.writer.flush()

    def keep(self, function: Any) -> int:
        self.kept.append(function)
        return len(self.kept) - 1

    def answer(self, request: dict[str, Any]) -> Any:
        """What one request asks for, as a tuple that begins with "value" or "error"."""
        try:
            with at_most(request["seconds"]):
                if request["ask"] == "run":
                    self.names, errors = run_cells(request["cells"], request["cell_seconds"])
                    return ("value", errors)
                if request["ask"] == "name":
                    if request["name"] not in self.names:
                        return ("missing", request["name"])
                    return ("value", self.names[request["name"]])
                function = self.kept[request["function"]]
                return ("value", function(*request["arguments"], **request["named"]))
        except BaseException as error:
            return ("error", _text(error))

    def serve(self) -> None:
        """Answer until there is nothing more to answer."""
        while True:
            try:
                request = self.receive()
            except EOFError:
                return
            answer = self.answer(request)
            try:
                self.send(answer)
            except (TypeError, ValueError, RuntimeError, RecursionError) as error:
                self.send(("error", str(error)[:LONGEST_ERROR]))


def main(reader: int, writer: int, folder: str, memory: int, seconds: int) -> None:
    """Shut the doors, then run what the other side sends."""
    torch.set_num_threads(1)
    package = Path(__file__).resolve().parents[1]
    tempfile.tempdir = folder
    os.chdir(folder)
    _stand_ins()
    libraries = [sys.prefix, sys.base_prefix, package, package.parent / "book" / "records"]
    system = ["/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev"]
    libraries += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    # the venv may lie in the same folder as the tests, so nothing above these is opened
    confinement.confine_files([*libraries, *system], [folder, "/dev/null"])
    confinement.limit_resources(memory, seconds)
    sys.path[:] = [path for path in sys.path if path]
    Answers(reader, writer).serve()
