"""A file that can't be used is refused by file, row, column and fix, in bounded time and memory."""

import csv
import gzip
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from tables import GOOD, MOODS, failing, read, write

from rankwise.data.files import reading
from rankwise.data.files import text as textfile
from rankwise.data.files.table import read_table
from rankwise.errors import DataError
from rankwise.recipe import DataSpec

JSON_LINE = '{"text": "x", "label": "a"}\n'
BAD_FILES = [
    ("empty.csv", "", {}, ["0 rows"]),
    ("header_only.csv", "text,label\n", {}, ["0 rows"]),
    ("empty.jsonl", "", {}, ["0 rows"]),
    ("no_text_left.csv", "text,label\n,a\n", {}, ["0 rows left", "empty text: 1"]),
    ("absent.csv", GOOD, {"text": "txt"}, ["no column 'txt' among text, label", "did you mean 'text'?"]),
    ("absent_label.csv", GOOD, {"label": "lable"}, ["no column 'lable'", "did you mean 'label'?"]),
    ("unknown_text.csv", "tweet,label\nx,a\n", {}, ["no text column", "tweet, label", "--set data.text=tweet"]),
    ("unknown_label.csv", "text,mood\nx,a\n", {}, ["no label column", "text, mood", "--set data.label=mood"]),
    ("beyond.csv", GOOD, {"label": 5}, ["no column 5", "0 to 1"]),
    ("below.csv", GOOD, {"label": -1}, ["no column -1"]),
    ("twice.csv", "text,label,text\nx,a,y\n", {}, ["two columns are called 'text'"]),
    ("twice.jsonl", '{"text": "x", "text": "y"}\n', {}, ["line 1", "'text' stands twice"]),
    ("same.csv", GOOD, {"text": "text", "label": "text"}, ["'text' is asked for twice"]),
    ("unclear.csv", "one,two\nthree,four\n", {}, ["without a header", "--set data.text=1 --set data.label=0"]),
    (
        "header.csv",
        MOODS,
        {},
        ["(tweet, mood)", "no other row", "--set data.text=tweet --set data.label=mood", "data.header=false"],
    ),
    ("tie.csv", "a,x,one\nb,y,two\na,x,three\nb,y,four\n", {}, ["unclear"]),
    ("mixed.jsonl", JSON_LINE + '{"text": "x", "label": 1}\n', {}, ["row 2 (line 2)", "'label'", "number", "text"]),
    ("bools.jsonl", '{"text":"x","label":1.0}\n{"text":"x","label":true}\n', {}, ["row 2", "true or false"]),
    ("utf16.csv", GOOD.encode("utf-16"), {}, ["not utf-8 at byte 0", ".encoding=utf-16"]),
    ("utf16le.csv", GOOD.encode("utf-16-le"), {}, ["not utf-8 at byte 1", ".encoding=utf-16-le"]),
    ("latin.csv", "text,label\ncafé,a\n".encode("latin-1"), {}, ["not utf-8 at byte 14", ".encoding=latin-1"]),
    ("latin.jsonl", JSON_LINE.encode() + b"\xff", {}, ["at byte 28"]),
    ("encoding.csv", GOOD, {"source": {"encoding": "klingon"}}, ["no encoding is called 'klingon'"]),
    ("nul.csv", "text,label\nx,a\ny\0,b\n", {}, ["row 2 (line 3)", "NUL"]),
    ("nul.jsonl", JSON_LINE + '{"text": "\\u0000", "label": "a"}', {}, ["row 2 (line 2)", "NUL"]),
    ("half.jsonl", JSON_LINE + '{"text": "\\ud83d", "label": "a"}', {}, ["row 2 (line 2)", "lone surrogate"]),
    ("open.csv", 'text,label\n"x, y",a\n"never,b\nz,c\n', {}, ["line 3", "quote opens", "never closes", "quoting=none"]),
    ("open_mid.csv", 'text,label\n"never,b\nz,"c"\n', {}, ["line 2", "quote opens", "line 3"]),
    ("wide.csv", "text,label\nx,a\ny,b,c\n", {}, ["line 3", "3 fields, expected 2", "skip_bad_rows=true"]),
    ("narrow.csv", "text,label\nx,a\ny\n", {}, ["line 3", "1 field, expected 2"]),
    ("title.csv", "Tickets of May\n" + GOOD, {}, ["line 2", "expected 1", "remove what stands above"]),
    ("percent.csv", "% made by hand\n\n" + GOOD, {}, ["line 3", "expected 1", "remove what stands above"]),
    ("above.csv", "Tickets of May,\n,\n" + GOOD, {}, ["line 3: (text, label) looks like the header"]),
    ("curly.csv", "text,label\n" + "\u201cso, yes\u201d,a\n" * 9, {}, ["line 2", "put a text that holds ',' in quotes"]),
    ("one.csv", '"text,label"\n"first,a"\n"second,b"\n', {}, ["in 1 column without", "data.delimiter"]),
    ("caret.txt", "first^a\nsecond^b\n", {}, ["data.delimiter"]),
    ("long.csv", "text,label\n" + "x" * 10_000_001 + ",a\n", {}, ["line 2", "10,000,000 characters"]),
    ("long.jsonl", JSON_LINE + "x" * 10_000_001, {}, ["line 2", "10,000,000 characters"]),
    ("broken.jsonl", JSON_LINE + '{"text": "x", \n', {}, ["line 2", "one JSON object a line"]),
    ("list.jsonl", JSON_LINE + '["x", "a"]\n', {}, ["line 2", "found a list"]),
    ("nested.jsonl", JSON_LINE + '{"text": {"en": "x"}, "label": "a"}', {}, ["line 2", "column 'text'", "found a dict"]),
    ("listed.jsonl", JSON_LINE + '{"text": ["x", "y"], "label": "a"}', {}, ["line 2", "'text': found 2 values (x, y)"]),
    ("deep.jsonl", "[" * 100_000, {}, ["line 1"]),
    ("array.json", '[["x", "a"]]', {}, ["line 1", "found a list"]),
    ("not.parquet", "PAR1 not really", {}, ["not a Parquet file"]),
    ("not.csv.gz", GOOD, {}, ["damaged .gz"]),
    ("cut.csv.gz", gzip.compress(GOOD.encode() * 100, mtime=0)[:-20], {}, ["damaged .gz"]),
    ("model.pkl", b"\x80\x04.", {}, ["a pickle may run code", ".csv, .tsv, ", ".parquet"]),
    ("model.bin", b"\0", {}, ["no text"]),
    ("weights.pt", b"\0", {}, ["a pickle may run code"]),
    ("script.py", "print()", {}, ["runs no code from data"]),
    ("data.zip", b"PK", {}, ["unpack it first"]),
    ("book.xls", b"\xd0\xcf\x11\xe0", {}, ["save it as .xlsx"]),
    ("notes.doc", b"\xd0\xcf\x11\xe0 of an old office \0", {}, ["an old office document"]),
    ("sheet.csv", b"\xd0\xcf\x11\xe0 of an old office \0", {}, ["an old office document"]),
    ("kept.csv", b"\x80\x04\x95 of a frame", {}, ["a pickle may run code"]),
    ("table.csv", b"SQLite format 3\0 and more", {}, ["a database"]),
    ("letter.txt", "{\\rtf1\\ansi hello}", {}, ["a rich text document"]),
    ("feed.txt", "<?xml version='1.0'?><a>b</a>", {}, ["XML"]),
    ("weka.arff", "@RELATION x\n@DATA\n'a',b\n", {}, ["a Weka file"]),
    ("weka.txt", "@RELATION x\n@DATA\n'a',b\n", {}, ["a Weka file"]),
    ("dump.txt", "INSERT INTO t VALUES ('a', 'b');\n" * 3, {}, ["SQL"]),
    ("dump.csv", "insert into `t`(`a`, b)\nvalues ('a', 'b');\n", {}, ["SQL"]),
    ("made.txt", "CREATE TABLE IF NOT EXISTS t (\n  a varchar(20) NOT NULL,\n  b int\n);\n", {}, ["SQL"]),
    ("paper.txt", b"%PDF-1.7\n%\xe2\xe3\n", {}, ["a PDF"]),
    ("page.txt", "<html lang='en'>\n<head><title>a</title></head></html>", {}, ["a web page"]),
    ("train.svm", "+1 1:0.4\n", {}, ["as SVMlight has them"]),
    ("train.txt", "+1 1:0.43 3:0.12\n-1 2:0.2 # 7\n" * 3, {}, ["as SVMlight has them"]),
    ("train.dat", "2 qid:10 1:0.43 3:0.12\n1 qid:10 2:1e-3\n" * 3, {}, ["as SVMlight has them"]),
    ("train.conll", "EU NNP B-ORG\n", {}, ["as CoNLL has them"]),
    ("words.txt", "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nGerman JJ B-NP B-MISC\n", {}, ["as CoNLL has them"]),
    ("words.data", "EU\tB-ORG\nrejects\tO\n\nGerman\tB-MISC\n", {}, ["as CoNLL has them"]),
    ("lower.txt", "Acme B-group\nInc I-group\nsells O\nits O\ntea O\n", {}, ["as CoNLL has them"]),
    ("chunks.txt", "He B-NP\nreckons B-VP\nthe B-NP\ncurrent I-NP\naccount I-NP\n", {}, ["as CoNLL has them"]),
    ("train.vw", "1 |text a\n", {}, ["Vowpal"]),
    ("vowpal.txt", "1 |t good one\n-1 0.5 'x |t bad one\n" * 3, {}, ["Vowpal"]),
    ("trees.txt", "(3 (2 It) (4 (3 is) (4 good)))\n(2 so)\n" * 3, {}, ["a tree of sentiments"]),
    ("table.md", "| text | label |\n|---|:---|\n| a | b |\n", {}, ["save it as CSV"]),
    ("psql.txt", " text | label\n------+-------\n a | b\n", {}, ["save it as CSV"]),
    ("train.yaml", "- text: a\n", {}, ["YAML"]),
    ("train.spacy", "x", {}, ["spaCy's own format"]),
    ("notes.md", "# Notes\n\nof a day\n", {}, ["an unknown format", ".txt"]),
    ("renamed.csv", b"PK\3\4", {}, ["a zip archive or an office document"]),
    ("packed.csv", gzip.compress(GOOD.encode(), mtime=0), {}, ["does not end in .gz"]),
    ("pointer.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 3\n", {}, ["git lfs pull"]),
    ("page.csv", "\n<!DOCTYPE html>\n<html></html>", {}, ["a web page"]),
    ("utf16.txt", "one\ntwo\n".encode("utf-16"), {}, ["not utf-8 at byte 0", ".encoding=utf-16"]),
]


