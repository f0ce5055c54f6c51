"""Figures that answer to the reader, on a page with no kernel: a chart and a grid of results.

The library computes every setting that a reader can choose; the page holds the results and shows
those of the setting chosen. Drawing is left to Vega-Lite, by way of Altair. What comes out is plain
HTML, the same in the built book (where it loads Vega from the book's own folder, also with no
network), in Jupyter and in Colab (where it loads pinned versions from a CDN), and on paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import altair

from linfcourse.explore.page import html_of
from linfcourse.explore.panel import panel_of, table
from linfcourse.explore.settings import Control, Table, grid

__all__ = ["LIMIT", "Control", "Explorable", "Table", "explorable", "grid", "table"]

LIMIT = 300_000  # bytes of HTML: what a page can carry without anybody noticing


@dataclass(frozen=True)
class Explorable:
    """A figure to turn; shown by the notebook as HTML. Made by `explorable`."""

    html: str = field(repr=False)
    controls: tuple[Control, ...]

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"Explorable({', '.join(control.name for control in self.controls)})"


def explorable(
    charts: altair.TopLevelMixin | Sequence[altair.TopLevelMixin],
    grid: Mapping[str, Table],
    *,
    controls: Sequence[Control],
    caption: str,
    alt: str,
) -> Explorable:
    """A figure with controls, from charts and what the library computed for every setting.

    Args:
        charts: one Altair chart, or several that stand side by side where there is room. Their data
            are `table(name)`; the rows for the present setting are picked before anything is drawn,
            and lists are laid out as points. A control's name can be used in expressions.
        grid: made by `grid`.
        controls: what can be turned.
        caption: what to turn and what to notice.
        alt: for readers who do not see it: what is drawn, and what one should notice.

    Raises:
        ValueError: no caption or alt, a chart of a table or a column that is not there, a control
            that moves nothing, two controls of one name, or more than 300 KB.
    """
    charts = list(charts) if isinstance(charts, list | tuple) else [charts]
    for name, text in (("caption", caption), ("alt", alt)):
        if not text.strip():
            raise ValueError(f"{name} is empty: say what one should notice")
    caption, alt = (" ".join(text.split()) for text in (caption, alt))
    names = [control.name for control in controls]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"controls must be one or more of different names, got {names}")
    panels = [panel_of(chart, grid, controls) for chart in charts]
    for name in names:
        if not any(name in entry.turns for entry in grid.values()):
            raise ValueError(f"the control {name!r} moves nothing: no table depends on it")
    html = html_of(panels, grid, controls, caption, alt)
    if len(html.encode()) > LIMIT:
        raise ValueError(
            f"the explorable has {len(html.encode()):,} bytes, more than {LIMIT:,}: "
            "take fewer values of a control, or fewer points"
        )
    return Explorable(html, tuple(controls))
