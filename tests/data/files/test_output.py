"""What is written comes back as it was, and an error leaves nothing behind, neither a draft nor half a file."""

from __future__ import annotations

import csv
import io
import json
import math
from importlib.util import find_spec
from pathlib import Path

import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from disks import small_disk

from rankwise.data.files.formats import WRITERS, arrow
from rankwise.data.files.formats.csv import write_lines
from rankwise.data.files.output import check_output, check_room, defused, write_rows
from rankwise.data.files.table import read_table
from rankwise.errors import DataError, StorageError
from rankwise.recipe import DataSpec, SourceSpec

HAS_EXCEL = bool(find_spec("xlsxwriter") and find_spec("python_calamine"))
ENDINGS = [
    pytest.param(ending, marks=pytest.mark.skipif(ending == ".xlsx" and not HAS_EXCEL, reason="the extra excel is missing"))
    for ending in WRITERS
]
COLUMNS = ["row", "label", "score"]
ROWS = [
    {"row": 1, "label": 'say "hi", twice', "score": 0.25},
    {"row": 2, "label": "two\nlines", "score": 0.5},
    {"row": 3, "label": "Zürich 🍎", "score": 1.0},
    {"row": 4, "label": "", "score": 0.125},
    {"row": 5, "label": "a\ttab", "score": 0.75},
]


def read(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    if path.suffix in (".arrow", ".feather"):
        return pyarrow.feather.read_table(path).to_pylist()
    if path.suffix == ".xlsx":
        import python_calamine

        names, *rows = python_calamine.CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0).to_python()
        return [dict(zip(names, row, strict=True)) for row in rows]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))
    return [{"row": int(row["row"]), "label": row["label"], "score": float(row["score"])} for row in rows]


def write(path, rows, columns=COLUMNS):
    return write_rows(path, columns, rows)


def breaking(rows):
    yield from rows
    raise RuntimeError("the model broke")


def test_a_folder_is_no_file_to_write_to(tmp_path):
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(DataError, match="a folder; give a file"):
        check_output(tmp_path / "x.csv")


