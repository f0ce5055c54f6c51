"""The pages around the chapters: theorems, glossary, paths and reading name what there is."""

import json
import re
from pathlib import Path

import pytest
import yaml

from book._ext import theorems
from linfcourse import experiments

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
NOTEBOOKS = sorted((BOOK / "chapters").glob("*.ipynb"))


every_chapter = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)


def page(name):
    return (BOOK / name).read_text(encoding="utf-8")


@every_chapter
def test_the_list_of_theorems_has_every_statement_of_the_chapter(notebook):
    source = notebook.with_suffix(".md").read_text(encoding="utf-8")
    opened = re.findall(r"^:::+\{prf:(?!proof)\w+\}", source, re.MULTILINE)
    lines = theorems.as_markdown([notebook])
    assert sum(line.startswith("- {prf:ref}") for line in lines) == len(opened)


def test_the_page_of_theorems_is_that_list():
    assert "{theorems}" in page("theorems.md")


@every_chapter
def test_every_statement_is_proved_or_says_that_it_is_not(notebook):
    for statement in theorems.statements(notebook):
        if not statement.proved and statement.kind not in ("definition", "corollary", "remark"):
            source = notebook.with_suffix(".md").read_text(encoding="utf-8")
            after = source[source.index(f":label: {statement.label}") :][:2000]
            assert "without proof" in after, statement.title


def write(folder, *cells):
    path = folder / "01_x.ipynb"
    cells = [{"cell_type": "markdown", "source": cell} for cell in cells]
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_a_statement_without_a_label_is_refused(tmp_path):
    notebook = write(tmp_path, "# X", ":::{prf:lemma} Small\nTrue.\n:::")
    with pytest.raises(ValueError, match="Small"):
        theorems.statements(notebook)


def test_a_proof_belongs_to_the_statement_before_it(tmp_path):
    lemma = ":::{prf:lemma} Small\n:label: lem-s\n\nTrue.\n:::"
    theorem = ":::{prf:theorem} Large\n:label: thm-l\n\nTrue.\n:::"
    proof = ":::{prf:proof}\nClear.\n:::"
    notebook = write(tmp_path, "# X", f"{lemma}\n\n{theorem}", proof)
    found = theorems.statements(notebook)
    assert [(s.label, s.proved) for s in found] == [("lem-s", False), ("thm-l", True)]
    assert theorems.as_markdown([notebook])[0] == "**[1. X](chapters/01_x.ipynb)**"


# The works that the course stands next to, each of which the reading page has a sentence on.
WORKS = """
    xie2024adam jiang2022adaptive xie2024implicit kunstner2024heavy tomihari2025gradient
    zhang2024why zhang2024adammini zhang2024separable tsilivis2025flavors wang2024mirror
    dong2024lion chen2023lionk zhang2025rotation vyas2024soap gupta2018shampoo jordan2024muon
    pethick2025scion song2024tiny cattaneo2023implicit zhao2024deconstructing ma2025swan
    mohamadi2024grok
""".split()


@pytest.mark.parametrize("key", WORKS)
def test_the_reading_page_has_a_sentence_on_every_neighbour(key):
    assert f"`{key}`" in page("further_reading.md")
    assert f"{{{key}," in page("references.bib")


def test_the_reading_page_has_a_place_for_every_entry_of_the_bibliography():
    keys = re.findall(r"^@\w+\{(\S+),", page("references.bib"), re.MULTILINE)
    assert [key for key in keys if f"`{key}`" not in page("further_reading.md")] == []


def test_the_claims_that_the_reading_page_names_exist():
    known = {c.id for name in experiments.NAMES for c in experiments.get(name).claims}
    named = set(re.findall(r"(?<!\})`(\w+\.\w+)`", page("further_reading.md")))
    assert len(named) > 10
    assert named <= known


def test_a_term_of_the_glossary_is_explained_once_in_one_sentence():
    terms, explained = [], []
    for block in re.findall(r":::\{glossary\}\n(.*?)\n:::", page("glossary.md"), re.DOTALL):
        for entry in block.split("\n\n"):
            *names, text = entry.splitlines()
            assert names and text.startswith("  ") and text.endswith("."), entry
            terms += names
            explained.append(text)
    assert len(terms) == len(set(terms)) > 50
    assert all(". " not in text.split(" chapter")[0] for text in explained)


WORDS = {"half an hour": 30, "forty minutes": 40}


def minutes_to_read(source):
    """What the chapter's own line says."""
    said = re.search(r"^\*\*Time\*\*: (.*?) to read", source.read_text(), re.MULTILINE).group(1)
    return WORDS[said] if said in WORDS else int(re.fullmatch(r"(\d+) minutes", said).group(1))


def sections(text):
    """Heading -> text, for the headings of the second level."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


PATHS = sections(page("paths.md"))


@every_chapter
def test_the_semester_has_every_chapter_once_and_in_order(notebook):
    named = [int(number) for number in re.findall(r"[Cc]hapter (\d+)", PATHS["One semester"])]
    assert named.count(int(notebook.stem.split("_")[0])) == 1
    assert named == sorted(named)


def test_the_paths_give_the_chapters_own_times():
    steps = re.findall(
        r"\[[Cc]hapter (\d+)\]\(chapters/(\w+)\.ipynb\), (\d+) min", page("paths.md")
    )
    assert len(steps) > 25
    for number, stem, minutes in steps:
        assert int(stem.split("_")[0]) == int(number)
        assert int(minutes) == minutes_to_read(BOOK / "chapters" / f"{stem}.md"), stem


def test_an_evening_is_an_evening_and_a_sitting_a_sitting():
    def total(text):
        return sum(map(int, re.findall(r", (\d+) minutes", text)))

    assert 90 <= total(PATHS["One evening"]) <= 130
    sittings = re.findall(r"^\d+\. .*$", PATHS["One week"], re.MULTILINE)
    assert len(sittings) == 6
    assert all(40 <= total(sitting) <= 90 for sitting in sittings)


def test_the_title_page_has_the_parts_of_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    captions = [part["caption"] for part in toc["parts"] if part["caption"].startswith("Part ")]
    rows = re.findall(r"^\| ([IV]+)\. (.*?) \|", page("index.md"), re.MULTILINE)
    assert captions == [f"Part {number}: {name}" for number, name in rows]
