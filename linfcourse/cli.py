"""The command line: `linfcourse run NAME`, `linfcourse claims`, `linfcourse records`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from linfcourse import experiments, ledger
from linfcourse.records import Record, recorded_folder


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 done, 1 a check failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"linfcourse: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("linfcourse: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="linfcourse", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run one experiment and write its record")
    run.add_argument("name", help=f"one of: {', '.join(experiments.NAMES)}")
    run.add_argument("--scale", default="cpu", help="cpu (default), gpu or paper")
    run.add_argument("--folder", default="runs", help="finished trials and the record (runs)")
    run.add_argument("--device", help="where to run; default: the GPU if there is one")
    run.set_defaults(command=_run)

    claims = commands.add_parser("claims", help="print every claim with its verdict")
    claims.add_argument("--folder", default=recorded_folder(), help="where the records are")
    claims.add_argument("--markdown", action="store_true", help="as a Markdown table")
    claims.set_defaults(command=_claims)

    listing = commands.add_parser("records", help="list the records and what is missing")
    listing.add_argument("--folder", default=recorded_folder(), help="where the records are")
    listing.set_defaults(command=_records)
    return parser


def _run(options: argparse.Namespace) -> int:
    experiment = experiments.get(options.name)
    record = experiment.run(
        options.scale, folder=options.folder, device=options.device, progress=None
    )
    path = Path(options.folder) / f"{record.experiment}-{record.scale}.json"
    print(f"{experiment.title}\n{len(record.trials)} trials, {record.seconds:.0f} s -> {path}\n")
    for claim in experiment.claims:
        verdict = claim.judge(record)
        print(f"{verdict.status:<13} {claim.statement}\n              {verdict.reason}")
    return 0


def _claims(options: argparse.Namespace) -> int:
    entries = ledger.read_ledger(options.folder)
    text = ledger.to_markdown(entries) if options.markdown else ledger.to_text(entries) + "\n"
    print(text, end="")
    return 0


def _records(options: argparse.Namespace) -> int:
    for name in experiments.NAMES:
        for scale in experiments.SCALES:
            path = Path(options.folder) / f"{name}-{scale}.json"
            if path.exists():
                record = Record.load(path)
                commit = (record.commit or "no commit")[:8]
                size = f"{len(record.trials):>4} trials {record.seconds:>8.0f} s"
                machine = record.environment.get("device_name", "?")
                print(f"{name:<24} {scale:<6} {size}  {machine}, {commit}")
            else:
                print(f"{name:<24} {scale:<6} missing")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
