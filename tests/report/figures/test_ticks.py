"""Axes hold every value, between round ticks in the units of their kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.report.figures.style import new_figure
from rankwise.report.figures.ticks import is_logarithmic, set_counted, set_scale

numbers = st.floats(-1e9, 1e9, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-6)


def x_axis(values, kind, **how):
    axis = new_figure(100).add_subplot().xaxis
    set_scale(axis, values, kind, **how)
    return axis


def labels(axis) -> list[str]:
    return [label.get_text().replace("−", "-") for label in axis.get_ticklabels()]


@given(st.lists(numbers, min_size=1, max_size=20), st.booleans())
def test_an_axis_holds_every_value_between_few_ticks(values, zero):
    axis = x_axis(values, "number", zero=zero)
    low, high = axis.get_view_interval()
    slack = 1e-6 * max(1, *map(abs, values))
    assert low - slack <= min(values)
    assert max(values) <= high + slack
    assert 2 <= len(axis.get_majorticklocs()) <= 9
    assert not zero or low <= 0 <= high


@given(st.lists(st.floats(1e-6, 1e12), min_size=2, max_size=20))
def test_an_axis_of_very_unlike_values_is_logarithmic_and_holds_them(values):
    assert is_logarithmic(values) == (max(values) / min(values) >= 25)
    if is_logarithmic(values):
        axis = x_axis(values, "count", log=True)
        low, high = axis.get_view_interval()
        assert (axis.get_scale(), low <= min(values), high >= max(values)) == ("log", True, True)
        assert len(axis.get_majorticklocs()) >= 1


def test_parts_of_an_epoch_are_no_thousandths():
    axis = new_figure(100).add_subplot().xaxis
    set_counted(axis, 0.8)
    assert labels(axis) == ["0", "0.2", "0.4", "0.6", "0.8"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("share", [0.8, 0.9], ["80", "82", "84", "86", "88", "90"]),
        ("share", [1.0], ["90", "92", "94", "96", "98", "100"]),  # no accuracy above 100 % or below 0
        ("share", [0.0], ["0", "2", "4", "6", "8", "10"]),
        ("count", [0, 400_000], ["0", "100k", "200k", "300k", "400k"]),
        ("count", [0], ["0", "1"]),
        ("seconds", [0, 600], ["0", "2 min", "4 min", "6 min", "8 min", "10 min"]),
        ("seconds", [0, 110], ["0", "30 s", "60 s", "90 s", "120 s"]),
        ("number", [1.382, 1.3829], ["1.3820", "1.3822", "1.3824", "1.3826", "1.3828", "1.3830"]),
        ("number", [1.36, 1.39], ["1.36", "1.37", "1.38", "1.39"]),
        ("rate", [12_345, 12_349], ["12345", "12346", "12347", "12348", "12349"]),
    ],
)
def test_labels_are_in_the_kinds_units(kind, values, expected):
    assert labels(x_axis(values, kind)) == expected


def test_labels_over_decades_are_as_short_as_each_allows():
    assert labels(x_axis([1e-4, 0.1], "rate", log=True)) == ["0.0001", "0.001", "0.01", "0.1"]
    assert labels(x_axis([27_000, 1e8], "count", log=True)) == ["100k", "1M", "10M", "100M"]
    assert labels(x_axis([3, 4_000], "seconds", log=True)) == ["0.1 min", "1 min", "10 min"]


def test_a_counted_axis_ends_where_training_ended():
    axis = new_figure(100).add_subplot().xaxis
    set_counted(axis, 343)
    assert (*axis.get_view_interval(), *labels(axis)) == (0, 343, "0", "100", "200", "300")
