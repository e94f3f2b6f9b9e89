"""Scores of ordered classes are scikit-learn's, and their intervals hold the truth."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from sklearn.metrics import mean_absolute_error as sklearns_error

from rankwise.stats.ordered import mean_absolute_error, quadratic_kappa


def answers(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(5, size=rows)
    return np.clip(truth + rng.integers(-2, 3, size=rows) * (rng.random(rows) < 0.5), 0, 4), truth


def test_scores_are_those_of_scikit_learn():
    decided, truth = answers()
    assert quadratic_kappa(decided, truth, 5).value == pytest.approx(cohen_kappa_score(truth, decided, weights="quadratic"))
    assert mean_absolute_error(decided, truth).value == pytest.approx(sklearns_error(truth, decided))


def test_rows_of_an_unknown_class_are_left_out():
    decided, truth = answers()
    known = quadratic_kappa(decided[9:], truth[9:], 5), mean_absolute_error(decided[9:], truth[9:])
    truth[:9] = -1
    assert (quadratic_kappa(decided, truth, 5), mean_absolute_error(decided, truth)) == known
    none = np.full(4, -1)
    assert quadratic_kappa(np.zeros(4, int), none, 5).value is mean_absolute_error(np.zeros(4, int), none).value is None


def test_one_class_throughout_has_no_kappa():
    assert quadratic_kappa(np.zeros(5, int), np.zeros(5, int), 3).value is None


def test_intervals_hold_the_score_of_many_rows_as_often_as_they_say():
    decided, truth = answers(400_000, seed=9)
    whole = quadratic_kappa(decided, truth, 5, resamples=0).value, mean_absolute_error(decided, truth, resamples=0).value
    held = np.zeros(2)
    for seed in range(100):
        decided, truth = answers(200, seed=seed)
        found = quadratic_kappa(decided, truth, 5, seed=seed), mean_absolute_error(decided, truth, seed=seed)
        held += [one.low <= value <= one.high for one, value in zip(found, whole, strict=True)]
    assert held.min() >= 88, held
