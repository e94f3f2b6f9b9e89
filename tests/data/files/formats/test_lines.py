"""A file whose name does not say its format is recognised by how it begins; what is nothing else is a text a line."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tables import GOOD, failing, read, write

SMS = 'ham\tGo until jurong, crazy..\nspam\tFree entry in 2 a wkly "comp\nham\tOk lar... "Joking" wif u\nspam\tWINNER!! "\n'


@pytest.mark.parametrize(
    ("name", "content", "format"),
    [
        ("data.txt", GOOD, "CSV, comma, header"),
        ("data", GOOD.replace(",", "\t"), "CSV, tab, header"),
        ("data.psv", GOOD.replace(",", "|"), "CSV, pipe, header"),
        ("data.dat", "sep=;\n" + GOOD.replace(",", ";"), "CSV, semicolon, header"),
        ("data.txt.gz", gzip.compress(GOOD.encode(), mtime=0), "CSV, gzip, comma, header"),
        ("data.txt", '{"text": "first", "label": "a"}\n{"text": "second", "label": "b"}\n', "JSONL"),
        ("data", json.dumps([{"text": "first", "label": "a"}, {"text": "second", "label": "b"}], indent=1), "JSON array"),
        ("data.txt", "__label__a first\n__label__b second\n", "fastText"),
    ],
)
def test_a_format_is_recognised_without_its_ending(tmp_path: Path, name: str, content: str | bytes, format: str) -> None:
    table = read(write(tmp_path / name, content))
    assert (table.texts, table.labels) == (("first", "second"), ("a", "b"))
    assert f"{name}: {format}" in table.layout.describe()


@pytest.mark.parametrize("write_table", [pq.write_table, pyarrow.feather.write_feather])
def test_binary_formats_are_recognised_too(tmp_path: Path, write_table: object) -> None:
    write_table(pa.table({"text": ["x", "y"], "label": ["a", "b"]}), str(tmp_path / "data"))
    assert read(tmp_path / "data").labels == ("a", "b")


def test_a_tab_file_without_an_ending_keeps_its_quotes(tmp_path: Path) -> None:
    table = read(write(tmp_path / "SMSSpamCollection", SMS), text=1, label=0)
    assert table.texts[1:] == ('Free entry in 2 a wkly "comp', 'Ok lar... "Joking" wif u', 'WINNER!! "')


def test_lines_of_text_are_texts_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path / "new.txt", "one, two\n\nthree; four, five\r\n  six\n")
    table = read(path, needs_label=False)
    assert table.texts == ("one, two", "three; four, five", "  six")
    assert "new.txt: a text on each line; no label, text = text" in table.layout.describe()
    assert "no label column found among text" in failing(path)


def test_one_line_is_one_text(tmp_path: Path) -> None:
    assert read(write(tmp_path / "new.txt", "one, two; three"), needs_label=False).texts == ("one, two; three",)


def test_an_empty_text_file_has_no_rows(tmp_path: Path) -> None:
    assert "0 rows" in failing(write(tmp_path / "t.txt", "\n\n"))
