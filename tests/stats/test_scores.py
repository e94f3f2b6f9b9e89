"""Every score agrees with scikit-learn or scipy, and every interval holds the truth about as often as it says."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from rankwise.stats import scores as metrics
from rankwise.stats.intervals import Interval, wilson
from rankwise.system.files import to_json

MATRICES = st.integers(2, 5).flatmap(
    lambda classes: (
        st.lists(st.integers(0, 9), min_size=classes**2, max_size=classes**2)
        .filter(any)
        .map(lambda cells: np.array(cells, dtype=np.int64).reshape(classes, classes))
    )
)
NO_DEADLINE = settings(deadline=None, max_examples=60)
NOTHING = Interval(None, None, None)


def labels(m):
    """Truth and prediction, row by row, that a confusion matrix counts."""
    truth, predicted = np.indices(m.shape).reshape(2, -1)
    return np.repeat(truth, m.ravel()), np.repeat(predicted, m.ravel())


def softmax(logits):
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exp / exp.sum(axis=1, keepdims=True)


def one_hot(predicted, classes):
    return np.eye(classes)[predicted]


def sample(rows, seed, *, prior=(0.5, 0.3, 0.2), signal=1.5):
    """Probabilities and truth of an imperfect, miscalibrated model on an unbalanced population."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(len(prior), size=rows, p=prior)
    return softmax(rng.normal(size=(rows, len(prior))) + signal * one_hot(truth, len(prior))), truth


def score(probabilities, truth, **options):
    names = [f"class {c}" for c in range(np.shape(probabilities)[-1])]
    return metrics.score(probabilities, truth, names, **options)


# Values against oracles


@given(MATRICES)
@NO_DEADLINE
def test_counting_labels_gives_back_the_confusion_matrix(m):
    truth, predicted = labels(m)
    assert metrics.confusion_matrix(truth, predicted, len(m)).tolist() == m.tolist()
    assert m.tolist() == sk.confusion_matrix(truth, predicted, labels=range(len(m))).tolist()


@given(MATRICES)
@NO_DEADLINE
def test_precision_recall_and_f1_of_present_classes_are_those_of_scikit_learn(m):
    present = np.flatnonzero(m.sum(axis=1))
    expected = sk.precision_recall_fscore_support(*labels(m), labels=present, zero_division=np.nan)[:3]
    for ours, theirs in zip(metrics.precision_recall_f1(m), expected, strict=True):
        np.testing.assert_allclose(ours[present], theirs)
        assert np.isnan(np.delete(ours, present)).all()


@given(MATRICES)
@NO_DEADLINE
def test_macro_f1_is_that_of_scikit_learn_over_the_present_classes(m):
    present = np.flatnonzero(m.sum(axis=1))
    expected = sk.f1_score(*labels(m), labels=present, average="macro", zero_division=0.0)
    assert metrics.macro_f1(m) == pytest.approx(expected)


@given(MATRICES)
@NO_DEADLINE
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_mcc_is_that_of_scikit_learn(m):
    assert metrics.mcc(m) == pytest.approx(sk.matthews_corrcoef(*labels(m)), abs=1e-12)


def test_mcc_of_a_hundred_million_rows_does_not_overflow():
    m = np.array([[40_000_000, 10_000_000], [10_000_000, 40_000_000]])
    assert metrics.mcc(m) == pytest.approx(0.6)


@given(st.lists(MATRICES.filter(lambda m: len(m) == 3), min_size=1, max_size=4))
@NO_DEADLINE
def test_a_stack_of_matrices_scores_like_its_matrices(stack):
    for function in (metrics.macro_f1, metrics.mcc):
        assert function(np.stack(stack)).tolist() == [function(m) for m in stack]
    for i, m in enumerate(stack):
        together = [scores[i] for scores in metrics.precision_recall_f1(np.stack(stack))]
        np.testing.assert_array_equal(together, metrics.precision_recall_f1(m))


@given(st.integers(1, 80), st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]))
@NO_DEADLINE
def test_log_loss_is_that_of_scikit_learn(rows, seed, dtype):
    probabilities, truth = sample(rows, seed)
    probabilities = softmax(100 * np.log(probabilities)).astype(dtype)  # zeros and ones among them
    expected = sk.log_loss(truth, probabilities, labels=range(3))
    assert metrics.log_loss(probabilities, truth) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_calibration_error_is_the_gap_of_each_bin_weighted_by_its_rows():
    # Three rows at 0.9 of which two are right, one row at 0.6 which is wrong: (3 * |0.9 - 2/3| + 1 * |0.6 - 0|) / 4.
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.4, 0.6]])
    truth = np.array([0, 1, 1, 0])
    assert score(probabilities, truth, bins=10).calibration_error.value == pytest.approx((3 * (0.9 - 2 / 3) + 0.6) / 4)


