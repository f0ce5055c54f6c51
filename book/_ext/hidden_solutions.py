"""The book without the solutions of its exercises: `make book SOLUTIONS=hidden`.

sphinx-exercise leaves solutions out of the pages, and so out of the search. The sources that pages
offer for download hold them still, so they are taken out there, too.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

VARIABLE = "LINFCOURSE_SOLUTIONS"
OPENING = re.compile(r"^\s*(:{3,}|`{3,})\{solution(-start)?\}")


def without_solutions(text: str) -> str:
    """MyST text without its `{solution}` blocks."""
    kept, fence = [], None
    for line in text.split("\n"):
        if fence is None and (opened := OPENING.match(line)):
            fence = opened[1]
        elif fence is None:
            kept.append(line)
        elif line.strip() == fence:
            fence = None
    return "\n".join(kept)


def strip_file(path: Path) -> None:
    """Take the solutions out of a notebook or a text, in place."""
    if path.suffix != ".ipynb":
        path.write_text(without_solutions(path.read_text(encoding="utf-8")), encoding="utf-8")
        return
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = without_solutions("".join(cell["source"])).splitlines(keepends=True)
    path.write_text(json.dumps(notebook, ensure_ascii=False, indent=1), encoding="utf-8")


def _hide(app, config) -> None:
    config.hide_solutions = True


def _strip(app, exception) -> None:
    if exception is None:
        for folder in ("_sources", "_downloads"):
            for path in Path(app.outdir, folder).rglob("*"):
                if path.suffix in (".md", ".ipynb", ".txt"):
                    strip_file(path)


def setup(app):
    if os.environ.get(VARIABLE) == "hidden":
        app.connect("config-inited", _hide)
        app.connect("build-finished", _strip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
