"""Our side of one submission: starts its process, asks, and waits no longer than it may."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle

from linfcourse.classroom import confinement, wire

LIBRARY = Path(__file__).resolve().parents[2]
NOBODY = 65534


@functools.cache
def _hand_to_nobody() -> bool:
    """Where there are no namespaces, root runs submissions as a user who owns nothing.

    Unless that user may not read Python and the library, as in a folder of root's own.
    """
    if confinement.namespaces() or os.geteuid() != 0:
        return False
    code = f"import sys; sys.path.insert(0, {str(LIBRARY)!r}); import linfcourse.classroom.worker"
    try:
        tried = subprocess.run(
            [sys.executable, "-I", "-c", code], user=NOBODY, capture_output=True, timeout=120
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return tried.returncode == 0


@dataclass(frozen=True)
class Limits:
    """What one submission may use: seconds for all, a cell and a call; bytes; processes."""

    total: float = 300.0
    cell: float = 60.0
    call: float = 20.0
    memory: int = 3 * 2**30
    disk: int = 2**29
    processes: int = 16


class SubmissionError(Exception):
    """What a student's code did wrong: raised an error, gave no data, or ended its process."""


class Missing(SubmissionError):
    """A name that the notebook does not define."""


class Function:
    """A function of the submission: called here, it runs over there on copies of the arguments."""

    def __init__(self, session: Session, number: int, name: str = "your function") -> None:
        self._session, self._number, self._life = session, number, session.life
        self.__name__ = name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        if self._life != self._session.life:
            raise SubmissionError(f"{self.__name__} belongs to a process that has ended")
        request = {"ask": "call", "function": self._number, "arguments": arguments, "named": named}
        return self._session.ask(request, self._session.limits.call, self.__name__)


class Session:
    """One submission's process. If it dies, the next question gets a fresh one."""

    def __init__(self, cells: list[str], limits: Limits = Limits()) -> None:
        self.cells, self.limits = cells, limits
        self.errors: list[str] = []
        self.life = 0
        self.output = b""
        self._deadline = time.monotonic() + limits.total
        self._process: subprocess.Popen | None = None
        self.hopeless: SubmissionError | None = None

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def get(self, name: str) -> Any:
        """The value of a name in the notebook after its last cell.

        Raises:
            Missing: the notebook does not define it.
            SubmissionError: it is not plain data, or the process has died.
        """
        value = self.ask({"ask": "name", "name": name}, self.limits.call, name)
        if isinstance(value, Function):
            value.__name__ = name
        return value

    def start(self) -> None:
        """Run the notebook in a new process."""
        self.life += 1
        self._folder = tempfile.mkdtemp(prefix="submission-")
        other_user = {"user": NOBODY} if _hand_to_nobody() else {}
        if other_user:
            os.chown(self._folder, NOBODY, -1)
        there, self._out = os.pipe()
        self._in, back = os.pipe()
        limits = self.limits
        code = (
            f"import sys; sys.path.insert(0, {str(LIBRARY)!r})\n"
            "from linfcourse.classroom import worker\n"
            f"worker.main({there}, {back}, {self._folder!r}, {limits.memory}, "
            f"{int(limits.total) + 60})"
        )
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "HOME": self._folder,
            "TMPDIR": self._folder,
            "MPLCONFIGDIR": self._folder,
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",
            "LINFCOURSE_SLIDERS": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TORCHINDUCTOR_CACHE_DIR": self._folder,
        }
        self._process = subprocess.Popen(
            [*confinement.namespaces(), sys.executable, "-I", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(there, back),
            cwd=self._folder,
            env=environment,
            start_new_session=True,
            **other_user,
        )
        os.close(there)
        os.close(back)
        threading.Thread(target=self._drain, args=(self._process,), daemon=True).start()
        threading.Thread(
            target=self._watch, args=(self._process, self._folder), daemon=True
        ).start()
        request = {"ask": "run", "cells": self.cells, "cell_seconds": self.limits.cell}
        try:
            self.errors = [str(line) for line in self._exchange(request, limits.total, "a cell")]
        except (SubmissionError, TypeError) as error:
            self.stop()
            self.hopeless = SubmissionError(f"the notebook cannot be run: {error}")
            raise self.hopeless from None

    def ask(self, request: dict[str, Any], seconds: float, what: str) -> Any:
        """Send a request and return the answer, or raise SubmissionError."""
        if self.hopeless:
            raise self.hopeless
        if self._process is None:
            self.start()
        return self._exchange(request, seconds, what)

    def _exchange(self, request: dict[str, Any], seconds: float, what: str) -> Any:
        left = self._deadline - time.monotonic()
        if left <= 0:
            self.stop()
            raise SubmissionError("the submission has used up its time")
        request["seconds"] = min(seconds, left)
        try:
            message = wire.frame(cloudpickle.dumps(request))
            self._write(message, time.monotonic() + min(seconds, left) + 2)
            answer = self._read(time.monotonic() + min(seconds, left) + 2)
            kind, value = wire.decode(answer, lambda number: Function(self, number))
        except TimeoutError:
            self.stop()
            raise SubmissionError(f"{what} took too long") from None
        except (OSError, EOFError):
            self.stop()
            raise SubmissionError(f"{what} ended the process") from None
        except (wire.Malformed, TypeError, ValueError):
            self.stop()
            raise SubmissionError(f"{what} sent something that is no answer") from None
        if kind == "missing":
            raise Missing(f"the notebook does not define {what}")
        if kind == "error":
            raise SubmissionError(f"{what}: {value}")
        return value

    def _write(self, message: bytes, deadline: float) -> None:
        view = memoryview(message)
        os.set_blocking(self._out, False)
        while view:
            _, ready, _ = select.select([], [self._out], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            view = view[os.write(self._out, view[:65536]) :]

    def _read(self, deadline: float) -> bytes:
        head = self._read_exactly(8, deadline)
        (length,) = struct.unpack(">Q", head)
        if length > wire.LONGEST:
            raise wire.Malformed("too long")
        return self._read_exactly(length, deadline)

    def _read_exactly(self, length: int, deadline: float) -> bytes:
        parts, left = [], length
        while left:
            ready, _, _ = select.select([self._in], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError
            part = os.read(self._in, min(left, 2**20))
            if not part:
                raise EOFError
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def _drain(self, process: subprocess.Popen, keep: int = 20_000) -> None:
        """Read the output to its end, however long, and keep the beginning."""
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(process.stdout.fileno(), 65536):
                self.output = (self.output + part)[:keep]

    def _watch(self, process: subprocess.Popen, folder: str) -> None:
        """Kill a submission that takes too much memory or disk, or starts too many processes.

        A single process meets its own limit first, as a MemoryError; this one is for many.
        """
        while process.poll() is None:
            pids = confinement.processes_below(process.pid)
            if (
                len(pids) > self.limits.processes
                or confinement.memory_of(pids) > 1.5 * self.limits.memory
                or confinement.size_of(folder, self.limits.disk) >= self.limits.disk
            ):
                _kill(process)
                return
            time.sleep(0.2)

    def stop(self) -> None:
        """End the process and everything that it started, and remove its folder."""
        if self._process is None:
            return
        process, self._process = self._process, None
        _kill(process)
        for handle in (self._in, self._out):
            with contextlib.suppress(OSError):
                os.close(handle)
        shutil.rmtree(self._folder, ignore_errors=True)


def _kill(process: subprocess.Popen) -> None:
    """Kill the process with all its descendants."""
    for pid in reversed(confinement.processes_below(process.pid) or [process.pid]):
        with contextlib.suppress(OSError):
            os.kill(pid, 9)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
