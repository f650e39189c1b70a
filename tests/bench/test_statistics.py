"""Medians, their intervals, and what counts as met."""

from __future__ import annotations

import math
import random

import pytest

from bench.statistics import Estimate, estimate, fitted_exponent, paired_ratio, ranks
from bench.table import Verdict


@pytest.mark.parametrize("count", range(6, 80))
def test_the_interval_of_a_median_covers_it_in_19_of_20_cases_and_is_the_tightest_that_does(
    count: int,
) -> None:
    """The number of samples below the median is binomial(count, 1/2)."""

    def coverage(low: int) -> float:
        return 1 - 2 * sum(math.comb(count, k) for k in range(low + 1)) / 2**count

    low, high = ranks(count)
    assert low + high == count - 1
    assert coverage(low) >= 0.95
    assert coverage(low + 1) < 0.95


def test_the_interval_covers_the_true_median_of_a_skewed_distribution_as_often_as_it_says() -> None:
    """Times are skewed, so a normal approximation would not do."""
    chance = random.Random(3)
    hits = 0
    for _ in range(2000):
        found = estimate([chance.expovariate(1) for _ in range(15)])
        hits += found.low <= math.log(2) <= found.high
    assert hits / 2000 > 0.94


def test_what_both_suffer_in_a_round_cancels() -> None:
    """A machine that is ten times slower for some rounds changes no ratio."""
    slow = [1, 1, 10, 10, 1, 10, 1, 1]
    found = paired_ratio([3.0 * s for s in slow], [2.0 * s for s in slow])
    assert found == Estimate(1.5, 1.5, 1.5)


def test_rounds_that_do_not_pair_are_refused() -> None:
    """A missing round would pair all later ones wrongly."""
    with pytest.raises(ValueError, match="zip"):
        paired_ratio([1.0, 2.0], [1.0])


@pytest.mark.parametrize(
    ("low", "high", "at_least", "word"),
    [
        (1.0, 2.5, False, "met"),
        (2.0, 2.6, False, "undecided"),
        (2.6, 3.0, False, "MISSED"),
        (8.0, 9.0, True, "met"),
        (7.9, 9.0, True, "undecided"),
        (7.0, 7.9, True, "MISSED"),
    ],
)
def test_a_target_is_met_or_missed_only_by_the_whole_interval(
    low: float, high: float, at_least: bool, word: str
) -> None:
    """A median on the good side with an interval on both sides decides nothing."""
    limit = 8.0 if at_least else 2.5
    assert Verdict("x", Estimate((low + high) / 2, low, high), limit, at_least).word == word


@pytest.mark.parametrize("exponent", [-0.5, 0, 0.07, 1, 2])
def test_the_exponent_of_a_power_law_is_found(exponent: float) -> None:
    sizes = (1e3, 1e4, 1e5, 1e6)
    assert fitted_exponent([(x, 17 * x**exponent) for x in sizes]) == pytest.approx(exponent)


def test_one_wild_population_moves_the_exponent_a_little() -> None:
    """A cost that is twice what it should be at one of four populations is no linear cost."""
    wild = [(1e3, 1.0), (1e4, 1.0), (1e5, 2.0), (1e6, 1.0)]
    assert 0 < fitted_exponent(wild) < 0.1
