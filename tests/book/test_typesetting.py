"""What `book/_ext/typesetting.py` does to a page, and that the title picture is the drawn one."""

from pathlib import Path

import pytest
from docutils import nodes
from docutils.utils import new_document

from book._ext import typesetting
from tools import title_picture

ROOT = Path(__file__).parents[2]


def paragraph(*parts):
    """A document with one paragraph; a part in a list is a formula."""
    document = new_document("page")
    line = nodes.paragraph()
    document += line
    for part in parts:
        line += nodes.math("", part[0]) if isinstance(part, list) else nodes.Text(part)
    typesetting.Unbroken(document).run()
    return line


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (("where ", ["x"], ". Then"), "x."),
        (("(", ["x"], " is small)"), "(x"),
        (("(see ", ["x"], "), and"), "x),"),
        (("a ", ["C"], "-smooth loss"), "C-smooth"),
        (("the ", ["u"], "’s are"), "u’s"),
    ],
)
def test_a_formula_and_the_punctuation_that_touches_it_are_one(parts, whole):
    line = paragraph(*parts)
    assert line.astext() == "".join(p[0] if isinstance(p, list) else p for p in parts)
    (together,) = line.findall(nodes.inline)
    assert together["classes"] == ["unbroken"]
    assert together.astext() == whole


def test_a_formula_between_words_is_left_alone():
    assert not list(paragraph("let ", ["x"], " be").findall(nodes.inline))


@pytest.mark.parametrize(
    ("text", "is_prose"),
    [
        ("holds: Adam ends lower.\n   by 0.1 over 5 seeds", True),
        ("Adam     0.1   True\nAdaSGD   0.2   True", False),
    ],
)
def test_only_printed_sentences_are_wrapped(text, is_prose):
    document = new_document("page")
    output = nodes.container(classes=["cell_output"])
    document += output
    output += nodes.literal_block(text, text)
    typesetting.PrintedProse(document).run()
    assert ("prose" in output[0]["classes"]) == is_prose


def test_the_title_picture_is_the_one_that_the_library_draws():
    stored = (ROOT / "book/_static/two_valleys.svg").read_text(encoding="utf-8")
    assert title_picture.picture() == stored
