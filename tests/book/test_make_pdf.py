"""The book as one PDF: a small book of three pages, its links, its numbers; and what is refused."""

import shutil

import pytest
from pypdf import PdfReader

from tests.book.test_pages import BOOK, PAGES, require
from tools.make_pdf import anchor, join_page, main, pages_in_order, print_book
from tools.page_check import find_chromium

TOC = {
    "root": "book/notation",
    "parts": [
        {"caption": "The first part", "chapters": [{"file": "book/claims"}]},
        {
            "caption": "The second part",
            "chapters": [{"file": "book/chapters/03_smoothness_depends_on_the_ruler"}],
        },
    ],
}


def test_pages_come_in_the_order_of_the_contents():
    assert pages_in_order(TOC) == [
        ("", ["book/notation"]),
        ("The first part", ["book/claims"]),
        ("The second part", ["book/chapters/03_smoothness_depends_on_the_ruler"]),
    ]


def test_links_lead_to_their_place_in_the_joined_page():
    html = """<article class="bd-article"><h1 id="top">a</h1>
      <a href="#top">here</a> <a href="../other.html#place">there</a>
      <a href="../other.html">page</a> <a href="run.ipynb">a file</a> <a href="https://arxiv.org/abs/1">outside</a>
      <details class="hide above-input">code</details><details><p>solution</p></details>
      <img src="../_images/x.svg"></article>"""
    section = join_page(
        html, "book/chapters/one.html", {"book/chapters/one.html", "book/other.html"}
    )
    links = [link.get("href") for link in section.find_all("a")]
    assert links == [
        "#book-chapters-one--top", "#book-other--place", "#book-other", None,
        "https://arxiv.org/abs/1",
    ]  # fmt: skip
    assert section["id"] == anchor("book/chapters/one.html") == "book-chapters-one"
    assert section.h1["id"] == "book-chapters-one--top"
    assert section.img["src"] == "book/_images/x.svg"
    assert [details.text for details in section.find_all("details")] == ["solution"]


@pytest.mark.book
@pytest.mark.browser
def test_the_pdf_has_formulas_page_numbers_an_outline_and_links_that_work(tmp_path):
    require(PAGES, "the book is not built: run `make book` first")
    require(find_chromium(), "no Chromium: install it, or set CHROMIUM=/path")
    print_book(BOOK, TOC, tmp_path / "book.pdf")
    pdf = PdfReader(tmp_path / "book.pdf")
    texts = [page.extract_text() for page in pdf.pages]
    assert all(text.strip().endswith(str(number)) for number, text in enumerate(texts, 1))
    whole = "\n".join(texts)
    assert "Notation" in whole and "The second part" in whole and "Exercise 3.1" in whole
    assert r"\lVert" not in whole
    assert "turned by" in whole and "needs JavaScript" not in whole  # the figure to turn is drawn

    def titles(outline):
        for entry in outline:
            yield from titles(entry) if isinstance(entry, list) else [entry.title]

    assert any("Smoothness depends on the ruler" in title for title in titles(pdf.outline))
    annotations = [a.get_object() for page in pdf.pages for a in page.get("/Annots") or []]
    inside = [a for a in annotations if a.get("/Subtype") == "/Link" and "/Dest" in a]
    assert any("03_smoothness" in str(a["/Dest"]) for a in inside)
    names = set(pdf.named_destinations)
    assert all(str(a["/Dest"]).lstrip("/") in {n.lstrip("/") for n in names} for a in inside)
    outside = [a["/A"]["/URI"] for a in annotations if "/URI" in a.get("/A", {})]
    assert outside and all(uri.startswith("https://") for uri in outside)


def test_a_book_that_is_not_built_is_named(tmp_path, capsys):
    assert main([str(tmp_path), str(tmp_path / "book.pdf")]) == 1
    assert "make book" in capsys.readouterr().err
    assert not (tmp_path / "book.pdf").exists()


@pytest.mark.book
def test_a_page_that_is_missing_is_named(tmp_path):
    require(PAGES, "the book is not built: run `make book` first")
    (tmp_path / "book").mkdir()
    shutil.copy(BOOK / "book" / "notation.html", tmp_path / "book" / "notation.html")
    with pytest.raises(FileNotFoundError, match="make book"):
        print_book(tmp_path, TOC, tmp_path / "book.pdf")
