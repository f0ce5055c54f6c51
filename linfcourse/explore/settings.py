"""What a reader can turn, and the results for every setting."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

DIGITS = 4  # significant digits of a stored number: more than a screen can show


@dataclass(frozen=True)
class Control:
    """What the reader turns: a slider over numbers, or a list of choices.

    Args:
        name: of the parameter, as the tables' functions call it.
        label: beside the control, in words that a reader understands.
        values: which can be chosen, in order; numbers or strings.
        start: the one shown first, and on paper.
        texts: how each value is written; by default the numbers as they are.

    Strings make a list of choices, numbers a slider.

    Raises:
        ValueError: no label, fewer than two values, equal or infinite ones, a start that is none of
            them, or not one text for each value.

    >>> Control("q", "the ball's p", (0.0, 0.5, 1.0), 0.5, ("∞", "2", "1")).texts
    ('∞', '2', '1')
    """

    name: str
    label: str
    values: tuple
    start: Any
    texts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"name must be a Python name, got {self.name!r}")
        if not self.label.strip():
            raise ValueError(f"label of the control {self.name!r} is empty: say what it turns")
        if any(isinstance(v, float) and not math.isfinite(v) for v in self.values):
            raise ValueError(f"values of {self.name!r} must be finite: give 1/p for p, say")
        if len(self.values) < 2 or len(set(self.values)) < len(self.values):
            raise ValueError(f"values of {self.name!r} must be two or more different ones")
        if self.start not in self.values:
            raise ValueError(f"start of {self.name!r} must be one of {self.values}")
        texts = self.texts or tuple(
            value if isinstance(value, str) else f"{value:g}" for value in self.values
        )
        if len(texts) != len(self.values):
            raise ValueError(f"texts of {self.name!r} must be one for each of its values")
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "texts", tuple(texts))

    @property
    def choice(self) -> bool:
        """Whether it is a list of choices."""
        return all(isinstance(value, str) for value in self.values)


@dataclass(frozen=True)
class Table:
    """Results for every setting of the controls in `turns`; columns in `curves` hold lists."""

    rows: tuple[dict, ...]
    turns: tuple[str, ...]
    curves: tuple[str, ...]
    columns: frozenset[str] = field(repr=False)


def grid(
    controls: Sequence[Control], **tables: Callable[..., Sequence[Mapping]]
) -> dict[str, Table]:
    """Compute each table for every setting of the controls that its function names.

    Args:
        controls: of the explorable.
        tables: name -> function whose arguments are names of controls (all, some or none) and that
            returns rows {column: number, string, or list of numbers}. Columns that hold lists are
            drawn point by point, so they must be equally long within a row.

    Raises:
        ValueError: an argument that is no control, a table without rows, or rows that do not all
            have the same columns.

    >>> t = Control("t", "turn", (0.0, 0.5), 0.0)
    >>> grid([t], points=lambda t: [{"x": 2 * t}])["points"].rows
    ({'t': 0.0, 'x': 0.0}, {'t': 0.5, 'x': 1.0})
    """
    by_name = {control.name: control for control in controls}
    computed = {}
    for name, function in tables.items():
        turns = tuple(inspect.signature(function).parameters)
        for turn in turns:
            if turn not in by_name:
                raise ValueError(f"{name} has the argument {turn!r}, and no control is called so")
        rows = []
        for values in itertools.product(*(by_name[turn].values for turn in turns)):
            setting = dict(zip(turns, values, strict=True))
            rows += [{**setting, **_rounded(row)} for row in function(**setting)]
        computed[name] = _table(name, rows, turns)
    return computed


def _table(name: str, rows: list[dict], turns: tuple[str, ...]) -> Table:
    if not rows:
        raise ValueError(f"{name} has no rows")
    columns = frozenset(rows[0])
    curves = tuple(column for column in rows[0] if isinstance(rows[0][column], list))
    for row in rows:
        if frozenset(row) != columns:
            odd = sorted(columns.symmetric_difference(row))
            raise ValueError(f"{name}: not every row has the column(s) {', '.join(odd)}")
        if len({len(row[column]) for column in curves}) > 1:
            raise ValueError(f"{name}: {', '.join(curves)} are not equally long in every row")
    return Table(tuple(rows), turns, curves, columns)


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"a table holds {value}, which cannot be drawn: leave the point out")
        return float(f"{value:.{DIGITS}g}")
    return value
