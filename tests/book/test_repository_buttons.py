"""With a repository's address the pages have source, issue and Colab buttons; without one, none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
BUILD = "from jupyter_book.cli.main import main; main()"
WORDS = ("github.com", "colab.research", "Open issue", "Show source")


@pytest.fixture(scope="module")
def small_book(tmp_path_factory):
    """Two pages with the real configuration and extensions."""
    root = tmp_path_factory.mktemp("book")
    shutil.copy(ROOT / "_config.yml", root)
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n  - file: book/chapters/01_one\n"
    )
    chapters = root / "book" / "chapters"
    chapters.mkdir(parents=True)
    shutil.copytree(ROOT / "book" / "_ext", root / "book" / "_ext")
    shutil.copy(ROOT / "book" / "references.bib", root / "book")
    static = root / "book" / "_static"
    static.mkdir()
    for name in ("custom.css", "logo.svg", "favicon.svg"):
        shutil.copy(ROOT / "book" / "_static" / name, static)
    (root / "book" / "index.md").write_text("# Title\n\nWords.\n")
    cells = [nbformat.v4.new_markdown_cell("# One"), nbformat.v4.new_code_cell("1 + 1")]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata=kernel), chapters / "01_one.ipynb"
    )
    return root


def build(root: Path, **variables: str) -> tuple[str, subprocess.CompletedProcess]:
    """The chapter's page, built anew under these variables alone."""
    shutil.rmtree(root / "_build", ignore_errors=True)
    ours = ("LINFCOURSE_REPOSITORY", "GITHUB_REPOSITORY", "GITHUB_SERVER_URL")
    environ = {name: value for name, value in os.environ.items() if name not in ours}
    answer = subprocess.run(
        [sys.executable, "-c", BUILD, "build", str(root), "-W", "-n", "--keep-going", "-q"],
        env=environ | variables,
        capture_output=True,
        text=True,
    )
    page = root / "_build" / "html" / "book" / "chapters" / "01_one.html"
    return (page.read_text() if page.exists() else ""), answer


def test_without_an_address_there_are_no_buttons(small_book):
    page, answer = build(small_book)
    assert page, answer.stderr
    assert [word for word in WORDS if word in page] == []


@pytest.mark.parametrize(
    "variables",
    [
        {"LINFCOURSE_REPOSITORY": "some-owner/some-name"},
        {"GITHUB_REPOSITORY": "some-owner/some-name", "GITHUB_SERVER_URL": "https://github.com"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_with_an_address_the_buttons_lead_to_text_issues_and_colab(small_book, variables):
    page, answer = build(small_book, **variables)
    assert page, answer.stderr
    home = "https://github.com/some-owner/some-name"
    assert f'href="{home}"' in page
    assert f'href="{home}/blob/main/book/chapters/01_one.md' in page
    assert f'href="{home}/issues/new?' in page
    colab = "https://colab.research.google.com/github/some-owner/some-name"
    assert f'href="{colab}/blob/notebooks/book/chapters/01_one.ipynb"' in page


def test_what_is_no_address_is_refused_with_a_sentence(small_book):
    page, answer = build(small_book, LINFCOURSE_REPOSITORY="just-a-name")
    assert not page
    assert "LINFCOURSE_REPOSITORY must be owner/name" in answer.stderr
