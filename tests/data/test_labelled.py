"""Rows before splitting are the rows that splitting leaves, from one reading and without a tokenizer."""

from __future__ import annotations

import pytest

from rankwise.data.labelled import read_labelled, read_volume
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
