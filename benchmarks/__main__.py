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

TABLES = Path(__file__).resolve().parents[1] / "book" / "benchmarks_tables.md"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    output = options.output or (results.FILE if options.size == "full" else None)
    committed = output is not None and output.resolve() == results.FILE
    found = results.load(output) if output else {"schema": results.SCHEMA, "benchmarks": {}}
    if not options.tables:
        torch.set_num_threads(1)
        for name in options.only:
            found["benchmarks"][name] = _measured(name, options.size)
            if output:  # after each, so that a kill loses one at most
                results.save(found, output)
    if committed:
        write_atomically(TABLES, page.render(found))
    if not output:
        print(page.render(found))
    return 0


def _measured(name: str, size: str) -> dict:
    start = time.perf_counter()

    def progress(line: str) -> None:
        print(f"{time.perf_counter() - start:6.0f} s  {name}: {line}", file=sys.stderr, flush=True)

    section = {"size": size, **results.circumstances()}
    before = results.load_average()
    section |= page.BENCHMARKS[name].measure(size, progress)
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
        help="full: what the book shows, some ten minutes and 10 GB; small: half a minute; "
        "tiny: only to see that it runs",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=tuple(page.BENCHMARKS),
        default=tuple(page.BENCHMARKS),
        metavar="NAME",
        help=f"some of {', '.join(page.BENCHMARKS)}; the others' results stay",
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
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
