"""An Altair chart made ready for the page: the controls pick its rows, and its look is ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import altair

from linfcourse.explore.settings import Control, Table

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
INK, GREY = "#1b1b1b", "#8888884d"
LOOK = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK,
        "gridColor": GREY, "labelFontSize": 12, "titleFontSize": 13, "titleFontWeight": "normal",
        "tickCount": 5,
    },
    "title": {"color": INK, "fontSize": 13, "fontWeight": "normal"},
    "text": {"color": INK, "fontSize": 13},
    "line": {"strokeWidth": 2},
}  # fmt: skip


def table(name: str) -> altair.NamedData:
    """The data of a chart: the rows of this table that fit what the reader has chosen.

    >>> table("curves").to_dict()
    {'name': 'curves'}
    """
    return altair.NamedData(name=name)


def panel_of(
    chart: altair.TopLevelMixin, grid: Mapping[str, Table], controls: Sequence[Control]
) -> dict:
    spec = chart.to_dict()
    for unit in _units(spec):
        name = unit.get("data", {}).get("name")
        if name is None or name in spec.get("datasets", {}):
            continue
        if name not in grid:
            raise ValueError(f"a chart draws the table {name!r}, the grid has {sorted(grid)}")
        picked = [{"filter": f"datum.{turn} === {turn}"} for turn in grid[name].turns]
        if grid[name].curves:
            picked.append({"flatten": list(grid[name].curves)})
        unit["transform"] = picked + unit.get("transform", [])
        missing = _fields(unit) - grid[name].columns - _made(unit)
        if missing:
            raise ValueError(
                f"a chart draws the column(s) {', '.join(sorted(missing))} of {name!r}, "
                f"which has {', '.join(sorted(grid[name].columns))}"
            )
    spec["params"] = spec.get("params", []) + [
        {"name": control.name, "value": control.start} for control in controls
    ]
    # One look and one version, whichever Altair wrote it.
    return {**spec, "config": LOOK, "$schema": SCHEMA}


def _units(spec: dict) -> Iterator[dict]:
    """The chart and all that it is made of."""
    yield spec
    for part in spec.get("layer", []):
        yield from _units(part)


def _fields(unit: dict) -> set[str]:
    """Columns that the encodings of a chart and of its layers without own data name."""
    named = {channel.get("field") for channel in unit.get("encoding", {}).values()} - {None}
    for part in unit.get("layer", []):
        if "data" not in part:
            named |= _fields(part)
    return named


def _made(unit: dict) -> set[str]:
    """Columns that transforms make."""
    made = set()
    for part in _units(unit):
        for transform in part.get("transform", []):
            new = transform.get("as", [])
            made |= {new} if isinstance(new, str) else set(new)
            for key in ("aggregate", "window", "joinaggregate"):
                made |= {entry["as"] for entry in transform.get(key, []) if "as" in entry}
    return made
