"""Goes once over the pages that Sphinx has written, and makes all changes to the HTML of each."""

import re
from pathlib import Path

from lean_pages import icons_in, lean_page, lean_static, rewrite
from offline_pages import without_font_preloads

# docutils calls a list of references a list, but its entries are no list items.
CITATIONS = re.compile(r'<div role="list" class="citation-list">')


def finished(html: str) -> str:
    """A page without what readers do not need, cannot load, or would hear wrongly."""
    return CITATIONS.sub('<div class="citation-list">', lean_page(without_font_preloads(html)))


def finish(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    out, icons = Path(app.outdir), set()
    for page in out.rglob("*.html"):
        icons |= icons_in(rewrite(page, finished))
    lean_static(out, icons)


def setup(app):
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
