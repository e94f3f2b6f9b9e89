"""Runs of one recipe are pooled over their seeds; intervals count seeds and rows, and never leave what is possible."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import RunError
from rankwise.report.groups import group_by_recipe, pooled
from rankwise.stats.intervals import Interval
from rankwise.workflows.compare import compare


def of(value: float, reach: float | None = None) -> Interval:
    return Interval(value, None, None) if reach is None else Interval(value, value - reach, value + reach)


# ------------------------------------------------------------------------------------------------------------- pooling


def test_one_run_keeps_its_interval():
    assert pooled([Interval(0.9, 0.88, 0.91)]) == Interval(0.9, 0.88, 0.91)


def test_without_rows_it_is_students_interval():
    interval = pooled([of(10), of(12), of(14)], within=(0, math.inf))
    assert interval.value == 12
    assert interval.high - 12 == pytest.approx(4.302653 * 2 / 3**0.5, rel=1e-5)  # t of two degrees of freedom, s = 2


def test_seeds_that_agree_leave_the_rows_interval():
    interval = pooled([of(0.9, 0.02), of(0.9, 0.02)])
    assert (interval.low, interval.high) == pytest.approx((0.88, 0.92))


def test_rows_and_seeds_together_are_wider_than_either_and_than_their_larger():
    rows, seeds = pooled([of(0.9, 0.02), of(0.9, 0.02)]), pooled([of(0.89), of(0.90), of(0.91)])
    both = pooled([of(0.89, 0.02), of(0.90, 0.02), of(0.91, 0.02)])
    assert both.high - both.low > max(rows.high - rows.low, 2 * 0.01 / 3**0.5 * 1.96)
    assert both.high - both.low < (rows.high - rows.low) + (seeds.high - seeds.low)


def test_it_covers_the_truth_about_as_often_as_it_says():
    rng, hits, trials = np.random.default_rng(0), 0, 600
    for _ in range(trials):
        shared = rng.normal(0, 0.01)  # of the test rows, the same for all seeds
        values = 0.9 + shared + rng.normal(0, 0.008, size=3)
        interval = pooled([of(value, 1.96 * 0.01) for value in values])
        hits += interval.low <= 0.9 <= interval.high
    assert 0.93 <= hits / trials <= 0.99


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.2)), min_size=1, max_size=5))
def test_an_interval_holds_its_value_and_stays_within_the_possible(runs):
    interval = pooled([Interval(value, max(0, value - reach), min(1, value + reach)) for value, reach in runs])
    assert -1e-9 <= interval.low <= interval.value + 1e-9
    assert interval.value - 1e-9 <= interval.high <= 1 + 1e-9


def test_a_score_that_a_run_lacks_is_not_defined():
    assert pooled([of(0.9), Interval(None, None, None)]) == Interval(None, None, None)


# -------------------------------------------------------------------------------------------------------------- groups


def test_seeds_are_pooled_and_other_recipes_stand_apart(run_for):
    first, second, other = (run_for("bert", *more) for more in ([], ["train.seed=1"], ["adapter.rank=1"]))
    pair, alone = group_by_recipe([second, other, first])
    assert [run.recipe.train.seed for run in pair.runs] == [0, 1]
    assert (pair.name, alone.name) == ("tiny rank=2", "tiny rank=1")
    assert pair.score("accuracy") == compare([first, second]).systems[0].accuracy
    assert pair.score("log_loss").value == pytest.approx(np.mean([run.scores.test.log_loss.value for run in (first, second)]))
    assert alone.score("accuracy") == other.scores.test.accuracy


def test_the_same_run_twice_says_nothing_about_chance(run_for):
    with pytest.raises(RunError, match=r"same recipe on the same data with the same seed \(0\).*give one of them"):
        group_by_recipe([run_for("bert"), run_for("bert")])
