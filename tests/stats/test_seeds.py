"""Intervals of differences hold the truth when rows and seeds both vary; corrections and scores agree with an oracle."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import stats

from rankwise.stats.intervals import Interval
from rankwise.stats.paired import paired_bootstrap
from rankwise.stats.scores import confusion_matrix, macro_f1, score
from rankwise.stats.seeds import Sample, difference, holm, mean_score, resampled_scores


def simulated(rng, seeds, *, means, rows=300, seed_sd=0.0, row_sd=1.0, own_sd=0.5):
    """Two systems' right answers, (S, N) each, and the true difference of their accuracies over all rows and seeds.

    A row is hard for both (row_sd) and for one (own_sd); a seed moves all rows (seed_sd); the rest is chance.
    """
    hard = row_sd * rng.normal(size=rows)
    correct = []
    for mean, count in zip(means, seeds, strict=True):
        seed = seed_sd * rng.normal(size=(count, 1))
        own = own_sd * rng.normal(size=rows)
        correct.append(mean + seed + hard + own + rng.normal(size=(count, rows)) > 0)
    spread = np.sqrt(1 + seed_sd**2 + row_sd**2 + own_sd**2)
    truth = stats.norm.cdf(means[0] / spread) - stats.norm.cdf(means[1] / spread)
    return *correct, truth


def samples(*correct, resamples=400, seed=0):
    """A Sample of accuracy for each system, resampled together."""
    right = np.concatenate(correct).astype(np.int64)  # class 1 is the truth of every row
    scores, draws = resampled_scores(right, np.ones(right.shape[1], np.int64), 2, resamples=resamples, seed=seed)
    ends = np.cumsum([len(runs) for runs in correct])
    return [
        Sample(scores[end - len(runs) : end, 0], draws[:, end - len(runs) : end, 0])
        for end, runs in zip(ends, correct, strict=True)
    ]


@cache
def coverage(seeds, seed_sd, means=(1.6, 1.4), cases=400):
    """How often the interval holds the truth, how often a t test rejects it, how often rows alone would hold it."""
    rng = np.random.default_rng(1)
    held = of_rows = 0
    p_values = []
    for _ in range(cases):
        a, b, truth = simulated(rng, seeds, means=means, seed_sd=seed_sd)
        one, other = samples(a, b)
        estimate = difference(one, other)
        held += estimate.interval.low <= truth <= estimate.interval.high
        low, high = np.quantile(one.draws.mean(axis=1) - other.draws.mean(axis=1), [0.025, 0.975])
        of_rows += low <= truth <= high
        p_values.append(estimate.p_value)
    return held / cases, np.mean(np.array(p_values) < 0.05), of_rows / cases


# ---------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize("seed_sd", [0.1, 0.4], ids=["seeds vary less than rows", "seeds vary more than rows"])
@pytest.mark.parametrize("seeds", [(2, 2), (3, 3), (5, 5), (3, 5)], ids=str)
@pytest.mark.long
def test_a_95_percent_interval_holds_the_true_difference_in_92_to_98_of_100_cases(seeds, seed_sd):
    assert 0.92 <= coverage(seeds, seed_sd)[0] <= 0.98


@pytest.mark.parametrize("seeds", [(1, 1), (3, 3)], ids=str)
def test_where_seeds_change_nothing_of_their_own_the_interval_is_hardly_wider_than_it_need_be(seeds):
    assert 0.92 <= coverage(seeds, 0.0)[0] <= 0.98


def test_rows_alone_would_hold_it_far_less_often_where_seeds_vary():
    held, _, of_rows = coverage((3, 3), 0.4)
    assert of_rows < 0.5
    assert held >= 0.92


def test_systems_that_are_equally_good_are_told_apart_in_about_5_of_100_cases():
    for seeds in ((2, 2), (3, 3), (5, 5)):
        assert coverage(seeds, 0.1, means=(1.5, 1.5))[1] <= 0.08


def test_with_one_seed_each_it_is_the_paired_bootstrap():
    rng = np.random.default_rng(2)
    a, b, _ = simulated(rng, (1, 1), means=(1.7, 1.4), rows=2000)
    one, other = samples(a, b, resamples=10_000)
    estimate, expected = difference(one, other).interval, paired_bootstrap(a[0], b[0])
    assert estimate.value == pytest.approx(expected.value)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=0.001)


def test_turning_a_difference_round_turns_its_interval_round():
    a, b, _ = simulated(np.random.default_rng(3), (3, 2), means=(1.7, 1.4), seed_sd=0.1)
    one, other = samples(a, b)
    there, back = difference(one, other), difference(other, one)
    assert (there.interval.value, there.p_value) == pytest.approx((-back.interval.value, back.p_value))
    assert (there.interval.low, there.interval.high) == pytest.approx((-back.interval.high, -back.interval.low))


def test_two_systems_that_answer_alike_differ_by_nothing():
    a, _, _ = simulated(np.random.default_rng(4), (3, 3), means=(1.7, 1.4))
    estimate = difference(*samples(a, a))
    assert (estimate.interval.value, estimate.p_value) == (0.0, 1.0)


def test_seeds_in_another_order_with_the_same_rows_still_leave_the_seeds_uncertainty():
    a, _, _ = simulated(np.random.default_rng(4), (2, 2), means=(1.7, 1.4), seed_sd=1.0)
    estimate = difference(*samples(a, a[::-1]))
    assert estimate.interval.value == 0.0
    assert estimate.interval.low < 0 < estimate.interval.high


def sample(scores, reach, seed=0):
    """Scores whose resamples lie `reach` around them, the first two of them opposed: what one gains the other loses."""
    noise = np.random.default_rng(seed).normal(0, reach, size=(2000, 1))
    return Sample(np.array(scores), np.array(scores) + noise * np.resize([1.0, -1.0], len(scores)))


@pytest.mark.parametrize(("seeds", "least"), [((2, 2), 1), ((3, 3), 2)], ids=str)
def test_degrees_of_freedom_are_never_fewer_than_the_fewest_seeds_leave(seeds, least):
    one, other = ([0.267, 0.192, 0.23][: seeds[0]], [0.239, 0.190, 0.21][: seeds[1]])
    estimate = difference(sample(one, 0.02), sample(other, 0.015))
    assert estimate.freedom == least
    error = (estimate.interval.high - estimate.interval.value) / stats.t(least).ppf(0.975)
    assert 0 < error < 0.1, "no more than t makes of it"
    assert -1 < estimate.interval.low < estimate.interval.high < 1


def test_seeds_of_which_none_adds_anything_leave_the_degrees_of_freedom_to_the_others():
    estimate = difference(sample([0.9, 0.7, 0.8], 0.01), sample([0.8, 0.8], 0.01))
    assert estimate.freedom >= 2


def test_more_seeds_narrow_a_mean_and_an_interval_of_a_mean_stays_between_0_and_1():
    rng = np.random.default_rng(5)
    few, _, _ = simulated(rng, (3, 1), means=(1.7, 1.4), seed_sd=0.4)
    many, _, _ = simulated(rng, (12, 1), means=(1.7, 1.4), seed_sd=0.4)
    widths = [(estimate.high - estimate.low) for estimate in (mean_score(samples(runs)[0]) for runs in (few, many))]
    assert widths[1] < widths[0]
    perfect = np.ones((2, 50), bool)
    assert mean_score(samples(perfect)[0]) == Interval(1.0, 1.0, 1.0)


# ------------------------------------------------------------------------------------------------------------- scores


def test_scores_are_those_of_metrics_and_leave_unknown_classes_to_accuracy_alone():
    rng = np.random.default_rng(6)
    truth = rng.integers(-1, 4, size=200)
    predicted = np.where(rng.random((3, 200)) < 0.7, np.maximum(truth, 0), rng.integers(0, 4, size=(3, 200)))
    scores, _ = resampled_scores(predicted, truth, 4, resamples=2)
    for run, answers in zip(scores, predicted, strict=True):
        expected = float(macro_f1(confusion_matrix(truth, answers, 4)))
        assert run == pytest.approx([(answers == truth).mean(), expected])


def test_every_run_is_scored_on_the_same_resampled_rows():
    truth = np.array([0, 1, 2] * 30)
    answers = np.roll(truth, 1)
    answers[::4] = truth[::4]
    _, draws = resampled_scores(np.stack([answers, answers]), truth, 3, resamples=50)
    assert (draws[:, 0] == draws[:, 1]).all()
    assert draws[:, 0, 0].std() > 0


def test_resamples_spread_as_those_of_metrics_do():
    rng = np.random.default_rng(7)
    truth = rng.choice(3, size=400, p=[0.6, 0.3, 0.1])
    answers = np.where(rng.random(400) < 0.8, truth, rng.integers(0, 3, size=400))
    _, draws = resampled_scores(answers[None], truth, 3, resamples=4000)
    expected = score(np.eye(3)[answers], truth, ["a", "b", "c"], resamples=4000)
    for column, interval in enumerate((expected.accuracy, expected.macro_f1)):
        assert np.quantile(draws[:, 0, column], [0.025, 0.975]) == pytest.approx([interval.low, interval.high], abs=0.01)


def test_chunks_change_nothing_but_the_draws_order(monkeypatch):
    truth = np.array([0, 1] * 40)
    answers = np.where(np.arange(80) % 5 == 0, 1 - truth, truth)[None]
    whole = resampled_scores(answers, truth, 2, resamples=30)[1]
    monkeypatch.setattr("rankwise.stats.seeds._WEIGHTS_AT_ONCE", 80 * 7)
    assert resampled_scores(answers, truth, 2, resamples=30)[1] == pytest.approx(whole)


def test_a_score_that_is_not_defined_has_no_interval_and_no_p_value():
    predicted, truth = np.zeros((2, 20), np.int64), np.full(20, -1)
    scores, draws = resampled_scores(predicted, truth, 2, resamples=10)
    one, other = (Sample(scores[[run], 1], draws[:, [run], 1]) for run in (0, 1))
    estimate = difference(one, other)
    assert (estimate.interval.value, estimate.p_value) == (None, None)


# --------------------------------------------------------------------------------------------------------------- Holm


def test_holm_is_that_of_a_hand_computed_example():
    # sorted .005, .01, .03, .04 times 4, 3, 2, 1 is .02, .03, .06, .04; none may fall below the one before it
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_leaves_one_test_alone_and_stays_below_1():
    assert holm([0.03]) == [0.03]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
