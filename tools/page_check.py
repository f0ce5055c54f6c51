"""Open a page in headless Chromium and list what is wrong with it.

The network is cut off: a request that leaves the book is refused and reported. Also reported:
console errors, failed requests, TeX that MathJax did not turn into a formula, a page without
exactly one heading of the first level, pictures without content or description, and a page that
scrolls sideways on a phone.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PHONE = {"width": 375, "height": 812}
DESK = {"width": 1280, "height": 900}

WAIT_FOR_FORMULAS = """
async () => {
  if (!document.querySelector("script[src*=mathjax]")) return;
  const deadline = Date.now() + 30000;
  while (!(window.MathJax && MathJax.startup && MathJax.startup.promise)) {
    if (Date.now() > deadline) throw new Error("MathJax did not start");
    await new Promise(resolve => setTimeout(resolve, 20));
  }
  await MathJax.startup.promise;
}
"""

FAULTS_IN_PAGE = r"""
() => {
  const faults = [];
  const say = (what, text) => faults.push(`${what}: ${(text || "").trim().slice(0, 120)}`);
  for (const error of document.querySelectorAll("mjx-merror"))
    say("formula with an error", error.textContent);
  for (const text of document.querySelectorAll("mjx-mtext[style*='color: red']"))
    say("unknown TeX command", text.closest("mjx-container").textContent);
  for (const formula of document.querySelectorAll("span.math, div.math"))
    if (!formula.querySelector("mjx-container")) say("formula not set", formula.textContent);

  const skip = "code, pre, script, style, noscript, textarea, mjx-container, .math, svg, .raw-tex";
  const raw =
    /\\[([]|\\[a-zA-Z]{2,}|\$[^\s$][^$]*\$|^\s*:{3,}|\{(prf:)?(ref|numref|cite|eq|term)\}`/m;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode())
    if (raw.test(node.data) && !node.parentElement.closest(skip))
      say("raw TeX or MyST", node.data);

  const headings = [...document.querySelectorAll("h1")].filter(h => h.getClientRects().length);
  if (headings.length !== 1) faults.push(`${headings.length} headings of the first level`);
  for (const image of document.querySelectorAll(".bd-article img")) {
    if (image.complete && !image.naturalWidth) say("picture without content", image.src);
    if (!image.alt) say("picture without a description", image.src);
  }
  return faults;
}
"""

WIDEST = """
() => {
  const page = document.documentElement;
  if (page.scrollWidth <= page.clientWidth) return null;
  const scrolls = node => {
    for (; node && node !== document.body; node = node.parentElement)
      if (/auto|scroll|hidden/.test(getComputedStyle(node).overflowX)) return true;
    return false;
  };
  const wide = [...document.body.querySelectorAll("*")].filter(
    node => node.getBoundingClientRect().right > page.clientWidth + 1 && !scrolls(node));
  const names = wide.slice(0, 3).map(node => `${node.tagName}.${node.className}`);
  return `scrolls sideways: ${page.scrollWidth} > ${page.clientWidth} pixels; ${names.join(", ")}`;
}
"""


def find_chromium() -> str | None:
    """The browser's path: the variable CHROMIUM, or the first one that is installed."""
    if os.environ.get("CHROMIUM"):
        return os.environ["CHROMIUM"]
    for name in NAMES:
        path = shutil.which(name)
        if path:
            return path
    return MAC if Path(MAC).exists() else None


@contextmanager
def chromium(path: str) -> Iterator[Browser]:
    """A headless browser, closed at the end."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def watched_page(browser: Browser, home: str, *, scheme: str = "light") -> Iterator[Page]:
    """A page that can reach `home` and nothing else; `page.faults` collects what goes wrong."""
    context = browser.new_context(viewport=DESK, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.faults = []
    page.set_default_timeout(60_000)

    def guard(route):
        url = route.request.url
        if url.startswith((home, "data:", "blob:")):
            route.continue_()
        else:
            page.faults.append(f"request to the outside: {url}")
            route.abort()

    def on_response(response):
        if response.status >= 400:
            page.faults.append(f"failed request: {response.status} {response.url}")

    def on_failure(request):
        if request.url.startswith(home) and "ERR_ABORTED" not in (request.failure or ""):
            page.faults.append(f"failed request: {request.failure} {request.url}")

    def on_console(message):
        if message.type == "error":
            page.faults.append(f"console error: {message.text}")

    context.route("**/*", guard)
    page.on("response", on_response)
    page.on("requestfailed", on_failure)
    page.on("console", on_console)
    page.on("pageerror", lambda error: page.faults.append(f"script error: {error}"))
    yield page
    context.close()


def faults_of(page: Page, url: str) -> list[str]:
    """Open the address, let formulas and scripts finish, and list what is wrong."""
    page.faults.clear()
    page.set_viewport_size(DESK)
    try:
        page.goto(url, wait_until="networkidle")  # also waits for a page that redirects
        page.evaluate(WAIT_FOR_FORMULAS)
        page.wait_for_load_state("networkidle")
        page.faults.extend(page.evaluate(FAULTS_IN_PAGE))
        page.set_viewport_size(PHONE)
        sideways = page.evaluate(WIDEST)
    except Error as error:
        return [*page.faults, f"the page did not load: {error.message}"]
    return [*page.faults, *([sideways] if sideways else [])]
