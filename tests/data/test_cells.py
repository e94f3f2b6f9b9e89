"""Cells that hold several labels are known by looking, and a class that only looks like one stays a class."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rankwise.data.files.table import table_of
from rankwise.data.labelled import split_tables
from rankwise.data.labels import strange_labels
from rankwise.data.tasks import MULTI_LABEL, MultiLabel, class_names, read_as, recognised, tags_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec


def table(cells):
    return table_of([f"text {number}" for number in range(len(cells))], list(cells))


@pytest.mark.parametrize(
    "cells",
    [
        ["joy,anger", "joy", "anger", "fear, joy", "fear"],
        ["joy; anger", "joy", "anger", "fear;joy", "fear"],
        ["joy|anger", "joy", "anger", "fear|joy", "fear"],
        ['["joy", "anger"]', '["joy"]', '["anger"]', '["fear", "joy"]', '["fear"]'],
        ["['joy', 'anger']", "['joy']", "['anger']", "['fear', 'joy']", "['fear']"],
        ["{'joy', 'anger'}", "{'joy'}", "{'anger'}", "{'fear', 'joy'}", "{'fear'}"],
        ["['joy' 'anger']", "['joy']", "['anger']", "['fear'\n 'joy']", "['fear']"],
        ["[joy, anger]", "[joy]", "[anger]", "[fear, joy]", "[fear]"],
    ],
)
def test_several_labels_in_a_cell_are_found_and_told(cells):
    found = recognised(table(cells))
    assert found.task == MULTI_LABEL
    assert [set(row) for row in tags_of(found)] == [{"joy", "anger"}, {"joy"}, {"anger"}, {"fear", "joy"}, {"fear"}]
    (told,) = found.warnings
    assert "labels look like" in told
    assert told.endswith("type --set data.task=single-label")
    assert class_names(found, ()) == ("anger", "fear", "joy")


@pytest.mark.parametrize(
    "cells",
    [
        ["Business, Finance", "Sports", "World"],  # no part is a label of its own
        ["R&D", "R", "D"],
        ["yes/no", "yes", "no"],
        ["red and blue", "red", "blue"],
        ["New York", "New", "York"],
        ['["a"]', '["b"]', "c"],  # lists beside others
        ['["a"]', '["b"]'],  # one in each
        ['{"queue": "billing"}', '{"queue": "praise"}'],
        ["3.5", "2,5", "4"],
    ],
)
def test_what_may_be_single_classes_stays_so(cells):
    found = recognised(table(cells))
    assert (found.task, found.labels, found.warnings) == ("single-label", tuple(cells), ())


def test_a_recipe_that_says_so_goes_before_what_is_found():
    cells = ["joy,anger", "joy", "anger"]
    assert recognised(table(cells), "single-label").labels == tuple(cells)
    named = recognised(table(["joy/anger", "joy", "calm"]), "multi-label")
    assert tags_of(named) == [("anger", "joy"), ("joy",), ("calm",)]
    assert named.warnings == ()


@pytest.mark.parametrize("between", ["/", " + ", " & ", "#", " and ", " "])
def test_cells_that_may_hold_several_are_hinted_at_and_what_is_to_be_typed_parts_them(between):
    cells = ["joy", "anger", "fear", f"joy{between}anger", f"fear{between}joy"]
    assert recognised(table(cells)).task == "single-label"
    (hint,) = strange_labels(dict.fromkeys(cells, 9))
    assert f"such as 'joy{between}anger', 'fear{between}joy'; " in hint
    assert "type --set data.task=multi-label for several labels a text" in hint
    assert tags_of(recognised(table(cells), "multi-label"))[3:] == [("anger", "joy"), ("fear", "joy")]


@pytest.mark.parametrize(
    "cells", [["C#", "C", "F#", "F"], ["sport/football", "sport/tennis", "news/world"], ["issue #1", "issue #2"]]
)
def test_a_sign_in_the_names_of_classes_is_no_hint(cells):
    assert list(strange_labels(dict.fromkeys(cells, 9))) == []


def test_a_known_class_with_a_separator_in_its_name_is_one_label():
    found = recognised(table(["Business, Finance", "Sports,World", "Sports", "World"]), known=("Business, Finance",))
    assert tags_of(found)[:2] == [("Business, Finance",), ("Sports", "World")]


def test_a_list_in_a_list_is_refused():
    with pytest.raises(DataError, match=r"is no list of labels; expected one such as"):
        recognised(table(["[['joy'], ['anger']]", "['joy', 'fear']"]))


def test_rows_become_one_number_for_each_class_and_ids_fall_on_given_names():
    found = recognised(table(["0,2", "1", "2", "1,0", "0"]), known=("joy", "anger", "fear"))
    task = MultiLabel(("joy", "anger", "fear"))
    numbers = task.parse(found, task.classes, DataSpec())
    assert numbers.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 0]]
    assert task.names(numbers[0]) == ("joy", "fear")
    assert task.shown(np.zeros(3, dtype=np.int64)) == "(none)"


def test_a_row_without_labels_is_a_row_and_an_unknown_label_is_an_error_or_a_mistake():
    cells = [json.dumps(cell) for cell in ([], ["joy"], ["joy", "rage"], ["fear"], [])]
    task = MultiLabel(("fear", "joy"))
    with pytest.raises(DataError, match=r"row 3: label 'rage' is not among the classes"):
        task.parse(recognised(table(cells)), (), DataSpec())
    numbers = task.parse(recognised(table(cells)), (), DataSpec(unseen_labels="wrong"))
    assert numbers.tolist() == [[0, 0], [0, 1], [-1, -1], [1, 0], [0, 0]]
    certain = np.array([[0.0, 0.0], [0, 1], [0, 1], [1, 0], [1, 0]])
    assert task.right(certain, numbers).tolist() == [True, True, False, True, False]
    assert task.credit(certain, numbers).tolist() == [1, 1, 0, 1, 0]


def test_every_split_has_every_label_and_equal_texts_stay_together():
    rng = np.random.default_rng(0)
    cells = [json.dumps([name for name in "abcdef" if rng.random() < 0.2]) for _ in range(300)]
    texts = [f"text {number % 290}" for number in range(300)]
    labelled = split_tables(DataSpec(), table_of(texts, cells))
    assert labelled.train.task == labelled.validation.task == MULTI_LABEL
    assert labelled.classes == tuple("abcdef")
    held = set(labelled.validation.texts), set(labelled.test.texts)
    assert not (held[0] & held[1])
    assert not (set(labelled.train.texts) & (held[0] | held[1]))
    shares = [
        np.mean([[name in row for name in "abcdef"] for row in tags_of(table)], axis=0) for table in labelled.tables.values()
    ]
    assert np.ptp(shares, axis=0).max() < 0.08
    for kept, out in [(fold.train, fold.validation) for fold in labelled.whole().folds(0)]:
        assert {tag for row in tags_of(kept) for tag in row} == {tag for row in tags_of(out) for tag in row} == set("abcdef")


def test_a_further_table_is_parted_where_its_parts_are_known_whatever_else_stands_in_them():
    train = ["Sports; Business, Finance", "Sports", "Business, Finance", "World; Sports", "World"]
    assert class_names(recognised(table(train)), ()) == ("Business, Finance", "Sports", "World")
    further = read_as(table(["World; Business, Finance", "Business, Finance"]), MULTI_LABEL, ("Business, Finance", "World"))
    assert tags_of(further) == [("Business, Finance", "World"), ("Business, Finance",)]


def test_numbers_are_listed_as_numpy_prints_them():
    found = recognised(table(["[ 4 27]", "[4]", "[27]", "[ 0  4]", "[0]"]))
    assert tags_of(found) == [("27", "4"), ("4",), ("27",), ("0", "4"), ("0",)]
