"""What Python hands over as texts and labels is read as it is meant, or refused with what to pass."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.data.clean import Preprocessing
from rankwise.data.files.table import table_of
from rankwise.data.given import as_given, labels_in, name_of, texts_in, type_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec

TEXTS = ["one", "two", "three"]


def read(given, columns=("text",), join=" . "):
    return list(texts_in(given, columns, join, call="predict"))


def frames(columns):
    """The same columns in every library that is installed, and as a plain mapping."""
    yield columns
    for library, make in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("pyarrow", "table")):
        try:
            module = __import__(library)
        except ModuleNotFoundError:
            continue
        yield getattr(module, make)(columns)


@pytest.mark.parametrize(
    "given",
    [TEXTS, tuple(TEXTS), iter(TEXTS), (text for text in TEXTS), np.array(TEXTS), np.array(TEXTS, dtype=object)],
    ids=["list", "tuple", "iterator", "generator", "array", "objects"],
)
def test_a_sequence_of_texts_is_read_in_order(given):
    assert read(given) == TEXTS


def test_a_column_of_a_frame_is_read_in_order():
    for frame in frames({"text": TEXTS, "label": ["a", "b", "a"]}):
        assert read(frame["text"]) == TEXTS


def test_a_frame_is_read_from_the_column_that_training_read():
    for frame in frames({"label": ["a", "b", "a"], "text": TEXTS}):
        assert read(frame) == TEXTS


def test_several_text_columns_are_joined_and_blank_cells_left_out():
    for frame in frames({"body": ["b", "d", None], "title": ["a", " ", "e"], "id": [1, 2, 3]}):
        assert read(frame, ("title", "body")) == ["a . b", "d", "e"]


def test_a_frame_without_the_columns_of_training_is_refused_with_those_it_has():
    for frame in frames({"body": TEXTS, "label": ["a", "b", "a"]}):
        with pytest.raises(DataError, match=r"columns body, label; expected the text columns title \+ body.*predict\(table"):
            read(frame, ("title", "body"))


def test_two_columns_of_one_name_are_refused():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(DataError, match="columns text, text"):
        read(frame)


def test_one_row_of_a_frame_is_refused():
    pandas = pytest.importorskip("pandas")
    row = pandas.DataFrame({"title": ["a"], "body": ["b"]}).iloc[0]
    with pytest.raises(DataError, match=r"one row of a frame; type predict\(\[row\['title'\]\]\)"):
        read(row, ("title", "body"))


def test_a_column_is_no_row_where_columns_are_called_by_their_position():
    pandas = pytest.importorskip("pandas")
    assert read(pandas.Series(TEXTS), ("1",)) == TEXTS


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("text", r"found one string; type predict\(\[text\]\)"),
        (b"text", "found bytes"),
        ({"a", "b"}, "a set, which has no order"),
        (None, "found a NoneType"),
        (3, "found a int"),
    ],
)
def test_what_holds_no_texts_in_an_order_is_refused(given, says):
    with pytest.raises(DataError, match=says):
        read(given)


@pytest.mark.parametrize(
    ("given", "names", "kind"),
    [
        (["a", "b"], ["a", "b"], None),
        ([3, -1], ["3", "-1"], "int"),
        ([True, False], ["true", "false"], "bool"),
        ([1.0, 0.0], ["1", "0"], "float"),
        (np.array([0, 2]), ["0", "2"], "int"),
        ([np.int64(4), np.int8(5)], ["4", "5"], "int"),
        ([np.bool_(True)], ["true"], "bool"),
        (np.array(["x", "y"]), ["x", "y"], None),
        (np.array([1.0, 2.0], dtype=np.float32), ["1", "2"], "float"),
        ((label for label in [1, 0]), ["1", "0"], "int"),
    ],
)
def test_labels_keep_their_type_beside_their_name(given, names, kind):
    assert labels_in(given) == (names, kind)


def test_labels_of_a_tensor_are_whole_numbers():
    torch = pytest.importorskip("torch")
    assert labels_in(torch.tensor([2, 0])) == labels_in([torch.tensor(2), torch.tensor(0)]) == (["2", "0"], "int")
    assert labels_in(torch.tensor([True])) == (["true"], "bool")


def test_numbers_with_fractions_are_labels_where_a_number_is_estimated_alone():
    numbers = [0.5, 1, 2.25]
    assert labels_in(numbers) == (["0.5", "1", "2.25"], "float")
    with pytest.raises(DataError, match=r"labels\[0\] is 0.5, which no class is called; .*data.task=regression"):
        table_of(["a", "b", "c"], numbers)
    assert table_of(["a", "b", "c"], numbers, DataSpec(task="regression")).labels == ("0.5", "1", "2.25")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([1.0, float("nan")], r"labels\[1\] is missing \(nan\)"),
        (["a", None], r"labels\[1\] is missing \(None\)"),
        ([1, True], r"labels\[1\] is true or false \(True\) among others"),
        (["1", 1], r"labels\[1\] is a whole number \(1\) among others"),
        (np.array([[0, 1]]), r"labels are an array of several columns"),
        ("ab", "labels are a str"),
        ({"label": ["a"]}, "labels are a dict"),
    ],
)
def test_what_is_no_label_is_refused_by_position(given, says):
    with pytest.raises(DataError, match=says):
        labels_in(given)


def test_columns_with_one_index_in_two_orders_are_not_taken_by_position() -> None:
    pandas = pytest.importorskip("pandas")
    texts, labels = pandas.Series(TEXTS), pandas.Series(["a", "b", "a"])
    with pytest.raises(DataError, match=r"labels=labels\.loc\[texts\.index\]"):
        table_of(texts, labels[::-1])
    with pytest.raises(DataError, match="one index in two orders"):
        table_of(pandas.DataFrame({"text": texts}), labels.sample(frac=1, random_state=1), DataSpec(text=("text",)))
    for right in (labels, labels[::-1].loc[texts.index], labels[::-1].reset_index(drop=True), labels[::-1].to_list()):
        assert len(table_of(texts, right).labels or ()) == 3


def test_labels_in_the_order_of_shuffled_texts_are_taken_as_the_advice_says() -> None:
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series(TEXTS).sample(frac=1, random_state=1)
    assert list(texts) != TEXTS
    made = pandas.Series([text.upper() for text in texts])
    with pytest.raises(DataError, match=r"where they are in one order already, labels=list\(labels\)"):
        table_of(texts, made)
    assert table_of(texts, list(made)).labels == tuple(text.upper() for text in texts)


def test_an_index_with_repeated_entries_says_nothing_of_the_order() -> None:
    pandas = pytest.importorskip("pandas")
    texts = pandas.Series(["a", "b", "c"], index=[0, 0, 1])
    assert table_of(texts, pandas.Series(["x", "y", "z"], index=[1, 0, 0])).labels == ("x", "y", "z")


def test_labels_in_a_set_have_no_order() -> None:
    with pytest.raises(DataError, match="labels are a set"):
        table_of(TEXTS, {"a", "b", "c"})


@pytest.mark.parametrize("labels", [[0, 1, 2], [False, True], [0.0, 3.0], ["a", "b"], [-5, 10**20]])
def test_predictions_give_labels_as_they_were_given(labels):
    names, kind = labels_in(labels)
    assert kind == type_of(names, kind)
    preprocessing = Preprocessing(tuple(names), (), 8, label_type=kind)
    assert list(preprocessing.labels) == labels
    assert [type(label) for label in preprocessing.labels] == [type(label) for label in labels]
    assert [name_of(label) for label in preprocessing.labels] == names


def test_numbers_of_named_classes_come_back_as_the_names():
    assert type_of(("World", "Sports"), "int") is None
    assert as_given("World", None) == "World"


def test_training_takes_the_text_columns_that_the_recipe_names():
    for frame in frames({"title": ["a", "b"], "body": ["c", "d"], "id": [1, 2]}):
        table = table_of(frame, [1, 0], DataSpec(text=("title", "body"), join=" "))
        assert list(table.texts) == ["a c", "b d"]
        assert (table.layout.text, table.labels, table.label_type) == (("title", "body"), ("1", "0"), "int")
        with pytest.raises(DataError, match="expected to be told its text columns"):
            table_of(frame, [1, 0])


def test_text_and_labels_of_a_frame_are_found_as_in_a_file():
    texts = [f"the text of visit {number}" for number in range(12)]
    for frame in frames({"id": range(12), "text": texts, "topic": ["x"] * 12, "label": ["a", "b", "c"] * 4}):
        table = table_of(frame)
        assert (list(table.texts), table.labels, table.label_type) == (texts, ("a", "b", "c") * 4, None)
        assert table.layout.describe().endswith("; label = label, text = text")


def test_a_frame_says_which_library_it_is_of():
    layout = table_of({"text": TEXTS, "label": ["a", "b", "a"]}).layout
    assert layout.describe() == "texts: dict; label = label, text = text"
    for frame, kind in zip(list(frames({"text": TEXTS, "label": ["a", "b", "a"]}))[1:], ("DataFrame", ""), strict=False):
        assert kind in table_of(frame).layout.format


@pytest.mark.parametrize(
    ("labels", "named", "kind"),
    [
        ([1, 0, 1], ("1", "0", "1"), "int"),
        ([True, False, True], ("true", "false", "true"), "bool"),
        (["a", "b", "a"], None, None),
    ],
)
def test_labels_of_a_frame_keep_their_type_beside_their_names(labels, named, kind):
    for frame in frames({"text": TEXTS, "label": labels}):
        table = table_of(frame)
        assert (table.labels, table.label_type) == (named or tuple(labels), kind)


def test_other_columns_of_a_frame_are_named_by_the_recipe():
    for frame in frames({"body": TEXTS, "toxic": [1, 0, 1], "rude": [1, 0, 0]}):
        table = table_of(frame, data=DataSpec(text="body", label=("toxic", "rude")))
        assert table.labels == ('["toxic", "rude"]', "[]", '["toxic"]')


def test_lists_in_a_column_of_a_frame_are_several_labels():
    for frame in frames({"text": TEXTS, "labels": [["a", "b"], ["b"], []]}):
        assert table_of(frame).labels == ('["a", "b"]', '["b"]', "[]")


def test_missing_labels_of_a_frame_are_dropped_and_counted():
    for frame in frames({"text": TEXTS * 20, "label": ["a", "b", None] + ["a", "b", "a"] * 19}):
        table = table_of(frame)
        assert (len(table.texts), table.dropped) == (59, {"missing label": 1})


def test_class_numbers_of_a_data_set_are_read_by_its_names():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(text=datasets.Value("string"), label=datasets.ClassLabel(names=["login", "praise"]))
    given = datasets.Dataset.from_dict({"text": TEXTS, "label": [1, 0, 1]}, features=features)
    for frame in (given, given.data.table):
        table = table_of(frame)
        assert (table.labels, table.layout.classes, table.label_type) == (
            ("praise", "login", "praise"),
            ("login", "praise"),
            None,
        )


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"text": TEXTS, "label": ["a"]}, r"columns of unlike lengths \(text 3, label 1\)"),
        ({"text": TEXTS, "n": [1, 2, 3]}, "texts: no label column found among text, n"),
        ({"text": TEXTS, "label": ["a", 1, "b"]}, r"texts, row 2, column 'label': found a number \(1\) after text"),
    ],
)
def test_a_frame_that_is_not_clear_is_refused(given, says):
    with pytest.raises(DataError, match=says):
        table_of(given)


def test_a_list_of_labels_for_a_text_is_several_labels():
    assert labels_in([["b", "a"], ("c",), set(), {"b", "a"}, np.array(["a"])])[0] == [
        '["b", "a"]',
        '["c"]',
        "[]",
        '["a", "b"]',
        '["a"]',
    ]
    assert labels_in([["b", "a"], "c"])[0] == ['["b", "a"]', '["c"]']
    assert labels_in([[1, 2], [3]]) == (['["1", "2"]', '["3"]'], None)


def test_columns_of_0_and_1_in_an_array_are_refused_for_they_have_no_names():
    with pytest.raises(DataError, match="labels are an array of several columns; expected a list of labels for each text"):
        labels_in(np.array([[0, 1], [1, 0]]))
    with pytest.raises(DataError, match=r"labels\[1\] is a number|labels\[1\] is a whole number"):
        labels_in([["a"], [1]])
