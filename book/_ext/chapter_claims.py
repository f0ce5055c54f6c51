"""At the end of each chapter whose experiments are judged: a link to its rows of the claims."""

import re
from pathlib import Path

TABLE = Path(__file__).resolve().parents[1] / "claims_table.md"
ANCHOR = re.compile(r'id="(claims-of-(\d+))"')


def chapters_with_claims(table: str) -> dict[int, str]:
    """Chapter number -> the id of its first row in the table of claims."""
    return {int(number): anchor for anchor, number in ANCHOR.findall(table)}


def add_link(app, pagename, templatename, context, doctree):
    chapter = re.fullmatch(r"book/chapters/(\d+)_\w+", pagename)
    # A book without the page of claims, such as a part of this one, has nothing to link to.
    anchors = chapters_with_claims(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
    if chapter is None or int(chapter.group(1)) not in anchors:
        return
    target = f"{context['pathto']('book/claims')}#{anchors[int(chapter.group(1))]}"
    context["body"] += (
        f'<p class="chapter-claims"><a href="{target}">What the records say of this chapter’s '
        "claims</a>, with figures and seeds.</p>"
    )


def setup(app):
    app.connect("html-page-context", add_link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
