"""Would the notebooks run in Colab? Each one, in an environment with Colab's published versions.

    python tools/colab_contract.py [--only 06] [--folder _build/colab]

A clean environment gets the versions of Colab's runtime and what Colab has to run notebooks; then
the course's wheel, which must not move any of them. Every chapter runs from top to bottom in an
empty folder, with the repository out of reach. What torch Colab has depends on its machine; here
it is the one in constraints.txt.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Colab's runtime 2026.01, as published: what the course uses of it.
RUNTIME = {"numpy": "2.0.2", "ipywidgets": "7.7.1", "matplotlib": "3.10.0", "altair": "5.5.0"}
# Colab has these, too, in versions that do not matter here.
ALSO = ("ipykernel", "nbclient", "scipy")
RUN_NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
path = sys.argv[1]
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
for cell in notebook.cells:
    for output in cell.get("outputs", []):
        if output.get("name") == "stderr":
            sys.exit("a cell wrote to stderr: " + output.text)
"""


def clean_environment() -> dict[str, str]:
    """This process's variables, without those that lead to another Python or to this repository."""
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME")
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return {**kept, "OMP_NUM_THREADS": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: object, **options: object) -> str:
    """A command's output; its errors end the contract."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True, text=True, env=clean_environment(), **options,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command[:6]))} …\n{done.stdout}\n{done.stderr}")
    return done.stdout


def versions(python: Path) -> dict[str, str]:
    """Name and version of everything that is installed."""
    lines = run(python, "-m", "pip", "freeze", "--all").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {name.lower(): version for name, version in pairs}


def moved(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """What has another version than before, or is gone."""
    return [
        f"{name} {version} -> {after.get(name, 'gone')}"
        for name, version in before.items()
        if after.get(name) != version
    ]


def make_runtime(folder: Path) -> Path:
    """An environment like Colab's; its Python. One that is there is used again."""
    python = folder / "bin" / "python"
    torch = re.search(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE).group()
    wanted = [f"{name}=={version}" for name, version in RUNTIME.items()]
    mark = folder / ".made-of"
    if not mark.exists() or mark.read_text() != " ".join([torch, *wanted, *ALSO]):
        venv.create(folder, clear=True, with_pip=True)
        run(python, "-m", "pip", "install", "--quiet", torch, *wanted, *ALSO)
        mark.write_text(" ".join([torch, *wanted, *ALSO]))
    return python


def install_wheel(python: Path, folder: Path) -> None:
    """Build the wheel and install it as the notebook's first cell does.

    Raises:
        RuntimeError: the installation failed, or moved a version of the runtime.
    """
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "linfcourse")
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
    (wheel,) = folder.glob("linfcourse-*.whl")
    before = versions(python)
    run(python, "-m", "pip", "install", "--quiet", wheel)
    changes = moved(before, versions(python))
    if changes:
        raise RuntimeError(f"the wheel moves what Colab has: {', '.join(changes)}")


def run_chapter(python: Path, notebook: Path) -> tuple[float, str | None]:
    """Seconds, and what went wrong or None."""
    with tempfile.TemporaryDirectory() as empty:
        copy = shutil.copy(notebook, empty)
        began = time.perf_counter()
        try:
            run(python, "-c", RUN_NOTEBOOK, copy, cwd=empty)
        except RuntimeError as error:
            return time.perf_counter() - began, str(error)[-1500:]
        return time.perf_counter() - began, None


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="chapters whose name starts so, such as 06")
    parser.add_argument("--folder", type=Path, default=ROOT / "_build" / "colab")
    options = parser.parse_args(arguments)
    notebooks = sorted((ROOT / "book" / "chapters").glob(f"{options.only}*.ipynb"))
    if not notebooks:
        print(f"no chapter starts with {options.only!r}", file=sys.stderr)
        return 2
    try:
        python = make_runtime(options.folder / "runtime")
        install_wheel(python, options.folder / "wheel")
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    failed = 0
    for notebook in notebooks:
        seconds, fault = run_chapter(python, notebook)
        failed += fault is not None
        print(
            f"{'ok  ' if fault is None else 'FAIL'} {seconds:5.0f} s  {notebook.stem}", flush=True
        )
        if fault:
            print(fault, flush=True)
    print(f"{len(notebooks) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
