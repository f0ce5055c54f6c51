"""The checks of chapter 10: right answers pass, usual mistakes are named."""

import pytest
import torch

from linfcourse.checks import check, exercises


def ratio(v):
    v = v.abs()
    return v.max() / v.quantile(0.5)


def mode(W1, W2, A, sign=1):
    return W2[0] + sign * W1 @ (A[0] / A[0].norm())


def even(W1, W2):
    size = W2.abs().flatten()
    return W1 * size[:, None], W2 / size


RIGHT = {"10.1": 16, "10.2": ratio, "10.3": mode, "10.4": even}
WRONG = [
    ("10.1", 4.0, "the weights themselves"),
    ("10.1", 64, "over the smallest"),
    ("10.1", 3.596, "over the mean"),
    ("10.1", 7, "divide the largest by the middle one"),
    ("10.1", "much", "A number is asked for"),
    ("10.2", lambda v: v.abs().max() / v.abs().median(), "lower of the two"),
    ("10.2", lambda v: v.max() / v.median(), "can be negative"),
    ("10.2", lambda v: v.max() / v.quantile(0.5), "can be negative"),
    ("10.2", lambda v: v.abs().max() / v.quantile(0.5).abs(), "absolute values first"),
    ("10.2", lambda v: v.abs().max() / v.abs().mean(), "by the mean"),
    ("10.2", lambda v: v.abs().max() / v.abs().min(), "smallest entry"),
    ("10.2", lambda v: 1 / ratio(v), "Upside down"),
    ("10.2", lambda v: 1.0, "your ratio is 1"),
    ("10.2", lambda: 1.0, "raised TypeError"),
    ("10.3", lambda W1, W2, A: mode(W1, W2, A, sign=-1), "dies out"),
    ("10.3", lambda W1, W2, A: W2[0], "W₂ alone"),
    ("10.3", lambda W1, W2, A: W1 @ A[0], "W₁a alone"),
    ("10.3", lambda W1, W2, A: W2[0] + W1 @ A[0], "length one"),
    ("10.3", lambda W1, W2, A: W2[0] + W1.sum(dim=1), "Weigh the columns"),
    ("10.3", lambda W1, W2, A: W2[0] ** 2, "which sum grows"),
    ("10.3", lambda W1, W2, A: A[0], "should have shape"),
    ("10.3", lambda W1, W2, A: W1.T @ A[0], "raised RuntimeError"),
    ("10.4", lambda W1, W2: (W1, W2), "as they were"),
    ("10.4", lambda W1, W2: (W1, torch.ones_like(W2)), "has to pay"),
    ("10.4", lambda W1, W2: (even(W1, W2)[0], torch.ones_like(W2)), "signs of W₂ are lost"),
    ("10.4", lambda W1, W2: (2 * W1, W2), "has changed"),
    ("10.4", lambda W1, W2: W2, "Return two tensors"),
    ("10.4", lambda W1, W2: (2 * W1, W2 / 2), "not 1"),
    ("10.4", lambda W1, W2: (W1 / W1.norm(dim=1)[:, None], W2 * W1.norm(dim=1)), "second layer"),
]


@pytest.mark.parametrize("number", RIGHT)
def test_the_right_answer_passes(number, capsys):
    assert check(number, RIGHT[number])
    assert f"Exercise {number}: right." in capsys.readouterr().out


def test_the_mode_may_have_any_length_and_sign_and_be_a_row():
    assert check("10.3", lambda W1, W2, A: -3 * mode(W1, W2, A)[None, :])


@pytest.mark.parametrize("empty", [None, ...])
@pytest.mark.parametrize("number", RIGHT)
def test_an_empty_answer_is_not_yet_an_answer(number, empty, capsys):
    assert not check(number, empty)
    assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize(("number", "answer", "message"), WRONG)
def test_a_usual_mistake_is_named(number, answer, message, capsys):
    assert not check(number, answer)
    assert message in capsys.readouterr().out


def test_every_exercise_of_the_chapter_has_a_right_answer_here():
    assert [n for n in exercises() if n.startswith("10.")] == sorted(RIGHT)
