"""Verdicts: when does a difference between two methods count?"""

import math

import numpy
import pytest
from scipy import stats

from linfcourse.experiments.judging import all_of, compare, interval, tally, threshold

NAMES = ("a", "b")


def test_interval_is_students():
    values = numpy.random.default_rng(0).normal(size=7)
    low, high = stats.t.interval(0.9, 6, values.mean(), stats.sem(values))
    assert interval(values) == pytest.approx((values.mean(), low, high), rel=1e-3)


@pytest.mark.parametrize("n", range(2, 21))
def test_quantiles_are_students(n):
    values = [0.0] * (n - 1) + [1.0]
    low, high = stats.t.interval(0.9, n - 1, numpy.mean(values), stats.sem(values))
    assert interval(values)[1:] == pytest.approx((low, high), rel=1e-3)


def test_a_clear_difference_holds_and_fails_the_other_way_round():
    low, high = [1.0, 1.1, 0.9], [2.0, 2.2, 1.9]
    assert compare(low, high, NAMES).status == "holds"
    assert compare(high, low, NAMES).status == "fails"


def test_seeds_are_compared_in_pairs():
    base = numpy.array([0.0, 10.0, 20.0])
    assert compare(base, base + numpy.array([0.1, 0.11, 0.12]), NAMES).status == "holds"


def test_noise_and_single_seeds_stay_open():
    assert compare([1.0, 2.0, 3.0], [1.1, 1.7, 3.3], NAMES).status == "inconclusive"
    assert compare([1.0], [2.0], NAMES).status == "inconclusive"


def test_divergence_loses():
    inf = math.inf
    assert compare([1.0, 1.0], [inf, inf], NAMES).status == "holds"
    assert compare([inf, inf], [1.0, 1.0], NAMES).status == "fails"
    assert compare([1.0, inf], [inf, inf], NAMES).status == "inconclusive"


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ValueError, match="got 1 and 2"):
        compare([1.0], [1.0, 2.0], NAMES)
    with pytest.raises(ValueError, match="got 0 and 0"):
        compare([], [], NAMES)


def test_a_claim_of_several_parts():
    holds = threshold(1.0, 0.0, 2.0, "x")
    fails = threshold(3.0, 0.0, 2.0, "x")
    open_ = compare([1.0], [2.0], NAMES)
    assert all_of({"p": holds, "q": holds}).status == "holds"
    assert all_of({"p": holds, "q": open_}).status == "inconclusive"
    assert all_of({"p": holds, "q": open_, "r": fails}).status == "fails"
    with pytest.raises(ValueError, match="at least one"):
        all_of({})


def test_a_tally_is_the_verdict_on_all_with_their_numbers():
    parts = {k: threshold(k, 0.0, 2.0, "x") for k in (1.0, 1.5, 3.0)}
    for where, begins in (("", "2 of 3"), ("at β = 0", "at β = 0: 2 of 3")):
        counted = tally(parts, "pairs", where)
        assert counted.reason == f"{begins} pairs as predicted, 1 the other way"
        assert (counted.status, counted.figures) == ("fails", all_of(parts).figures)
