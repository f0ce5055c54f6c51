"""Small mends of the HTML that Sphinx writes, for readers with a screen reader."""

import re
from pathlib import Path

# docutils calls a list of references a list, but its entries are no list items.
CITATIONS = re.compile(r'<div role="list" class="citation-list">')


def mend(html: str) -> str:
    return CITATIONS.sub('<div class="citation-list">', html)


def mend_pages(app, exception):
    if exception is not None or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        if (mended := mend(html)) != html:
            path.write_text(mended, encoding="utf-8")


def setup(app):
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
