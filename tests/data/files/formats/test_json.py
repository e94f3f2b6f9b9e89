"""JSON is read in the forms that people and tools write it in: lines, arrays, documents, columns, exports."""

import json
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import pytest
from tables import failing, read, write

from rankwise.data.files.table import stream
from rankwise.recipe import DataSpec, SourceSpec

TEXTS = ("first, so", 'with "quotes"', "line\nend é {[")
ROWS = [{"text": text, "label": label} for text, label in zip(TEXTS, "aba", strict=True)]
COLUMNS = {key: [row[key] for row in ROWS] for key in ("text", "label")}
INDEXED = {key: dict(zip("012", values, strict=True)) for key, values in COLUMNS.items()}

DOCUMENTS = {
    "one line": json.dumps(ROWS),
    "pretty": json.dumps(ROWS, indent=2),
    "tabs and windows": json.dumps(ROWS, indent="\t").replace("\n", "\r\n"),
    "one a line with commas": "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
    "pretty, one after the other": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    "one after the other on a line": "".join(map(json.dumps, ROWS)),
    "lines that end with commas": ",\n".join(map(json.dumps, ROWS)),
    "wrapped": json.dumps({"data": ROWS}),
    "wrapped with notes": json.dumps({"version": 1, "source": "x", "rows": ROWS}, indent=1),
    "wrapped twice": json.dumps({"result": {"rows": ROWS}}),
    "columns by row number": json.dumps(INDEXED),
    "rows by row number": json.dumps(dict(zip("012", ROWS, strict=True))),
    "rows by name": json.dumps({f"row_{number}": row for number, row in enumerate(ROWS)}),
    "columns": json.dumps(COLUMNS),
    "split": json.dumps({"columns": ["text", "label"], "index": [0, 1, 2], "data": [list(row.values()) for row in ROWS]}),
    "blank lines above": "\n\n  " + json.dumps(ROWS),
    "lines": "\n".join(map(json.dumps, ROWS)),
}


@pytest.mark.parametrize("suffix", [".json", ".jsonl"])
@pytest.mark.parametrize("content", DOCUMENTS.values(), ids=DOCUMENTS)
def test_every_form_gives_the_same_rows(tmp_path: Path, content: str, suffix: str) -> None:
    table = read(write(tmp_path / f"t{suffix}", content))
    assert (table.texts, table.labels) == (TEXTS, ("a", "b", "a"))


BAD = [
    ('[{"text": "x", "label": "a"},\n {"text": "y", "label" "b"}]', ["line 2", '''Expecting ':' delimiter at "\\"b\\"}]"''']),
    ('[{"text": "x", "label": "a"},\n {"text": "y"', ["line 2", "Expecting"]),
    ('[{"text": "x", "label": "a"}', ["line 1", "the array does not end"]),
    ('[{"text": "x", "label": "a"}, ["y", "b"]]', ["line 1", "found a list, expected an object"]),
    ('[["text", "label"], ["x", "a"]]', ["found a list"]),
    ('["x", "y"]', ["found a str"]),
    ("[]", ["0 rows"]),
    ("{}", ["0 rows"]),
    ('[{"text": "x", "text": "y"}]', ["line 1", "'text' stands twice"]),
    (
        '{"train": [{"text": "x"}], "test": [{"text": "y"}]}',
        ["train and test are lists of objects", """jq -c '."train"[]'"""],
    ),
    ('{"rows": [{"text": "x"}, 3]}', ["found a int in 'rows'"]),
    ('{"text": ["x", "y"], "label": ["a"]}', ["found 1 values in list 2, expected a list of 2"]),
    ('{"columns": ["text"], "data": [["x"], "y"]}', ["found a str in list 2"]),
    ('{"x": {"y": {"z": 1}}, "w": {"y": 2}}', ["objects in objects in 'x'"]),
    ('{\n "text": "x",\n "label": \n}', ["line 4", "Expecting value"]),
    ('{"a":' * 100_000, ["recursion"]),
    ("[" * 100_000, ["line 1", "recursion"]),
]


@pytest.mark.parametrize(("content", "says"), BAD, ids=[row[0][:40] for row in BAD])
def test_what_holds_no_rows_is_refused_in_words(tmp_path: Path, content: str, says: Sequence[str]) -> None:
    message = failing(write(tmp_path / "t.json", content))
    assert [part for part in says if part not in message] == []


