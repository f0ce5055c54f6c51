"""Every page as a newcomer gets it: how much is downloaded, and can everybody use it?

A page weighs at most 2 MB on first load, 1 MB as a server sends it. Explorables come on top: their
drawing library, which is fetched once for the whole book, and 300 kB of data each. Accessibility is
judged by axe-core, light and dark; nothing serious or critical is left standing.
"""

from pathlib import Path

import axe_playwright_python
import pytest

from tests.book.test_pages import BOOK, PAGES, QuietHandler, browser, require, served  # noqa: F401
from tools.page_check import WAIT_FOR_FORMULAS, watched_page
from tools.page_weight import weighing

pytestmark = pytest.mark.browser
AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """async rules => {
  const options = {resultTypes: ["violations"]};
  if (rules) options.runOnly = rules;
  const {violations} = await axe.run(document, options);
  return violations.filter(v => ["serious", "critical"].includes(v.impact)).map(v =>
    `${v.id} (${v.impact}): ${v.nodes.length} × ${v.nodes[0].html.slice(0, 160)}`);
}"""
HEADINGS = """() => {
  const faults = [];
  let last = 0;
  for (const heading of document.querySelectorAll(".bd-article :is(h1, h2, h3, h4, h5, h6)")) {
    const level = Number(heading.tagName[1]);
    if (level > last + 1) faults.push(`h${last} is followed by h${level}: ${heading.textContent}`);
    last = level;
  }
  return faults;
}"""
DESCRIPTIONS = r"""() => [...document.querySelectorAll(".bd-article img")]
  .filter(image => image.alt.trim().split(/\s+/).length < 4
                   || /\.(png|svg|jpe?g|webp)\s*$/i.test(image.alt))
  .map(image => `${image.src.split("/").pop()} is described as "${image.alt}"`)"""

MEGABYTE = 1e6


@pytest.fixture(scope="module")
def home():
    require(PAGES, "the book is not built: run `make book` first")
    with served(BOOK) as address:
        yield address


def axe_findings(page) -> list[str]:
    """What axe-core finds on the page as it is, and of the contrast in the other scheme."""
    page.evaluate(AXE)
    found = page.evaluate(RUN_AXE, None)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_timeout(50)
    return found + [f"dark: {fault}" for fault in page.evaluate(RUN_AXE, ["color-contrast"])]


@pytest.mark.book
@pytest.mark.parametrize("path", PAGES or ["(the book is not built)"])
def test_page_is_light_and_accessible(browser, home, path, record_property):  # noqa: F811
    with watched_page(browser, home) as page:
        with weighing(page) as weight:
            page.goto(home + path, wait_until="networkidle")
            page.evaluate(WAIT_FOR_FORMULAS)
            page.wait_for_load_state("networkidle")
        explorables = page.locator(".explorable").count()
        own = weight.without("/_static/vega/")
        record_property(
            "page weight",
            f"{path:<62} {weight.raw / MEGABYTE:5.2f} MB {weight.sent / MEGABYTE:5.2f} MB sent",
        )
        assert own.raw <= 2 * MEGABYTE + 300e3 * explorables, own.heaviest()
        assert own.sent <= MEGABYTE, own.heaviest()
        assert page.evaluate(HEADINGS) == []
        assert page.evaluate(DESCRIPTIONS) == []
        assert axe_findings(page) == []


PAGE = "<!doctype html><html lang=en><head><title>a</title></head><body><main class=bd-article>"
FAULTY = {
    "image-alt": "<h1>a</h1><img src='data:image/svg+xml,<svg/>'>",
    "color-contrast": "<h1>a</h1><p style='color: #aaa; background: #fff'>hard to read</p>",
    "dark: color-contrast": "<style>[data-theme=dark] p {color: #333; background: #000}</style>"
    "<h1>a</h1><p>hard to read in the dark</p>",
    "select-name": "<h1>a</h1><select><option>one</select>",
}


@pytest.mark.parametrize("rule", FAULTY)
def test_axe_sees_a_fault_that_was_put_in(browser, tmp_path, rule):  # noqa: F811
    (tmp_path / "page.html").write_text(PAGE + FAULTY[rule])
    with served(tmp_path) as home, watched_page(browser, home) as page:
        page.goto(home + "page.html")
        assert any(found.startswith(rule) for found in axe_findings(page))


def test_a_heavy_page_a_skipped_heading_and_a_file_name_are_seen(browser, tmp_path):  # noqa: F811
    (tmp_path / "big.js").write_text("//" + "x" * 3_000_000)
    (tmp_path / "page.html").write_text(
        PAGE + "<script src=big.js></script><h1>a</h1><h3>b</h3><img alt='loss_curve.png'>"
    )
    with served(tmp_path) as home, watched_page(browser, home) as page:
        with weighing(page) as weight:
            page.goto(home + "page.html", wait_until="networkidle")
        assert weight.raw > 3_000_000 > 10_000 > weight.sent
        assert "big.js" in weight.heaviest(1)
        assert page.evaluate(HEADINGS) == ["h1 is followed by h3: b"]
        assert "loss_curve.png" in page.evaluate(DESCRIPTIONS)[0]
