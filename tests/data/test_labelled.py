"""Rows before splitting are the rows that splitting leaves, from one reading and without a tokenizer."""

from __future__ import annotations

import pytest

from rankwise.data.audit import audit
from rankwise.data.labelled import read_labelled, read_splits, read_training, read_volume
from rankwise.errors import DataError
from rankwise.recipe.data import DataSpec, SplitSpec

SETTINGS = {
    "shares": {},
    "numbers": {"split": SplitSpec(validation=9, test=7)},
    "a cap on both": {"split": SplitSpec(test=12), "rows": 20, "test_rows": 6},
    "caps above what is there": {"rows": 2000, "test_rows": 400},
    "tiny shares": {"split": SplitSpec(validation=0.01, test=0.01)},
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS.keys())
def test_the_rows_are_those_of_the_real_splits(data_file, setting):
    spec = DataSpec(source=str(data_file), **setting)
    labelled = read_labelled(spec)
    assert read_volume(spec).rows == tuple(len(table.texts) for table in (labelled.train, labelled.validation, labelled.test))
    assert read_volume(spec).classes == labelled.classes


def test_files_of_their_own_are_counted_whole(rows, tmp_path):
    for name, part in (("train", slice(0, 40)), ("validation", slice(40, 52)), ("test", slice(52, 60))):
        type(rows)(rows.texts[part], rows.labels[part]).write(tmp_path / f"{name}.csv")
    measured = read_volume(DataSpec(source=str(tmp_path)))
    assert measured.rows == (40, 12, 8)
    assert measured.characters.tolist() == [len(text) for text in rows.texts[:40]]


def test_the_work_is_estimated_from_the_characters(data_file):
    spec = DataSpec(source=str(data_file), max_length=12)
    work = read_volume(spec).work(spec, encoder_longest=64)
    assert (work.train_rows, work.validation_rows, work.test_rows) == read_volume(spec).rows
    assert work.longest == 12
    assert work.source == "characters"


def test_data_that_no_run_would_take_is_refused(tmp_path):
    (tmp_path / "one.csv").write_text("text,label\n" + "a text,same\n" * 9, "utf-8")
    with pytest.raises(DataError, match="class"):
        read_volume(DataSpec(source=str(tmp_path / "one.csv")))


# ----------------------------------------------------------------------------------------------- ids of several labels


def ids_beside_names(tmp_path, *, first=0, count=4):
    """A training and a test file whose cells hold the ids of labels, beside a file of their names."""
    (tmp_path / "labels.txt").write_text("joy\nanger\nfear\ncalm\n", "utf-8")
    for name, rows in (("train", 40), ("test", 8)):
        cells = [
            f"{first + row % count},{first + (row + 1) % count}" if row % 5 else f"{first + row % count}"
            for row in range(rows)
        ]
        lines = [f"some {name} text {row}\t{cell}" for row, cell in enumerate(cells)]
        (tmp_path / f"{name}.tsv").write_text("text\tlabel\n" + "\n".join(lines) + "\n", "utf-8")
    return DataSpec(source=str(tmp_path))


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_several_labels_are_read_as_their_names_in_every_split(tmp_path, first):
    tables, _, _ = read_splits(ids_beside_names(tmp_path, first=first))
    for table in tables.values():
        assert table.labels[:3] == ('["joy"]', '["anger", "fear"]', '["calm", "fear"]')
    _, alone, classes = read_training(DataSpec(source=str(tmp_path / "train.tsv")))
    assert alone.labels == tables["train"].labels
    assert classes == ("joy", "anger", "fear", "calm")


def test_a_split_that_does_not_tell_where_its_ids_begin_is_read_as_the_others(tmp_path):
    spec = ids_beside_names(tmp_path)
    (tmp_path / "test.tsv").write_text("text\tlabel\nsome text\t1,2\nanother\t2\n", "utf-8")
    assert read_splits(spec)[0]["test"].labels == ('["anger", "fear"]', '["fear"]')


def test_ids_that_may_begin_at_0_or_at_1_stay_ids_and_no_run_is_made_of_them(tmp_path):
    spec = ids_beside_names(tmp_path, first=1, count=3)
    assert read_splits(spec)[0]["train"].labels[1] == '["2", "3"]'
    labelled = read_labelled(spec)
    with pytest.raises(DataError, match="may count from 0 or from 1"):
        labelled.task.parse(labelled.train, labelled.numbering, spec)


def test_a_conflict_between_several_labels_is_told_in_their_names(tmp_path):
    spec = ids_beside_names(tmp_path)
    train = tmp_path / "train.tsv"
    train.write_text(train.read_text("utf-8") + "twice\t0\ntwice\t1,2\n", "utf-8")
    (example,) = audit(read_splits(spec)[0]).conflict_examples
    assert example.labels == ("joy", "anger + fear")
