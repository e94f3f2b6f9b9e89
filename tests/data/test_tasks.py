"""Labels find their class numbers by name, or by whole numbers in an order that somebody said; never by a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from conftest import separable
from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.tasks import LabelColumns, MultiLabel, SingleLabel, class_names
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, EvaluateSpec


def table(labels):
    return table_of([f"text {number}" for number in range(len(labels))], labels)


def numbers(labels, classes, numbering=(), **spec):
    return SingleLabel(classes).parse(table(labels), numbering, DataSpec(**spec)).tolist()


def test_names_are_numbered_in_the_order_of_the_classes():
    assert numbers(["b", "a", "c"], ("c", "a", "b")) == [2, 1, 0]


@pytest.mark.parametrize("labels", [["0", "1", "2"], ["1", "2", "3"]])
def test_whole_numbers_from_0_or_from_1_fall_on_given_class_names(labels):
    assert numbers(labels, ("x", "y", "z"), ("x", "y", "z")) == [0, 1, 2]


def test_whole_numbers_follow_the_given_order_not_the_classes_own():
    assert numbers(["1", "2", "3"], ("x", "y", "z"), ("z", "x", "y")) == [2, 0, 1]


@pytest.mark.parametrize("labels", [["0", "3"], ["4", "1"], ["-1", "0"]])
def test_whole_numbers_that_cannot_number_the_classes_are_refused(labels):
    with pytest.raises(DataError, match="can't number the classes x, y, z; expected 0 to 2 or 1 to 3"):
        numbers(labels, ("x", "y", "z"), ("x", "y", "z"))


def test_whole_numbers_that_may_count_from_either_are_refused():
    with pytest.raises(DataError, match="may count from 0 or from 1"):
        numbers(["1", "2"], ("x", "y", "z"), ("x", "y", "z"))


def test_whole_numbers_without_an_order_are_not_guessed():
    with pytest.raises(DataError, match="nothing says which is which"):
        numbers(["0", "1"], ("x", "y"))


def test_numbers_that_are_the_class_names_are_names():
    labelled = split_tables(DataSpec(), table_of([f"apple {number}" for number in range(40)], ["10", "9"] * 20))
    assert labelled.classes == ("9", "10"), "in the order of their values"
    assert set(SingleLabel(labelled.classes).parse(labelled.train, (), DataSpec()).tolist()) == {0, 1}


def test_a_label_that_training_never_saw_is_an_error_with_the_nearest_name():
    with pytest.raises(DataError, match=r"row 2: label 'Sport' is not among .*did you mean 'Sports'\?.*unseen_labels=wrong"):
        numbers(["Sports", "Sport"], ("World", "Sports"))


def test_a_label_that_training_never_saw_may_count_as_wrong():
    assert numbers(["Sports", "Sport"], ("World", "Sports"), unseen_labels="wrong") == [1, -1]


def test_given_class_names_keep_their_order_and_refuse_others():
    rows = separable(60, seed=2)
    train = table_of(rows.texts, rows.labels)
    assert class_names(train, ("river", "fruit", "metal")) == ("river", "fruit", "metal")
    with pytest.raises(DataError, match=r"'fruit' is not among data\.classes"):
        class_names(train, ("fruits", "metal", "river"))


def test_class_names_of_a_source_keep_their_order_where_the_recipe_names_none():
    rows = separable(60, seed=2)
    train = table_of(rows.texts, rows.labels)
    named = replace(train, layout=replace(train.layout, classes=("river", "fruit", "metal")))
    labelled = split_tables(DataSpec(), named)
    assert labelled.classes == labelled.numbering == ("river", "fruit", "metal")
    assert split_tables(DataSpec(classes=("metal", "river", "fruit")), named).classes == ("metal", "river", "fruit")


def test_a_row_of_several_labels_is_as_sure_as_the_least_sure_of_them():
    task = MultiLabel(("a", "b", "c"), (0.5, 0.2, 0.5))
    probabilities = np.array([[0.9, 0.3, 0.4], [0.6, 0.1, 0.4], [0.1, 0.1, 0.02]])
    assert task.confidence(probabilities) == pytest.approx([0.3, 0.6, 0.9])
    many = np.full((1, 100), 0.02)
    many[0, 7] = 0.97
    assert MultiLabel(tuple(map(str, range(100)))).confidence(many) == pytest.approx([0.97]), "however many there are"
    columns = LabelColumns(("q=x", "q=y", "p=u", "p=v"), None, (("q", 2), ("p", 2)))
    assert columns.confidence(np.array([[0.9, 0.1, 0.3, 0.7]])) == pytest.approx([0.7])


def test_the_log_loss_of_label_columns_is_the_mean_of_their_own_however_many_classes_each_has():
    rng = np.random.default_rng(0)
    classes = (*(f"q={number}" for number in range(20)), "p=u", "p=v")
    task = LabelColumns(classes, None, (("q", 20), ("p", 2)))
    probabilities = task.probabilities(rng.normal(size=(50, 22)).astype(np.float32))
    numbers = rng.integers(20, size=50), rng.integers(2, size=50)
    truth = np.concatenate([np.eye(20, dtype=np.int64)[numbers[0]], np.eye(2, dtype=np.int64)[numbers[1]]], axis=1)
    apart = [
        log_loss(of_column, probabilities[:, block], labels=range(block.stop - block.start))
        for of_column, block in zip(numbers, task.blocks.values(), strict=True)
    ]
    assert task.quick_scores(probabilities, truth)["log_loss"] == pytest.approx(np.mean(apart), abs=1e-6)
    assert task.scores(probabilities, truth, EvaluateSpec(resamples=20)).log_loss.value == pytest.approx(np.mean(apart))
    truth[10:, :20] = -1  # an empty cell counts for nothing, and a row's other cells as much as before
    first = log_loss(numbers[0][:10], probabilities[:10, :20], labels=range(20), normalize=False)
    second = -np.log(probabilities[np.arange(50), 20 + numbers[1]])
    expected = (first / 2 + second[:10].sum() / 2 + second[10:].sum()) / 50
    assert task.quick_scores(probabilities, truth)["log_loss"] == pytest.approx(expected, abs=1e-6)
