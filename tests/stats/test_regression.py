"""Scores of estimated numbers against scipy and scikit-learn, as they are and on resampled rows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from rankwise.stats.regression import credit, paired_credit, quick_scores, resampled_numbers, row_weights, score_numbers
from rankwise.stats.score_names import OF_NUMBERS


def rows(seed, count=60, *, places=1, noise=0.5):
    """Estimates and numbers rounded to some places, so that many are equal."""
    rng = np.random.default_rng(seed)
    truth = np.round(rng.normal(3, 1, count), places)
    return np.round(truth + rng.normal(0, noise, count), places), truth


def oracle(estimated, truth):
    return {
        "pearson": pearsonr(estimated, truth).statistic,
        "spearman": spearmanr(estimated, truth).statistic,
        "mean_absolute_error": mean_absolute_error(truth, estimated),
        "root_mean_squared_error": root_mean_squared_error(truth, estimated),
        "r2": r2_score(truth, estimated),
    }


@given(st.integers(0, 10_000), st.integers(0, 2))
def test_scores_are_those_of_scipy_and_scikit_learn(seed, places):
    estimated, truth = rows(seed, places=places)
    assert quick_scores(estimated, truth) == pytest.approx(oracle(estimated, truth), abs=1e-6)


def test_resampled_scores_are_those_of_the_rows_drawn():
    estimated, truth = rows(1)
    (weights,) = row_weights(len(truth), 20, seed=3)
    values, draws = resampled_numbers(np.stack([estimated, estimated + 1]), truth, names=OF_NUMBERS, resamples=20, seed=3)
    for drawn, held in zip(draws, weights.astype(int), strict=True):
        again = np.repeat(np.arange(len(truth)), held)
        assert drawn[0] == pytest.approx(list(oracle(estimated[again], truth[again]).values()))
        assert drawn[1] == pytest.approx(list(oracle(estimated[again] + 1, truth[again]).values()))
    assert values[0] == pytest.approx(list(oracle(estimated, truth).values()))


def test_intervals_hold_the_estimate_and_leave_out_what_is_far_off():
    scores = score_numbers(*rows(2, count=500), resamples=300)
    for name in OF_NUMBERS:
        interval = scores.more[name]
        assert interval.low < interval.value < interval.high
    assert scores.more["pearson"].width < 0.1
    assert scores.accuracy.value is None
    assert scores.names == OF_NUMBERS


def test_intervals_of_pearson_hold_the_true_correlation_as_often_as_they_say():
    rng, held = np.random.default_rng(0), 0
    for draw in range(200):
        truth = rng.normal(size=150)
        estimated = 0.8 * truth + 0.6 * rng.normal(size=150)  # whose correlation is 0.8
        interval = score_numbers(estimated, truth, resamples=200, seed=draw).more["pearson"]
        held += interval.low <= 0.8 <= interval.high
    assert 180 <= held <= 199


def test_rows_whose_number_is_not_known_are_left_out():
    estimated, truth = rows(3)
    gaps = np.where(np.arange(len(truth)) % 4 == 0, np.nan, truth)
    kept = ~np.isnan(gaps)
    found = score_numbers(estimated, gaps, resamples=50)
    assert found.rows == len(truth)
    assert {name: one.value for name, one in found.more.items()} == pytest.approx(oracle(estimated[kept], truth[kept]))
    assert set(quick_scores(estimated, np.full(len(truth), np.nan)).values()) == {None}
    assert credit(estimated, gaps)[~kept].tolist() == [0.0] * int((~kept).sum())


def test_one_answer_to_everything_has_no_correlation_and_an_error():
    _, truth = rows(4)
    found = quick_scores(np.full(len(truth), truth.mean()), truth)
    assert (found["pearson"], found["spearman"]) == (None, None)
    assert found["r2"] == pytest.approx(0.0, abs=1e-6)
    assert found["root_mean_squared_error"] == pytest.approx(truth.std(), abs=1e-6)
    assert quick_scores(truth, np.full(len(truth), 2.0))["r2"] is None


@given(st.floats(1e-6, 1e6), st.floats(-1e6, 1e6))
def test_another_unit_changes_errors_by_it_and_nothing_else(scale, shift):
    estimated, truth = rows(5)
    moved = score_numbers(scale * estimated + shift, scale * truth + shift, resamples=0).more
    before = score_numbers(estimated, truth, resamples=0).more
    for name in ("pearson", "spearman", "r2"):
        assert moved[name].value == pytest.approx(before[name].value, rel=1e-4)
    for name in ("mean_absolute_error", "root_mean_squared_error"):
        assert moved[name].value == pytest.approx(scale * before[name].value, rel=1e-4)


def test_the_mean_credit_is_r2_and_its_paired_difference_theirs():
    estimated, truth = rows(6)
    worse = rows(7)[0]
    assert credit(estimated, truth).mean() == pytest.approx(r2_score(truth, estimated))
    gained = paired_credit(estimated, worse, truth, resamples=200)
    assert gained.value == pytest.approx(r2_score(truth, estimated) - r2_score(truth, worse))
    assert gained.low > 0