@pytest.mark.parametrize("ending", ENDINGS)
def test_rows_come_back_as_they_were_written(tmp_path, ending):
    count = write(tmp_path / f"out{ending}", ROWS)
    assert read(tmp_path / f"out{ending}") == ROWS
    assert count == len(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == [f"out{ending}"]


def test_what_is_no_number_is_null_in_jsonl_wherever_it_stands(tmp_path):
    own = {"row": 1, "label": [math.nan, {"x": math.inf}], "score": -math.inf}
    write(tmp_path / "out.jsonl", [*ROWS, own])
    line = (tmp_path / "out.jsonl").read_text("utf-8").split("\n")[len(ROWS)]
    assert line == '{"row": 1, "label": [null, {"x": null}], "score": null}'


@pytest.mark.parametrize("ending", ENDINGS)
def test_no_rows_are_a_file_with_columns_only(tmp_path, ending):
    write(tmp_path / f"out{ending}", [])
    assert read(tmp_path / f"out{ending}") == []
    if ending == ".parquet":
        assert pq.read_schema(tmp_path / "out.parquet").names == COLUMNS
    elif ending in (".arrow", ".feather"):
        assert pyarrow.feather.read_table(tmp_path / f"out{ending}").column_names == COLUMNS
    elif ending in (".csv", ".tsv"):
        assert (tmp_path / f"out{ending}").read_text("utf-8").split("\n")[0].replace("\t", ",") == "row,label,score"


def test_parquet_is_written_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(arrow, "WRITTEN_ROWS", 2)
    write(tmp_path / "out.parquet", ROWS)
    assert read(tmp_path / "out.parquet") == ROWS
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 3


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_nothing_behind(tmp_path, ending):
    with pytest.raises(RuntimeError, match="the model broke"):
        write(tmp_path / f"out{ending}", breaking(ROWS))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_error_leaves_an_older_file_as_it_was(tmp_path, ending):
    write(tmp_path / f"out{ending}", ROWS[:1])
    with pytest.raises(RuntimeError, match="the model broke"):
        write(tmp_path / f"out{ending}", breaking(ROWS[1:]))
    assert read(tmp_path / f"out{ending}") == ROWS[:1]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("pieces", [1, 100])
def test_rows_that_parquet_cannot_hold_leave_nothing_behind(tmp_path, monkeypatch, pieces):
    monkeypatch.setattr(arrow, "WRITTEN_ROWS", pieces)
    with pytest.raises(DataError, match=r"values of several types .* which Parquet has no place for; write .jsonl or .csv"):
        write(tmp_path / "out.parquet", [{"row": 1, "label": "a", "score": 0.5}, {"row": "two", "label": "b", "score": 0.5}])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_a_column_that_nobody_announced_leaves_nothing_behind(tmp_path, ending):
    with pytest.raises(ValueError, match="not in fieldnames"):
        write(tmp_path / f"out{ending}", [*ROWS, {"row": 6, "label": "a", "score": 1.0, "extra": 1}])
    assert list(tmp_path.iterdir()) == []


def test_an_ending_that_nothing_writes_is_refused_before_work(tmp_path):
    with pytest.raises(
        DataError, match=r"can't write '\.xls' files; expected one of \.csv, \.tsv, \.jsonl, \.parquet, \.arrow"
    ):
        write(tmp_path / "out.xls", breaking([]))


def test_a_folder_that_is_not_there_is_refused_before_work(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        write(tmp_path / "none" / "out.csv", breaking([]))


def test_a_stream_gets_csv():
    stream = io.StringIO()
    write_lines(stream, COLUMNS, ROWS[:2])
    assert list(csv.reader(io.StringIO(stream.getvalue())))[1] == ["1", 'say "hi", twice', "0.25"]
    assert stream.getvalue().startswith("row,label,score\n")


@pytest.mark.parametrize("suffix", ENDINGS)
def test_every_format_that_is_written_is_read_back(tmp_path, suffix):
    rows = [{"text": 'say "hi", twice', "label": "a"}, {"text": "two\nlines\tand 🍎", "label": "b"}]
    write(tmp_path / f"out{suffix}", rows, ["text", "label"])
    table = read_table(SourceSpec(path=str(tmp_path / f"out{suffix}")), DataSpec())
    assert [*zip(table.texts, table.labels, strict=True)] == [(row["text"], row["label"]) for row in rows]


@pytest.mark.parametrize("pieces", [1, 100])
def test_a_parquet_column_that_is_empty_at_first_takes_text(tmp_path, monkeypatch, pieces):
    monkeypatch.setattr(arrow, "WRITTEN_ROWS", pieces)
    rows = [{"row": 1, "label": None, "score": 0.5}, {"row": 2, "label": "b", "score": 0.5}]
    write(tmp_path / "out.parquet", rows)
    assert read(tmp_path / "out.parquet") == rows


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("  =1", "'  =1"),
        ("\t=1", "'\t=1"),
        ("＝1", "'＝1"),
        ("-5", "-5"),
        ("+1,000.5", "+1,000.5"),
        ("-3e-5", "-3e-5"),
        ("-12%", "-12%"),
        ("a=b", "a=b"),
        ("", ""),
        (-5, -5),
        (0.25, 0.25),
        (None, None),
    ],
)
def test_no_spreadsheet_runs_a_cell_and_numbers_stay_numbers(cell, written):
    columns, rows = defused(["text", "=bad"], [{"text": cell, "=bad": 1}])
    assert columns == ["text", "'=bad"]
    assert list(rows) == [{"text": written, "'=bad": 1}]


def test_a_folder_that_takes_no_file_is_told_before_there_is_anything_to_write(tmp_path):
    check_room(tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="can't be written"):
        check_room(Path("/proc/out.csv"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_full_disk_is_a_line_and_leaves_nothing_behind(tmp_path, ending):
    many = ({"row": number, "label": f"label {number * 7919}", "score": number / 7} for number in range(20_000))
    with small_disk(tmp_path / "disk", 64) as disk:
        (disk / f"out{ending}").write_text("of yesterday", "utf-8")
        with pytest.raises(StorageError) as told:
            write(disk / f"out{ending}", many)
        assert str(told.value).startswith(f"{disk / f'out{ending}'}: the disk is full (No space left on device); free room")
        assert [(path.name, path.read_text("utf-8")) for path in disk.iterdir()] == [(f"out{ending}", "of yesterday")]


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_longest_name_is_written_and_a_longer_one_is_a_line(tmp_path, ending):
    write(tmp_path / f"{'n' * (255 - len(ending))}{ending}", ROWS)
    with pytest.raises(
        StorageError, match=r"can't be written \(File name too long\); free room there, or give another --out"
    ):
        write(tmp_path / f"{'n' * 255}{ending}", breaking([]))


def test_a_read_only_disk_is_a_line_before_work(tmp_path):
    with small_disk(tmp_path / "disk", 64, read_only=True) as disk, pytest.raises((StorageError, DataError)) as told:
        write(disk / "out.csv", breaking([]))
    assert "no permission to write into" in str(told.value) or "Read-only file system" in str(told.value)
