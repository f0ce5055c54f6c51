"""Takes out of the pages what the theme puts in and what cannot work without a server.

- thebe (running cells on a public server) comes with Jupyter Book, loads nothing here, and
  declares its constants twice, which is an error on every page.
- The preloading of icon fonts, which a browser refuses for a page opened from a folder; the fonts
  themselves load from the style sheet.
"""

import re
from pathlib import Path

FONT_PRELOAD = re.compile(r'<link\b[^>]*rel="preload"[^>]*as="font"[^>]*>\s*')


def disconnect_thebe(app, config):
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__.split(".")[0] == "sphinx_thebe":
                app.disconnect(listener.id)
    app.registry.css_files[:] = [
        entry for entry in app.registry.css_files if "thebe" not in str(entry[0])
    ]


def remove_font_preloads(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        lean = FONT_PRELOAD.sub("", text)
        if lean != text:
            path.write_text(lean, encoding="utf-8")


def setup(app):
    app.connect("config-inited", disconnect_thebe)
    app.connect("build-finished", remove_font_preloads)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
