"""What is taken out of pages is not missed: pure functions on small inputs."""

from pathlib import Path

import pytest
from fontTools.ttLib import TTFont

from book._ext import lean_pages

ROOT = Path(__file__).parents[2]


def test_paths_keep_two_decimals_and_scales_all_of_them():
    svg = '<g transform="scale(0.015625)"><path id="a" d="M 1.23456 -7.5 L 10 0.009999"/></g>'
    assert lean_pages.lean_figure(svg) == (
        '<g transform="scale(0.015625)"><path id="a" d="M 1.23 -7.5 L 10 0.00"/></g>'
    )


def test_icons_in_use_keep_their_rule():
    css = '.fa-sun:before{content:"\\f185"}.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}a{}'
    assert lean_pages.lean_icons(css, {"fa-navicon"}) == (
        '.fa-bars:before,.fa-navicon:before{content:"\\f0c9"}a{}'
    )


def test_a_page_keeps_the_styles_of_the_parts_it_uses():
    head = (
        '<script src="_static/vendor/fontawesome/6/js/all.min.js"></script>'
        '<link href="_static/sphinx-design.min.css?v=1"><script src="_static/design-tabs.js">'
        "</script>"
    )
    assert lean_pages.lean_page(head + "<p>") == "<p>"
    with_card = lean_pages.lean_page(head + '<div class="x sd-card">')
    assert "sphinx-design" in with_card and "fontawesome" not in with_card


def test_the_icon_font_is_cut_to_the_characters_that_are_asked_for(tmp_path):
    source = next(lean_pages.ICONS.rglob("fa-solid-900.woff2"))
    target = tmp_path / "font.woff2"
    lean_pages.lean_font(source, target, 'a{content:"\\f185"} b{content: "\\f0c9"}')
    assert set(TTFont(target).getBestCmap()) == {0xF185, 0xF0C9}
    assert target.stat().st_size < source.stat().st_size / 20


@pytest.mark.book
def test_every_icon_of_the_book_is_in_its_font():
    built = ROOT / "_build" / "html"
    if not built.exists():
        pytest.skip("the book is not built: run `make book` first")
    (font,) = built.glob("_static/vendor/fontawesome/*/webfonts/fa-solid-900.woff2")
    (sheet,) = built.glob("_static/vendor/fontawesome/*/css/all.min.css")
    css = sheet.read_text()
    characters = set(TTFont(font).getBestCmap())
    for name in ("fa-magnifying-glass", "fa-bars", "fa-circle-half-stroke", "fa-download"):
        assert f".{name}:before" in css, name
        code = css.split(f".{name}:before", 1)[1].split('content:"\\', 1)[1].split('"', 1)[0]
        assert int(code, 16) in characters, name
