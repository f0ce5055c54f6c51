"""What the text says is seen in the figures that the library computes, held against theorems."""

import math

import pytest
import torch

from linfcourse.experiments.heavy_tails import class_probabilities
from linfcourse.explorables import chapter_15, chapter_17
from linfcourse.norms import LInf
from linfcourse.optim import SignSGD

PAIRS = [(rows, columns) for rows in chapter_17.TURNS for columns in chapter_17.TURNS]


def test_frequencies_are_those_of_the_experiment():
    for tail, name in ((1.0, "zipf"), (0.0, "equal")):
        expected = class_probabilities(name, chapter_15.CLASSES).double()
        assert torch.allclose(chapter_15.frequencies(tail), expected, rtol=1e-6)


def alone(make, rate: float, k: int) -> float:
    """Class k by itself, with the gradient from autograd: its share of loss left after 30 steps."""
    q = torch.full((chapter_15.CLASSES,), 0.1 / chapter_15.CLASSES, dtype=torch.float64)
    q[k] += 0.9
    w = torch.zeros_like(q, requires_grad=True)
    optimizer = make([w], lr=rate)

    def loss():
        return torch.nn.functional.cross_entropy(w, q)

    entropy = -(q * q.log()).sum().item()
    first = loss().item() - entropy
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    return (loss().item() - entropy) / first


@pytest.mark.parametrize("k", [0, 30, 126])
def test_a_class_goes_the_way_that_it_goes_alone(k):
    p = chapter_15.frequencies(1.0)
    together = chapter_15.left("sgd", 1.0, 30.0)[30][k].item()
    assert together == pytest.approx(alone(torch.optim.SGD, 30.0 * p[k].item(), k), abs=1e-9)
    together = chapter_15.left("sign", 1.0, 0.1)[30][k].item()
    assert together == pytest.approx(alone(SignSGD, 0.1, k), abs=1e-9)


def test_sign_descent_knows_no_frequency_and_gradient_descent_has_a_window():
    for tail in (0.0, 1.5):
        shares = chapter_15.left("sign", tail, 0.3)[10]
        assert (shares.max() - shares.min()).item() < 1e-12
    small, large = (chapter_15.left("sgd", 1.0, lr)[30] for lr in (10.0, 1000.0))
    assert small[0] < 0.001 < 0.5 < small[-1]
    assert large[-1] < 0.001 < 0.5 < large[0]


def test_with_equal_frequencies_one_rate_serves_all_and_with_a_heavier_tail_less():
    def gap(tail):
        least = (
            chapter_15.total(m, tail, chapter_15.best(m, tail, 30), 30) for m in ("sgd", "sign")
        )
        gradient, sign = (max(value, chapter_15.FLOOR) for value in least)
        return gradient / sign

    gaps = [gap(tail) for tail in chapter_15.TAILS]
    assert gaps[0] == 1.0 and sorted(gaps) == gaps and gaps[-1] > 10


def test_in_the_gradients_own_axes_the_sign_step_is_the_spectral_one():
    for weak in chapter_17.CONTROLS[0].values:
        steps = [chapter_17.step(ruler, weak, 0, 0) for ruler in ("sign", "spectral")]
        assert torch.allclose(*steps)


@pytest.mark.parametrize("weak", chapter_17.CONTROLS[0].values)
def test_the_sign_step_loses_the_weak_direction_where_the_text_says(weak):
    """Both sides turned, and the weak singular value at most the ratio of the tangents."""
    for rows, columns in PAIRS:
        values = torch.linalg.svdvals(chapter_17.step("sign", weak, rows, columns))
        tangents = sorted(math.tan(math.radians(turn)) for turn in (rows, columns))
        lost = tangents[0] > 0 and weak <= tangents[0] / tangents[1]
        assert values[1].item() == pytest.approx(0.0 if lost else 1.0, abs=1e-9), (rows, columns)


def test_the_spectral_step_moves_alike_and_the_sign_step_may_go_the_wrong_way():
    wrong = []
    for rows, columns in PAIRS:
        gains = {row["ruler"]: row for row in chapter_17.gains(0.02, rows, columns)}
        assert gains["spectral"]["strong"] == pytest.approx(1.0)
        assert gains["spectral"]["along_weak"] == pytest.approx(1.0)
        assert gains["gradient"]["along_weak"] == pytest.approx(0.02, abs=1e-9)
        if gains["sign"]["along_weak"] < -1e-9:
            wrong.append((rows, columns))
    assert wrong == [(a, b) for a, b in PAIRS if a and b and (a - 45) * (b - 45) < 0]


def test_where_the_strong_part_has_zeros_the_weak_part_decides():
    assert chapter_17.gradient(0.1, 0, 0).tolist() == [[1.0, 0.0], [0.0, 0.1]]
    assert (-LInf().lmo(chapter_17.gradient(0.1, 0, 0))).tolist() == [[1.0, 0.0], [0.0, 1.0]]
