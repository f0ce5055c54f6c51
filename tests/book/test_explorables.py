"""Every figure that a reader can turn: each control moved as a reader would, in the built book and
offline; what is then drawn compared with the library, run again; and proof that this can fail."""

import importlib
import inspect
import math
import re
from pathlib import Path

import pytest

from linfcourse.explorables import CHAPTERS
from tests.book.test_pages import BOOK, ROOT, browser, require, served  # noqa: F401  (a fixture)
from tools.page_check import PHONE, WIDEST, watched_page

pytestmark = [pytest.mark.browser, pytest.mark.book]

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)
DRAWN = ".explorable[data-state=drawn]"

# What the drawn marks stand for: the data of every mark in the scene, and where it is.
MARKS = """
() => {
  const rows = [];
  const walk = item => {
    if (item.datum && !item.marktype) rows.push({...item.datum});
    for (const child of item.items || []) walk(child);
  };
  for (const view of linfcourseViews[0].views) walk(view.scenegraph().root);
  return rows;
}
"""
MOVE = """
(input, k) => {
  input.value = String(k);
  input.dispatchEvent(new Event("input", {bubbles: true}));
}
"""
PICTURE = "() => [...document.querySelectorAll('.explorable svg')].map(s => s.outerHTML).join()"


def module_of(chapter: str):
    return importlib.import_module(f"linfcourse.explorables.{chapter}")


def page_of(chapter: str) -> Path:
    if chapter == "front_page":
        return BOOK / "book" / "index.html"
    pages = sorted((BOOK / "book" / "chapters").glob(f"{chapter.removeprefix('chapter_')}_*.html"))
    require(pages, f"the page of {chapter} is not built: run `make book` first")
    return pages[0]


def opened(page, address: str) -> None:
    page.faults.clear()
    page.goto(address)
    page.wait_for_selector(DRAWN)


@pytest.fixture(scope="module")
def book(browser):  # noqa: F811
    require(BOOK.exists(), "the book is not built: run `make book` first")
    with served(BOOK) as home, watched_page(browser, home) as page:
        page.address = lambda chapter: home + page_of(chapter).relative_to(BOOK).as_posix()
        yield page


