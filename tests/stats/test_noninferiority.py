"""The gate's rule is wrong in at most 5 % of samples, its chances are what simulated rows give, its rows are enough."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial
from sklearn.metrics import f1_score

from rankwise.stats.intervals import Interval
from rankwise.stats.noninferiority import (
    AccuracyTest,
    Chances,
    MacroF1Test,
    MeanTest,
    accuracy_chances,
    accuracy_rows_needed,
    outcome_of,
)

COUNTS = st.integers(1, 800).flatmap(
    lambda rows: st.integers(0, rows).flatmap(lambda new: st.tuples(st.just(new), st.integers(0, rows - new), st.just(rows)))
)
Z = NormalDist().inv_cdf(0.95)


# ---------------------------------------------------------------------------------------------------------- the rule


@pytest.mark.parametrize("rows", [50, 200, 1000, 7600])
@pytest.mark.parametrize("margin", [0.0025, 0.005, 0.01, 0.05])
def test_models_that_differ_by_the_margin_are_called_either_way_in_at_most_5_of_100_samples(rows, margin):
    for discordance in (margin + 1e-4, 0.02, 0.03, 0.08, 0.2, 0.5):
        if discordance > margin and rows * discordance <= 1600:
            at_the_margin = accuracy_chances(rows, discordance, -margin, margin)
            assert at_the_margin.not_worse <= 0.05
            assert at_the_margin.worse <= 0.05


@pytest.mark.parametrize("rows", [50, 200, 1000, 7600])
def test_models_that_do_not_differ_are_called_worse_in_at_most_5_of_100_samples_whatever_the_margin(rows):
    for discordance in (0.005, 0.02, 0.08, 0.2):
        wrong_alarms = [accuracy_chances(rows, discordance, 0.0, margin).worse for margin in (1e-9, 0.001, 0.005, 0.02)]
        assert wrong_alarms[0] <= 0.05
        assert wrong_alarms == sorted(wrong_alarms, reverse=True), "a wider margin gives fewer"


def test_a_difference_of_no_disagreement_at_all_is_shown_on_enough_rows_only():
    bounds = AccuracyTest(0, 0, 400).bounds
    assert outcome_of(bounds, 0.005) == "not enough rows"
    assert outcome_of(AccuracyTest(0, 0, 1000).bounds, 0.005) == "not worse"
    assert bounds.value == 0.0
    assert bounds.low == -bounds.high < 0


@pytest.mark.parametrize(
    ("only_new", "only_old", "rows", "outcome"),
    [
        (310, 290, 7600, "not worse"),
        (250, 400, 7600, "worse"),
        (300, 310, 7600, "not enough rows"),
        (0, 3, 12, "not enough rows"),
        (0, 12, 12, "worse"),
        (12, 0, 12, "not worse"),
    ],
)
def test_each_outcome_comes_of_counts(only_new, only_old, rows, outcome):
    assert outcome_of(AccuracyTest(only_new, only_old, rows).bounds, 0.005) == outcome


@given(COUNTS)
def test_new_and_old_in_each_others_place_turn_the_bounds_round(counts):
    new, old, rows = counts
    forth, back = AccuracyTest(new, old, rows).bounds, AccuracyTest(old, new, rows).bounds
    assert forth.low <= forth.value <= forth.high
    assert (forth.low, forth.high) == (-back.high, -back.low)


@pytest.mark.parametrize(("new", "old"), [(0.2, 0.1), (0.02, 0.3), (0.3, 0.3)])
def test_chances_are_those_of_all_counts_whose_bounds_say_so(new, old):
    rows, margin = 25, 0.1
    outcomes = {"not worse": 0.0, "worse": 0.0, "not enough rows": 0.0}
    for only_new in range(rows + 1):
        for only_old in range(rows - only_new + 1):
            counts = [only_new, only_old, rows - only_new - only_old]
            weight = multinomial.pmf(counts, rows, [new, old, 1 - new - old])
            outcomes[outcome_of(AccuracyTest(only_new, only_old, rows).bounds, margin)] += weight
    expected = accuracy_chances(rows, new + old, new - old, margin)
    assert list(outcomes.values()) == pytest.approx(list(vars(expected).values()), abs=1e-6)


@pytest.mark.parametrize(("new", "old", "rows"), [(30, 50, 400), (3, 1, 60), (0, 9, 100), (120, 80, 1000)])
def test_a_bound_is_where_the_likeliest_models_of_that_difference_make_it_a_lead_of_5_percent(new, old, rows):
    low = AccuracyTest(new, old, rows).bounds.low

    def unlikely(share):  # minus the log-likelihood, of models of which OLD alone has so many rows right
        counts, shares = (new, old, rows - new - old), (share + low, share, 1 - 2 * share - low)
        return -sum(count * math.log(max(part, 1e-300)) for count, part in zip(counts, shares, strict=True))

    found = minimize_scalar(unlikely, bounds=(max(0.0, -low), (1 - low) / 2), method="bounded", options={"xatol": 1e-12})
    deviation = math.sqrt(rows * (2 * found.x + low - low**2))
    assert (new - old - 1 - rows * low) / deviation == pytest.approx(Z, abs=1e-4)


def test_bounds_that_are_not_defined_tell_nothing():
    assert outcome_of(Interval(None, None, None), 0.005) == "not enough rows"


# ------------------------------------------------------------------------------------------------- chances and rows


@pytest.mark.parametrize(("rows", "discordance", "difference"), [(7600, 0.08, -0.01), (7600, 0.04, 0.0), (300, 0.1, -0.05)])
def test_chances_are_the_shares_of_simulated_samples(rows, discordance, difference):
    new, old = (discordance + difference) / 2, (discordance - difference) / 2
    samples = np.random.default_rng(0).multinomial(rows, [new, old, 1 - discordance], size=4000)
    outcomes = [outcome_of(AccuracyTest(new, old, rows).bounds, 0.005) for new, old, _ in samples.tolist()]
    expected = accuracy_chances(rows, discordance, difference, 0.005)
    for outcome, chance in zip(("not worse", "worse", "not enough rows"), vars(expected).values(), strict=True):
        assert outcomes.count(outcome) / 4000 == pytest.approx(chance, abs=4 * math.sqrt(0.25 / 4000))
    assert sum(vars(expected).values()) == pytest.approx(1)


@pytest.mark.parametrize("discordance", [0.01, 0.04, 0.08, 0.2])
def test_as_many_rows_as_are_needed_tell_nine_in_ten(discordance):
    rows = accuracy_rows_needed(discordance, 0.0, 0.005)
    assert accuracy_chances(rows, discordance, 0.0, 0.005).not_worse == pytest.approx(0.9, abs=0.03)
    rows = accuracy_rows_needed(discordance, -0.01, 0.005)
    assert accuracy_chances(rows, discordance, -0.01, 0.005).worse == pytest.approx(0.9, abs=0.03)


def test_no_number_of_rows_tells_models_that_differ_by_the_margin():
    assert accuracy_rows_needed(0.08, -0.005, 0.005) is None


def test_models_that_agreed_on_all_rows_are_taken_to_disagree_on_one_of_as_many():
    alike = AccuracyTest(0, 0, 99)
    assert alike.chances(0.0, 0.05) == accuracy_chances(99, 1 / 99, 0.0, 0.05)
    assert alike.rows_needed(0.0, 0.05) == accuracy_rows_needed(1 / 99, 0.0, 0.05)
    assert alike.chances(-0.1, 0.05) == accuracy_chances(99, 0.1, -0.1, 0.05), "who differ by a tenth disagree as often"


# ---------------------------------------------------------------------------------------------------------- macro-F1


def models(seed, *, rows=300, shares=(0.1, 0.3, 0.6), changed=0.06):
    """Two models that answer the same rows alike but for some, of which neither has more right, and the truth."""
    rng = np.random.default_rng(seed)
    classes = len(shares)
    truth = rng.choice(classes, size=rows, p=shares)
    common = np.where(rng.random(rows) < 0.85, truth, (truth + rng.integers(1, classes, rows)) % classes)
    answers = []
    for _ in range(2):
        again = np.where(rng.random(rows) < 0.5, truth, (truth + rng.integers(1, classes, rows)) % classes)
        answers.append(np.where(rng.random(rows) < changed, again, common))
    return *answers, truth


def test_the_difference_of_macro_f1_is_that_of_scikit_learn():
    new, old, truth = models(0)
    expected = f1_score(truth, new, average="macro") - f1_score(truth, old, average="macro")
    test = MacroF1Test.of(new, old, truth, 3, resamples=500)
    assert test.bounds.value == pytest.approx(expected)
    assert test.bounds.low < expected < test.bounds.high
    assert test.bounds.width == pytest.approx(2 * Z * test.deviation, rel=0.1)


def test_models_of_the_same_macro_f1_are_seen_apart_in_at_most_5_of_100_samples_each_way():
    found = [MacroF1Test.of(*models(seed), 3, resamples=400, seed=seed).bounds for seed in range(200)]
    for apart in (sum(bounds.low > 0 for bounds in found), sum(bounds.high < 0 for bounds in found)):
        assert 0 < apart / 200 <= 0.05


def test_models_that_agree_on_few_rows_are_not_taken_for_alike():
    new, _, truth = models(0, rows=40)
    assert outcome_of(MacroF1Test.of(new, new, truth, 3, resamples=400).bounds, 0.005) == "not enough rows"
    new, _, truth = models(0, rows=6000)
    assert outcome_of(MacroF1Test.of(new, new, truth, 3, resamples=400).bounds, 0.005) == "not worse"


def credits_of(seed, *, rows=200, lead=0.0):
    """What each of so many rows gives to R² of two models that err about as much, the first by `lead` less."""
    rng = np.random.default_rng(seed)
    shared, own = rng.exponential(0.3, rows), rng.exponential(0.1, (2, rows))
    return 1 - shared - own[0] + lead, 1 - shared - own[1]


def test_models_of_the_same_r2_are_seen_apart_in_at_most_5_of_100_samples_each_way():
    found = [MeanTest.of(*credits_of(seed)).bounds for seed in range(400)]
    for apart in (sum(bounds.low > 0 for bounds in found), sum(bounds.high < 0 for bounds in found)):
        assert 0.02 < apart / 400 <= 0.07


def test_the_difference_of_r2_is_the_mean_of_the_rows_and_its_chances_are_those_of_samples():
    new, old = credits_of(0)
    test = MeanTest.of(new, old)
    assert test.bounds.value == pytest.approx(float((new - old).mean()))
    told = test.chances(0.02, 0.01)
    outcomes = [outcome_of(MeanTest.of(*credits_of(seed, lead=0.02)).bounds, 0.01) for seed in range(400)]
    assert outcomes.count("not worse") / 400 == pytest.approx(told.not_worse, abs=0.08)
    assert MeanTest.of(new[:0], old[:0]).bounds == Interval(None, None, None)


def test_numbers_that_agree_on_few_rows_are_not_taken_for_alike():
    for rows, outcome in ((40, "not enough rows"), (6000, "not worse")):
        new, _ = credits_of(0, rows=rows)
        assert outcome_of(MeanTest.of(new, new).bounds, 0.005) == outcome


def test_macro_f1_of_no_known_class_is_not_defined():
    nothing = np.full(5, -1)
    test = MacroF1Test.of(np.zeros(5, int), np.zeros(5, int), nothing, 2)
    assert test.bounds == Interval(None, None, None)
    assert test.chances(0.0, 0.005) == Chances(0.0, 0.0, 1.0)


def several_models(seed, *, rows=300, shares=(0.1, 0.3, 0.6), changed=0.06):
    """As `models`, of rows that may have each of several labels or none."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((rows, len(shares))) < shares).astype(int)
    common = np.where(rng.random(truth.shape) < 0.85, truth, 1 - truth)
    answers = []
    for _ in range(2):
        again = np.where(rng.random(truth.shape) < 0.5, truth, 1 - truth)
        answers.append(np.where(rng.random(truth.shape) < changed, again, common))
    return *answers, truth


