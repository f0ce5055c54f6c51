"""The whole book as one PDF: its built pages in the order of the contents, printed by Chromium.

    python tools/make_pdf.py _build/html _build/book.pdf

The articles are put into one page, so that page numbers run through and a link to another chapter
leads to its place in the same file. Formulas are set by the book's own MathJax; no network.
"""

import argparse
import copy
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from tools.page_check import WAIT_FOR_FORMULAS, chromium, find_chromium, watched_page  # noqa: E402

PRINT_STYLE = """
body { background: white; }
main.bd-article { max-width: none; padding: 0; }
section.pdf-page { break-before: page; }
section.pdf-page:first-of-type, .pdf-part { break-before: page; }
.headerlink, .copybtn, .toggle-button, .toctree-wrapper { display: none !important; }
pre { white-space: pre-wrap !important; overflow-wrap: anywhere; }
figure, table, .admonition-title, .proof-title { break-inside: avoid; }
h1, h2, h3, .admonition-title { break-after: avoid; }
img { max-width: 100%; height: auto; }
.pdf-part { display: flex; align-items: center; min-height: 60vh; font-size: 2.2rem; }
.pdf-part p { margin: 0; }
figcaption, .caption-text, .caption-number { color: #333 !important; }
"""
ALL_DRAWN = """() => [...document.querySelectorAll(".explorable")]
  .every(figure => figure.dataset.state === "drawn")"""
FOOTER = (
    '<div style="width: 100%; font-size: 8px; text-align: center; color: #555">'
    '<span class="pageNumber"></span></div>'
)


def pages_in_order(toc: dict) -> list[tuple[str, list[str]]]:
    """The parts of the book with the names of their pages; the first part is the title page."""
    parts = [("", [toc["root"]])]
    for part in toc["parts"]:
        parts.append((part["caption"], [entry["file"] for entry in part["chapters"]]))
    return parts


def anchor(page: str, fragment: str = "") -> str:
    """The id of a place of one page in the joined page."""
    name = page.removesuffix(".html").replace("/", "-")
    return f"{name}--{fragment}" if fragment else name


def join_page(html: str, page: str, known: set[str]) -> Tag:
    """One page's article, its ids and links those of the joined page.

    Args:
        html: the page.
        page: its path in the book, such as "book/notation.html".
        known: paths of all pages that are joined; a link to another one is kept as text.
    """
    article = BeautifulSoup(html, "html.parser").select_one("article.bd-article")
    if article is None:
        raise ValueError(f"{page} has no article: was it built by `make book`?")
    article = copy.copy(article)
    article.name = "section"
    article["class"], article["id"] = ["pdf-page"], anchor(page)
    folder = Path(page).parent
    for node in article.find_all(id=True):
        if node.find_parent(class_="explorable") or "explorable" in node.get("class", []):
            continue  # its script looks for it, and its id is that of its content
        node["id"] = anchor(page, node["id"])
    for node in article.find_all(attrs={"src": True}):
        node["src"] = _resolved(node["src"], folder)
    for link in article.find_all("a", href=True):
        target = urlsplit(link["href"])
        if target.scheme or target.netloc:
            continue
        where = os.path.normpath(folder / unquote(target.path)) if target.path else page
        if where in known:
            link["href"] = "#" + anchor(where, target.fragment)
        else:  # a file beside the book, such as a notebook to download: not in the PDF
            del link["href"]
    for folded in article.select("details.hide"):
        folded.decompose()  # code that the page folds away; its output stands below
    for details in article.find_all("details"):
        details["open"] = ""
    return article


def _resolved(address: str, folder: Path) -> str:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return address
    return os.path.normpath(folder / unquote(parts.path))


def join(book: Path, toc: dict) -> str:
    """All pages of a built book as one page, to lie in the book's folder.

    Raises:
        FileNotFoundError: the book, or a page of it, is not built.
    """
    parts = pages_in_order(toc)
    known = {f"{name}.html" for _, names in parts for name in names}
    missing = sorted(page for page in known if not (book / page).exists())
    if missing:
        raise FileNotFoundError(f"{book / missing[0]} is not there: run `make book` first")
    head = BeautifulSoup(
        (book / parts[0][1][0]).with_suffix(".html").read_text(), "html.parser"
    ).head
    folder = Path(parts[0][1][0]).parent
    for name in ("src", "href"):
        for node in head.find_all(attrs={name: True}):
            node[name] = _resolved(node[name], folder)
    for script in head.find_all("script"):
        if "mathjax" not in (script.get("src") or script.text).lower():
            script.decompose()  # side bars and search are not printed
    soup = BeautifulSoup(
        "<!doctype html><html lang='en' data-content_root='' data-theme='light'>"
        "<body><main class='bd-article'></main></body></html>",
        "html.parser",
    )
    head.append(soup.new_tag("style", string=PRINT_STYLE))
    soup.html.insert(0, head)
    for caption, names in parts:
        if caption:
            part = soup.new_tag("section", attrs={"class": "pdf-part"})
            part.append(soup.new_tag("p", string=caption))
            soup.main.append(part)
        for name in names:
            html = (book / f"{name}.html").read_text(encoding="utf-8")
            soup.main.append(join_page(html, f"{name}.html", known))
    return str(soup)


def print_book(book: Path, toc: dict, target: Path) -> None:
    """Write the PDF.

    Raises:
        FileNotFoundError: the book is not built, or there is no Chromium.
        RuntimeError: the joined page has a fault: a script error, a missing picture.
    """
    browser_path = find_chromium()
    if browser_path is None:
        raise FileNotFoundError(
            "there is no Chromium: install it (Debian: apt install chromium), or set CHROMIUM=/path"
        )
    book = book.resolve()
    with tempfile.NamedTemporaryFile("w", dir=book, suffix=".html", encoding="utf-8") as joined:
        joined.write(join(book, toc))
        joined.flush()
        with chromium(browser_path) as browser, watched_page(browser, book.as_uri()) as page:
            # As wide as the paper between its margins at the scale below: figures fit themselves.
            page.set_viewport_size({"width": 830, "height": 1100})
            page.goto(Path(joined.name).as_uri(), wait_until="load", timeout=300_000)
            page.evaluate(WAIT_FOR_FORMULAS.replace("30000", "300000"))
            page.evaluate("() => Promise.all([...document.images].map(image => image.decode()))")
            page.wait_for_function(ALL_DRAWN)
            if page.faults:
                raise RuntimeError("; ".join(page.faults[:5]))
            target.parent.mkdir(parents=True, exist_ok=True)
            page.pdf(
                path=target, format="A4", scale=0.8, print_background=True, outline=True,
                tagged=True, display_header_footer=True, footer_template=FOOTER,
                header_template="<span></span>",
                margin={"top": "18mm", "bottom": "18mm", "left": "17mm", "right": "17mm"},
            )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("book", type=Path, help="folder of the built book")
    parser.add_argument("target", type=Path, help="the PDF to write")
    options = parser.parse_args(arguments)
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    try:
        print_book(options.book, toc, options.target)
    except (FileNotFoundError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
