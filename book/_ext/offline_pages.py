"""Takes out of the pages what the theme puts in and what cannot work without a server.

- thebe (running cells on a public server) comes with Jupyter Book, loads nothing here, and
  declares its constants twice, which is an error on every page.
- The preloading of icon fonts, which a browser refuses for a page opened from a folder; the fonts
  themselves load from the style sheet.
"""

import re

FONT_PRELOAD = re.compile(r'<link\b[^>]*rel="preload"[^>]*as="font"[^>]*>\s*')


def disconnect_thebe(app, config):
    for listeners in list(app.events.listeners.values()):
        for listener in list(listeners):
            if listener.handler.__module__.split(".")[0] == "sphinx_thebe":
                app.disconnect(listener.id)
    app.registry.css_files[:] = [
        entry for entry in app.registry.css_files if "thebe" not in str(entry[0])
    ]


def without_font_preloads(html: str) -> str:
    """The page without the preloading of fonts."""
    return FONT_PRELOAD.sub("", html)


def setup(app):
    app.connect("config-inited", disconnect_thebe)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
