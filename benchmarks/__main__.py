"""Measure, write results.json, and draw the book's tables from it: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks import page, results
from linfcourse.records import write_atomically

NO_GPU = (
    "--device cuda needs an NVIDIA GPU, and torch finds none here "
    "(torch.cuda.is_available() is False): run it on a machine that has one."
)
TABLES = Path(__file__).resolve().parents[1] / "book" / "benchmarks_tables.md"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    output = options.output or (results.FILE if options.size == "full" else None)
    committed = output is not None and output.resolve() == results.FILE
    found = results.load(output) if output else results.empty()
    if not options.tables:
        if options.device == "cuda" and not torch.cuda.is_available():
            print(NO_GPU, file=sys.stderr)
            return 1
        torch.set_num_threads(1)
        part = found["benchmarks" if options.device == "cpu" else "cuda"]
        for name in options.only:
            part[name] = _measured(name, options.size, options.device)
            if output:  # after each, so that a kill loses one at most
                results.save(found, output)
    if committed:
        write_atomically(TABLES, page.render(found))
    if not output:
        print(page.render(found))
    return 0


def _measured(name: str, size: str, device: str) -> dict:
    start = time.perf_counter()

    def progress(line: str) -> None:
        print(f"{time.perf_counter() - start:6.0f} s  {name}: {line}", file=sys.stderr, flush=True)

    section = {"size": size, **results.circumstances(device)}
    before = results.load_average()
    if device == "cpu":
        section |= page.BENCHMARKS[name].measure(size, progress)
    else:
        section |= page.ON_GPU[name].measure(size, progress, device)
        torch.cuda.empty_cache()
    section["load"] = {"before": before, "after": results.load_average()}
    section["wall_seconds"] = time.perf_counter() - start
    progress("done")
    return section


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--size",
        choices=("tiny", "small", "full"),
        default="full",
        help="full: what the book shows, some 25 minutes and 12 GB; small: half a minute; "
        "tiny: only to see that it runs",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        help=f"some of {', '.join(page.BENCHMARKS)}, or on a GPU of {', '.join(page.ON_GPU)}; the "
        "others' results stay",
    )
    parser.add_argument(
        "--device",
        choices=("cpu", "cuda"),
        default="cpu",
        help="cuda: what is measured on a GPU, kept beside the CPU's results",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="results file; by default benchmarks/results.json at size full, with the book's "
        "tables; else none, and the tables are printed",
    )
    parser.add_argument(
        "--tables",
        action="store_true",
        help="measure nothing: draw the book's tables from the committed results",
    )
    options = parser.parse_args(arguments)
    names = tuple(page.BENCHMARKS if options.device == "cpu" else page.ON_GPU)
    unknown = sorted(set(options.only or ()) - set(names))
    if unknown:
        parser.error(
            f"--only: no benchmark {', '.join(unknown)} for --device {options.device}; there are "
            f"{', '.join(names)}"
        )
    options.only = options.only or names
    return options


if __name__ == "__main__":
    sys.exit(main())
