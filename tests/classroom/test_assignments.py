"""The tests of the assignments, tested: the reference gets all points, an untouched version none,
and each wrong solution loses the points that its mistake costs, in its own question."""

import importlib

import pytest

from tests.classroom.in_process import full, mutated, points, reference, untouched
from tools.assignment_source import SOURCES, describe, names, sources_of_tests

NAMES = names()
MUTATIONS = [
    (name, *mutation)
    for name in NAMES
    if (SOURCES.parent / f"tests/classroom/mutations_{name[0]}.py").exists()
    for mutation in importlib.import_module(f"tests.classroom.mutations_{name[0]}").MUTATIONS
]


@pytest.mark.parametrize("name", NAMES)
def test_the_reference_gets_all_points(name):
    assert points(name, reference(name)) == full(name)


@pytest.mark.parametrize("name", NAMES)
def test_an_untouched_version_gets_none(name):
    assert set(points(name, untouched(name)).values()) <= {0}


@pytest.mark.parametrize(
    "name, question, mistake, right, wrong, lost",
    MUTATIONS,
    ids=[f"{name}-{question}-{mistake}" for name, question, mistake, *_ in MUTATIONS],
)
def test_a_wrong_solution_loses_points_in_its_question_only(
    name, question, mistake, right, wrong, lost
):
    expected = full(name)
    expected[question] -= lost
    assert lost > 0 and points(name, mutated(name, right, wrong)) == expected


@pytest.mark.parametrize("name", NAMES)
def test_every_graded_question_has_public_and_hidden_tests_and_three_wrong_solutions(name):
    files = sources_of_tests(SOURCES / f"{name}.md")
    for question in describe(SOURCES / f"{name}.md")["questions"]:
        if question["manual"]:
            continue
        assert "hidden=False" in files[question["name"]]
        assert "hidden=True" in files[question["name"]]
        mistakes = [m for m in MUTATIONS if m[:2] == (name, question["name"])]
        assert len(mistakes) >= 3, question["name"]
