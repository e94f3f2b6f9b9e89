"""An interval reads as a percentage, and a share's bounds are Wilson's."""

from __future__ import annotations

import pytest

from rankwise.stats.intervals import Interval, wilson


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (Interval(0.895, 0.888, 0.902), "89.5 % [88.8, 90.2]"),
        (Interval(1.0, None, None), "100.0 %"),
        (Interval(-0.0001, -0.021, 0.02), "0.0 % [-2.1, 2.0]"),
        (Interval(None, None, None), "n/a"),
    ],
)
def test_an_interval_reads_as_a_percentage(interval, text):
    assert interval.percent() == text


def test_a_shares_bounds_are_wilsons():
    bounds = wilson(0.9, 100, 0.95)  # Wilson 1927; the bounds are from Newcombe's 1998 formula, worked by hand
    assert (bounds.low, bounds.high) == pytest.approx((0.82563, 0.94477), abs=1e-5)
    assert wilson(1.0, 3, 0.95).high == 1.0
    assert wilson(0.0, 3, 0.95).low == 0.0
