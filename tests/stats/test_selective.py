"""Bounds are the exact binomial ones, and what is promised of a threshold that was chosen holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from rankwise.stats.selective import (
    RISK,
    exact_interval,
    more_rows,
    risk_curve,
    threshold_for_coverage,
    threshold_for_error,
    upper_bound,
)

COUNTS = st.integers(1, 400).flatmap(lambda rows: st.tuples(st.integers(0, rows), st.just(rows)))


@given(COUNTS)
def test_the_upper_bound_is_that_of_scipys_one_sided_exact_test(counts):
    wrong, rows = counts
    expected = binomtest(wrong, rows, alternative="less").proportion_ci(0.95, method="exact").high
    assert upper_bound(wrong, rows) == pytest.approx(expected, abs=1e-9)


@given(COUNTS)
def test_the_interval_is_clopper_and_pearsons(counts):
    wrong, rows = counts
    expected = binomtest(wrong, rows).proportion_ci(0.95, method="exact")
    found = exact_interval(wrong, rows)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_without_rows_nothing_is_bounded():
    assert upper_bound(0, 0) == 1.0
    assert exact_interval(0, 0).value is None


def test_no_mistake_in_59_rows_bounds_the_error_by_5_percent_as_by_hand():
    assert 0.95**59 < 0.05 < 0.95**58
    assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)


# ----------------------------------------------------------------------------------------------------- a wanted error


def world(rng, rows):
    """Rows that are surer the more often they are right: wrong with a probability of (1 - confidence) / 2."""
    confidence = rng.random(rows)
    return confidence, rng.random(rows) < (1 - confidence) / 2


def true_error(threshold):
    """Of a world's rows above a threshold: the mean of (1 - c) / 2 over c from there to 1."""
    return (1 - threshold) / 4


