"""How long would the preset `gpu` of an experiment take on a T4? A count, a model, no measurement.

    python tools/preset_cost.py [NAME …]

counts, prints, and writes the table of the book. One trial of each kind is run on torch's "meta"
device, at two lengths, and every operation is counted; longer runs are taken to go on like that. A
trial's time is the sum over its operations of the longest of: what a launch costs, its bytes at the
card's bandwidth, its floating-point operations at the card's rate. What a trial does on the CPU is
run, and its time taken. Nothing is taken off for what compilation saves or for what runs side by
side, so the sum is meant to be too long rather than too short.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from linfcourse import experiments
from linfcourse.experiments.experiment import Experiment
from linfcourse.records import dump_line
from tools.card_meter import META, T4, Meter, as_on_a_gpu

TABLE = Path(__file__).parents[1] / "book" / "preset_costs_table.md"
LIMIT = 15  # minutes

# Fields that count steps. All are cut to the same part, so that a run is evaluated as often.
STEPS = (
    "steps",
    "network_steps",
    "measured_after",
    "measure_every",
    "warmup",
    "moments",
    "checkpoints",
)
SHORT = 10  # steps of the shorter of the two runs; a check every ten steps is in both
COMPILING = 60.0  # seconds to compile a network's loss, once a run
# What does not change the cost of a trial.
RATES = ("seed", "lr", "weight_decay", "beta1", "beta2", "t", "angle")
# Losses that never reach a level: such a run takes all its steps. Then those that reach all.
ANSWERS = {"gpt_path": (99.0, 1.0)}


@dataclass
class Cost:
    """Of a trial, or of several: modelled seconds on the card, and seconds taken on the CPU."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    launches: float = 0.0
    flops: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(self._all(), other._all(), strict=True)))

    def __mul__(self, factor: float) -> Cost:
        return Cost(*(factor * a for a in self._all()))

    def _all(self) -> tuple[float, ...]:
        return dataclasses.astuple(self)


def shortened(config: Any, part: float) -> Any:
    """The configuration with all that counts steps cut to a part."""
    cut = {}
    for name in STEPS:
        value = getattr(config, name, None)
        if isinstance(value, int):
            cut[name] = max(1, round(part * value))
        elif isinstance(value, tuple):
            cut[name] = tuple(round(part * step) for step in value)
    return dataclasses.replace(config, **cut)


