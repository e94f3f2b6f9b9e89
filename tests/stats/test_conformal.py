"""Sets hold the true class as often as they say: on the average as MAPIE's do, and after drawing the rows that chose."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from rankwise.stats.conformal import RISK, fewest_rows, set_rank, set_threshold


def test_the_rank_on_the_average_is_mapies_and_the_one_by_hand():
    assert set_rank(9, 0.9, risk=None) == 9  # ⌈10 · 0.9⌉
    assert set_rank(19, 0.9, risk=None) == 18
    assert set_rank(8, 0.9, risk=None) == 9  # of eight there is no ninth: every class


def test_a_threshold_is_the_ranks_probability_of_the_true_class():
    of_truth = np.array([0.9, 0.2, 0.8, 0.6, 0.5, 0.7, 0.4, 0.3, 0.1])
    assert set_threshold(of_truth, 0.7, risk=None) == 0.3  # the seventh of nine
    assert set_threshold(of_truth, 0.95, risk=None) == 0.0


@pytest.mark.parametrize("rows", [50, 374, 1000])
@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_the_rank_is_the_smallest_whose_coverage_is_missed_one_time_in_20(rows, coverage):
    rank = set_rank(rows, coverage)
    if rank > rows:
        assert rows < fewest_rows(coverage)
        return
    assert beta.cdf(coverage, rank, rows + 1 - rank) <= RISK
    assert beta.cdf(coverage, rank - 1, rows + 2 - rank) > RISK


def test_as_many_rows_as_are_named_can_promise_a_coverage_and_one_less_can_not():
    for coverage in (0.8, 0.9, 0.99):
        fewest = fewest_rows(coverage)
        assert set_rank(fewest, coverage) == fewest
        assert set_rank(fewest - 1, coverage) == fewest


def test_the_true_coverage_is_below_the_wanted_in_at_most_1_of_20_draws_and_on_the_average_rule_in_half():
    rng, draws = np.random.default_rng(0), 2000
    missed = dict.fromkeys((RISK, None), 0)
    for _ in range(draws):
        of_truth = rng.random(300)  # whose true coverage at a threshold t is 1 - t
        for risk in missed:
            missed[risk] += 1 - set_threshold(of_truth, 0.9, risk=risk) < 0.9
    assert missed[RISK] <= draws * RISK + 2 * np.sqrt(draws * RISK * (1 - RISK))
    assert 0.4 * draws < missed[None] < 0.6 * draws
