"""Files as tools and people leave them, by `rankwise data`: read and told, or one line with what to type, which works."""

from __future__ import annotations

import json
import re
import shlex

import pyarrow as pa
import pyarrow.feather
import pytest

TEXTS = [f"{word} order number {number}" for number, word in enumerate(["late", "kind"] * 10)]
ROWS = [{"text": text, "label": "praise" if number % 2 else "delivery"} for number, text in enumerate(TEXTS)]


def table(delimiter: str, *, header: bool = True, **changed: str) -> str:
    """The rows as delimited lines, some texts changed by number: `t3="…"`."""
    texts = [changed.get(f"t{number}", text) for number, text in enumerate(TEXTS)]
    lines = [f"{text}{delimiter}{row['label']}" for text, row in zip(texts, ROWS, strict=True)]
    return "\n".join([f"text{delimiter}label"] * header + lines) + "\n"


@pytest.fixture
def data(typed):
    """Type `rankwise data … --no-tokens` in an empty folder: (exit code, what it printed, what it printed as an error)."""
    return lambda *words: typed("data", *words, "--no-tokens")


READ = [
    ("t.tsv", table("\t", t3='"opens here', t9='closes there"'), "t.tsv: TSV, tab, quotes are characters, header;"),
    ("t.tsv", table("\t", t15='"never closes'), "t.tsv: TSV, tab, quotes are characters, header;"),
    ("t.tsv", table("\t", t4='"Great" he said'), "t.tsv: TSV, tab, quotes are characters, header;"),
    ("t.csv", table(",", t4='"a \\"so called\\", refund"'), "t.csv: CSV, comma, a backslash before quotes, header;"),
    ("t.csv", "sep=;\r\n" + table(";").replace("\n", "\r\n"), "t.csv: CSV, semicolon, header;"),
    ("t.csv", "# by hand\n" + table(",").replace("number", "\r"), "t.csv: CSV, comma, 1 comment line, header;"),
    ("t.txt", "".join(f"__label__{row['label']} {row['text']}\n" for row in ROWS), "t.txt: fastText;"),
    ("t.label", "".join(f"{row['label'][:4].upper()}:a {row['text']}\n" for row in ROWS), "t.label: TREC, coarse labels"),
    ("t.json", json.dumps(ROWS, indent=2), "t.json: JSON array;"),
    ("t.json", json.dumps({"rows": ROWS}), "t.json: JSON;"),
    ("t.jsonl", "\n".join(json.dumps(row | {"label": [row["label"]]}) for row in ROWS), "t.jsonl: JSONL;"),
    ("t", table("|"), "t: CSV, pipe, header;"),
]


@pytest.mark.parametrize(("name", "content", "says"), READ)
def test_a_file_is_read_whole_and_how_is_told_first(data, tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content.encode())
    code, out, err = data(name)
    assert (code, err) == (0, "")
    assert out.startswith(says)
    assert "rows  20 train" in out


def test_what_a_library_saves_is_read_too(data, tmp_path):
    pyarrow.feather.write_feather(pa.Table.from_pylist(ROWS), str(tmp_path / "t.feather"))
    assert data("t.feather")[1].startswith("t.feather: Arrow; label = label, text = text\nrows  20 train")


SPANS = 'label,text\n1,"hello\nagain, friend"\n2,no\n1,so\n2,not\n'
TWICE = "".join(f"a {number}, b {number};{number % 2}\n" for number in range(20))
FLAGS = "text,toxic,rude\n" + "".join(f"text {number},{number % 2},{number // 2 % 2}\n" for number in range(20))
BY_POSITION = ("--set", "data.text=0", "--set", "data.label=1")
REFUSED = [
    ("t.csv", SPANS, "lines 2 to 3: one row with a text in quotes, or rows with quotes as characters?", ()),
    ("t.csv", TWICE, "comma and semicolon cut all lines evenly", BY_POSITION),
    ("t.csv", table(",", t3="one, two"), "line 5: 3 fields, expected 2", ()),
    ("t.csv", table(",", t3="caf\xe9").encode("latin-1"), "not utf-8 at byte", ()),
    ("t.txt", table("\t").encode("utf-16"), "not utf-8 at byte 0", ()),
    ("t.csv", FLAGS, "columns toxic, rude hold only 0 and 1", ()),
]


@pytest.mark.parametrize(("name", "content", "says", "more"), REFUSED, ids=[row[2][:30] for row in REFUSED])
def test_a_refusal_is_one_line_and_what_it_says_to_type_works(data, tmp_path, name, content, says, more):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    code, out, err = data(name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {name}")
    assert says in err
    for advice in re.split(r" or (?=--set)", err[err.index("--set") :].strip()):
        assert data(name, *shlex.split(advice), *more)[0] == 0, advice


def test_pairs_of_folders_in_latin_1_are_read_with_what_the_errors_say(data, tmp_path):
    for place in ("news-train/talk.login/1", "news-train/talk.praise/2", "news-test/talk.login/3", "news-test/talk.praise/4"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(f"caf\xe9 {place}".encode("latin-1"))
    typed: list[str] = []
    for role in ("train", "test"):
        code, _, err = data(".", *typed)
        assert code == 2
        assert f"--set data.{role}.encoding=latin-1" in err
        typed += shlex.split(err[err.index("--set") :])
    code, out, _ = data(".", *typed)
    assert code == 0
    assert "rows  2 train, 2 test" in out
