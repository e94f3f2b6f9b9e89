"""Files as people have them are read to the letter, and what is left out is counted."""

import csv
import gzip
import json
import tracemalloc
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tables import GOOD, MOODS, failing, read, real, write

from rankwise.data.files.columns import Layout
from rankwise.data.files.table import stream, table_of
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec


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
        ("packed.csv.gz", gzip.compress(GOOD.encode(), mtime=0), "CSV, gzip, comma, header"),
        (
            "packed.jsonl.gz",
            gzip.compress(b'{"text":"first","label":"a"}\n{"text":"second","label":"b"}', mtime=0),
            "JSONL, gzip",
        ),
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


@pytest.mark.parametrize(("delimiter", "name"), [(";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
@pytest.mark.parametrize("quote", ['"', ""])
def test_a_delimiter_behind_a_long_text_is_found(tmp_path: Path, delimiter: str, name: str, quote: str) -> None:
    row = f"{quote}{'long, so long ' * 400}{quote}{delimiter}a\n"
    table = read(write(tmp_path / "long.csv", f"review{delimiter}sentiment\n" + 3 * row))
    assert (table.layout.format, len(table.texts), table.labels) == (f"CSV, {name}", 3, ("a", "a", "a"))


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
    guess = "guessed by what is in them; few values in column 0: '1', '2'"
    assert layout.describe() == f"test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2 ({guess})"


def test_a_first_row_that_may_be_a_header_can_be_told(tmp_path: Path) -> None:
    path = write(tmp_path / "moods.csv", MOODS)
    assert len(read(path, source={"header": False}).texts) == 7
    named = read(path, text="tweet", label="mood")
    assert (len(named.texts), set(named.labels or ())) == (6, {"joy", "fear"})


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


# -------------------------------------------------------------------------------------------------- what is counted


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
    path = write(tmp_path / "t.csv", 'text,label\n"x, x",a\ny,b,c\nz\n"q"x,a\n"w, w",d\n')
    table = read(path, skip_bad_rows=True)
    assert (table.texts, table.rows.tolist(), table.dropped) == (("x, x", "w, w"), [1, 5], {"bad row": 3})
    broken = write(tmp_path / "t.jsonl", '{"text":"x","label":"a"}\n{oops\n{"text":"y","label":"b"}')
    assert read(broken, skip_bad_rows=True).rows.tolist() == [1, 3]


# ------------------------------------------------------------------------------------------------------------ lists


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
        (["x", "y"], ["a", 1], r"labels\[1\] is a whole number \(1\) among others"),
        (["x", "y"], ["a", None], r"labels\[1\] is missing \(None\)"),
        (["x", "y"], [1, True], r"labels\[1\] is true or false \(True\) among others"),
        (["x"], ["a", "b"], "1 texts and 2 labels"),
        ("x", None, "found one string"),
        (["\ud83d"], None, r"texts\[0\]"),
    ],
)
def test_a_list_with_a_wrong_value_is_refused_by_position(texts: list, labels: list | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        table_of(texts, labels)


# -------------------------------------------------------------------------------------------------------- real data


def test_imdb_is_read_from_parquet() -> None:
    table = read(real("imdb/train.parquet"))
    assert (len(table.texts), set(table.labels or ())) == (5_000, {"negative", "positive"})
