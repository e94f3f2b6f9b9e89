"""Labels that are no class names are told, or refused where every one of them is none; labels are kept to the letter."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tables import read, write

from rankwise.data.audit import audit, check
from rankwise.data.files.table import table_of
from rankwise.data.labelled import read_labelled, read_splits
from rankwise.data.labels import strange_labels
from rankwise.data.tasks import SingleLabel
from rankwise.errors import DataError, Unlabelled
from rankwise.recipe import DataSpec

TEXTS = [f"the parcel of visit {number} is late again" for number in range(60)]


def warnings_of(*labels: str) -> list[str]:
    return list(strange_labels(Counter(labels)))


def jsonl(path: Path, labels: list, **columns: list) -> Path:
    keys = {"text": TEXTS, "label": labels, **columns}
    rows = (dict(zip(keys, row, strict=True)) for row in zip(*(cells[: len(labels)] for cells in keys.values()), strict=True))
    return write(path, "\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize(
    "labels",
    [
        *[("Sci/Tech", "World"), ("a & b", "b & c"), ("-1", "1"), ("-1", "0", "1"), ("1", "2"), ("none", "x")],
        *[
            ("-1", "+1"),
            ("-2", "-1", "0", "1", "2"),
            ("-1.0", "0.0", "1.0"),
            ("+", "-"),
            ("NONE", "FAVOR"),
            ("None", "Positive"),
        ],
        *[("NA", "EMEA"), ("New York", "New Jersey"), ("true", "false"), ("0", "1"), ("y", "n", "m"), ("2019", "2020")],
        *[tuple(f"{half / 2}" for half in range(11)), tuple(map(str, range(150)))],
    ],
)
def test_labels_that_may_well_be_classes_are_left_in_peace(labels: tuple[str, ...]) -> None:
    assert warnings_of(*labels) == []


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (("['a']", "['b']", "['a', 'b']"), "look like lists, such as '['a']'"),
        (('["a"]', '["b", "c"]'), "look like lists"),
        (("a", "b", "a,b"), "several in one cell, such as 'a,b'"),
        (("a", "b", "a; b"), "several in one cell, such as 'a; b'"),
        (("a|b", "b|c", "a|c"), "several in one cell, such as 'a|b'"),
        (("a", "b", "a and b"), "several in one cell, such as 'a and b'"),
        (("0", "1", "2", "-1"), "label '-1' (1 rows) often stands for none"),
        (("yes", "no", "?"), "label '?' (1 rows) often stands for none"),
        (("007", "07", "8"), "labels '007', '07' are one number written in 2 ways"),
        (("250.0", "250.00", "251.0"), "labels '250.0', '250.00' are one number"),
        (("1e3", "1000", "2"), "labels '1000', '1e3' are one number"),
        (("+1", "1", "-1"), "labels '+1', '1' are one number"),
        (("neutral", "contradiction", "-"), "label '-' (1 rows) often stands for none"),
        (("positive", "negative", "NA"), "label 'NA' (1 rows) often stands for none"),
        (("login", "billing", "None"), "label 'None' (1 rows) often stands for none"),
        (("login", "billing", "\\N"), "label '\\N' (1 rows) often stands for none"),
        (("login", "billing", "#N/A"), "label '#N/A' (1 rows) often stands for none"),
        (("0", "1", "2", "-1.0"), "label '-1.0' (1 rows) often stands for none"),
        (("a", "b", "a b"), "several in one cell, such as 'a b'"),
        (("yes", "no", "Y"), "labels 'yes', 'Y' may be one answer"),
        (("0", "1", "true"), "labels '1', 'true' may be one answer"),
        ((" a", " b"), "begin or end with blanks, such as ' a', ' b'"),
        (("2024-05-01", "2024-06-01"), "labels are dates, such as '2024-05-01'"),
        (tuple(f"{number / 100}" for number in range(30)), "30 numbers with fractions"),
        (("O", "B-PER", "I-PER"), "tags of single words"),
    ],
)
def test_labels_that_are_hardly_classes_are_warned_of(labels: tuple[str, ...], says: str) -> None:
    (warning,) = warnings_of(*labels)
    assert says in warning


def test_numbers_above_two_to_the_53rd_are_told_apart(tmp_path: Path) -> None:
    big = ["9007199254740992", "9007199254740993"]
    assert warnings_of(*big) == []
    assert read(jsonl(tmp_path / "t.jsonl", [int(label) for label in big])).labels == tuple(big)


def test_codes_stay_the_classes_that_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "text,label\none text,007\nanother text,07\na third,250.0\na fourth,250.00\n")
    assert read(path).labels == ("007", "07", "250.0", "250.00")


# ------------------------------------------------------------------------------------------------------ without labels


@pytest.mark.parametrize("marker", [-1, "?", "", None, "unlabelled"])
def test_a_test_file_of_a_folder_without_labels_is_left_out_with_a_word(tmp_path: Path, marker: object) -> None:
    jsonl(tmp_path / "train.jsonl", ["a", "b"] * 30)
    jsonl(tmp_path / "test.jsonl", [marker] * 30)
    labelled = read_labelled(DataSpec(source=str(tmp_path)))
    assert set(labelled.test.labels or ()) == {"a", "b"}
    (warning,) = labelled.warnings
    assert "test.jsonl" in warning
    assert "unlabelled; it is left out, and test rows are set aside from training" in warning


def test_a_test_file_without_a_label_column_is_left_out_and_a_named_one_refused(tmp_path: Path) -> None:
    rows = [f"{number},{text}" for number, text in enumerate(TEXTS)]
    train = "\n".join(["id,text,target", *(f"{row},{number % 2}" for number, row in enumerate(rows))])
    write(tmp_path / "train.csv", train)
    test = write(tmp_path / "test.csv", "\n".join(["id,text", *rows[:20]]))
    for settings in ({}, {"label": "target"}):
        tables, _, left_out = read_splits(DataSpec(source=str(tmp_path), **settings))
        assert list(tables) == ["train"]
        assert "test.csv: no " in left_out[0]
    with pytest.raises(Unlabelled, match=r"leave data\.test out"):
        read_splits(DataSpec(train=str(tmp_path / "train.csv"), test=str(test)))


def test_a_headerless_test_file_that_lacks_the_label_column_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "\n".join(f"{number % 2},{text}" for number, text in enumerate(TEXTS)))
    write(tmp_path / "test.csv", "\n".join(TEXTS[:9]))
    assert list(read_splits(DataSpec(source=str(tmp_path)))[0]) == ["train"]


def test_every_split_is_read_from_the_columns_that_training_reads(tmp_path: Path) -> None:
    train = "\n".join(f"{number % 2},{number},{text}" for number, text in enumerate(TEXTS))
    write(tmp_path / "train.csv", train)
    write(tmp_path / "test.csv", "\n".join(f"1,{number % 2},{text} now" for number, text in enumerate(TEXTS)))
    tables, _, _ = read_splits(DataSpec(source=str(tmp_path)))
    assert (tables["test"].layout.label, tables["test"].layout.text) == ("0", ("2",))


def test_a_split_that_lacks_a_column_of_training_is_refused_with_what_to_type(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "\n".join(["title,text,label", *(f"{t},{t},{n % 2}" for n, t in enumerate(TEXTS))]))
    write(tmp_path / "test.csv", "\n".join(["title,label", *(f"{t},{n % 2}" for n, t in enumerate(TEXTS))]))
    with pytest.raises(
        DataError, match=r"no column 'text' among title, label, and training read title \+ text.*data\.text=title"
    ):
        read_splits(DataSpec(source=str(tmp_path)))
    assert len(read_splits(DataSpec(source=str(tmp_path), text="title"))[0]) == 2


def test_no_score_is_given_where_no_row_has_a_known_label() -> None:
    task, spec = SingleLabel(("0", "1")), DataSpec(unseen_labels="wrong")
    with pytest.raises(Unlabelled, match="every label of list is -1: unlabelled"):
        task.parse(table_of(TEXTS, ["-1"] * 60), (), spec)
    with pytest.raises(Unlabelled, match=r"no label in column 'label' \(7, 8\) is among the classes \(0, 1\)"):
        task.parse(table_of(TEXTS, ["7", "8"] * 30), (), spec)
    assert task.parse(table_of(TEXTS[:3], ["0", "1", "7"]), (), spec).tolist() == [0, 1, -1]


def test_training_rows_without_labels_are_called_that() -> None:
    with pytest.raises(Unlabelled, match="every label is -1: unlabelled"):
        check(table_of(TEXTS, ["-1"] * 60))


def test_labels_that_training_lacks_are_warned_of() -> None:
    train, test = table_of(TEXTS, ["a", "b"] * 30), table_of(TEXTS[:4], ["a", "b", "c", "c"])
    assert "2 of 4 test rows have labels that training lacks: 'c'" in audit({"train": train, "test": test}).warnings
    one = table_of([f"{text}!" for text in TEXTS], ["a"] * 60)
    assert any("every test row is labelled 'a'" in line for line in audit({"train": train, "test": one}).warnings)


# ------------------------------------------------------------------------------------------------------ annotation tools


def test_rows_that_an_annotator_rejected_or_ignored_are_dropped_with_a_word(tmp_path: Path) -> None:
    answers = ["accept", "accept", "reject", "ignore"] * 10
    table = read(jsonl(tmp_path / "t.jsonl", ["a", "b", "c", "d"] * 10, answer=answers))
    assert set(table.labels or ()) == {"a", "b"}
    assert table.dropped == {"answer is reject or ignore": 20}


def test_a_column_of_other_answers_drops_nothing(tmp_path: Path) -> None:
    table = read(jsonl(tmp_path / "t.jsonl", ["a", "b"] * 20, answer=["accept", "reject", "yes", "no"] * 10))
    assert table.dropped == {}


def test_one_label_that_was_accepted_or_rejected_is_trained_on_by_its_verdicts(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "t.jsonl", ["SPAM"] * 40, answer=["accept", "reject"] * 20)
    with pytest.raises(DataError, match=r"--set data\.label=answer"):
        check(read(path))
    assert set(read(path, label="answer").labels or ()) == {"accept", "reject"}


def test_several_labels_in_a_list_of_json_stay_in_their_order(tmp_path: Path) -> None:
    assert read(jsonl(tmp_path / "t.jsonl", [["a", "b"], ["b", "a"]])).labels == ('["a", "b"]', '["b", "a"]')
