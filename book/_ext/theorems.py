"""The directive `{theorems}`: every definition, lemma and theorem of the chapters, with its link.

It reads the notebooks that the book shows, so the list cannot miss a statement or keep an old one.
"""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

BLOCK = re.compile(r"^(:{3,})\{prf:(\w+)\}[ ]*([^\n]*)\n(.*?)^\1[ ]*$", re.MULTILINE | re.DOTALL)
LABEL = re.compile(r"^:label:[ ]*(\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Statement:
    """One numbered statement of a chapter; `proved` says whether a proof follows it."""

    chapter: str
    kind: str
    title: str
    label: str
    proved: bool


def statements(notebook: Path) -> list[Statement]:
    """The statements of one chapter, in their order.

    Raises:
        ValueError: one has no label, so that nothing could link to it.
    """
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    found = []
    for match in BLOCK.finditer(text):
        _, kind, title, body = match.groups()
        if kind == "proof":
            if found:
                found[-1] = replace(found[-1], proved=True)
            continue
        label = LABEL.search(body)
        if label is None:
            raise ValueError(f"{notebook.name}: {kind} {title!r} has no :label:")
        found.append(Statement(notebook.stem, kind, title.strip(), label.group(1), False))
    return found


def chapter_title(notebook: Path) -> str:
    """The number in the file's name and the heading of its first cell."""
    first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]
    heading = "".join(first["source"]).splitlines()[0].lstrip("# ")
    return f"{int(notebook.stem.split('_')[0])}. {heading}"


def as_markdown(notebooks: list[Path]) -> list[str]:
    """The list as lines of MyST: a chapter a paragraph, a statement a bullet."""
    lines = []
    for notebook in notebooks:
        found = statements(notebook)
        if not found:
            continue
        link = f"chapters/{notebook.name}"
        lines += [f"**[{chapter_title(notebook)}]({link})**", ""]
        lines += [f"- {{prf:ref}}`{s.label}`: {s.title}" for s in found]
        lines.append("")
    return lines


class Theorems(SphinxDirective):
    """All statements of the chapters that the book has."""

    def run(self):
        folder = Path(self.env.srcdir) / "book" / "chapters"
        listed = [folder / f"{Path(name).name}.ipynb" for name in sorted(self.env.found_docs)
                  if name.startswith("book/chapters/")]  # fmt: skip
        for notebook in listed:
            self.env.note_dependency(str(notebook))
        container = nodes.container(classes=["theorem-list"])
        lines = StringList(as_markdown(listed), source=self.env.docname)
        self.state.nested_parse(lines, self.content_offset, container)
        return [container]


def setup(app):
    app.add_directive("theorems", Theorems)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