@pytest.mark.parametrize(("name", "content", "settings", "says"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_is_refused_by_name_place_and_fix(
    tmp_path: Path, name: str, content: str | bytes, settings: dict, says: list[str]
) -> None:
    message = failing(write(tmp_path / name, content), **settings)
    assert name in message
    assert [part for part in says if part not in message] == []


@pytest.mark.parametrize(
    ("content", "label", "labels"),
    [
        ("good one\tO\nbad one\tX\n", 1, {"O", "X"}),
        ("1 | good one\n2 | bad one, so\n", 0, {"1 ", "2 "}),
        ("a text\tB-52\nanother\tA-10\n", 1, {"B-52", "A-10"}),
        ("1:2 said so\t1\n3:4 did too\t2\n", 1, {"1", "2"}),
    ],
)
def test_what_only_resembles_a_form_that_is_not_read_is_read(
    tmp_path: Path, content: str, label: int, labels: set[str]
) -> None:
    path = write(tmp_path / "t.txt", content)
    assert set(read(path, text=1 - label, label=label, source={"header": False}).labels or ()) == labels


@pytest.mark.parametrize(
    "line",
    [
        "Bitte antworten Sie per E-Mail.",
        "Wir kamen mit der U-Bahn",
        "We came by U-BAHN",
        "My blood group is O",
        "(1 of 2)",
        "(3 (4) of them came)",
        "10 10:30 11:00",
        "1 |so he said",
        "Create table bookings for tonight",
        "Create table bookings (for tonight, at eight)",
        "Insert into the card slot",
        "Insert into slot (the upper one)",
        "@relation thank you for the data",
        "%PDF is what I was sent",
        "<html> tags are shown in my mail",
        "<!doctype html> is missing",
        "<?xml is what it says",
        "SQLite format 3 is not opened",
    ],
)
@pytest.mark.parametrize("name", ["t.txt", "t"])
def test_a_line_that_a_form_may_begin_with_is_a_text(tmp_path: Path, name: str, line: str) -> None:
    for content in (line, f"{line}\nand that is all\n"):
        assert read(write(tmp_path / name, content), needs_label=False).texts[0] == line
    path = write(tmp_path / "t.csv", f'"{line}",a\n"so it is",b\n')
    assert read(path, text=0, label=1, source={"header": False}).texts[0] == line


@pytest.mark.parametrize("line", ["(1 of 2)", "Sie antworten per E-Mail"])
def test_many_lines_that_only_resemble_a_form_are_texts(tmp_path: Path, line: str) -> None:
    assert len(read(write(tmp_path / "t.txt", f"{line}\n" * 9), needs_label=False).texts) == 9


def test_a_missing_path_a_bare_folder_and_a_forbidden_file_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "train.csv", GOOD)
    assert "no such file or folder; did you mean 'train.csv'?" in failing(tmp_path / "trian.csv")
    assert "a folder without class folders" in failing(tmp_path)
    monkeypatch.setattr(reading.os, "access", lambda *_: False)
    assert "no permission" in failing(path)


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "neither a file nor a folder" in failing(tmp_path / "pipe.csv")


def test_a_gzip_bomb_is_stopped_by_size_and_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = write(tmp_path / "bomb.csv.gz", gzip.compress(b"text,label\n" + b"x,a\n" * 100_000, mtime=0))
    assert len(read(bomb).texts) == 100_000  # a high ratio alone is no bomb
    monkeypatch.setattr(textfile, "MAX_UNPACKED", 100_000)
    assert "over 200 times as many" in failing(bomb)


def test_a_zip_with_a_path_that_climbs_is_not_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "up.zip", "w") as file:
        file.writestr("../train.csv", GOOD)
    assert "an archive" in failing(tmp_path / "up.zip")
    assert not (tmp_path.parent / "train.csv").exists()


