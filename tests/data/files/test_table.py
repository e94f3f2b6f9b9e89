"""Files as people have them: read to the letter, or refused with file, row, column and fix."""

import csv
import gzip
import json
import os
import tracemalloc
import zipfile
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rankwise.data.files import reading
from rankwise.data.files import text as textfile
from rankwise.data.files.table import Layout, Table, read_table, stream, table_of
from rankwise.data.sources import Sources, sources_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec

REAL = Path(os.environ.get("RANKWISE_TEST_DATA", Path(__file__).parents[4] / "shared" / "data"))
GOOD = "text,label\nfirst,a\nsecond,b\n"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path: Path | str, *, needs_label: bool = True, source: dict | None = None, **data: object) -> Table:
    return read_table(SourceSpec(path=str(path), **(source or {})), DataSpec(**data), needs_label=needs_label)


def failing(path: Path | str, **settings: object) -> str:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return str(caught.value)


def real(name: str) -> Path:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"{path} is not here; set RANKWISE_TEST_DATA to a folder that holds {name}")
    return path


# ------------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("comma.csv", GOOD, "CSV, comma, header"),
        ("bom.csv", b"\xef\xbb\xbf" + GOOD.encode(), "CSV, comma, header"),
        ("crlf.csv", GOOD.replace("\n", "\r\n"), "CSV, comma, header"),
        ("semicolon.csv", GOOD.replace(",", ";"), "CSV, semicolon, header"),
        ("tab.csv", GOOD.replace(",", "\t"), "CSV, tab, header"),
        ("pipe.csv", GOOD.replace(",", "|"), "CSV, pipe, header"),
        ("tab.tsv", GOOD.replace(",", "\t"), "TSV, tab, header"),
        ("packed.csv.gz", gzip.compress(GOOD.encode()), "CSV, gzip, comma, header"),
        ("packed.jsonl.gz", gzip.compress(b'{"text":"first","label":"a"}\n{"text":"second","label":"b"}', mtime=0), "JSONL, gzip"),
        ("no_last_line_end.csv", GOOD.strip(), "CSV, comma, header"),
        ("blank_lines.csv", GOOD.replace("\n", "\n\n"), "CSV, comma, header"),
        ("UPPER.CSV", GOOD.replace("text,label", "Text,LABEL"), "CSV, comma, header"),
    ],
)
def test_a_dialect_is_found_out_and_stated(tmp_path: Path, name: str, content: str | bytes, says: str) -> None:
    table = read(write(tmp_path / name, content))
    assert table.texts == ("first", "second")
    assert table.labels == ("a", "b")
    assert says in table.layout.describe()


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_delimiter_behind_a_long_text_is_found(tmp_path: Path, delimiter: str, quote: str) -> None:
    row = f"{quote}{'long, so long ' * 400}{quote}{delimiter}a\n"
    table = read(write(tmp_path / "long.csv", f"review{delimiter}sentiment\n" + 3 * row))
    assert (table.layout.delimiter, len(table.texts), table.labels) == (delimiter, 3, ("a", "a", "a"))


