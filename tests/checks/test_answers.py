"""The checks of all exercises: right answers pass, usual mistakes are named."""

import importlib
from pathlib import Path

import pytest
import torch

from linfcourse.checks import check, exercises
from linfcourse.norms import Spectral
from tests.checks.chapter_15 import gradient
from tests.checks.chapter_17 import shampoo

ANSWERS = [
    importlib.import_module(f"tests.checks.{path.stem}")
    for path in sorted(Path(__file__).parent.glob("chapter_*.py"))
]
RIGHT = [
    pair
    for chapter in ANSWERS
    for pair in (*chapter.RIGHT.items(), *getattr(chapter, "ALSO_RIGHT", ()))
]
WRONG = [row for chapter in ANSWERS for row in chapter.WRONG]


def test_every_exercise_has_a_right_answer_here():
    assert {number for number, _ in RIGHT} == set(exercises())


@pytest.mark.parametrize(("number", "answer"), RIGHT, ids=[number for number, _ in RIGHT])
def test_a_right_answer_passes(number, answer, capsys):
    assert check(number, answer)
    assert f"Exercise {number}: right." in capsys.readouterr().out


@pytest.mark.parametrize("empty", [None, ...])
@pytest.mark.parametrize("number", exercises())
def test_an_empty_answer_is_not_yet_an_answer(number, empty, capsys):
    assert not check(number, empty)
    assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "answer", "message"),
    WRONG,
    ids=[f"{number} {message}" for number, _, message in WRONG],
)
def test_a_usual_mistake_is_named(number, answer, message, capsys):
    assert not check(number, answer)
    assert message in capsys.readouterr().out


def test_an_unknown_exercise_names_the_known_ones():
    with pytest.raises(ValueError, match=r"1\.1"):
        check("99.1", 0)


def test_the_gradient_that_is_asked_for_is_autograds():
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(4, 4, generator=generator).double().requires_grad_()
    p, Q = torch.rand(4, generator=generator).double(), torch.eye(4).double() * 0.7 + 0.075
    (-(p * (Q * W.log_softmax(0)).sum(0)).sum()).backward()
    torch.testing.assert_close(W.grad, gradient(W.detach(), p, Q))


def test_the_checked_direction_is_the_one_of_the_librarys_oracle():
    G = torch.randn(5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(shampoo(G), -Spectral().lmo(G))
