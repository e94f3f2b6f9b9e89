"""The fitted law is the true one where that holds, the least-squares one under its bounds, and more rows never harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.stats.power_law import PowerLaw, least_squares


@pytest.mark.parametrize(
    "law", [PowerLaw(0.05, 2.0, 0.5), PowerLaw(0.0, 0.9, 0.2), PowerLaw(0.1, 30.0, 1.0), PowerLaw(0.2, 0.0, 0.3)]
)
def test_a_law_is_fitted_again_in_its_own_errors(law):
    rows = np.array([100.0, 200, 400, 800, 1600])
    errors = np.array([[law.error(number) for number in rows]])
    a, b, c = (float(value[0]) for value in least_squares(rows, errors, np.ones(5)))
    fitted = PowerLaw(a, b, c)
    for number in (100, 800, 3200, 6400):
        assert fitted.error(number) == pytest.approx(law.error(number), abs=0.002)
    assert a == pytest.approx(law.a, abs=0.01)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=6), st.integers(0, 9))
def test_the_law_never_says_that_more_rows_harm(errors, seed):
    rows = 50.0 * 2 ** np.arange(len(errors))
    weights = np.random.default_rng(seed).uniform(0.5, 2, len(errors))
    a, b, c = (float(value[0]) for value in least_squares(rows, np.array([errors]), weights))
    assert a >= 0
    assert b >= 0
    assert PowerLaw(a, b, c).error(2 * rows[-1]) <= PowerLaw(a, b, c).error(rows[-1]) + 1e-12


def test_the_fit_is_the_least_squares_one_under_the_bounds():
    from scipy.optimize import minimize

    rows = np.array([64.0, 128, 256, 512])
    errors, weights = np.array([0.42, 0.3, 0.21, 0.19]), np.array([1.0, 2, 3, 4])

    def loss(numbers):
        a, b, c = numbers
        return float((((errors - a - b * (rows / 512) ** -c) ** 2) * weights).sum())

    best = min(
        minimize(loss, (0.1, 0.1, start), bounds=[(0, None), (0, None), (0.05, 2)]).fun for start in (0.1, 0.4, 0.8, 1.5)
    )
    a, b, c = (float(value[0]) for value in least_squares(rows, errors[None], weights))
    assert loss((a, b * 512**-c, c)) == pytest.approx(best, rel=0.02)
