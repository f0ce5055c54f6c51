"""The HTML of an explorable: controls, places for the drawing, words for who cannot see it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from linfcourse.explore.settings import Control, Table

# name -> version and hash of build/{name}.min.js; book/_static/vega/ holds the same files.
LIBRARIES = {
    "vega": (
        "6.4.0",
        "sha384-VKdcJr3ZaBIJMbVcopTAI/JEuUkSY6qnwVu9iLuw0DnQ9gQ1JjsfZJhXFQAgNi43",
    ),
    "vega-lite": (
        "6.5.0",
        "sha384-pV2l7nzmyxZh02knvUH7N8zvtyCYsYiGt+SsE/emG/dFiBI6G0YJZFZ2FzEX72P3",
    ),
    "vega-embed": (
        "7.3.0",
        "sha384-Muy1QRxYFeNrA1zShc1KtN4OfipkR/61gt+HWqN57c1Zxu3Oe16TsilsruVVjfKL",
    ),
}


def html_of(
    panels: list[dict],
    grid: Mapping[str, Table],
    controls: Sequence[Control],
    caption: str,
    alt: str,
) -> str:
    data = {
        "panels": panels,
        "tables": {name: list(entry.rows) for name, entry in grid.items()},
        "controls": {
            control.name: {
                "values": control.values,
                "texts": control.texts,
                "start": control.values.index(control.start),
            }
            for control in controls
        },
    }
    # The id follows from the content, so that running the cell again gives the same output.
    content = _json([data, caption, alt, [control.label for control in controls]])
    name = "explorable-" + hashlib.sha256(content.encode()).hexdigest()[:12]
    data = {"id": name, "libraries": _libraries(), **data}
    places = "".join(
        '<div class="explorable-panel{}"></div>'.format(
            " explorable-wide" if panel.get("width") == "container" else ""
        )
        for panel in panels
    )
    return "\n".join(
        [
            f'<figure class="explorable" id="{name}">',
            f"<style>{_file('explorable.css')}</style>",
            '<div class="explorable-controls">',
            *(_control(control, name) for control in controls),
            "</div>",
            f'<div class="explorable-panels" role="img" aria-label="{escape(alt)}">{places}</div>',
            f'<p class="explorable-fallback">This figure moves, for which it needs JavaScript. '
            f"In words: {escape(alt)}</p>",
            f"<figcaption>{escape(caption)}</figcaption>",
            "</figure>",
            f"<script>{_file('explorable.js')}",
            f"linfcourseExplorable({_json(data)});</script>",
        ]
    )


def _control(control: Control, figure: str) -> str:
    place = f"{figure}-{control.name}"
    start = control.values.index(control.start)
    if control.choice:
        options = "".join(
            f'<option value="{k}"{" selected" if k == start else ""}>{escape(text)}</option>'
            for k, text in enumerate(control.texts)
        )
        given = f'<select id="{place}" name="{control.name}">{options}</select>'
    else:
        given = (
            f'<input id="{place}" name="{control.name}" type="range" min="0" '
            f'max="{len(control.values) - 1}" step="1" value="{start}">'
        )
    return (
        f'<div class="explorable-control"><label for="{place}">{escape(control.label)}</label>'
        f'{given}<output for="{place}">{escape(control.texts[start])}</output></div>'
    )


def _libraries() -> list[dict[str, str]]:
    return [
        {
            "file": f"{name}.min.js",
            "address": f"https://cdn.jsdelivr.net/npm/{name}@{version}/build/{name}.min.js",
            "integrity": integrity,
        }
        for name, (version, integrity) in LIBRARIES.items()
    ]


def _file(name: str) -> str:
    return files("linfcourse.explore").joinpath(name).read_text(encoding="utf-8")


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("</", "<\\/").replace("<!--", "<\\!--")
