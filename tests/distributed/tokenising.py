"""Run by torchrun: two processes open a text that nobody has tokenised, or that cannot be.

torchrun --nproc_per_node=2 tokenising.py FOLDER [killed]
"""

import os
import signal
import sys
import time
from pathlib import Path

from linfcourse import distributed
from linfcourse.data import openwebtext


def attempt(notes: Path, name: str, **options) -> None:
    """Open a text and note what came of it."""
    rank = distributed.rank()
    try:
        text = openwebtext(tokenizer="bytes", **options)
        found = f"{text.source} {len(text.train)}"
    except (RuntimeError, ValueError) as error:
        found = f"{type(error).__name__}: {error}"
    (notes / f"{name}-{rank}").write_text(found)


def killed(folder: Path) -> None:
    """The writer is killed while it tokenises."""

    def read(path: Path) -> str:
        (folder / "begun").touch()
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    sys.modules["linfcourse.data.openwebtext"]._text = read
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # time to write down what was raised
    with distributed.data_parallel():
        attempt(folder, "killed", folder=folder / "shared", files=[folder / "good.txt"])


def main(folder: Path) -> None:
    module = sys.modules["linfcourse.data.openwebtext"]
    read = module._text

    def logged(path: Path) -> str:
        with (folder / "log").open("a") as log:
            log.write(f"{path.name} by {distributed.rank()}\n")
        return read(path)

    def slow(path: Path) -> str:
        time.sleep(5)  # longer than the processes' usual patience
        return logged(path)

    good, other, bad = folder / "good.txt", folder / "other.txt", folder / "bad.txt"
    with distributed.data_parallel(timeout=3):
        rank = distributed.rank()
        module._text = slow
        attempt(folder, "good", folder=folder / "shared", files=[good])
        module._text = logged
        attempt(folder, "bad", folder=folder / "shared", files=[bad])
        attempt(folder, "own", folder=folder / f"disk-{rank}", files=[good])
        mine = [[good], [other]][rank]
        attempt(folder, "different", folder=folder / f"other-disk-{rank}", files=mine)


if __name__ == "__main__":
    (killed if "killed" in sys.argv else main)(Path(sys.argv[1]))
