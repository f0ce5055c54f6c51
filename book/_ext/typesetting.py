"""Two things that a style sheet alone cannot do.

- A browser may break a line between an inline formula and the full stop after it. Formula and
  punctuation go into one element, class `unbroken`, which the style sheet keeps together.
- Printed sentences get the class `prose` and are wrapped; printed tables are not, since wrapping
  would destroy their columns. Two spaces between words are the sign of a column.
"""

import re

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform

CLOSING = re.compile(r"[.,;:!?)\]’”]+(?=\s|$)|[-–’]\w+\S*")
OPENING = re.compile(r"(?:^|(?<=\s))[(\[“‘]+$")
COLUMN = re.compile(r"\S {2,}\S")


class Unbroken(SphinxPostTransform):
    """Join inline formulas with the punctuation that touches them."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        for formula in list(self.document.findall(nodes.math)):
            parent, place = formula.parent, formula.parent.index(formula)
            before = self._text(parent, place - 1)
            after = self._text(parent, place + 1)
            opening = OPENING.search(before) if before else None
            closing = CLOSING.match(after) if after else None
            if not opening and not closing:
                continue
            whole = nodes.inline(classes=["unbroken"])
            if opening:
                parent[place - 1] = nodes.Text(before[: opening.start()])
                whole += nodes.Text(opening.group())
            if closing:
                parent[place + 1] = nodes.Text(after[closing.end() :])
            parent.replace(formula, whole)
            whole += formula
            if closing:
                whole += nodes.Text(closing.group())

    @staticmethod
    def _text(parent, place):
        if 0 <= place < len(parent) and isinstance(parent[place], nodes.Text):
            return str(parent[place])
        return ""


class PrintedProse(SphinxPostTransform):
    """Mark what a cell printed if it is prose."""

    default_priority = 700
    formats = ("html",)

    def run(self, **kwargs):
        for output in self.document.findall(nodes.container):
            if "cell_output" not in output["classes"]:
                continue
            for block in output.findall(nodes.literal_block):
                if not COLUMN.search(block.astext()):
                    block["classes"].append("prose")


def setup(app):
    app.add_post_transform(Unbroken)
    app.add_post_transform(PrintedProse)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