def test_of_several_labels_the_difference_is_that_of_scikit_learn_too():
    new, old, truth = several_models(0)
    expected = f1_score(truth, new, average="macro") - f1_score(truth, old, average="macro")
    test = MacroF1Test.of(new, old, truth, 3, resamples=500)
    assert test.bounds.value == pytest.approx(expected)
    assert test.bounds.low < expected < test.bounds.high
    assert test.bounds.width == pytest.approx(2 * Z * test.deviation, rel=0.1)


def test_of_several_labels_models_alike_are_seen_apart_in_at_most_5_of_100_samples_each_way():
    found = [MacroF1Test.of(*several_models(seed), 3, resamples=400, seed=seed).bounds for seed in range(200)]
    for apart in (sum(bounds.low > 0 for bounds in found), sum(bounds.high < 0 for bounds in found)):
        assert 0 < apart / 200 <= 0.05


def test_of_several_labels_models_that_agree_on_few_rows_are_not_taken_for_alike():
    for rows, outcome in ((40, "not enough rows"), (6000, "not worse")):
        new, _, truth = several_models(0, rows=rows)
        assert outcome_of(MacroF1Test.of(new, new, truth, 3, resamples=400).bounds, 0.01) == outcome


def test_a_missing_cell_of_a_label_column_tells_nothing():
    new, old, truth = several_models(0)
    without = np.append(truth, np.full((50, 3), -1), axis=0)
    answered = (np.append(one, np.ones((50, 3), int), axis=0) for one in (new, old))
    assert MacroF1Test.of(*answered, without, 3).bounds.value == pytest.approx(
        MacroF1Test.of(new, old, truth, 3).bounds.value
    )
    nothing = np.full((5, 3), -1)
    assert MacroF1Test.of(new[:5], old[:5], nothing, 3).bounds == Interval(None, None, None)


def test_macro_f1_has_the_chances_of_a_normal_estimate():
    test = MacroF1Test(Interval(0.0, -0.01, 0.01), 0.3 / math.sqrt(1000), 1000)
    rows = test.rows_needed(0.0, 0.005)
    assert MacroF1Test(test.bounds, 0.3 / math.sqrt(rows), rows).chances(0.0, 0.005).not_worse == pytest.approx(0.9, abs=1e-3)
    at_the_margin = test.chances(-0.005, 0.005)
    assert (at_the_margin.not_worse, at_the_margin.worse) == (pytest.approx(0.05), pytest.approx(0.05))
    assert test.rows_needed(-0.005, 0.005) is None
