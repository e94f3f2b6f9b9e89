"""Rows that are set aside are a stratified sample, the same for the same seed, and no row is lost or stands twice."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import CLASSES, separable
from rankwise.data.clean import clean
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.splitting import folds, split_off
from rankwise.errors import DataError
from rankwise.recipe import DataSpec


def table(labels):
    return table_of([f"text {number}" for number in range(len(labels))], labels)


def skewed(rows=100):
    return table(["a"] * (rows * 7 // 10) + ["b"] * (rows * 2 // 10) + ["c"] * (rows // 10))


@pytest.mark.parametrize("amount", [0.2, 20])
def test_a_split_keeps_the_classes_shares(amount):
    rest, taken = split_off(skewed(), amount, seed=0, what="test")
    assert Counter(taken.labels) == {"a": 14, "b": 4, "c": 2}
    assert Counter(rest.labels) == {"a": 56, "b": 16, "c": 8}


def test_a_split_loses_no_row_repeats_none_and_keeps_the_order():
    whole = skewed()
    rest, taken = split_off(whole, 30, seed=4, what="test")
    assert sorted([*rest.rows, *taken.rows]) == list(whole.rows)
    for part in (rest, taken):
        assert list(part.rows) == sorted(part.rows)
        assert all(whole.texts[row - 1] == text for row, text in zip(part.rows, part.texts, strict=True))


def test_a_seed_decides_the_split():
    def taken(seed):
        return split_off(skewed(), 0.2, seed=seed, what="test")[1].rows.tolist()

    assert taken(1) == taken(1) != taken(2)


@given(st.integers(20, 60), st.floats(0.2, 0.5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_a_share_of_rows_is_that_share_rounded(rows, share, seed):
    rest, taken = split_off(table(["a", "b"] * rows), share, seed=seed, what="test")
    assert len(taken.texts) == round(2 * rows * share)
    assert len(rest.texts) + len(taken.texts) == 2 * rows


@pytest.mark.parametrize(("labels", "amount"), [(["a"] * 9 + ["b"], 3), (["a", "b"] * 5, 9)])
def test_a_split_that_cannot_hold_every_class_is_refused(labels, amount):
    with pytest.raises(DataError, match=r"can't set \d+ of 10 rows aside for test.*--set data\.test=FILE"):
        split_off(table(labels), amount, seed=0, what="test")


def test_a_split_of_fewer_rows_than_classes_says_how_many_it_takes():
    with pytest.raises(DataError, match=r"data\.split\.test is 1; expected 2 or more, .*: --set data\.split\.test=2$"):
        split_off(table(["a", "b"] * 5), 1, seed=0, what="test")


def test_fewer_training_rows_than_classes_are_refused_by_name():
    with pytest.raises(DataError, match=r"^data\.rows is 1; expected 2 or more, a row for each class$"):
        split_tables(DataSpec(rows=1), table(["a", "b"] * 20))


def test_what_is_not_given_is_split_off_the_training_rows():
    rows = separable(60, seed=2)
    spec = DataSpec.model_validate({"split": {"test": 12, "validation": "25%"}})
    labelled = split_tables(spec, table_of(rows.texts, rows.labels))
    assert [len(part.texts) for part in (labelled.train, labelled.validation, labelled.test)] == [36, 12, 12]
    texts = [text for part in (labelled.train, labelled.validation, labelled.test) for text in part.texts]
    assert sorted(texts) == sorted(rows.texts)


def test_equal_texts_stay_on_one_side_of_a_split():
    texts = [f"text {number // 3}" for number in range(90)]
    labels = [("a", "b")[number // 3 % 2] for number in range(90)]
    rest, taken = split_off(table_of(texts, labels), 0.2, seed=0, what="test", clean_steps=())
    assert not set(rest.texts) & set(taken.texts)
    assert len(taken.texts) == 18
    assert Counter(taken.labels) == {"a": 9, "b": 9}
    assert sorted([*rest.rows, *taken.rows]) == list(range(1, 91))


def test_texts_that_are_equal_once_they_are_clean_stay_on_one_side_too():
    texts = [f"text <b>{number}</b>" if odd else f"text {number}" for number in range(40) for odd in (0, 1)]
    labelled = split_tables(DataSpec(clean=("html", "whitespace")), table_of(texts, ["a", "a", "b", "b"] * 20))
    sides = [{clean(text, ["html", "whitespace"]) for text in part.texts} for part in labelled.tables.values()]
    assert all(not one & other for one, other in combinations(sides, 2))
    assert not labelled.leaked.any()


def test_one_file_with_repeats_is_split_without_a_leak():
    texts = [f"text {number % 30}" for number in range(120)]
    labelled = split_tables(DataSpec(), table_of(texts, ["a" if number % 30 < 15 else "b" for number in range(120)]))
    assert not labelled.leaked.any()


def test_equal_texts_are_in_one_fold():
    texts, labels = [f"text {number % 20}" for number in range(60)], ["a", "b"] * 30
    for kept, held in folds(labels, 0, texts):
        assert {texts[row] for row in kept}.isdisjoint(texts[row] for row in held)
        assert len(held)
    different = [f"text {number}" for number in range(60)]
    alone, grouped = (folds(labels, 0, known) for known in (None, different))
    assert all(list(one[1]) == list(other[1]) for one, other in zip(alone, grouped, strict=True))


def test_without_repeats_the_split_is_that_of_the_rows():
    rows = separable(60, seed=2)
    whole = table_of(rows.texts, rows.labels)
    alone, grouped = (split_off(whole, 0.2, seed=3, what="test", clean_steps=steps)[1] for steps in (None, ()))
    assert list(alone.rows) == list(grouped.rows)


@pytest.mark.parametrize("by_folds", [True, False])
def test_two_rows_a_class_are_enough_where_folds_choose(by_folds):
    two = table_of([f"text {number}" for number in range(6)], ["a", "b", "c"] * 2)
    if by_folds:
        labelled = split_tables(DataSpec(), two, by_folds=True)
        assert [len(part.texts) for part in labelled.tables.values()] == [3, 0, 3]
    else:
        with pytest.raises(DataError, match=r"--set data\.validation=FILE"):
            split_tables(DataSpec(), two)


def test_the_test_rows_do_not_depend_on_how_many_rows_train():
    rows, split = separable(60, seed=2), {"test": 12, "validation": 12}
    parts = [
        split_tables(DataSpec.model_validate({"rows": count, "split": split}), table_of(rows.texts, rows.labels))
        for count in (None, 12)
    ]
    assert parts[0].test.texts == parts[1].test.texts
    assert parts[0].validation.texts == parts[1].validation.texts
    assert len(parts[1].train.texts) == 12
    assert set(parts[1].train.texts) <= set(parts[0].train.texts)


def test_nearly_all_rows_can_be_kept_and_so_can_some_of_a_class_with_one():
    rows = separable(60, seed=2)
    known = table_of([*rows.texts, "a lone cloud"], [*rows.labels, "cloud"])
    for count in (4, 30, 59, 60):
        labelled = split_tables(
            DataSpec(test_rows=count, leakage="allow"), table_of(rows.texts, rows.labels), test=known
        ).test
        assert len(labelled.texts) == count
        counts = Counter(labelled.labels)
        assert max(counts[name] for name in set(rows.labels)) - min(counts[name] for name in set(rows.labels)) <= 1


def test_fewer_test_rows_are_a_stratified_part_of_them():
    rows = separable(60, seed=2)
    spec = DataSpec.model_validate({"test_rows": 6, "split": {"test": 30, "validation": 6}})
    labelled = split_tables(spec, table_of(rows.texts, rows.labels))
    assert Counter(labelled.test.labels) == dict.fromkeys(CLASSES, 2)
