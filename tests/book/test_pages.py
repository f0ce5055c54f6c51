"""Every page of the built book in headless Chromium, offline; and proof that the check can fail."""

import os
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tools.page_check import chromium, faults_of, find_chromium, watched_page

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "_build" / "html"
PAGES = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html"))
PAGES = [page for page in PAGES if not page.startswith("_static/")]

pytestmark = pytest.mark.browser


def require(found: object, what: str) -> None:
    """Skip with a sentence, but fail where everything must be there."""
    if not found:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(what)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder: Path):
    handler = partial(QuietHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    path = find_chromium()
    require(path, "no Chromium: install it (Debian: apt install chromium), or set CHROMIUM=/path")
    with chromium(path) as running:
        yield running


@pytest.fixture(scope="module")
def book(browser):
    require(PAGES, "the book is not built: run `make book` first")
    with served(BOOK) as home, watched_page(browser, home) as page:
        page.home = home
        yield page


@pytest.mark.book
@pytest.mark.parametrize("path", PAGES or ["(the book is not built)"])
def test_page_is_sound(book, path):
    assert faults_of(book, book.home + path) == []


@pytest.mark.book
def test_the_book_opens_from_a_folder_without_a_server(browser):
    require(PAGES, "the book is not built: run `make book` first")
    with watched_page(browser, BOOK.as_uri()) as page:
        assert faults_of(page, (BOOK / "book" / "notation.html").as_uri()) == []
        assert page.locator("mjx-container").count() > 20


@pytest.mark.book
@pytest.mark.parametrize("way", ["server", "folder"])
def test_search_finds_a_chapter_without_a_network(browser, way):
    require(PAGES, "the book is not built: run `make book` first")
    with served(BOOK) as home:
        home = home if way == "server" else BOOK.as_uri() + "/"
        with watched_page(browser, home) as page:
            page.goto(home + "search.html?q=quadratic+rotated")
            page.wait_for_selector("#search-results li a")
            found = page.locator("#search-results li a").all_inner_texts()
            assert any("Rotating a quadratic" in title for title in found), found
            if way == "server":  # from a folder a browser does not let the excerpts be read
                assert page.faults == []


@pytest.mark.book
def test_a_chapter_links_to_its_own_claims(book):
    page = "book/chapters/06_rotating_a_quadratic.html"
    assert faults_of(book, book.home + page) == []
    book.click(".chapter-claims a")
    book.wait_for_url("**/claims.html#claims-of-6")
    row = book.locator("tr", has=book.locator("#claims-of-6"))
    assert row.locator("a").last.get_attribute("href").endswith("06_rotating_a_quadratic.html")


@pytest.mark.book
def test_formulas_are_set_in_their_own_fonts(book):
    assert faults_of(book, book.home + "book/notation.html") == []
    loaded = book.evaluate(
        "[...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)"
    )
    assert any("MJXTEX" in family for family in loaded)


@pytest.mark.book
def test_figures_are_turned_over_in_the_dark_and_have_no_white_ground(browser):
    require(PAGES, "the book is not built: run `make book` first")
    with served(BOOK) as home, watched_page(browser, home, scheme="dark") as page:
        page.goto(home + "book/notation.html")
        style = page.evaluate(
            """() => {
              const cell = document.createElement("div");
              cell.className = "cell_output";
              cell.innerHTML = "<figure><img><img class='keep-colours'></figure>";
              document.querySelector(".bd-article").append(cell);
              const [turned, kept] = [...cell.querySelectorAll("img")].map(getComputedStyle);
              return [document.documentElement.dataset.theme, turned.filter,
                      turned.backgroundColor, kept.filter];
            }"""
        )
    theme, turned, ground, kept = style
    assert theme == "dark"
    assert turned == "invert(1) hue-rotate(180deg)"
    assert ground == "rgba(0, 0, 0, 0)"
    assert "invert" not in kept


GOOD = "<!doctype html><html><head><link rel=icon href=data:,></head><body><main class=bd-article>"
FAULTY = {
    "console error": "<h1>a</h1><script>console.error('broken')</script>",
    "script error": "<h1>a</h1><script>throw new Error('broken')</script>",
    "failed request: 404": "<h1>a</h1><script src=missing.js></script>",
    "request to the outside": "<h1>a</h1><img alt=x src=https://example.org/x.png>",
    "raw TeX or MyST: $x^2$": "<h1>a</h1><p>$x^2$</p>",
    "raw TeX or MyST: \\(x": "<h1>a</h1><p>\\(x\\)</p>",
    "raw TeX or MyST: \\frac": "<h1>a</h1><p>\\frac12</p>",
    "raw TeX or MyST: :::": "<h1>a</h1><p>:::{prf:theorem}</p>",
    "formula not set": "<h1>a</h1><span class='math'>x</span>",
    "formula with an error": "<h1>a</h1><mjx-merror>Missing brace</mjx-merror>",
    "0 headings of the first level": "<p>a</p>",
    "2 headings of the first level": "<h1>a</h1><h1>b</h1>",
    "picture without a description": "<h1>a</h1><img src='data:image/svg+xml,<svg/>'>",
    "scrolls sideways": "<h1>a</h1><div style='width: 500px'>wide</div>",
}


@pytest.mark.parametrize(("fault", "body"), FAULTY.items(), ids=FAULTY)
def test_a_fault_put_into_a_page_is_found(browser, tmp_path, fault, body):
    (tmp_path / "page.html").write_text(GOOD + body)
    with served(tmp_path) as home, watched_page(browser, home) as page:
        faults = faults_of(page, home + "page.html")
    assert any(fault in found for found in faults), faults


def test_code_may_show_tex_and_the_check_stays_silent(browser, tmp_path):
    (tmp_path / "page.html").write_text(GOOD + "<h1>a</h1><code>$x$ \\frac12</code>")
    with served(tmp_path) as home, watched_page(browser, home) as page:
        assert faults_of(page, home + "page.html") == []
