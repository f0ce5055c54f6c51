"""Write the address of the library's wheel into the install cell of executed chapters, in place.

    python tools/stamp_notebooks.py https://…/linfcourse-0.1.0-py3-none-any.whl NOTEBOOK…

The publishing workflow does this in its own checkout, so that a notebook opened in Colab installs
the library of the very book that it came from. Committed notebooks stay unstamped.
"""

import argparse
import sys
from pathlib import Path
from urllib.parse import urlsplit

import nbformat

if __package__:
    from .install_cell import INSTALL_CELL, UNSTAMPED
else:
    from install_cell import INSTALL_CELL, UNSTAMPED


def stamp(notebook: nbformat.NotebookNode, wheel: str) -> None:
    """Fill in `WHEEL` in the notebook's install cell.

    Raises:
        ValueError: the address is not that of a wheel, or there is no unstamped install cell.
    """
    if urlsplit(wheel).scheme != "https" or not wheel.endswith(".whl") or '"' in wheel:
        raise ValueError(f"wheel must be the https address of a .whl file, got {wheel!r}")
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source.strip() == INSTALL_CELL.strip():
            cell.source = cell.source.replace(UNSTAMPED, f'WHEEL = "{wheel}"', 1)
            return
    raise ValueError("no install cell as in tools/install_cell.py: run `make chapters` first")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", help="https address of the wheel")
    parser.add_argument("notebooks", nargs="+", type=Path)
    options = parser.parse_args()
    for path in options.notebooks:
        notebook = nbformat.read(path, as_version=4)
        try:
            stamp(notebook, options.wheel)
        except ValueError as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 1
        path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
