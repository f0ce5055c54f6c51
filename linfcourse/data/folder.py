"""Where data that does not come with the package is kept."""

from __future__ import annotations

import os
from pathlib import Path


def data_folder(folder: str | Path | None = None) -> Path:
    """That folder; for None the one in the variable LINFCOURSE_DATA, else ~/.cache/linfcourse.

    >>> str(data_folder("/mnt/data"))
    '/mnt/data'
    """
    if folder is None:
        folder = os.environ.get("LINFCOURSE_DATA") or "~/.cache/linfcourse"
    return Path(folder).expanduser()
