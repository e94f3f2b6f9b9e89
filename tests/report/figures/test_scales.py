"""Axes hold every value, between round ticks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.report.figures.scales import axis_of, short, whole_axis

numbers = st.floats(-1e9, 1e9, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


@given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_every_value_between_few_rising_ticks(values, zero):
    axis = axis_of(values, "number", zero=zero)
    slack = 1e-6 * max(1, *map(abs, values))
    assert axis.low - slack <= min(values)
    assert max(values) <= axis.high + slack
    assert 2 <= len(axis.ticks) <= 9
    assert list(axis.ticks) == sorted(set(axis.ticks))
    assert not zero or axis.low <= 0 <= axis.high


@given(st.lists(st.floats(1e-6, 1e12), min_size=2, max_size=20))
def test_an_axis_of_very_unlike_values_is_logarithmic_and_holds_them(values):
    axis = axis_of(values, "count", may_log=True)
    assert axis.log == (max(values) / min(values) >= 25)
    assert axis.low <= min(values) * (1 + 1e-9)
    assert axis.high >= max(values) * (1 - 1e-9)
    assert axis.place(axis.low, 0, 100) == pytest.approx(0)
    assert axis.place(axis.high, 0, 100) == pytest.approx(100)


def test_places_are_in_proportion_and_stay_on_the_axis():
    axis = axis_of([0.8, 0.95], "share")
    assert axis.place((axis.low + axis.high) / 2, 10, 110) == pytest.approx(60)
    assert axis.place(-5, 10, 110) == 10
    assert axis.place(5, 10, 110) == 110


def test_equal_values_get_room_on_an_axis():
    assert axis_of([0.5, 0.5], "share").low < 0.5 < axis_of([0.5, 0.5], "share").high
    assert axis_of([0], "count", zero=True).high > 0
    assert (axis_of([1.0], "share").high, axis_of([0.0], "share").low) == (1, 0)  # no accuracy above 100 % or below 0


@pytest.mark.parametrize(
    ("kind", "values", "labels"),
    [
        ("share", [0.8, 0.9], ["80", "82", "84", "86", "88", "90"]),
        ("signed", [-0.01, 0.01], ["-1", "-0.5", "0", "+0.5", "+1"]),
        ("count", [0, 400_000], ["0", "100k", "200k", "300k", "400k"]),
        ("seconds", [0, 600], ["0", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        ("number", [1.382, 1.3829], ["1.3820", "1.3822", "1.3824", "1.3826", "1.3828", "1.3830"]),
        ("number", [1.36, 1.39], ["1.36", "1.37", "1.38", "1.39"]),
        ("rate", [12_345, 12_349], ["12,345", "12,346", "12,347", "12,348", "12,349"]),
        ("seconds", [0, 50], ["0", "10 s", "20 s", "30 s", "40 s", "50 s"]),
    ],
)
def test_labels_are_in_the_kinds_units(kind, values, labels):
    axis = axis_of(values, kind)
    assert [axis.label(tick) for tick in axis.ticks] == labels


def test_whole_axes_end_where_training_ended():
    axis = whole_axis(343)
    assert (axis.low, axis.high, axis.ticks) == (0, 343, (0, 100, 200, 300))
    assert whole_axis(0).high > 0


@given(st.integers(1, 1000), st.integers(1, 10))
def test_counts_have_whole_ticks(largest, most):
    ticks = [*whole_axis(largest, most).ticks, *axis_of([0, largest], "count", most=most).ticks]
    assert all(tick.is_integer() for tick in ticks)


def test_short_numbers():
    assert [short(value) for value in (0, 0.25, 950, 20_000, 1_500_000, 2e9)] == ["0", "0.25", "950", "20k", "1.5M", "2G"]
