"""Slides for the blackboard from the built book: `make slides`, one HTML file a chapter.

A slide holds what a class looks at together: a section's heading with its first paragraph, a
statement, a figure, an exercise. Proofs are left out: they belong on the board. The files lie in
the built book and use its styles and its MathJax, so they need no network. Arrow keys turn pages,
and printing gives one slide a page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bs4 import BeautifulSoup, Tag

STYLE = """
:root { scroll-snap-type: y mandatory; scroll-behavior: auto; scroll-padding: 0; font-size: 24px; }
body { display: block; margin: 0; }
.slide { min-height: 100vh; box-sizing: border-box; padding: 4vh 8vw; scroll-snap-align: start;
  display: flex; flex-direction: column; justify-content: center; overflow-wrap: break-word; }
.slide > * { width: 100%; }
.slide > .where { font-size: 0.8rem; opacity: 0.75; margin: 0 0 1rem; }
.slide h1, .slide h2 { margin-top: 0; }
.slide img { height: 50vh; width: 100%; object-fit: contain; }
.slide figure { text-align: center; margin: 0 auto; }
.headerlink, .toggle-details { display: none; }
@media print { .slide { break-after: page; min-height: 0; height: 95vh; } }
"""

KEYS = """
const slides = [...document.querySelectorAll(".slide")];
const here = () => slides.findIndex(s => s.getBoundingClientRect().bottom > innerHeight / 2);
addEventListener("keydown", event => {
  const step = { ArrowRight: 1, ArrowDown: 1, PageDown: 1, " ": 1,
                 ArrowLeft: -1, ArrowUp: -1, PageUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const to = Math.min(slides.length - 1, Math.max(0, here() + step));
  slides[to].scrollIntoView();
});
// A slide that is taller than the screen is drawn smaller: a class sees all of it at once.
const fit = () => {
  const before = here();
  const draw = (slide, zoom) => {
    slide.style.zoom = zoom;
    slide.style.minHeight = `${100 / zoom}vh`;
  };
  for (const slide of slides) draw(slide, 1);
  for (const slide of slides)
    for (let zoom = 1, tries = 0; tries < 5; tries++) {  // padding does not shrink with the text
      const height = slide.getBoundingClientRect().height;
      if (height < innerHeight + 1) break;
      draw(slide, (zoom *= (innerHeight / height) * 0.99));
    }
  if (before > 0) slides[before].scrollIntoView();
};
addEventListener("resize", fit);
addEventListener("load", () => Promise.resolve(window.MathJax?.startup?.promise).then(fit));
"""

STATEMENTS = ("definition", "theorem", "lemma", "proposition", "corollary")


def is_statement(element: Tag) -> bool:
    """A box that states something; a proof is a box, too, but without these classes."""
    classes = element.get("class") or []
    return "proof" in classes and any(kind in classes for kind in STATEMENTS)


def goes_on(element: Tag) -> bool:
    """A sentence has begun in this paragraph, list or formula and goes on after it."""
    text = element.get_text().strip().removesuffix("\\]").removesuffix("\\end{aligned}")
    return not text.rstrip().endswith((".", "?", "!"))


def section_slides(section: Tag) -> list[list[Tag]]:
    """The slides of one section, each a list of elements."""
    heading = section.find("h2")
    first = [heading]
    slides = [first]
    for child in section.find_all(recursive=False):
        classes = child.get("class") or []
        runs_on = child.find_previous_sibling() is first[-1] and goes_on(first[-1])
        if child.name == "p" and len(first) == 1:
            first.append(child)
        elif runs_on and (child.name in ("p", "ul", "ol") or "math" in classes):
            first.append(child)
        elif child.name == "ul" and "does not show" in heading.get_text():
            first.append(child)
        elif is_statement(child) or "exercise" in classes:
            slides.append([child])
        else:
            slides += [[figure] for figure in child.find_all("figure") if figure.find("img")]
    return slides


def slides_of(page: str) -> tuple[str, list[tuple[str, list[Tag]]]]:
    """A chapter's title and its slides, each with the name of its section.

    Raises:
        ValueError: the page is not a chapter.
    """
    soup = BeautifulSoup(page, "html.parser")
    article = soup.find("article") or soup
    title = article.find("h1")
    if title is None:
        raise ValueError("a chapter has a heading")
    for link in article.select("a.headerlink"):
        link.decompose()
    goals = article.select_one(".admonition-in-this-chapter p:not(.admonition-title)")
    slides = [("", [title, *([goals] if goals else [])])]
    chapter = title.find_parent("section")
    for section in chapter.find_all("section", recursive=False):
        heading = section.find("h2")
        if heading is None or heading.get_text(strip=True).endswith("References"):
            continue
        name = heading.get_text(" ", strip=True)
        slides += [("" if n == 0 else name, s) for n, s in enumerate(section_slides(section))]
    return title.get_text(" ", strip=True), slides


def render(page: str) -> str:
    """The page of slides for a chapter's built page; links work from a folder beside it."""
    title, slides = slides_of(page)
    soup = BeautifulSoup(page, "html.parser")
    head = [str(link) for link in soup.select("head link[rel=stylesheet]")]
    head += [str(s) for s in soup.select("script") if "mathjax" in str(s).lower()]
    body = "\n".join(
        '<section class="slide tex2jax_ignore mathjax_ignore">'
        + (f'<p class="where">{name}</p>' if name else "")
        + "".join(map(str, elements))
        + "</section>"
        for name, elements in slides
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        + "\n".join(head)
        + f"\n<style>{STYLE}</style></head>\n<body>\n{body}\n"
        + f"<script>{KEYS}</script></body></html>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("html", type=Path, nargs="?", default=Path("_build/html"))
    parser.add_argument("--chapter", default="", help="number, such as 08; default all")
    given = parser.parse_args()
    pages = sorted((given.html / "book/chapters").glob(f"{given.chapter or '[0-9][0-9]'}_*.html"))
    if not pages:
        parser.error(f"no chapter {given.chapter} in {given.html}: build the book first")
    out = given.html / "book" / "slides"
    out.mkdir(exist_ok=True)
    for page in pages:
        file = out / page.name
        file.write_text(render(page.read_text(encoding="utf-8")), encoding="utf-8")
        print(file)


if __name__ == "__main__":
    main()
