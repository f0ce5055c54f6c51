"""The command line: `linfcourse run`, `sweep`, `data`, `claims`, `records`; `-h` after each."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linfcourse import distributed, experiments, ledger, sweeps, verification
from linfcourse.data import openwebtext, wikitext
from linfcourse.data.folder import data_folder
from linfcourse.records import Record, recorded_folder

TEXTS = {"openwebtext": openwebtext, "wikitext": wikitext}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status: 0 done, 1 a check failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return options.command(options)
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"linfcourse: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("linfcourse: stopped; the same command goes on from here", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="linfcourse", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="run one experiment and write its record",
        description="Run one experiment and write its record. Killed, the same command goes on. "
        "Under torchrun all processes train one model together.",
    )
    _add_experiment(run)
    run.add_argument("--device", help="where to run; default: the GPU if there is one")
    run.set_defaults(command=_run)

    sweep = commands.add_parser(
        "sweep",
        help="run one experiment's trials on many cores or machines",
        description="Run one experiment's trials on many cores or machines. What an earlier start "
        "of the sweep has finished is not run again; more seeds or learning rates are added to it.",
    )
    _add_experiment(sweep)
    sweep.add_argument("--seeds", nargs="+", help="seeds: 0 1 2, or a range 0:10")
    sweep.add_argument("--lr", nargs="+", type=float, help="learning rates")
    sweep.add_argument("--jobs", type=int, default=-1, help="trials at once (all cores)")
    sweep.add_argument("--backend", default="loky", help="loky (default), threading or dask")
    sweep.add_argument("--scheduler", help="address of a Dask cluster: tcp://HOST:8786")
    sweep.add_argument("--device", help="where each worker runs; default: its GPU if it has one")
    sweep.set_defaults(command=_sweep)

    data = commands.add_parser(
        "data",
        help="fetch and tokenise a text, before a run needs it",
        description="Fetch and tokenise a text, so that no GPU waits for it. Killed, the same "
        "command goes on. Runs then find the tokens in the same folder.",
    )
    data.add_argument("text", choices=tuple(TEXTS), help="which text")
    data.add_argument("--files", nargs="+", help="text files in UTF-8 to use instead")
    data.add_argument("--tokenizer", choices=("gpt2", "bytes"), help="default: gpt2 if there")
    data.add_argument("--folder", help="default: $LINFCOURSE_DATA, or ~/.cache/linfcourse")
    data.set_defaults(command=_data)

    claims = commands.add_parser("claims", help="print every claim with its verdict")
    claims.add_argument("--folder", default=recorded_folder(), help="where the records are")
    claims.add_argument(
        "--markdown",
        action="store_true",
        help="as the book shows them: with the findings of the papers",
    )
    claims.set_defaults(command=_claims)

    records = commands.add_parser(
        "records",
        help="list the records, or verify them",
        description="List the records and what is missing; or verify them: hashes, configurations, "
        "verdicts and figures of all, and some trials of each cpu record run again.",
    )
    records.add_argument("action", nargs="?", default="list", choices=("list", "verify"))
    records.add_argument("--folder", default=recorded_folder(), help="where the records are")
    records.add_argument("--rerun", type=int, default=1, help="trials of each cpu record (1)")
    records.set_defaults(command=_records)
    return parser


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help=f"one of: {', '.join(experiments.NAMES)}")
    parser.add_argument("--scale", default="cpu", help="cpu (default), gpu or paper")
    parser.add_argument("--folder", default="runs", help="finished trials and the record (runs)")
    parser.add_argument(
        "--set",
        dest="changes",
        metavar="FIELD=VALUE",
        action="append",
        default=[],
        help="change a field of the preset, as in --set steps=100; may be repeated",
    )


def _run(options: argparse.Namespace) -> int:
    experiment = experiments.get(options.name)
    config = changed_config(experiment.config(options.scale), options.changes)
    if not distributed.started_by_torchrun():
        _report(experiment, experiment.run(config, folder=options.folder, device=options.device))
        return 0
    if options.device:
        raise ValueError("--device goes without torchrun, which gives each process its own GPU")
    # torchrun ends the others when one process is gone: they say how to go on, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with distributed.data_parallel() as device:
        try:
            record = experiment.run(config, folder=options.folder, device=device)
        except RuntimeError as error:
            print(
                f"linfcourse: process {distributed.rank()} of {distributed.world_size()} stopped: "
                f"{error}\nIf another process is gone, start the same command again: it goes on "
                "from the last finished trial, or from the last checkpoint if the preset keeps one",
                file=sys.stderr,
            )
            return 1
        if distributed.is_writer():
            _report(experiment, record)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    experiment = experiments.get(options.name)
    changes = list(options.changes)
    if options.seeds is not None:
        changes.append(f"seeds={parse_seeds(options.seeds)}")
    if options.lr is not None:
        changes.append(f"lrs={tuple(options.lr)}")
    config = changed_config(experiment.config(options.scale), changes)
    runner = sweeps.joblib_runner(options.jobs, options.backend, options.scheduler)
    record = experiment.run(
        config, folder=options.folder, device=options.device, runner=runner, reuse=True
    )
    _report(experiment, record)
    return 0


def _data(options: argparse.Namespace) -> int:
    folder = data_folder(options.folder)
    try:
        text = TEXTS[options.text](folder, options.files, options.tokenizer, stand_in=False)
    except (ImportError, OSError, RuntimeError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        print(
            f"linfcourse: {options.text} could not be fetched ({error}): pip install datasets "
            "tiktoken, connect to a network, and give the same command again; or name --files",
            file=sys.stderr,
        )
        return 1
    tokens = len(text.train) + len(text.val)
    print(
        f"{text.source}: {tokens:,} tokens of {text.vocab_size:,} ({text.tokenizer}), "
        f"{2 * tokens / 1e9:.2f} GB in {folder}"
    )
    return 0


def _report(experiment: experiments.Experiment, record: Record) -> None:
    name = f"{record.experiment}-{record.scale}.json"
    print(f"{experiment.title}\n{len(record.trials)} trials, {record.seconds:.0f} s -> {name}\n")
    for claim in experiment.claims:
        try:
            verdict = claim.judge(record)
            status, reason = verdict.status, verdict.reason
        except (ValueError, LookupError, ArithmeticError) as error:
            if record.scale != "custom":
                raise
            status, reason = "not judged", f"this configuration lacks what it takes ({error})"
        print(f"{status:<13} {claim.statement}\n              {reason}")


def changed_config(config: Any, changes: Sequence[str]) -> Any:
    """A preset with some fields changed, each given as `field=value` in Python's notation.

    Raises:
        ValueError: no such field, or a value of another kind than the preset's.

    >>> from linfcourse.experiments.first_look import PRESETS
    >>> changed_config(PRESETS["cpu"], ["steps=10", "lrs=0.1,0.2", "methods='adam',"]).lrs
    (0.1, 0.2)
    >>> changed_config(PRESETS["cpu"], ["methods=adam,sgd"]).methods
    ('adam', 'sgd')
    """
    values = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals or name not in {field.name for field in dataclasses.fields(config)}:
            known = ", ".join(field.name for field in dataclasses.fields(config))
            raise ValueError(f"--set takes FIELD=VALUE with a field among {known}; got {change!r}")
        old = getattr(config, name)
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):  # words need no quotes: precision=bf16, methods=adam,sgd
            value = text.split(",") if isinstance(old, tuple) and "," in text else text
            value = [word for word in value if word] if isinstance(value, list) else value
        try:
            values[name] = _like(old, value)
        except TypeError:
            raise ValueError(f"{name} must be like {old!r}, got {text!r}") from None
    return dataclasses.replace(config, **values)


def _like(old: Any, value: Any) -> Any:
    """`value` with tuples for lists and floats for integers where `old` has them.

    Raises:
        TypeError: it is of another kind.
    """
    if isinstance(old, tuple):
        value = tuple(value) if isinstance(value, list | tuple) else (value,)
        alike = len({type(item) for item in old}) <= 1
        if not alike and len(old) != len(value):
            raise TypeError
        patterns = (old[:1] or (None,)) * len(value) if alike else old
        return tuple(_like(a, b) for a, b in zip(patterns, value, strict=True))
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if old is not None and type(value) is not type(old):
        raise TypeError
    return value


def parse_seeds(words: Sequence[str]) -> tuple[int, ...]:
    """Seeds from the command line: numbers, and ranges that leave out their end, as in Python.

    >>> parse_seeds(["7", "0:3"])
    (7, 0, 1, 2)
    """
    seeds = []
    for word in words:
        try:
            start, colon, end = word.partition(":")
            seeds += range(int(start), int(end)) if colon else [int(start)]
        except ValueError:
            raise ValueError(
                f"--seeds takes numbers or ranges such as 0:10, got {word!r}"
            ) from None
    if not seeds:
        raise ValueError("--seeds names no seed")
    return tuple(dict.fromkeys(seeds))


def _claims(options: argparse.Namespace) -> int:
    entries = ledger.read_ledger(options.folder)
    text = ledger.to_page(entries) if options.markdown else ledger.to_text(entries) + "\n"
    print(text, end="")
    return 0


def _records(options: argparse.Namespace) -> int:
    return (_verify if options.action == "verify" else _list)(options)


def _verify(options: argparse.Namespace) -> int:
    table = Path(options.folder).parent / "claims_table.md"
    text = table.read_text(encoding="utf-8") if table.exists() else None
    count = faults = 0
    for finding in verification.verify(options.folder, options.rerun, text):
        count += 1
        faults += finding.fault is not None
        mark = "ok   " if finding.fault is None else "FAULT"
        fault = f": {finding.fault}" if finding.fault else ""
        print(f"{mark} {finding.record:<32} {finding.what}{fault}", flush=True)
    print(f"\n{count} things verified, {faults} at fault")
    return 1 if faults else 0


def _list(options: argparse.Namespace) -> int:
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