def positions(control) -> list[int]:
    """At least three places of a control, both ends among them."""
    last = len(control.values) - 1
    return sorted({0, last // 3, last // 2, (2 * last) // 3, last})


def points(row: dict) -> list[dict]:
    """A row whose lists are laid out as points."""
    lists = {name: value for name, value in row.items() if isinstance(value, list)}
    if not lists:
        return [row]
    return [
        {**row, **dict(zip(lists, values, strict=True))}
        for values in zip(*lists.values(), strict=True)
    ]


def close(a, b) -> bool:
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return math.isclose(a, b, rel_tol=2e-3, abs_tol=1e-9)


def differences(module, setting: dict, marks: list[dict]) -> list[str]:
    """What is drawn and should not be, or should be and is not, by the library run again."""
    found = []
    for name, function in module.TABLES.items():
        turns = {turn: setting[turn] for turn in inspect.signature(function).parameters}
        expected = [{**turns, **point} for row in function(**turns) for point in points(row)]
        columns = list(expected[0])
        drawn = [mark for mark in marks if all(column in mark for column in columns)]
        drawn = list({tuple(mark[column] for column in columns): mark for mark in drawn}.values())

        def same(a, b, columns=columns):
            return all(close(a[column], b[column]) for column in columns)

        found += [
            f"{name}, not drawn: {row}"
            for row in expected
            if not any(same(row, mark) for mark in drawn)
        ]
        found += [
            f"{name}, drawn and wrong: { {column: mark[column] for column in columns} }"
            for mark in drawn
            if not any(same(mark, row) for row in expected)
        ]
    return found


def walk_through(page, module) -> list[str]:
    """Move every control, the others where they start, and compare each time."""
    found = []
    start = {control.name: control.start for control in module.CONTROLS}
    found += differences(module, start, page.evaluate(MARKS))
    for control in module.CONTROLS:
        field = page.locator(f"{DRAWN} [name={control.name}]")
        pictures = set()
        for k in positions(control):
            field.evaluate(MOVE, k)
            pictures.add(page.evaluate(PICTURE))
            setting = {**start, control.name: control.values[k]}
            found += differences(module, setting, page.evaluate(MARKS))
        if len(pictures) < 2:
            found.append(f"{control.name} moves nothing")
        field.evaluate(MOVE, control.values.index(control.start))
    # All at once, away from where they start.
    for control in module.CONTROLS:
        page.locator(f"{DRAWN} [name={control.name}]").evaluate(MOVE, len(control.values) - 1)
    last = {control.name: control.values[-1] for control in module.CONTROLS}
    return found + differences(module, last, page.evaluate(MARKS))


@every_chapter
def test_what_is_drawn_is_what_the_library_computes(book, chapter):
    opened(book, book.address(chapter))
    assert walk_through(book, module_of(chapter)) == []
    assert book.faults == []


@every_chapter
def test_it_works_from_a_folder_by_keyboard_and_answers_within_a_frame(browser, chapter):  # noqa: F811
    module = module_of(chapter)
    with watched_page(browser, BOOK.as_uri()) as page:
        opened(page, page_of(chapter).as_uri())
        for control in module.CONTROLS:
            field = page.get_by_label(control.label, exact=True)
            before = page.evaluate(PICTURE)
            key = "ArrowDown" if control.choice else "ArrowRight"
            if control.start == control.values[-1]:
                key = "ArrowUp" if control.choice else "ArrowLeft"
            field.press(key)
            k = int(field.input_value())
            assert abs(k - control.values.index(control.start)) == 1
            setting = {c.name: c.start for c in module.CONTROLS}
            setting[control.name] = control.values[k]
            assert differences(module, setting, page.evaluate(MARKS)) == []
            assert page.evaluate(PICTURE) != before, control.name
            written = page.locator(f"output[for={field.get_attribute('id')}]").text_content()
            assert written == control.texts[k]
            if not control.choice:
                assert field.get_attribute("aria-valuetext") == control.texts[k]
            took = field.evaluate(
                """(input, k) => {
                  const times = [];
                  for (let turn = 0; turn < 7; turn++) {
                    input.value = String(turn % 2 ? k : 0);
                    const start = performance.now();
                    input.dispatchEvent(new Event("input", {bubbles: true}));
                    times.push(performance.now() - start);
                  }
                  return Math.min(...times);
                }""",
                k,
            )
            assert took < 50, f"{control.name} takes {took:.0f} ms"
            field.evaluate(MOVE, control.values.index(control.start))
        assert page.faults == []


@every_chapter
def test_it_fits_a_phone_and_is_turned_over_in_the_dark(book, chapter):
    opened(book, book.address(chapter))
    try:
        book.set_viewport_size(PHONE)
        book.wait_for_timeout(300)
        assert book.evaluate(WIDEST) is None
        widths = book.evaluate(
            """() => [...document.querySelectorAll(".explorable")].flatMap(figure =>
              [...figure.querySelectorAll("svg, input, select")].map(
                e => e.getBoundingClientRect().right - figure.getBoundingClientRect().right))"""
        )
        assert max(widths) < 1
        filters = []
        for theme in ("light", "dark"):
            book.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
            filters.append(
                book.evaluate(
                    "() => getComputedStyle(document.querySelector('.explorable svg')).filter"
                )
            )
        assert filters == ["none", "invert(1) hue-rotate(180deg)"]
    finally:
        book.set_viewport_size({"width": 1280, "height": 900})


@every_chapter
def test_on_paper_it_shows_where_it_starts_and_says_the_values(book, chapter):
    module = module_of(chapter)
    start = {control.name: control.start for control in module.CONTROLS}
    opened(book, book.address(chapter))
    first = module.CONTROLS[0]
    moved = 0 if first.start != first.values[0] else len(first.values) - 1
    field = book.locator(f"{DRAWN} [name={first.name}]")
    field.evaluate(MOVE, moved)
    try:
        book.emulate_media(media="print")
        wait_for_value(book, first, first.values.index(first.start))
        assert differences(module, start, book.evaluate(MARKS)) == []
        assert not field.is_visible()
        assert book.locator(f"{DRAWN} output").first.is_visible()
    finally:
        book.emulate_media(media="screen")
    wait_for_value(book, first, moved)
    setting = {**start, first.name: first.values[moved]}
    assert differences(module, setting, book.evaluate(MARKS)) == []


def wait_for_value(page, control, k: int) -> None:
    """Until the figure says that it shows this value; a change of medium takes a frame or two."""
    page.wait_for_function(
        "([name, text]) => document.querySelector(`.explorable output[for$='-${name}']`)"
        ".textContent === text",
        arg=[control.name, control.texts[k]],
    )


@every_chapter
def test_without_scripts_or_files_it_says_what_it_would_show(browser, tmp_path, chapter):  # noqa: F811
    """Files that do not load: the words stay, and no dead control is left."""
    (tmp_path / "page.html").write_text(
        html_of(chapter).replace('content_root="', 'content_root="x')
    )
    with served(tmp_path) as home, watched_page(browser, home) as page:
        page.goto(home + "page.html")
        page.wait_for_selector(".explorable[data-state=failed]")
        text = page.locator(".explorable-fallback").inner_text()
        assert "did not load" in text
        assert "In words: " in text
        assert not page.locator(".explorable-controls").is_visible()


def html_of(chapter: str) -> str:
    """The explorable alone, cut out of its page, in a page that knows where its files are."""
    figure = re.search(
        r'<figure class="explorable".*?</script>', page_of(chapter).read_text("utf-8"), re.S
    )[0]
    return (
        '<!doctype html><html lang=en data-content_root="./"><head><meta charset=utf-8>'
        f"<link rel=icon href=data:,></head><body><main><h1>a</h1>{figure}</main></body></html>"
    )


@every_chapter
def test_one_wrong_number_in_a_page_is_found(browser, tmp_path, chapter):  # noqa: F811
    """In the table that is drawn first, the first number of the first row that is shown."""
    module = module_of(chapter)
    html = html_of(chapter)
    name, function = next(iter(module.TABLES.items()))
    turns = {c.name: c.start for c in module.CONTROLS}
    turns = {turn: turns[turn] for turn in inspect.signature(function).parameters}
    opening = "{" + "".join(f'"{k}":{json_of(v)},' for k, v in turns.items())
    place = html.index(opening, html.index(f'"{name}":['))
    number = re.compile(r"(?<=[\[,:])-?\d+\.\d+(e-?\d+)?").search(html, place + len(opening))
    wrong = f"{1.1 * float(number[0]) + 0.37:.4g}"
    corrupted = html[: number.start()] + wrong + html[number.end() :]
    (tmp_path / "_static").symlink_to(BOOK / "_static")
    start = {control.name: control.start for control in module.CONTROLS}
    with served(tmp_path) as home, watched_page(browser, home) as page:
        for text, sound in ((html, True), (corrupted, False)):
            (tmp_path / "page.html").write_text(text)
            opened(page, home + "page.html")
            found = differences(module, start, page.evaluate(MARKS))
            assert (found == []) == sound, found


def json_of(value) -> str:
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def test_only_pages_with_a_figure_to_turn_load_vega(book):
    opened(book, book.address(CHAPTERS[-1]))
    assert book.locator("script[src*='_static/vega/']").count() == 3
    book.goto(re.sub(r"chapters/.*", "notation.html", book.address(CHAPTERS[-1])))
    assert book.locator("script[src*='vega']").count() == 0


def test_every_chapter_with_a_figure_to_turn_is_tested():
    shown = {
        f"chapter_{path.name[:2]}"
        for path in (ROOT / "book" / "chapters").glob("*.md")
        if "linfcourse.explorables" in path.read_text("utf-8")
    }
    assert shown == set(CHAPTERS) - {"front_page"}


def test_the_front_page_has_the_figure_of_the_library_and_a_still_where_scripts_do_not_run(browser):  # noqa: F811
    from linfcourse.explorables import front_page

    stored = (ROOT / "book" / "turn_the_valley.html").read_text("utf-8")
    assert stored == front_page.figure().html + "\n", "run tools/title_explorable.py"
    page = page_of("front_page")
    with watched_page(browser, BOOK.as_uri()) as watched:
        opened(watched, page.as_uri())
        assert not watched.locator("img[src*=two_valleys]").is_visible()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page.as_uri())
    assert plain.locator("img[src*=two_valleys]").is_visible()
    assert not plain.locator(".explorable").is_visible()
    context.close()
