"""McNemar's test is the exact binomial one, and the paired bootstrap holds the true difference as often as it says."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from rankwise.stats.paired import mcnemar, paired_bootstrap

PAIRS = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(*[st.lists(st.booleans(), min_size=rows, max_size=rows).map(np.array)] * 2)
)
NO_DEADLINE = settings(deadline=None, max_examples=60)


@given(PAIRS)
@NO_DEADLINE
def test_mcnemar_is_the_two_sided_binomial_test_of_scipy(pair):
    a, b = pair
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    result = mcnemar(a, b)
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.p_value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("only_a", "only_b"), [(500_000, 502_500), (1_000_000, 1_000_000), (30_000, 33_000)])
def test_mcnemar_is_right_for_large_counts(only_a, only_b):
    a = np.arange(only_a + only_b) < only_a
    expected = stats.binomtest(only_a, only_a + only_b).pvalue
    assert mcnemar(a, ~a).p_value == pytest.approx(expected, rel=1e-6)


def test_mcnemar_of_a_landslide_is_tiny_without_a_domain_error():
    a = np.ones(5000, dtype=bool)
    assert mcnemar(a, ~a).p_value == 0.0  # 2 ** -4999 is below the smallest float


def test_a_95_percent_interval_of_a_difference_covers_the_truth_in_about_95_of_100_data_sets():
    rng = np.random.default_rng(0)
    covered = []
    for seed in range(400):
        outcome = rng.choice(4, size=300, p=[0.7, 0.12, 0.08, 0.1])
        interval = paired_bootstrap(outcome < 2, outcome % 2 == 0, resamples=300, seed=seed)
        covered.append(interval.low <= 0.12 - 0.08 <= interval.high)
    assert 0.91 <= np.mean(covered) <= 0.98


@given(PAIRS)
@NO_DEADLINE
def test_the_difference_of_two_models_is_that_of_their_accuracies(pair):
    a, b = pair
    forth = paired_bootstrap(a, b, resamples=200)
    assert forth.value == pytest.approx(a.mean() - b.mean())
    assert -1 <= forth.low <= forth.high <= 1


@pytest.mark.parametrize("function", [mcnemar, paired_bootstrap])
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([True, False], [True], "same rows"),
        ([1, 0], [1, 1], "predicted == truth"),
        (np.empty(0, dtype=bool), np.empty(0, dtype=bool), "0 rows to compare"),
    ],
)
def test_comparing_models_on_anything_but_the_same_rows_is_refused(function, a, b, message):
    with pytest.raises(ValueError, match=message):
        function(np.array(a), np.array(b))


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (1, 5), (3, 9), (7, 7), (12, 30)])
def test_mcnemars_p_value_is_twice_the_tail_of_fair_coins_counted_by_hand(only_a, only_b):
    flips = only_a + only_b
    tail = Fraction(sum(comb(flips, heads) for heads in range(min(only_a, only_b) + 1)), 2**flips)
    a = np.arange(flips) < only_a
    assert mcnemar(a, ~a).p_value == pytest.approx(float(min(Fraction(1), 2 * tail)), rel=1e-12)


def test_the_same_seed_gives_the_same_interval_of_a_difference():
    a, b = np.random.default_rng(0).random((2, 120)) < 0.7
    assert paired_bootstrap(a, b, seed=1) == paired_bootstrap(a, b, seed=1) != paired_bootstrap(a, b, seed=2)
