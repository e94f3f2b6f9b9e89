"""Label cells say one label, several in columns of 0 and 1 or in lists, or one in each of several columns."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from tables import failing, read, real, write

from rankwise.data.sources import sources_of
from rankwise.errors import Unlabelled
from rankwise.recipe import DataSpec

NAMES = ("toxic", "obscene", "threat")


def table_of(rows: Sequence[Sequence[object]], *, header: str = "id,text,toxic,obscene,threat") -> str:
    lines = [",".join(map(str, (number, f"the text of visit {number}", *row))) for number, row in enumerate(rows)]
    return "\n".join([header, *lines, ""])


FLAGS = [(1, 0, 0), (1, 1, 0), (0, 0, 0), (0, 0, 1)] * 3
READ = ('["toxic"]', '["toxic", "obscene"]', "[]", '["threat"]')


def test_three_columns_of_0_and_1_side_by_side_are_the_labels_of_a_text_and_it_is_told(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", table_of(FLAGS)))
    assert (table.labels or ())[:4] == READ
    assert table.layout.classes == NAMES
    assert table.layout.describe() == (
        "t.csv: CSV, comma, header; label = toxic + obscene + threat (3 columns of 0 and 1), text = text "
        "(these columns alone hold 0 and 1)"
    )


@pytest.mark.parametrize(
    ("rows", "header", "labels"),
    [
        ([(0, "x", *row) for row in FLAGS], "id,text,seen,topic,toxic,obscene,threat", "[seen, toxic, obscene, threat]"),
        ([row[:2] for row in FLAGS], "id,text,toxic,obscene", "[toxic, obscene]"),
    ],
)
def test_columns_of_0_and_1_of_which_it_is_not_clear_what_they_are_are_asked_about(
    tmp_path: Path, rows: list, header: str, labels: str
) -> None:
    path = write(tmp_path / "t.csv", table_of(rows, header=header))
    message = failing(path)
    assert f"or only one of them: --set 'data.label={labels}' or --set data.label=" in message
    assert read(path, label=tuple(labels.strip("[]").split(", "))).labels is not None


def test_columns_of_true_and_false_beside_those_of_0_and_1_are_no_label(tmp_path: Path) -> None:
    rows = [(str(bool(number % 2)), *row) for number, row in enumerate(FLAGS)]
    table = read(write(tmp_path / "t.csv", table_of(rows, header="id,text,unclear,toxic,obscene,threat")))
    assert table.layout.labels == NAMES


def test_columns_of_0_and_1_that_are_named_are_read_in_that_order_from_every_format(tmp_path: Path) -> None:
    named = ("threat", "toxic")
    rows = [{"text": f"text {number}", **dict(zip(NAMES, row, strict=True))} for number, row in enumerate(FLAGS)]
    as_json = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)))
    as_bool = write(tmp_path / "b.jsonl", "\n".join(json.dumps(row | {"toxic": row["toxic"] == 1}) for row in rows))
    as_floats = write(tmp_path / "f.csv", table_of([tuple(map(float, row)) for row in FLAGS]))
    for path in (as_json, as_bool, as_floats, write(tmp_path / "t.csv", table_of(FLAGS))):
        table = read(path, label=named)
        assert ((table.labels or ())[:4], table.layout.classes) == (('["toxic"]', '["toxic"]', "[]", '["threat"]'), named)


def test_columns_without_names_are_read_by_their_positions(tmp_path: Path) -> None:
    content = table_of(FLAGS).partition("\n")[2]
    assert (read(write(tmp_path / "t.csv", content), text=1, label=(2, 3)).labels or ())[:2] == ('["2"]', '["2", "3"]')


def test_where_each_row_has_one_1_its_column_is_the_class(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", table_of([(1, 0, 0), (0, 0, 1), (0, 1, 0)] * 3)))
    assert (table.labels or ())[:3] == ("toxic", "threat", "obscene")
    assert table.layout.classes == NAMES


def test_blank_cells_mean_0_where_nobody_wrote_one(tmp_path: Path) -> None:
    rows = [(1, "", ""), (1, 1, ""), ("", "", ""), ("", "", 1)]
    table = read(write(tmp_path / "t.csv", table_of(rows)), label=NAMES)
    assert table.labels == READ
    assert "(3 columns of 1 and blank)" in table.layout.describe()


@pytest.mark.parametrize("blank", [("", "", ""), (-1, -1, -1)])
def test_a_row_that_nobody_labelled_has_no_label(tmp_path: Path, blank: tuple) -> None:
    table = read(write(tmp_path / "t.csv", table_of([*FLAGS * 3, blank])), label=NAMES)
    assert table.dropped == {"missing label": 1}


@pytest.mark.parametrize(("cell", "found"), [("2", "found '2'"), ("", "a blank cell beside filled ones")])
def test_a_cell_that_is_neither_0_nor_1_is_refused_with_its_place(tmp_path: Path, cell: str, found: str) -> None:
    rows = FLAGS * 300  # that one lies behind those that are looked at
    path = write(tmp_path / "t.csv", table_of([*rows, (1, cell, 0), *rows]))
    assert f"t.csv, row 3601 (line 3602), column 'obscene': {found}, expected 0 or 1" in failing(path, label=NAMES)


def test_what_stands_in_label_columns_does_not_matter_where_labels_are_not_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", table_of([*FLAGS * 30, (1, "maybe", 0)]))
    assert len(read(path, label=NAMES, needs_label=False).texts) == len(FLAGS * 30) + 1


def test_a_header_that_stands_again_is_left_out(tmp_path: Path) -> None:
    twice = table_of(FLAGS) + table_of(FLAGS)
    assert read(write(tmp_path / "t.csv", twice), label=NAMES).dropped == {"the header again": 1}


QUEUES = "text,queue,priority\nhelp,billing,high\nwhy,login,\nhello,,low\nno,,\n" + "again,login,low\n" * 30


def test_several_columns_of_labels_are_an_object_without_the_missing_ones(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", QUEUES), label=("queue", "priority"))
    assert (table.labels or ())[:3] == (
        '{"queue": "billing", "priority": "high"}',
        '{"queue": "login"}',
        '{"priority": "low"}',
    )
    assert table.dropped == {"missing label": 1}
    assert table.layout.describe() == "t.csv: CSV, comma, header; labels = queue + priority, text = text"


def test_a_list_among_several_columns_of_labels_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", json.dumps({"text": "x", "queue": "a", "tags": ["b", "c"]}))
    assert "row 1, column 'tags': found 2 values (b, c), expected one" in failing(path, label=("queue", "tags"))


def test_a_list_of_one_column_is_that_column(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", "text,queue\nhelp,billing\nwhy,login\n"), label=["queue"])
    assert (table.labels, table.layout.labels) == (("billing", "login"), ())


def test_a_column_that_is_not_there_or_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", QUEUES)
    with pytest.raises(Unlabelled, match="no column 'priorty' among text, queue, priority; did you mean 'priority'"):
        read(path, label=("queue", "priorty"))
    assert "column 'queue' is asked for twice" in failing(path, label=("queue", "queue"))


def test_cells_of_label_studios_csv_with_several_choices_are_lists(tmp_path: Path) -> None:
    content = 'text,label\nx,"{""choices"": [""a"", ""b""]}"\ny,a\n'
    assert read(write(tmp_path / "t.csv", content)).labels == ('["a", "b"]', '["a"]')


@pytest.mark.parametrize("cells", [("joy,anger", "joy", "fear,joy"), ("4,27", "4", "27,4"), ("['joy', 'anger']", "['joy']")])
def test_several_labels_in_a_cell_of_csv_stay_as_they_are_written(tmp_path: Path, cells: tuple[str, ...]) -> None:
    lines = [f"the text of visit {number}\t{cell}\tid{number}x" for number, cell in enumerate(cells * 8)]
    table = read(write(tmp_path / "t.tsv", "\n".join(lines)))
    assert (table.labels or ())[: len(cells)] == cells
    assert "lists of few values in column 1" in table.layout.describe() or len(set(cells)) < 4


def test_every_row_of_go_emotions_is_read_as_published_with_the_names_of_its_numbers() -> None:
    folder = real("go_emotions/train.tsv").parent
    table = read(folder / "train.tsv")
    assert len(table.texts) == len((folder / "train.tsv").read_bytes().splitlines()) == 43_410
    assert table.dropped == {}
    assert (table.layout.text, table.layout.label) == (("0",), "1")
    classes = sources_of(DataSpec(source=str(folder))).classes
    assert len(classes) == 28
    assert {number for label in table.labels or () for number in label.split(",")} == {str(at) for at in range(28)}
