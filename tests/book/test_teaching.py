"""The teacher's kit: the book without solutions, and slides from the chapters."""

import json
import re
import shutil
from pathlib import Path

import pytest

from book._ext import hidden_solutions
from tests.book.test_pages import browser  # noqa: F401  (a fixture)
from tools.make_slides import render, slides_of

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "book" / "chapters").glob("*.ipynb"))


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem[:2])
def test_a_stripped_chapter_has_its_exercises_and_no_solution(chapter, tmp_path):
    file = Path(shutil.copy(chapter, tmp_path))
    hidden_solutions.strip_file(file)
    before, after = chapter.read_text(), file.read_text()
    assert "{solution}" in before and "{solution}" not in after
    assert after.count("{exercise}") == before.count("{exercise}") > 0
    cells, kept = (json.loads(text)["cells"] for text in (before, after))
    assert [cell["cell_type"] for cell in kept] == [cell["cell_type"] for cell in cells]
    lines = [line for cell in cells for line in "".join(cell["source"]).splitlines()]
    solutions = sum(
        len(block.splitlines())
        for cell in cells
        for block in re.findall(r"^(:+)\{solution\}.*?^\1$", "".join(cell["source"]), re.M | re.S)
    )
    assert len(lines) - sum(len("".join(c["source"]).splitlines()) for c in kept) >= solutions


def test_text_around_a_solution_stays():
    strip = hidden_solutions.without_solutions
    text = "a\n::::{solution} ex-1\n:class: dropdown\n:::{note}\nb\n:::\n::::\nc"
    assert strip(text) == "a\nc"
    assert strip("a\n:::{note}\nb\n:::") == "a\n:::{note}\nb\n:::"


PAGE = """<html><head><link rel="stylesheet" href="../../_static/s.css"></head><body><article>
<section><h1>Rulers<a class="headerlink">#</a></h1>
<div class="admonition-in-this-chapter admonition"><p class="admonition-title">In</p>
<p>You will.</p></div>
<section><h2>The question</h2><p>Why is</p><div class="math notranslate">\\[a = b\\]</div>
<p>true?</p><div class="math notranslate">\\[later\\]</div><p>More.</p>
<div class="proof theorem admonition"><p class="admonition-title">Theorem</p>x</div>
<div class="proof admonition"><p>Proof. The secret.</p></div>
<div class="cell"><div class="cell_output"><figure><img src="a.png"></figure></div></div></section>
<section><h2>Exercises</h2><div class="exercise admonition">Do it.</div>
<div class="solution admonition">The answer.</div></section>
<section><h2>References</h2><p>none</p></section></section></article></body></html>"""


def test_slides_have_statements_figures_and_exercises_without_proofs_and_solutions():
    title, slides = slides_of(PAGE)
    assert title == "Rulers"
    assert len(slides) == 6
    page = render(PAGE)
    texts = ("You will.", "Why is", "a = b", "true?", "Theorem", "a.png", "Do it.")
    for there in (*texts, "../../_static/s.css"):
        assert there in page
    for not_there in ("secret", "The answer", "later", "More.", "none", "headerlink"):
        assert not_there not in page.split("</style>")[1]


@pytest.mark.browser
def test_every_slide_fits_on_the_screen_and_a_key_shows_the_whole_of_the_next(browser, tmp_path):  # noqa: F811
    file = tmp_path / "slides.html"
    file.write_text(render(PAGE.replace("Theorem</p>x", "Theorem</p>" + "x<br>" * 60)))
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    page.goto(file.as_uri())
    page.wait_for_function("slides.every(slide => slide.style.zoom)")
    boxes = page.evaluate("slides.map(slide => slide.getBoundingClientRect().height)")
    assert [round(height) for height in boxes] == [720] * 6
    assert page.evaluate("slides[2].style.zoom") < "1"
    for n in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        assert page.evaluate(f"Math.round(slides[{n}].getBoundingClientRect().top)") == 0
    page.close()
