"""Lines of several runs have a mean where all of them are; the Pareto front is what nothing beats."""

from __future__ import annotations

import pytest

from rankwise.report.columns import ACCURACY, LOG_LOSS, MACRO_F1, MCC, RECIPE, SECONDS
from rankwise.report.figures.composed import mean_curve, pareto_front, trade_off_figure


def test_a_mean_line_runs_where_all_lines_do():
    mean = mean_curve("mean", [[(0, 0.0), (10, 1.0)], [(0, 1.0), (5, 2.0), (10, 3.0)], [(2, 0.0), (10, 0.0)]], 0)
    assert [x for x, _ in mean.points] == [2, 5, 10]
    assert dict(mean.points)[10] == pytest.approx((1 + 3 + 0) / 3)
    assert mean.band[-1] == (10, 0.0, 3.0)
    assert dict(mean.points)[5] == pytest.approx((0.5 + 2 + 0) / 3)  # straight between a line's own points


def test_lines_that_share_no_x_have_a_mean_between_them():
    mean = mean_curve("mean", [[(300, 0.9)], [(343, 0.8)]], 0)
    assert mean.points == [(300, pytest.approx(0.85)), (343, pytest.approx(0.85))]
    assert mean.band == [(300, 0.8, 0.9), (343, 0.8, 0.9)]


def test_one_line_is_itself_without_a_band():
    single = mean_curve("single", [[(1, 2.0), (2, 3.0)], []], 0)
    assert (single.points, single.band) == ([(1, 2.0), (2, 3.0)], [])
    assert mean_curve("none", [[], []], 0).points == []


def test_the_front_is_what_nothing_beats():
    assert pareto_front([(10, 0.8), (20, 0.7), (40, 0.9), (40, 0.85)]) == [0, 2]
    assert pareto_front([(1, 0.5), (1, 0.5)]) == [0, 1]  # equals beat each other in nothing


@pytest.mark.parametrize(
    ("score", "name"), [(ACCURACY, "Accuracy"), (LOG_LOSS, "Log-loss"), (MACRO_F1, "Macro-F1"), (MCC, "MCC")]
)
def test_a_trade_off_writes_its_scores_name_as_every_page_does(score, name):
    figure = trade_off_figure("any", (RECIPE, SECONDS, score), [("one", 10.0, 0.8), ("other", 20.0, 0.9)], many=False)
    assert figure.title == figure.table.caption == f"{name} against training time"