def count(experiment: Experiment, config: Any, setting: dict[str, Any], answer: float) -> Cost:
    """One trial, on the meta device."""
    half = getattr(config, "precision", "fp32") == "auto"
    with Meter(T4, half, answer) as meter, as_on_a_gpu(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        experiment.run_trial(config, META, **setting)
    return Cost(meter.seconds, meter.cpu_seconds, meter.launches, meter.flops)


def shortest(config: Any) -> float:
    """The part of all steps to which a run is cut, long enough that every evaluation is there."""
    steps = getattr(config, "steps", 1)
    low = max(SHORT / steps, 1 / getattr(config, "measure_every", steps))
    return low if steps >= 4 * SHORT and 2 * low < 1 else 1


def count_measured(
    experiment: Experiment, config: Any, setting: dict[str, Any], other: dict[str, Any]
) -> tuple[Cost, Cost]:
    """The same for a trial along which Hessians are measured, often and at length.

    It is counted once, short, and takes its further steps from the trial `other` without.
    """
    low = shortest(config)
    cut = shortened(config, low)
    short = count(experiment, cut, setting, 1.0)
    _, later = count_full(experiment, config, other, 1.0)
    steps = later + count(experiment, cut, other, 1.0) * -1
    steps.cpu_seconds = 0.0
    return (short + steps,) * 2


def count_full(
    experiment: Experiment, config: Any, setting: dict[str, Any], answer: float
) -> tuple[Cost, Cost]:
    """One trial of full length, the first of a seed, and one that finds things in the caches."""
    low = shortest(config)
    if low == 1:
        return tuple(count(experiment, config, setting, answer) for _ in range(2))
    ends = []
    for part in (low, 2 * low):
        cut = shortened(config, part)
        ends.append([count(experiment, cut, setting, answer)])
        if part == low or ends[0][0].launches != ends[0][-1].launches:
            ends[-1].append(count(experiment, cut, setting, answer))
    (first, later), others = ends
    at_first = others[0] + (first if len(others) == 2 else later) * -1
    at_later = others[-1] + later * -1
    growth = (1 - low) / low
    # What passes on the CPU is setting up; a step's part of it is in the cost of a launch.
    at_first.cpu_seconds = at_later.cpu_seconds = 0.0
    return first + at_first * growth, later + at_later * growth


def kinds(
    experiment: Experiment, config: Any
) -> Iterator[tuple[dict[str, Any], int, int, dict[str, Any] | None]]:
    """A trial of each kind, the number of its kind and of its seeds: rates do not change costs.

    Last, for a trial along which Hessians are measured, one of its kind without.
    """
    measured = {tuple(pair) for pair in getattr(config, "measured", ())}
    found: dict[tuple[str, bool], list[dict[str, Any]]] = {}
    for setting in experiment.trials(config):
        lr = setting.get("lr")
        apart = (setting.get("method"), lr) in measured or (
            setting.get("scope") == "none" and lr == config.measured_lr
        )
        key = dump_line({k: v for k, v in setting.items() if k not in RATES})
        found.setdefault((key, apart), []).append(setting)
    for (key, apart), members in found.items():
        other = found.get((key, False), [None])[0] if apart else None
        yield members[0], len(members), len({s.get("seed") for s in members}), other


def estimate(name: str, scale: str = "gpu") -> Cost:
    """What all trials of that preset cost, one after the other, with the start of the run."""
    experiment = experiments.get(name)
    config = experiment.config(scale)
    total = Cost(T4.start + (COMPILING if getattr(config, "compile", "off") == "auto" else 0.0))
    counted: list[Cost] = []
    missing = 0
    for setting, number, seeds, other in kinds(experiment, config):
        try:
            first, later = (
                count_measured(experiment, config, setting, other)
                if other and name not in ANSWERS
                else (
                    sum(costs, Cost())
                    for costs in zip(
                        *(
                            count_full(experiment, config, setting, answer)
                            for answer in ANSWERS.get(name, (1.0,))
                        ),
                        strict=True,
                    )
                )
            )
        except (NotImplementedError, RuntimeError, ValueError) as error:
            print(f"{name}: {setting} cannot be counted: {str(error)[:200]}", file=sys.stderr)
            missing += number
            continue
        counted.append(later)
        total += first * seeds + later * (number - seeds)
    # What depends on numbers that are not there is taken to cost as much as the dearest.
    if not counted:
        raise ValueError(f"no trial of {name} can be counted on the meta device")
    return total + max(counted, key=lambda cost: cost.seconds) * missing


def preset_hash(name: str, scale: str = "gpu") -> str:
    """Eight digits that change with the preset, so that a table of old presets is noticed."""
    text = dump_line(dataclasses.asdict(experiments.get(name).config(scale)))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def to_row(name: str, cost: Cost) -> str:
    trials = len(experiments.get(name).trials(experiments.get(name).config("gpu")))
    each = cost.launches / trials
    minutes = (cost.seconds + cost.cpu_seconds) / 60
    return (
        f"| {name} | {trials} | {each:,.0f} | {cost.flops / 1e12:,.1f} | "
        f"{cost.cpu_seconds / 60:.1f} | {minutes:.1f} | {preset_hash(name)} |"
    )


HEAD = (
    "| experiment | trials | launches a trial | TFLOP | minutes on the CPU | minutes | preset |",
    "|:--|--:|--:|--:|--:|--:|:--|",
)


def read_table(path: Path = TABLE) -> dict[str, tuple[float, str, str]]:
    """name → (minutes, hash of the preset, the row) of the table in the book."""
    rows = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 7 and cells[0] in experiments.NAMES:
            rows[cells[0]] = (float(cells[5]), cells[6], line)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments (default: those that have changed)")
    parser.add_argument("--all", action="store_true", help="count all of them again")
    options = parser.parse_args()
    old = {name: sha for name, (_, sha, _) in read_table().items()}
    names = options.names or [
        n for n in experiments.NAMES if options.all or old.get(n) != preset_hash(n)
    ]
    for name in names:
        row = to_row(name, estimate(name))
        print(row, flush=True)
        # Read anew: another process may have written in the meantime.
        rows = {other: line for other, (_, _, line) in read_table().items()} | {name: row}
        lines = [*HEAD, *(rows[n] for n in experiments.NAMES if n in rows)]
        TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