def test_an_array_is_read_an_object_at_a_time(tmp_path: Path) -> None:
    row = json.dumps({"text": "word " * 400, "label": "a"})
    path = write(tmp_path / "t.json", "[" + ",".join([row] * 8_000) + "]")
    _, records = stream(SourceSpec(path=str(path)), DataSpec())
    tracemalloc.start()
    assert sum(1 for _ in records) == 8_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000 < path.stat().st_size


def test_an_object_longer_than_what_is_read_at_a_time_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", json.dumps([{"text": "é" * 500_000, "label": "a"}, {"text": "y", "label": "b"}]))
    assert [len(text) for text in read(path).texts] == [500_000, 1]


# ---------------------------------------------------------------------------------------------------- annotation tools


def task(*choices: str | Sequence[str], question: str = "s", **more: object) -> dict:
    """A task of a full Label Studio export, with an annotation for each of the choices."""
    annotations = [
        {"result": [{"value": {"choices": [one] if isinstance(one, str) else one}, "from_name": question, "type": "choices"}]}
        for one in choices
    ]
    return {"id": 1, "data": {"text": "x"}, "annotations": annotations} | more


def test_a_label_studio_export_gives_the_fields_of_its_tasks_and_what_was_chosen(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.json", json.dumps([task("a"), task("b", "b"), task("a", predictions=[{"result": []}])], indent=1)
    )
    table = read(path)
    assert (table.texts, table.labels) == (("x", "x", "x"), ("a", "b", "a"))
    assert "JSON array, Label Studio; label = label" in table.layout.describe()


def test_tasks_without_an_answer_have_no_label_and_cancelled_ones_do_not_count(tmp_path: Path) -> None:
    cancelled = task("b")
    cancelled["annotations"][0]["was_cancelled"] = True
    path = write(tmp_path / "t.json", json.dumps([task("a")] * 40 + [task(), cancelled]))
    assert read(path).dropped == {"missing label": 2}


def test_each_question_of_an_export_is_a_column(tmp_path: Path) -> None:
    both = task("a")
    both["annotations"][0]["result"] += task("urgent", question="priority")["annotations"][0]["result"]
    path = write(tmp_path / "t.json", json.dumps([both]))
    assert read(path, label="priority").labels == ("urgent",)
    assert read(path, label="s").labels == ("a",)


@pytest.mark.parametrize(
    ("row", "other"),
    [
        (task(["a", "b"]), task(["a"])),
        (task(["a", "b"], ["b"]), task("a")),
        ({"text": "x", "label": ["a", "b"]}, {"text": "x", "label": ["a"]}),
        ({"text": "x", "label": {"choices": ["a", "b"]}}, {"text": "x", "label": "a"}),
    ],
)
def test_several_labels_to_a_text_are_a_list_as_are_those_that_stand_alone(tmp_path: Path, row: dict, other: dict) -> None:
    assert read(write(tmp_path / "t.json", json.dumps([other, row]))).labels == ('["a"]', '["a", "b"]')


def test_annotators_who_say_unlike_things_of_a_text_with_one_label_are_refused(tmp_path: Path) -> None:
    message = failing(write(tmp_path / "t.json", json.dumps([task("a"), task("a", "b")])))
    assert "t.json: annotators gave one text the labels a and b, and no text has several from one of them" in message


def test_an_answer_without_a_choice_says_none_where_a_text_may_have_several(tmp_path: Path) -> None:
    path = write(tmp_path / "t.json", json.dumps([task(["a", "b"]), *[task("a")] * 30, task([]), task()]))
    table = read(path)
    assert (table.labels or ())[-2:] == ('["a"]', "[]")
    assert table.dropped == {"missing label": 1}


@pytest.mark.parametrize("label", [["a", ["b"]], ["a", {"x": 1}], ["a", 1]])
def test_a_list_of_what_is_no_label_is_refused(tmp_path: Path, label: list) -> None:
    message = failing(write(tmp_path / "t.json", json.dumps([{"text": "x", "label": label}])))
    assert "row 1 (line 1), column 'label': found " in message


def test_a_list_of_one_label_is_that_label_and_an_empty_one_is_none(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": ["a"]}] * 40 + [{"text": "x", "label": []}, {"text": "x", "label": {"choices": ["b"]}}]
    table = read(write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows))))
    assert (table.labels or ())[-1] == "b"
    assert table.dropped == {"missing label": 1}
