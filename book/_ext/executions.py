"""The directive `{executions}`: how long each chapter ran, on what, with which versions.

It reads the entry that `tools/execute_chapter.py` stored in each executed chapter, so the table
cannot differ from the notebooks that the book shows.
"""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from theorems import chapter_title

HEADINGS = ("Chapter", "Seconds", "Python", "torch", "numpy", "matplotlib", "Machine")


def execution_rows(folder: Path) -> list[list[str]]:
    """One row a chapter that was executed, in the chapters' order."""
    rows = []
    for path in sorted(folder.glob("*.ipynb")):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        record = notebook["metadata"].get("linfcourse")
        if record is None:
            continue
        seconds = f"{record['seconds']:.0f}"
        versions = [record[name] for name in ("python", "torch", "numpy", "matplotlib")]
        machine = f"{record['cpu']}, {record['system']}"
        rows.append([chapter_title(path), seconds, *versions, machine])
    return rows


class Executions(SphinxDirective):
    """A table of the executed chapters."""

    def run(self):
        folder = Path(self.env.srcdir) / "book" / "chapters"
        rows = execution_rows(folder)
        for path in folder.glob("*.ipynb"):
            self.env.note_dependency(str(path))
        if not rows:
            return [nodes.paragraph(text="No chapter has been executed yet.")]
        table = nodes.table(classes=["executions"])
        group = nodes.tgroup(cols=len(HEADINGS))
        table += group
        group += [nodes.colspec(colwidth=1) for _ in HEADINGS]
        head, body = nodes.thead(), nodes.tbody()
        group += [head, body]
        head += self._row([nodes.paragraph(text=heading) for heading in HEADINGS])
        for fields in rows:
            body += self._row([nodes.paragraph(text=field) for field in fields])
        return [table]

    @staticmethod
    def _row(paragraphs):
        row = nodes.row()
        for paragraph in paragraphs:
            entry = nodes.entry()
            entry += paragraph
            row += entry
        return row


def setup(app):
    app.add_directive("executions", Executions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