def test_quoted_delimiters_quotes_and_line_ends_stay_inside_one_row(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", 'text,label\n"one, ""two""\nthree",a\r\nfour,b\n'))
    assert table.texts == ('one, "two"\nthree', "four")
    assert table.rows.tolist() == [1, 2]


def test_the_words_na_null_and_none_stay_text(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", "text,label\nNA,a\nnull,None\nNone,NA\nnan,b\n"))
    assert table.texts == ("NA", "null", "None", "nan")
    assert table.labels == ("a", "None", "NA", "b")


def test_title_and_description_are_joined_and_an_empty_one_is_left_out(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", "title,description,label\nT,D,a\nT,,b\n , D ,c\n"), join=" | ")
    assert table.texts == ("T | D", "T", " D ")
    assert table.layout.text == ("title", "description")


@pytest.mark.parametrize(
    ("columns", "text", "label"),
    [
        ("text,label,noisy_label", ("text",), "label"),
        ("id,Sentence,Category", ("Sentence",), "Category"),
        ("title,text,label", ("title", "text"), "label"),
        ("headline,summary,class", ("headline", "summary"), "class"),
        ("review,sentiment", ("review",), "sentiment"),
        ("title,label", ("title",), "label"),
    ],
)
def test_columns_are_found_by_name(tmp_path: Path, columns: str, text: tuple[str, ...], label: str) -> None:
    row = ",".join(f"x{place}" for place in range(columns.count(",") + 1))
    layout = read(write(tmp_path / "t.csv", f"{columns}\n{row}\n")).layout
    assert (layout.text, layout.label) == (text, label)


def test_named_columns_go_before_known_ones(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "text,label,tweet,mood\nx,1,hello,sad\n")
    table = read(path, text="tweet", label="mood")
    assert (table.texts, table.labels) == (("hello",), ("sad",))
    assert read(path, source={"text": ("text",), "label": "label"}, text="tweet", label="mood").labels == ("1",)


def test_positions_are_whole_numbers_or_strings_of_digits(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "3,One,Two\n4,Other,More\n")
    assert read(path, text=[1, 2], label=0).texts == ("One . Two", "Other . More")
    assert read(path, text="2", label="0").labels == ("3", "4")


def test_a_headerless_file_shows_its_label_by_repetition(tmp_path: Path) -> None:
    rows = "".join(f"{place % 2 + 1},Title {place},Text {place}\n" for place in range(20))
    layout = read(write(tmp_path / "test.csv", rows)).layout
    assert layout.describe() == "test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2"


def test_a_first_row_that_may_be_a_header_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "moods.csv", MOODS)
    assert len(read(path, source={"header": False}).texts) == 7
    told = read(path, text="tweet", label="mood")
    assert (len(told.texts), set(told.labels or ())) == (6, {"joy", "fear"})


def test_a_header_can_be_denied(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "text,label\nfirst,a\n")
    assert read(path, source={"header": False, "text": 0, "label": 1}).texts == ("text", "first")


def test_whole_numbers_become_strings_without_a_point_and_booleans_words(tmp_path: Path) -> None:
    lines = [{"text": "a", "label": 3}, {"text": "b", "label": 3.0}, {"text": "c", "label": -1}]
    assert read(write(tmp_path / "n.jsonl", "\n".join(map(json.dumps, lines)))).labels == ("3", "3", "-1")
    lines = [{"text": "a", "label": True}, {"text": "b", "label": False}]
    assert read(write(tmp_path / "b.jsonl", "\n".join(map(json.dumps, lines)))).labels == ("true", "false")


def test_labels_are_kept_to_the_letter(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", "text,label\nx,Sports\ny, sports \n")).labels == ("Sports", " sports ")


def test_missing_json_values_and_parquet_nulls_are_no_text(tmp_path: Path) -> None:
    jsonl = write(tmp_path / "t.jsonl", '{"text":null,"label":"a"}\n{"label":"a"}\n{"text":"x","label":"b"}')
    parquet = tmp_path / "t.parquet"
    pq.write_table(pa.table({"text": [None, None, "x"], "label": ["a", "a", "b"]}), parquet)
    for path in (jsonl, parquet):
        table = read(path)
        assert (table.texts, table.rows.tolist(), table.dropped) == (("x",), [3], {"empty text": 2})


def test_parquet_categories_and_numbers_are_labels(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    label = pa.array(["no", "yes", "no"]).dictionary_encode()
    pq.write_table(pa.table({"text": ["x", "y", "z"], "label": label}), path)
    assert read(path).labels == ("no", "yes", "no")


def test_a_folder_of_class_folders_is_read_in_order_without_unsup(tmp_path: Path) -> None:
    for name in ("pos/0_9.txt", "neg/0_1.txt", "unsup/0_0.txt"):
        write(tmp_path / "train" / name, f"text of {name}\nsecond line")
    write(tmp_path / "train" / "urls_pos.txt", "http://x")
    table = read(tmp_path / "train")
    assert table.labels == ("neg", "pos")
    assert table.texts[0] == "text of neg/0_1.txt\nsecond line"


def test_streaming_keeps_empty_rows_and_every_cell(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "id,text,other\n7,first,x\n8,,y\n")
    layout, records = stream(SourceSpec(path=str(path)), DataSpec())
    kept = list(records)
    assert layout.label is None
    assert [(record.number, record.text, record.label) for record in kept] == [(1, "first", None), (2, "", None)]
    assert kept[1].columns == {"id": "8", "text": "", "other": "y"}


def test_a_table_without_labels_can_be_read_for_prediction(tmp_path: Path) -> None:
    table = read(write(tmp_path / "t.csv", "id,text\n7,first\n"), needs_label=False, label="label")
    assert (table.texts, table.labels) == (("first",), None)


def test_streaming_holds_a_row_at_a_time(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", "text,label\n" + f"{'word ' * 200},a\n" * 20_000)
    _, records = stream(SourceSpec(path=str(path)), DataSpec())
    tracemalloc.start()
    assert sum(1 for _ in islice(records, 5_000)) == 5_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 < path.stat().st_size


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1))
@example(texts=['"', 'a""b', "line\nline\r\nline\rend", " padded ", ",;\t|", "{}", "\\n", "'"])
@example(texts=["👩‍👩‍👧‍👦 🏳️‍🌈", "שלום עולם", "e\u0301 ñ", "\u2028\u2029\x85", "\ufeffmark", "\U0001f600" * 50])
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives_being_written_and_read(tmp_path: Path, suffix: str, texts: list[str]) -> None:
    path = tmp_path / f"t.{suffix}"
    rows = [{"text": text, "label": "x"} for text in texts]
    if suffix == "csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["text", "label"], quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8", newline="")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    _, records = stream(SourceSpec(path=str(path)), DataSpec())
    assert [record.text for record in records] == texts


# ------------------------------------------------------------------------------------------------ what is counted


def test_rows_without_text_are_counted_and_dropped_or_fail(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'text,label\nx,a\n,a\n"  ",b\ny,b\n')
    table = read(path)
    assert (table.texts, table.rows.tolist(), table.dropped) == (("x", "y"), [1, 4], {"empty text": 2})
    assert "2 of 4 rows have no text in text (rows 2, 3)" in failing(path, empty_text="fail")


def test_a_few_missing_labels_are_counted_and_many_are_an_error(tmp_path: Path) -> None:
    few = write(tmp_path / "few.csv", "text,label\n" + "x,a\n" * 99 + "x,\n")
    assert read(few).dropped == {"missing label": 1}
    many = write(tmp_path / "many.csv", "text,label\n" + "x,a\n" * 9 + "x,\n")
    assert "1 of 10 rows have no label in column 'label' (row 10)" in failing(many)


def test_bad_rows_are_counted_when_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", 'text,label\nx,a\ny,b,c\nz\n"q"x,a\nw,d\n')
    table = read(path, skip_bad_rows=True)
    assert (table.texts, table.rows.tolist(), table.dropped) == (("x", "w"), [1, 5], {"bad row": 3})
    broken = write(tmp_path / "t.jsonl", '{"text":"x","label":"a"}\n{oops\n{"text":"y","label":"b"}')
    assert read(broken, skip_bad_rows=True).rows.tolist() == [1, 3]


# ------------------------------------------------------------------------------------------------ what is refused

JSON_LINE = '{"text": "x", "label": "a"}\n'
MOODS = "tweet,mood\n" + "".join(f"{text},{'joy' if text < 'd' else 'fear'}\n" for text in "abcdef")
BAD_FILES = [
    ("empty.csv", "", {}, ["0 rows"]),
    ("header_only.csv", "text,label\n", {}, ["0 rows"]),
    ("empty.jsonl", "", {}, ["0 rows"]),
    ("no_text_left.csv", "text,label\n,a\n", {}, ["0 rows left", "empty text: 1"]),
    ("absent.csv", GOOD, {"text": "txt"}, ["no column 'txt' among text, label", "did you mean 'text'?"]),
    ("absent_label.csv", GOOD, {"label": "lable"}, ["no column 'lable'", "did you mean 'label'?"]),
    ("unknown_text.csv", "tweet,label\nx,a\n", {}, ["no text column", "tweet, label", ".text=NAME"]),
    ("unknown_label.csv", "text,mood\nx,a\n", {}, ["no label column", "text, mood", ".label=NAME"]),
    ("beyond.csv", GOOD, {"label": 5}, ["no column 5", "0 to 1"]),
    ("below.csv", GOOD, {"label": -1}, ["no column -1"]),
    ("twice.csv", "text,label,text\nx,a,y\n", {}, ["two columns are called 'text'"]),
    ("twice.jsonl", '{"text": "x", "text": "y"}\n', {}, ["line 1", "'text' stands twice"]),
    ("same.csv", GOOD, {"text": "text", "label": "text"}, ["'text' is asked for twice"]),
    ("unclear.csv", "one,two\nthree,four\n", {}, ["no header", ".text=1", ".label=0"]),
    ("header.csv", MOODS, {}, ["(tweet, mood)", "no other row", "data.label=mood", ".header=false"]),
    ("tie.csv", "a,x,one\nb,y,two\na,x,three\nb,y,four\n", {}, ["unclear"]),
    ("mixed.jsonl", JSON_LINE + '{"text": "x", "label": 1}\n', {}, ["row 2 (line 2)", "'label'", "number", "text"]),
    ("bools.jsonl", '{"text":"x","label":1.0}\n{"text":"x","label":true}\n', {}, ["row 2", "true or false"]),
    ("twins.csv", "text,label\nx,1\ny,1.0\n", {}, ["'1' and '1.0'", "same number"]),
    ("utf16.csv", GOOD.encode("utf-16"), {}, ["not utf-8 at byte 0", ".encoding=utf-16"]),
    ("utf16le.csv", GOOD.encode("utf-16-le"), {}, ["not utf-8 at byte 1", ".encoding=utf-16-le"]),
    ("latin.csv", "text,label\ncafé,a\n".encode("latin-1"), {}, ["not utf-8 at byte 14", ".encoding=latin-1"]),
    ("latin.jsonl", JSON_LINE.encode() + b"\xff", {}, ["at byte 28"]),
    ("encoding.csv", GOOD, {"source": {"encoding": "klingon"}}, ["no encoding is called 'klingon'"]),
    ("nul.csv", "text,label\nx,a\ny\0,b\n", {}, ["row 2 (line 3)", "NUL"]),
    ("nul.jsonl", JSON_LINE + '{"text": "\\u0000", "label": "a"}', {}, ["row 2 (line 2)", "NUL"]),
    ("half.jsonl", JSON_LINE + '{"text": "\\ud83d", "label": "a"}', {}, ["row 2 (line 2)", "lone surrogate"]),
    ("open.csv", 'text,label\nx,a\n"never,b\nz,c\n', {}, ["line 3", "quote opens", "never closes"]),
    ("open_mid.csv", 'text,label\n"never,b\nz,"c"\n', {}, ["line 2", "quote opens", "line 3"]),
    ("wide.csv", "text,label\nx,a\ny,b,c\n", {}, ["line 3", "3 fields, expected 2", "skip_bad_rows=true"]),
    ("narrow.csv", "text,label\nx,a\ny\n", {}, ["line 3", "1 field, expected 2"]),
    ("long.csv", "text,label\n" + "x" * 10_000_001 + ",a\n", {}, ["line 2", "10,000,000 characters"]),
    ("long.jsonl", JSON_LINE + "x" * 10_000_001, {}, ["line 2", "10,000,000 characters"]),
    ("broken.jsonl", JSON_LINE + '{"text": "x", \n', {}, ["line 2", "one JSON object a line"]),
    ("list.jsonl", JSON_LINE + '["x", "a"]\n', {}, ["line 2", "found a list"]),
    ("nested.jsonl", JSON_LINE + '{"text": {"en": "x"}, "label": "a"}', {}, ["line 2", "column 'text'", "found a dict"]),
    ("listed.jsonl", JSON_LINE + '{"text": "x", "label": ["a"]}', {}, ["line 2", "column 'label'", "found a list"]),
    ("deep.jsonl", "[" * 100_000, {}, ["line 1"]),
    ("array.json", '[{"text": "x", "label": "a"}]', {}, ["line 1", "found a list"]),
    ("not.parquet", "PAR1 not really", {}, ["not a Parquet file"]),
    ("not.csv.gz", GOOD, {}, ["damaged .gz"]),
    ("cut.csv.gz", gzip.compress(GOOD.encode() * 100)[:-20], {}, ["damaged .gz"]),
    ("model.pkl", b"\x80\x04.", {}, ["a pickle may run code", ".csv, .tsv, .jsonl"]),
    ("model.bin", b"\0", {}, ["no text"]),
    ("weights.pt", b"\0", {}, ["a pickle may run code"]),
    ("script.py", "print()", {}, ["runs no code from data"]),
    ("data.zip", b"PK", {}, ["unpack it first"]),
    ("book.xlsx", b"PK", {}, ["save the sheet as CSV"]),
    ("notes.docx", b"PK", {}, ["an unknown format"]),
]


@pytest.mark.parametrize(("name", "content", "settings", "says"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_bad_file_is_refused_by_name_place_and_fix(
    tmp_path: Path, name: str, content: str | bytes, settings: dict, says: list[str]
) -> None:
    message = failing(write(tmp_path / name, content), **settings)
    assert name in message
    assert [part for part in says if part not in message] == []


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
    path = write(tmp_path / "t.csv", 'text,label\n"never,b\nz,c\n')
    assert "line 2: a quote opens" in failing(path, skip_bad_rows=True)


def test_the_hint_names_the_setting_that_the_recipe_has(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", "text,label\ncafé,a\n".encode("latin-1"))
    data = DataSpec(test={"path": str(path)})
    with pytest.raises(DataError, match=r"type --set data\.test\.encoding=latin-1"):
        read_table(data.test, data)
    assert read(path, source={"encoding": "latin-1"}).texts == ("café",)


def test_utf_16_is_read_when_named(tmp_path: Path) -> None:
    assert read(write(tmp_path / "t.csv", GOOD.encode("utf-16")), source={"encoding": "utf-16"}).labels == ("a", "b")


# ---------------------------------------------------------------------------------------------------------- lists


def test_lists_become_a_table() -> None:
    table = table_of(["x", "", "y"], [1, 2, 2])
    assert (table.texts, table.labels, table.rows.tolist()) == (("x", "y"), ("1", "2"), [1, 3])
    assert isinstance(table.layout, Layout)
    assert table_of(["x"], None).labels is None


def test_columns_of_a_shuffled_frame_keep_their_rows_together() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"text": ["x", "y", "z"], "label": ["a", "b", "c"]}).iloc[[2, 0]]
    table = table_of(frame.text, frame.label)
    assert (table.texts, table.labels) == (("z", "x"), ("c", "a"))


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["x", None], None, r"texts\[1\] is a NoneType"),
        (["x", 3], ["a", "b"], r"texts\[1\] is a int \(3\)"),
        (["x", "y"], ["a", 1], r"labels\[1\] is a integer"),
        (["x", "y"], ["a", None], r"labels\[1\] is a NoneType"),
        (["x", "y"], [1, True], r"labels\[1\] is a bool"),
        (["x"], ["a", "b"], "1 texts and 2 labels"),
        ("x", None, "found one string"),
        (["\ud83d"], None, r"texts\[0\]"),
    ],
)
def test_a_list_with_a_wrong_value_is_refused_by_position(texts: list, labels: list | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        table_of(texts, labels)


# --------------------------------------------------------------------------------------------------------- splits


def splits(tmp_path: Path, *names: str, **data: object) -> Sources:
    for name in names:
        write(tmp_path / name, GOOD)
    return sources_of(DataSpec(source=str(tmp_path), **data))


def test_a_file_that_is_named_needs_nothing_of_the_folder(tmp_path: Path) -> None:
    elsewhere = write(tmp_path / "elsewhere.csv", GOOD)
    folder = tmp_path / "folder"
    folder.mkdir()
    assert splits(folder, "notes.md", train=str(elsewhere)).train.path == str(elsewhere)
    assert splits(folder, "train.csv", "train.jsonl", train=str(folder / "train.csv")).train.path.endswith("train.csv")


def test_a_folder_gives_its_splits_and_class_names(tmp_path: Path) -> None:
    write(tmp_path / "classes.txt", "World\nSports\n\n")
    found = splits(tmp_path, "train.csv", "dev.jsonl", "test.csv.gz", "notes.md")
    assert [Path(source.path).name for source in (found.train, found.validation, found.test)] == [
        "train.csv",
        "dev.jsonl",
        "test.csv.gz",
    ]
    assert found.classes == ("World", "Sports")
    assert splits(tmp_path, classes=("a", "b")).classes == ("a", "b")


def test_a_folder_in_imdbs_layout_gives_train_and_test(tmp_path: Path) -> None:
    found = splits(tmp_path, "train/pos/0.txt", "train/neg/0.txt", "test/pos/0.txt", "test/neg/0.txt", "train/urls.txt")
    assert read_table(found.train, DataSpec()).labels == ("neg", "pos")
    assert found.test is not None
    assert found.test.path.endswith("test")


def test_class_folders_and_a_single_file_are_training_rows(tmp_path: Path) -> None:
    assert splits(tmp_path / "folders", "pos/0.txt", "neg/0.txt") == Sources(
        SourceSpec(path=str(tmp_path / "folders")), None, None, ()
    )
    file = str(write(tmp_path / "all.csv", GOOD))
    assert sources_of(DataSpec(source=file)).train == SourceSpec(path=file)


def test_a_split_given_by_name_goes_before_the_folder(tmp_path: Path) -> None:
    other = str(write(tmp_path / "elsewhere" / "x.csv", GOOD))
    found = splits(tmp_path / "data", "train.csv", "test.csv", test=other)
    assert found.test == SourceSpec(path=other)


def test_the_sample_comes_with_the_package() -> None:
    found = sources_of(DataSpec(source="sample"))
    assert found.test is not None
    assert read_table(found.test, DataSpec()).layout.text == ("title", "description")


@pytest.mark.parametrize(
    ("names", "settings", "says"),
    [
        ((), {}, "found nothing"),
        (("data.csv", "notes.md"), {}, r"found data.csv, notes.md; name the file: --set data.train=FILE"),
        (("train.csv", "train.jsonl"), {}, "train.csv and train.jsonl both look like the train split"),
        (("test.csv",), {}, r"has test rows but no training rows; add train\.csv, or type --set data\.train=FILE"),
        (("train.csv", "test.csv"), {"test": "{}/train.csv"}, "train and test are the same file"),
        (("train.csv",), {"test": "{}/./train.csv"}, "train and test are the same file"),
        (("train.csv",), {"test": "{}/gone.csv"}, "no such file or folder"),
    ],
)
def test_splits_that_do_not_make_sense_are_refused(
    tmp_path: Path, names: tuple[str, ...], settings: dict[str, str], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        splits(tmp_path, *names, **{key: value.format(tmp_path) for key, value in settings.items()})


def test_a_link_to_the_training_file_is_no_test_file(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", GOOD)
    (tmp_path / "test.csv").symlink_to(tmp_path / "train.csv")
    with pytest.raises(DataError, match="the same file"):
        splits(tmp_path)


def test_nothing_given_says_what_to_type() -> None:
    with pytest.raises(DataError, match=r"--set data\.source=sample"):
        sources_of(DataSpec())


@pytest.mark.filterwarnings("ignore")
def test_a_local_folder_is_read_as_a_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="the hub extra is not installed")
    import datasets

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["World", "Sports"])})
    for split in ("train", "test"):
        rows = {"text": ["x", "y", "z"], "label": [1, 0, -1]}
        datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "set" / f"{split}.parquet")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = sources_of(DataSpec(source=f"hub:{tmp_path / 'set'}"))
    assert found.classes == ("World", "Sports")
    assert found.train.path.endswith(":train")
    layout, records = stream(found.train, DataSpec())
    assert [(record.text, record.label) for record in records] == [("x", "Sports"), ("y", "World"), ("z", None)]
    assert layout.describe().endswith("hub data set; label = label, text = text")
    with pytest.raises(DataError, match="expected hub:NAME"):
        read(f"hub:{tmp_path / 'set'}:nowhere")


# ------------------------------------------------------------------------------------------------------ real data


def test_ag_news_is_read_as_its_readme_says() -> None:
    folder = real("ag_news")
    found = sources_of(DataSpec(source=str(folder)))
    assert found.classes == ("World", "Sports", "Business", "Sci/Tech")
    assert found.test is not None
    train, test = read_table(found.train, DataSpec()), read_table(found.test, DataSpec())
    assert (len(train.texts), len(test.texts)) == (10_000, 7_600)
    assert set(train.labels or ()) == set(found.classes)
    assert test.layout.describe() == "test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2"


def test_imdb_is_read_from_parquet() -> None:
    table = read(real("imdb/train.parquet"))
    assert (len(table.texts), set(table.labels or ())) == (5_000, {"negative", "positive"})