def test_an_endless_line_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", b"text,label\n" + b"x" * 50_000_000 + b",a\n")
    tracemalloc.start()
    message = failing(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "line 2" in message
    assert peak < 45_000_000


def test_a_long_field_leaves_the_csv_limit_as_it_was(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    assert len(read(write(tmp_path / "t.csv", f"text,label\n{'x' * 500_000},a\n")).texts[0]) == 500_000
    assert csv.field_size_limit() == before


def test_an_unclosed_quote_is_an_error_even_when_bad_rows_are_skipped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'text,label\n"x, y",a\n"never,b\nz,c\n')
    assert "line 3: a quote opens" in failing(path, skip_bad_rows=True)


def test_the_hint_names_the_setting_that_the_recipe_has(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,label\ncafé,a\n".encode("latin-1"))
    data = DataSpec(test={"path": str(path)})
    with pytest.raises(DataError, match=r"type --set data\.test\.encoding=latin-1"):
        read_table(data.test, data)
    assert read(path, source={"encoding": "latin-1"}).texts == ("café",)


@pytest.mark.parametrize("name", ["title.csv", "curly.csv"])
def test_bad_rows_are_not_suggested_to_be_skipped_where_they_are_most(tmp_path: Path, name: str) -> None:
    content = next(content for known, content, *_ in BAD_FILES if known == name)
    assert "skip_bad_rows" not in failing(write(tmp_path / name, content))


def test_plain_text_is_cut_at_a_delimiter_that_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "t.txt", "first^a\nsecond^b\n")
    assert read(path, delimiter="^", text=0, label=1, source={"header": False}).labels == ("a", "b")


def test_marks_of_byte_order_above_files_that_were_put_together_are_no_text(tmp_path: Path) -> None:
    mark = "\ufeff".encode()
    table = read(write(tmp_path / "t.csv", 2 * mark + b"text,label\n" + mark + b"one,a\n" + mark + b"two,b\n"))
    assert table.texts == ("one", "two")


def test_utf_16_is_read_when_named(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", GOOD.encode("utf-16")), source={"encoding": "utf-16"}).labels == ("a", "b")
