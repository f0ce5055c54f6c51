"""Run one chapter and store it with its outputs: NN_name.md -> NN_name.ipynb.

    python tools/execute_chapter.py book/chapters/01_why_does_adam_beat_sgd.md

The text is what people edit; the notebook is what the book, Colab and nbval read. A chapter whose
cells are those that were last executed is left alone (`--force` runs it all the same), and running
it again gives the same file when the outputs are the same: no timings per cell, no random ids.
What it was run with, and for how long, is stored in the notebook's metadata; the book's
environment page reads it there.
"""

import argparse
import hashlib
import os
import platform
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # two threads are slower and less stable at these sizes
os.environ["LINFCOURSE_SLIDERS"] = "0"  # nobody is here to move them (see linfcourse/sliders.py)

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

LANGUAGE = {"name": "python", "file_extension": ".py", "pygments_lexer": "ipython3"}
RECORD = "linfcourse"  # the key of our own entry in a notebook's metadata
VERSIONS_OF = ("torch", "numpy", "matplotlib", "linfcourse")
OBJECT_ADDRESS = re.compile(r" at 0x[0-9a-f]{6,}")
WIDGET = "application/vnd.jupyter.widget-view+json"


class ChapterError(Exception):
    """A chapter cannot be stored; the message names the cell and what to do."""


def read_source(source: Path) -> nbformat.NotebookNode:
    """The chapter's text as a notebook without outputs."""
    notebook = jupytext.read(source, fmt="md:myst")
    notebook.metadata.pop("jupytext", None)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:03d}"
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def cells_of(notebook: nbformat.NotebookNode) -> list[tuple[str, str, dict]]:
    """What must agree between text and notebook: kind, source and metadata of each cell."""
    return [(cell.cell_type, cell.source, dict(cell.metadata)) for cell in notebook.cells]


def fingerprint(notebook: nbformat.NotebookNode) -> str:
    """A hash of the code cells, in order: outputs belong to the code with this fingerprint."""
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return hashlib.sha256("\n\x00\n".join(code).encode()).hexdigest()[:16]


def is_current(source: Path, executed: Path) -> bool:
    """Whether the stored outputs belong to the text as it is now."""
    if not executed.exists():
        return False
    text, stored = read_source(source), nbformat.read(executed, as_version=4)
    return cells_of(text) == cells_of(stored) and fingerprint(text) == stored.metadata.get(
        RECORD, {}
    ).get("fingerprint")


def execute(source: Path, *, timeout: int = 1800) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel, in the chapter's folder.

    Raises:
        ChapterError: a cell raised, wrote to stderr, printed an object's address or showed a
            widget.
    """
    notebook = read_source(source)
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(source.parent)}},
        coalesce_streams=True,
        store_widget_state=False,
        record_timing=False,
    )
    started = time.perf_counter()
    try:
        client.execute()
    except CellExecutionError as error:
        raise ChapterError(f"{source}: {_failing_cell(notebook)} raised\n{error}") from None
    seconds = time.perf_counter() - started
    for number, cell in enumerate(notebook.cells):
        _check_outputs(cell, f"{source}: cell {number}")
    notebook.metadata["language_info"] = dict(LANGUAGE)  # the kernel's own names its version
    notebook.metadata[RECORD] = {
        "fingerprint": fingerprint(notebook),
        "seconds": round(seconds, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in VERSIONS_OF},
        "cpu": cpu_model(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    return notebook


def cpu_model() -> str:
    """The processor's name as the system gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()


def _failing_cell(notebook: nbformat.NotebookNode) -> str:
    for number, cell in enumerate(notebook.cells):
        if any(output.output_type == "error" for output in cell.get("outputs", [])):
            return f"cell {number} ({cell.source.strip().splitlines()[0]!r})"
    return "a cell"


def _check_outputs(cell: nbformat.NotebookNode, where: str) -> None:
    """Refuse what would differ from run to run or look broken on the page."""
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            raise ChapterError(
                f"{where} wrote to stderr, which the book would show as an error: silence the "
                f"warning at its cause, or turn the progress bar off\n{output.text}"
            )
        if WIDGET in (output.get("data") or {}):
            raise ChapterError(
                f"{where} shows a widget, which would be dead on a page without a kernel: show a "
                "figure, and sliders only with linfcourse.sliders.with_sliders"
            )
        texts = [output.get("text", ""), *(output.get("data") or {}).values()]
        for text in texts:
            if isinstance(text, str) and OBJECT_ADDRESS.search(text):
                raise ChapterError(
                    f"{where} shows an object's address, which differs from run to run: end its "
                    f"last line with a semicolon\n{text[:300]}"
                )


def _without_seconds(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    copy = nbformat.from_dict(notebook)
    copy.metadata.get(RECORD, {}).pop("seconds", None)
    return copy


def store(notebook: nbformat.NotebookNode, target: Path) -> bool:
    """Write the notebook; return whether it differs from what was there (other than in seconds)."""
    if target.exists():
        old = nbformat.read(target, as_version=4)
        if _without_seconds(old) == _without_seconds(notebook):
            target.touch()  # so that make sees it as newer than the text
            return False
    nbformat.validate(notebook)
    unfinished = target.with_suffix(".ipynb.tmp")
    unfinished.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    unfinished.replace(target)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the chapter's .md file")
    parser.add_argument("--force", action="store_true", help="run it though nothing changed")
    options = parser.parse_args()
    target = options.source.with_suffix(".ipynb")
    if is_current(options.source, target) and not options.force:
        target.touch()
        print(f"{target}: up to date")
        return 0
    import matplotlib.font_manager  # noqa: F401  builds its cache here, not as noise in a cell

    try:
        notebook = execute(options.source)
    except ChapterError as error:
        print(f"{error}\n{target} is left as it was.", file=sys.stderr)
        return 1
    changed = store(notebook, target)
    seconds = notebook.metadata[RECORD]["seconds"]
    print(f"{target}: {'written' if changed else 'the same outputs as before'}, {seconds} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