@given(st.integers(1, 80), st.integers(0, 2**32 - 1), st.integers(1, 20))
@NO_DEADLINE
def test_reliability_bins_hold_every_row_once_and_add_up_to_the_calibration_error(rows, seed, bins):
    probabilities, truth = sample(rows, seed)
    scores = score(probabilities, truth, bins=bins, resamples=0)
    table = scores.reliability
    assert [b.low for b in table[1:]] == [b.high for b in table[:-1]]
    assert sum(b.rows for b in table) == rows
    assert all(b.low < b.confidence <= b.high for b in table if b.rows)
    gaps = sum(b.rows * abs(b.confidence - b.accuracy) for b in table if b.rows)
    assert gaps / rows == pytest.approx(scores.calibration_error.value)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below_and_one_above_1_to_the_last():
    probabilities = np.array([[0.5, 0.5], [1.0005, 0.0]])
    assert [b.rows for b in score(probabilities, np.array([0, 0]), bins=2).reliability] == [1, 1]


def test_an_empty_bin_has_no_means():
    first = score(np.array([[0.9, 0.1]]), np.array([0]), bins=2).reliability[0]
    assert (first.rows, first.confidence, first.accuracy) == (0, None, None)


@given(MATRICES)
@NO_DEADLINE
def test_score_reports_what_the_functions_of_the_module_return(m):
    truth, predicted = labels(m)
    probabilities = 0.7 * one_hot(predicted, len(m)) + 0.3 / len(m)
    scores = score(probabilities, truth, resamples=3)
    assert np.array_equal(scores.confusion, m)
    assert [c.support for c in scores.per_class] == m.sum(axis=1).tolist()
    assert scores.accuracy.value == pytest.approx(sk.accuracy_score(truth, predicted))
    assert scores.macro_f1.value == metrics.macro_f1(m)
    assert scores.mcc.value == metrics.mcc(m)
    assert scores.log_loss.value == metrics.log_loss(probabilities, truth)
    for name, values in zip(("precision", "recall", "f1"), metrics.precision_recall_f1(m), strict=True):
        reported = [getattr(c, name).value for c in scores.per_class]
        assert reported == [None if np.isnan(v) else v for v in values]


# Classes that are absent or unknown


def test_an_absent_class_is_not_available_and_does_not_lower_macro_f1():
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])
    scores = score(one_hot(predicted, 3), truth)
    absent = scores.per_class[2]
    assert (absent.support, absent.precision, absent.recall, absent.f1) == (0, NOTHING, NOTHING, NOTHING)
    assert scores.macro_f1.value == pytest.approx((1 + 2 / 3) / 2)


def test_a_class_that_is_never_predicted_has_recall_and_f1_of_0_but_no_precision():
    never = score(one_hot(np.array([0, 0, 0]), 2), np.array([0, 0, 1])).per_class[1]
    assert (never.precision, never.recall.value, never.f1.value) == (NOTHING, 0.0, 0.0)


def test_a_resample_that_misses_a_class_is_scored_on_the_classes_it_has():
    # A single row of class 1, always right: a resample without it has macro-F1 1 as well, never 0.5.
    truth = np.array([0] * 20 + [1])
    scores = score(one_hot(truth, 2), truth)
    assert scores.macro_f1 == Interval(1.0, 1.0, 1.0)
    assert scores.per_class[1].f1 == Interval(1.0, 1.0, 1.0)


def test_a_row_of_an_unknown_class_counts_as_wrong_in_accuracy_and_calibration():
    probabilities, truth = one_hot(np.array([0, 1, 1, 0]), 2), np.array([0, 1, -1, -1])
    scores = score(probabilities, truth)
    assert scores.rows == 4
    assert scores.accuracy.value == 0.5
    assert scores.accuracy.low < 0.5 < scores.accuracy.high
    assert scores.calibration_error.value == 0.5


def test_a_row_of_an_unknown_class_is_left_out_of_the_other_scores():
    probabilities, truth = sample(200, seed=1)
    unknown = np.full(50, -1)
    with_unknown = score(np.concatenate([probabilities, probabilities[:50]]), np.concatenate([truth, unknown]))
    without = score(probabilities, truth)
    assert with_unknown.confusion == without.confusion
    for name in ("macro_f1", "mcc", "log_loss"):
        assert getattr(with_unknown, name).value == getattr(without, name).value


def test_the_log_loss_of_a_resample_is_a_mean_over_the_known_rows_it_drew():
    # Known rows all lose log 2, so however many a resample draws, their mean is log 2.
    scores = score(np.full((40, 2), 0.5), np.array([0, -1] * 20))
    assert (scores.log_loss.low, scores.log_loss.high) == pytest.approx((np.log(2), np.log(2)))


def test_with_only_unknown_classes_accuracy_is_0_and_the_rest_not_available():
    scores = score(one_hot(np.array([0, 1]), 2), np.array([-1, -1]))
    assert scores.accuracy == wilson(0.0, 2, 0.95)
    assert (scores.macro_f1, scores.mcc, scores.log_loss) == (NOTHING, NOTHING, NOTHING)


# Intervals


