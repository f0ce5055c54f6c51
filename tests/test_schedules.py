"""Learning-rate schedules: their ends, their middles, and what they refuse."""

import pickle

import pytest

from linfcourse.schedules import constant, warmup_constant, warmup_cosine


def test_constant():
    assert [constant()(s, 5) for s in range(5)] == [1.0] * 5


@pytest.mark.parametrize("warmup", [0, 1, 5, 20])
def test_warmup_rises_in_a_line_to_one_and_never_starts_at_zero(warmup):
    for schedule in (warmup_constant(warmup), warmup_cosine(warmup)):
        values = [schedule(s, 40) for s in range(warmup)]
        assert values == [(s + 1) / warmup for s in range(warmup)]
        assert schedule(warmup, 40) == 1.0


def test_cosine_falls_from_one_to_final_and_is_halfway_in_the_middle():
    values = [warmup_cosine(10, final=0.2)(s, 51) for s in range(10, 51)]
    assert values[0] == 1.0 and values[-1] == pytest.approx(0.2)
    assert values[20] == pytest.approx(0.6)
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_runs_shorter_than_the_warmup_are_allowed(steps):
    assert [warmup_cosine(5)(s, steps) for s in range(steps)] == [(s + 1) / 5 for s in range(steps)]


def test_can_be_compared_and_sent_to_another_process():
    for schedule in (constant(), warmup_constant(3), warmup_cosine(3, 0.5)):
        assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert warmup_cosine(3) != warmup_cosine(4)


@pytest.mark.parametrize(("warmup", "error"), [(-1, ValueError), (1.5, TypeError)])
def test_refuse_a_warmup_that_is_none(warmup, error):
    for make in (warmup_constant, warmup_cosine):
        with pytest.raises(error, match="warmup"):
            make(warmup)


def test_refuse_a_negative_end():
    with pytest.raises(ValueError, match="final"):
        warmup_cosine(1, final=-0.1)