@pytest.mark.parametrize("max_error", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("rows", [200, 1000])
def test_the_true_error_of_a_chosen_threshold_is_above_the_wanted_in_at_most_1_of_20_data_sets(max_error, rows):
    rng, sets = np.random.default_rng(0), 1000
    chosen = [threshold_for_error(*world(rng, rows), max_error) for _ in range(sets)]
    above = sum(true_error(found.confidence) > max_error for found in chosen if found)
    assert above <= sets * RISK + 2 * np.sqrt(sets * RISK * (1 - RISK))


def test_the_threshold_with_the_wanted_error_on_the_same_rows_would_break_its_promise_every_other_time():
    """What the test above would see of the plain rule, so that it can fail."""
    rng, above = np.random.default_rng(0), 0
    for _ in range(300):
        confidence, wrong = world(rng, 1000)
        order = np.argsort(-confidence)
        share = np.cumsum(wrong[order]) / np.arange(1, 1001)
        above += true_error(confidence[order[np.flatnonzero(share <= 0.05)[-1]]]) > 0.05
    assert above > 100


def test_many_rows_answer_nearly_as_much_as_could_be():
    found = threshold_for_error(*world(np.random.default_rng(1), 50_000), 0.1)
    assert found.answered / found.rows == pytest.approx(0.4, abs=0.03)  # (1 - 0.6) / 4 is 0.1


def test_rows_that_are_all_right_are_all_answered_where_they_are_enough():
    for rows, is_enough in ((58, False), (59, True)):
        found = threshold_for_error(np.linspace(0.5, 0.9, rows), np.zeros(rows, dtype=bool), 0.05)
        assert (found is not None) == is_enough
    assert (found.confidence, found.answered, found.wrong) == (0.0, 59, 0)


def test_the_answered_rows_pass_the_exact_test_and_the_next_would_not():
    confidence, wrong = world(np.random.default_rng(3), 2000)
    found = threshold_for_error(confidence, wrong, 0.1)
    assert found.answered == (confidence >= found.confidence).sum()
    assert found.wrong == wrong[confidence >= found.confidence].sum()
    assert binom.cdf(found.wrong, found.answered, 0.1) <= RISK
    after = wrong[np.argsort(-confidence)][: found.answered + 1]
    assert binom.cdf(after.sum(), len(after), 0.1) > RISK


def test_rows_of_one_confidence_are_answered_together_or_not_at_all():
    confidence = np.repeat([0.9, 0.6], 100)
    wrong = np.zeros(200, dtype=bool)
    wrong[[0, 100, 101, 102, 103, 104, 105]] = True
    found = threshold_for_error(confidence, wrong, 0.05)
    assert (found.answered, found.wrong, found.confidence) == (100, 1, 0.9)


def test_wrong_labels_among_the_surest_do_not_end_it_where_rows_are_many():
    wrong = np.arange(2000) < 3  # the surest three
    assert threshold_for_error(np.linspace(1, 0.5, 2000), wrong, 0.02).answered == 2000
    assert threshold_for_error(np.linspace(1, 0.5, 200), wrong[:200], 0.05) is None


def test_a_single_wrong_label_among_the_surest_does_not_end_it():
    wrong = np.zeros(500, dtype=bool)
    wrong[3] = True
    assert threshold_for_error(np.linspace(1, 0.5, 500), wrong, 0.05).answered == 500


# ------------------------------------------------------------------------------------------------- how many rows it takes


def test_too_few_rows_say_how_many_more_it_takes():
    assert threshold_for_error(np.linspace(1, 0.5, 50), np.zeros(50, dtype=bool), 0.02) is None
    more = more_rows(np.linspace(1, 0.5, 50), np.zeros(50, dtype=bool), 0.02)
    assert 90 < more < 5000  # 149 without a mistake


def test_twice_as_many_more_rows_as_are_named_do_it_mostly():
    rng, kept = np.random.default_rng(5), []
    for _ in range(60):
        confidence, wrong = world(rng, 150)
        if threshold_for_error(confidence, wrong, 0.05) is None and (more := more_rows(confidence, wrong, 0.05)):
            kept.append(threshold_for_error(*world(rng, 150 + 2 * more), 0.05) is not None)
    assert len(kept) > 10
    assert np.mean(kept) > 0.5


def test_where_the_surest_are_wrong_too_often_no_number_of_rows_would_do():
    wrong = np.arange(400) % 4 == 0
    assert more_rows(np.linspace(1, 0.5, 400), wrong, 0.05) is None


# --------------------------------------------------------------------------------------------------- a wanted coverage


def test_a_new_row_is_answered_with_the_wanted_probability_at_least():
    rng, answered = np.random.default_rng(0), []
    for _ in range(4000):
        confidence, wrong = world(rng, 30)
        answered.append(1 - threshold_for_coverage(confidence, wrong, 0.8).confidence)  # of a uniform confidence
    assert 0.795 <= np.mean(answered) <= 0.84


def test_the_exact_bound_holds_at_a_wanted_coverage_as_often_as_it_says():
    rng, sets, above = np.random.default_rng(0), 1000, 0
    for _ in range(sets):
        found = threshold_for_coverage(*world(rng, 300), 0.5)
        above += true_error(found.confidence) > upper_bound(found.wrong, found.answered)
    assert above <= sets * RISK + 2 * np.sqrt(sets * RISK * (1 - RISK))


def test_full_coverage_answers_everything():
    found = threshold_for_coverage(np.array([0.3, 0.9, 0.5]), np.array([True, False, False]), 1.0)
    assert (found.confidence, found.answered, found.wrong) == (0.0, 3, 1)


# --------------------------------------------------------------------------------------------------------- the curve


def test_the_curve_counts_mistakes_among_the_surest():
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    wrong = np.array([False, True, False, True])
    curve = risk_curve(confidence, wrong, np.array([0.25, 0.5, 1.0]))
    assert [(share, interval.value) for share, interval in curve] == [(0.25, 0.0), (0.5, 0.5), (1.0, 0.5)]
