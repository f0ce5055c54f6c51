"""Takes from the pages what a reader would download and never see. The pages look the same.

- Font Awesome comes twice with the theme, as a script of 1.5 MB and as a web font. The font stays,
  with the icons that some page of this book uses.
- sphinx-design's style sheet goes from the pages that use none of its parts.
- matplotlib writes the coordinates of paths to a millionth of a point; a hundredth is enough.
"""

import re
from pathlib import Path

import pydata_sphinx_theme
from fontTools.subset import Options, Subsetter, load_font, save_font

THEME_STATIC = (
    Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
)
ICONS = THEME_STATIC / "vendor" / "fontawesome"
ICON_SCRIPT = re.compile(r"\s*<script\b[^>]*fontawesome[^>]*\.js[^>]*></script>")
ICON_PRELOAD = re.compile(r'\s*<link\b[^>]*rel="preload"[^>]*fontawesome[^>]*/?>')
ICON_RULE = re.compile(r"((?:\.fa-[\w-]+:before,?)+)\{content:[^}]*\}")
ICON_CODE = re.compile(r'content:\s*"\\([0-9a-f]{2,5})"')
ICON_NAME = re.compile(r"fa-[a-z0-9-]+")
DESIGN = re.compile(
    r"\s*<link\b[^>]*sphinx-design[^>]*>|\s*<script\b[^>]*design-tabs[^>]*></script>"
)
DESIGN_PART = re.compile(r'class="[^"]*\bsd-')
PATH_DATA = re.compile(r'(?<=\sd=")[^"]+')
LONG_NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")


def lean_page(html: str) -> str:
    """A page without the scripts and style sheets that it does not need."""
    html = ICON_PRELOAD.sub("", ICON_SCRIPT.sub("", html))
    return html if DESIGN_PART.search(html) else DESIGN.sub("", html)


def lean_figure(svg: str) -> str:
    """A drawing whose paths have two decimals. Other numbers, such as scales, keep theirs."""
    return PATH_DATA.sub(lambda path: LONG_NUMBER.sub(r"\1", path.group()), svg)


def icons_in(text: str) -> set[str]:
    """Names of the icons that a page or a script mentions."""
    return set(ICON_NAME.findall(text))


def lean_icons(css: str, used: set[str]) -> str:
    """Font Awesome's style sheet with the rules of the icons in `used` alone."""

    def keep(rule):
        return rule.group() if icons_in(rule.group(1)) & used else ""

    return ICON_RULE.sub(keep, css)


def lean_font(source: Path, target: Path, css: str) -> None:
    """The web font with the characters that the style sheets ask for."""
    options = Options()
    options.flavor = "woff2"
    font = load_font(str(source), options)
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=[int(code, 16) for code in ICON_CODE.findall(css)])
    subsetter.subset(font)
    save_font(font, str(target), options)


def rewrite(path: Path, change) -> str:
    text = path.read_text(encoding="utf-8")
    lean = change(text)
    if lean != text:
        path.write_text(lean, encoding="utf-8")
    return lean


def lean_static(out: Path, used: set[str]) -> None:
    """Cut the icons of a built book to those in `used` and in its scripts, and thin its figures."""
    static = out / "_static"
    for script in static.rglob("*.js"):
        if "vendor" not in script.parts and "mathjax" not in script.parts:
            used = used | icons_in(script.read_text(encoding="utf-8", errors="ignore"))
    # From the theme's own files: those of an earlier build lack the icons that are new in this one.
    for source in ICONS.rglob("all.min.css"):
        css = source.read_text(encoding="utf-8")
        (static / source.relative_to(THEME_STATIC)).write_text(
            lean_icons(css, used), encoding="utf-8"
        )
    sheets = "".join(path.read_text(encoding="utf-8") for path in static.rglob("*.css"))
    for source in ICONS.rglob("*.woff2"):
        lean_font(source, static / source.relative_to(THEME_STATIC), sheets)
    for figure in (out / "_images").glob("*.svg"):
        rewrite(figure, lean_figure)
