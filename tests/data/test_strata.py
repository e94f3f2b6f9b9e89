"""Rows with several labels are divided so that each part has each label in its share."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rankwise.data.strata import apportioned

ROWS = st.lists(st.lists(st.sampled_from("abcde"), max_size=4, unique=True), min_size=2, max_size=80)


@given(ROWS, st.data())
def test_a_part_has_as_many_rows_as_are_wanted(rows, data):
    wanted = data.draw(st.integers(1, len(rows) - 1))
    taken = apportioned(rows, wanted, seed=0)
    assert taken.sum() == wanted
    assert (taken == apportioned(rows, wanted, seed=0)).all()


def test_a_part_has_each_label_in_its_share_rare_ones_too():
    rng = np.random.default_rng(1)
    rates = np.array([0.5, 0.2, 0.05, 0.01, 0.004])
    rows = [np.flatnonzero(rng.random(5) < rates).tolist() for _ in range(2_000)]
    taken = apportioned(rows, 200, seed=3)
    whole, part = (
        Counter(tag for row, kept in zip(rows, which, strict=True) if kept for tag in row)
        for which in ([True] * 2_000, taken)
    )
    for tag, count in whole.items():
        assert abs(part[tag] - count / 10) <= 1 + 0.02 * count, f"label {tag}: {part[tag]} of {count}"
    assert part[4] >= 1
