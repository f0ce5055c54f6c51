"""What a submission's process may not do. Linux holds these; elsewhere only time is limited.

* no network, no signal to a process outside (namespaces of its own, by `unshare`);
* no file outside Python's and the library's folders and its own temporary one (Landlock);
* no more memory, file size and processor time than it is given (rlimits).
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import resource
import shutil
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every architecture
PATH_BENEATH = 1
READ = 0b1101  # execute, read a file, read a folder
OF_A_FILE = 0b111 | 1 << 14 | 1 << 15  # the rights that a file can have: the rest are a folder's
RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights a kernel knows
NO_NEW_PRIVILEGES = 38


@functools.cache
def namespaces() -> list[str]:
    """A command prefix that gives a process its own network, process numbers and shared memory.

    Where mounting is allowed as well, it sees only its own processes in /proc, and an empty /run,
    where services of the machine have their sockets.
    """
    if platform.system() != "Linux" or not shutil.which("unshare"):
        return []
    own = ["unshare", "--user", "--map-root-user", "--net", "--ipc", "--pid", "--fork"]
    own += ["--kill-child"]
    hide_run = ["sh", "-c", 'mount -t tmpfs none /run && exec "$@"', "sh"]
    for prefix in ([*own, "--mount-proc", *hide_run], own):
        tried = subprocess.run([*prefix, "true"], capture_output=True, timeout=20)
        if tried.returncode == 0:
            return prefix
    return []


def _landlock_version() -> int:
    if platform.system() != "Linux":
        return 0
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint(1)))


def means() -> dict[str, bool]:
    """What this machine can hold a submission back from."""
    return {
        "network and other processes": bool(namespaces()),
        "files": _landlock_version() > 0,
        "memory and time": platform.system() == "Linux",
    }


def confine_files(read: Iterable[str | Path], write: Iterable[str | Path]) -> bool:
    """From now on this process and its children open nothing else. False: the kernel cannot.

    Where the kernel knows how, they do not connect or send signals to other processes either.
    """
    version = _landlock_version()
    if version == 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    every = (1 << RIGHTS_OF_VERSION.get(version, 16)) - 1
    # newer kernels also refuse TCP (bind, connect), and signals and abstract sockets to the outside
    attributes = struct.pack("QQQ", every, 0b11, 0b11)[
        : 8 if version < 4 else 16 if version < 6 else 24
    ]
    rules = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if rules < 0:
        return False
    for paths, rights in ((read, READ), (write, every)):
        for path in paths:
            try:
                handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            granted = rights & every if os.path.isdir(path) else rights & every & OF_A_FILE
            rule = struct.pack("=Qi", granted, handle)
            failed = libc.syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0)
            os.close(handle)
            if failed:
                return False
    if libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.syscall(RESTRICT_SELF, rules, 0):
        return False
    os.close(rules)
    return True


def limit_resources(memory: int, seconds: int, file_size: int = 64 * 2**20) -> None:
    """Memory and file size in bytes, processor time in seconds, for each process by itself."""
    for limit, value in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, file_size),
        (resource.RLIMIT_CORE, 0),
    ):
        try:
            resource.setrlimit(limit, (value, value))
        except (ValueError, OSError):  # macOS does not know all of them
            continue


def processes_below(pid: int) -> list[int]:
    """The process and all its descendants; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = entry.read_text().rsplit(")", 1)[1].split()
        except (OSError, IndexError):
            continue
        children.setdefault(int(after_name[1]), []).append(int(entry.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def memory_of(pids: Iterable[int]) -> int:
    """Bytes of memory that the processes hold."""
    pages = 0
    for pid in pids:
        try:
            pages += int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue
    return pages * resource.getpagesize()


def size_of(folder: str | Path, enough: int) -> int:
    """Bytes of a folder's files, each counted as at least 4096; stops counting at `enough`."""
    total, todo = 0, [str(folder)]
    while todo and total < enough:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                    total += max(4096, entry.stat(follow_symlinks=False).st_size)
                    if total >= enough:
                        break
        except OSError:
            continue
    return total