@cache
def simulated_scores():
    """What is true of the population, and the scores of 400 data sets drawn from it."""
    population = score(*sample(400_000, seed=0), resamples=0)
    return population, [score(*sample(250, seed=s), resamples=200, seed=s) for s in range(1, 401)]


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "mcc", "log_loss"])
def test_a_95_percent_interval_covers_the_truth_in_about_95_of_100_data_sets(name):
    population, data_sets = simulated_scores()
    truth = getattr(population, name).value
    covered = [getattr(s, name).low <= truth <= getattr(s, name).high for s in data_sets]
    assert 0.91 <= np.mean(covered) <= 0.98


def test_drawing_the_confusion_matrix_is_resampling_the_rows():
    probabilities, truth = sample(150, seed=3)
    truth[:20] = -1
    predicted, rng = probabilities.argmax(axis=1), np.random.default_rng(0)
    by_row = []
    for _ in range(4000):
        drawn = rng.integers(150, size=150)
        by_row.append(metrics.mcc(metrics.confusion_matrix(truth[drawn], predicted[drawn], 3)))
    interval = score(probabilities, truth, resamples=4000).mcc
    assert (interval.low, interval.high) == pytest.approx(np.quantile(by_row, [0.025, 0.975]), abs=0.01)


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    probabilities, truth = sample(120, seed=5)
    first, again, other = (score(probabilities, truth, resamples=100, seed=s) for s in (7, 7, 8))
    assert first == again
    assert first.accuracy.value == other.accuracy.value
    assert first.log_loss.low != other.log_loss.low


def test_intervals_do_not_depend_on_how_many_matrices_are_drawn_at_once(monkeypatch):
    probabilities, truth = sample(120, seed=5)
    at_once = score(probabilities, truth, resamples=50)
    monkeypatch.setattr(metrics, "_CELLS_AT_ONCE", 30)
    assert score(probabilities, truth, resamples=50) == at_once


def test_more_confidence_means_a_wider_interval_around_the_estimate():
    data = sample(300, seed=2)
    narrow, wide = score(*data, confidence=0.5).accuracy, score(*data, confidence=0.99).accuracy
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_without_resamples_there_are_estimates_but_no_bounds():
    accuracy = score(*sample(50, seed=0), resamples=0).accuracy
    assert accuracy.value is not None
    assert (accuracy.low, accuracy.high) == (None, None)


def test_memory_does_not_grow_with_resamples_times_rows():
    data = sample(100_000, seed=0)
    tracemalloc.start()
    score(*data, resamples=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50e6  # 100 x 100,000 weights would take 80 MB as float64, and 1000 resamples ten times that


# What readers see


def test_scores_survive_json():
    scores = score(*sample(40, seed=0), resamples=20)
    scores = replace(scores, macro_f1=NOTHING)
    plain = to_json(scores)
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["macro_f1"] == to_json(NOTHING) == {"value": None, "low": None, "high": None}
    assert plain["per_class"][0]["f1"] == to_json(scores.per_class[0].f1)
    assert plain["confusion"] == [list(row) for row in scores.confusion]


# Errors

HALVES = np.array([[0.5, 0.5], [0.5, 0.5]])


@pytest.mark.parametrize(
    ("probabilities", "truth", "message"),
    [
        (np.empty((0, 2)), np.empty(0, dtype=int), "0 rows to score"),
        (HALVES, np.array([0]), r"\(2, 2\) and truth \(1,\)"),
        (HALVES[0], np.array([0, 1]), r"expected \(N, C\)"),
        (HALVES, np.array([0, 2]), "truth is 2 in row 1; expected -1 to 1"),
        (HALVES, np.array([-2, 0]), "truth is -2 in row 0"),
        (HALVES, np.array([0.0, 1.0]), "dtype float64"),
        (HALVES * 1.003, np.array([0, 1]), "sums to 1.003"),
        (np.array([[0.5, 0.5], [3.0, -2.0]]), np.array([0, 1]), "row 1 holds .* softmax"),
        (np.array([[np.nan, 0.5], [0.5, 0.5]]), np.array([0, 1]), "row 0 holds"),
        (np.array([[np.inf, -np.inf], [0.5, 0.5]]), np.array([0, 1]), "row 0 holds"),
    ],
)
@pytest.mark.parametrize("function", [score, metrics.log_loss])
def test_what_is_not_probabilities_and_truth_is_refused(function, probabilities, truth, message):
    with pytest.raises(ValueError, match=message):
        function(probabilities, truth)


def test_class_names_that_do_not_match_the_columns_are_refused():
    with pytest.raises(ValueError, match="3 class names for 2 columns"):
        metrics.score(HALVES, np.array([0, 1]), ["a", "b", "c"])


@pytest.mark.parametrize("option", [{"resamples": -1}, {"confidence": 95}, {"confidence": 0.0}, {"bins": 0}])
def test_a_setting_that_makes_no_sense_is_refused_by_name(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        score(HALVES, np.array([0, 1]), **option)


def test_labels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one class per row"):
        metrics.confusion_matrix(np.array([0, 1]), np.array([0]), 2)
