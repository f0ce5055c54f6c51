"""Every chapter: text and notebook agree, outputs belong to the code, checked cells are checked."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

from tools.execute_chapter import RECORD, cells_of, fingerprint, read_source
from tools.install_cell import INSTALL_CELL

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "book" / "chapters"
CHAPTERS = sorted(FOLDER.glob("*.md"))
CHECK = "nbval-check-output"

every_chapter = pytest.mark.parametrize("source", CHAPTERS, ids=lambda path: path.stem)


def executed(source: Path) -> nbformat.NotebookNode:
    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def tags(cell) -> list[str]:
    return cell.metadata.get("tags", [])


def data_of(cell) -> list[tuple[str, str]]:
    """All outputs of a cell as pairs of MIME type and content."""
    pairs = []
    for output in cell.outputs:
        if output.output_type == "stream":
            pairs.append(("text/plain", output.text))
        pairs.extend(output.get("data", {}).items())
    return pairs


def pages_in_toc() -> set[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    return {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}


def test_chapters_and_table_of_contents_name_each_other():
    listed = {Path(page).name for page in pages_in_toc() if page.startswith("book/chapters/")}
    assert listed == {source.stem for source in CHAPTERS}


def test_no_notebook_without_its_text():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {path.stem for path in CHAPTERS}


@every_chapter
def test_text_and_notebook_have_the_same_cells(source):
    assert cells_of(read_source(source)) == cells_of(executed(source)), "run `make chapters`"


@every_chapter
def test_outputs_were_made_by_this_code_in_this_order(source):
    notebook = executed(source)
    assert notebook.metadata[RECORD]["fingerprint"] == fingerprint(notebook), "run `make chapters`"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@every_chapter
def test_no_output_is_an_error_or_stderr(source):
    for cell in executed(source).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


@every_chapter
def test_no_output_is_a_widget_and_no_widget_state_is_stored(source):
    """A page has no kernel: a slider on it would be dead."""
    notebook = executed(source)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            assert "application/vnd.jupyter.widget-view+json" not in output.get("data", {})


@every_chapter
def test_first_cell_installs_the_library_where_it_is_missing(source):
    first = next(cell for cell in executed(source).cells if cell.cell_type == "code")
    assert first.source.strip() == INSTALL_CELL.strip(), "copy it from tools/install_cell.py"
    assert "hide-cell" in tags(first)
    assert first.outputs == []


@every_chapter
def test_checked_cells_have_an_output_that_nbval_compares(source):
    """nbval passes silently where a marked cell has nothing stored."""
    checked = [cell for cell in executed(source).cells if CHECK in tags(cell)]
    assert checked, f"no cell of {source.name} carries the tag {CHECK}"
    for cell in checked:
        data = data_of(cell)
        texts = [text for kind, text in data if kind == "text/plain"]
        assert any(re.search(r"\d", text) for text in texts), f"nothing to compare:\n{cell.source}"
        kinds = {kind for kind, _ in data}
        assert "image/svg+xml" not in kinds, (
            "nbval compares SVG as text, which differs from machine to machine: draw the figure "
            f"in a cell of its own\n{cell.source}"
        )


@every_chapter
def test_figures_have_a_caption_and_alt_text(source):
    for cell in executed(source).cells:
        if cell.cell_type != "code" or not any(k.startswith("image/") for k, _ in data_of(cell)):
            continue
        rendering = cell.metadata.get("mystnb", {})
        assert rendering.get("figure", {}).get("caption"), cell.source
        assert rendering.get("figure", {}).get("name"), cell.source
        assert rendering.get("image", {}).get("alt"), cell.source


@every_chapter
def test_prose_reads_well_in_colab(source):
    """Colab knows no MyST: colon fences degrade to text, backtick fences and macros do not."""
    for cell in read_source(source).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"^\s*(```|~~~)\{", cell.source, re.MULTILINE), cell.source
            assert not re.search(r"\\(newcommand|def|DeclareMathOperator)\b", cell.source)
