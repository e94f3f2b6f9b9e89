"""Bad inputs and what is said of them: the table of all rows, each with its input, command, exit code and first line.

An error is one line that begins as its row says; what is counted or warned of is a line of the report.
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import save_tiny
from rankwise.data.files import reading

Content = str | bytes | Callable[[Path], object]  # or what makes the file
TEXTS = [f"{word} order number {number}" for number, word in enumerate(["late", "kind"] * 10)]
LABELS = ["delivery", "praise"] * 10
DATA = "data t.csv --no-tokens"
PLAN = "plan auto --data t.csv"
TRAIN = "train quickstart --data t.csv --out r --set base=BASE --set data.max_length=24 --set evaluate.resamples=20"
EVALUATE = "evaluate RUN t.csv"
LATER = "text,label\nlate,fruit\nlate melon,metal\n"
WORLD = "👩‍👩‍👧 שלום e\u0301 مرحبا 🇫🇷"


def table(texts: Mapping[int, str] = {}, labels: Mapping[int, str] = {}, *, more: str = "", between: str = ",") -> str:
    """Twenty rows of CSV in two classes, some texts and labels changed by their index from 0, and lines after them."""
    rows = [f"{texts.get(row, TEXTS[row])}{between}{labels.get(row, LABELS[row])}\n" for row in range(20)]
    return f"text{between}label\n{''.join(rows)}{more}"


def lines(*rows: object) -> str:
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


GOOD = table()
JSONL = lines(*({"text": text, "label": label} for text, label in zip(TEXTS, LABELS, strict=True)))


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    number: int
    files: Mapping[str, Content]
    command: str
    code: int
    says: str
    """The first line of the error, or a line of what is printed; a regular expression."""


def error(
    number: int, content: Content | None, says: str, command: str = DATA, *, name: str = "t.csv", **files: Content
) -> Row:
    here = {} if content is None else {name: content}
    return Row(number, {**here, **files}, command.replace("t.csv", name), 2, f"error: {says}")


def told(number: int, content: Content, says: str, command: str = DATA, *, name: str = "t.csv", **files: Content) -> Row:
    return Row(number, {name: content, **files}, command.replace("t.csv", name), 0, says)


def folder(path: Path) -> None:
    path.mkdir()


ENDS = ("pad_token", "eos_token", "sep_token")


def without_padding(path: Path) -> None:
    save_tiny("bert", path)
    settings = json.loads((path / "tokenizer_config.json").read_text())
    (path / "tokenizer_config.json").write_text(json.dumps({key: settings[key] for key in settings if key not in ENDS}))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../train.csv", GOOD)


def config(**values: object) -> str:
    return json.dumps(values)


TABLE = [
    error(1, None, r"t\.csv: no such file or folder"),
    error(1, folder, r"t\.csv: expected train\.csv .*, found nothing; none is a file of data; give one"),
    error(2, "", r"t\.csv: 0 rows; expected a row for each text"),
    error(2, "text,label\n", r"t\.csv: 0 rows; expected a row for each text"),
    error(3, GOOD, r"t\.csv: no column 'txet' among text, label; did you mean 'text'\?", f"{DATA} --text-column txet"),
    error(4, "text,label,text\nx,a,y\n", r"t\.csv: two columns are called 'text'; rename one"),
    error(5, GOOD, r"t\.csv: column 'text' is asked for twice", f"{DATA} --text-column text --label-column text"),
    told(6, table({0: "", 4: "  "}), r"rows  18 train; dropped: 2 train \(empty text\)"),
    error(6, table({0: ""}), r"t\.csv: 1 of 20 rows have no text in text \(row 1\)", f"{DATA} --set data.empty_text=fail"),
    told(
        7,
        JSONL + lines({"text": None, "label": "praise"}, {"label": "praise"}, '{"text": NaN, "label": "praise"}'),
        r"rows  20 train; dropped: 3 train \(empty text\)",
        name="t.jsonl",
    ),
    told(8, table(labels={0: ""}), r"rows  19 train; dropped: 1 train \(missing label\)"),
    error(
        8,
        table(labels={0: "", 1: " "}),
        r"t\.csv: 2 of 20 rows have no label in column 'label' \(rows 1, 2\); expected at most 5%",
    ),
    told(9, table({0: "NA", 1: "null", 2: "None"}), r"rows  20 train$"),
    told(10, table(labels={n: str([-2, 1, 4][n % 3]) for n in range(20)}), r"^-2 +7 .*\n1 +7 .*\n4 +6 "),
    error(
        11,
        lines({"text": "x", "label": 1.0}, {"text": "y", "label": "1"}, {"text": "z", "label": True}),
        r"t\.jsonl, row 2 \(line 2\), column 'label': found text \('1'\) after a number; write the column in one type",
        name="t.jsonl",
    ),
    told(
        12,
        table(labels={0: " Delivery "}),
        r"note: labels 'delivery', ' Delivery ' differ only in case or space; write them in one way",
    ),
    error(
        13,
        LATER + "late,zinc\n",
        r"t\.csv: row 3: label 'zinc' is not among the classes \(fruit, metal, river\).*data\.unseen_labels=wrong",
        EVALUATE,
    ),
    told(
        13,
        LATER + "late,zinc\n",
        r"^ *3 rows +score(.*\n)+^ *3 +late +\(unknown class\) +(fruit|metal|river) ",
        f"{EVALUATE} --set data.unseen_labels=wrong",
    ),
    told(14, LATER, r"river +0 +(\S.* )?n/a +(\S.* )?n/a", EVALUATE),
    told(15, table(labels={0: "rare"}), r"note: one row only of 'rare'; such a class cannot be split: add rows or remove it"),
    error(
        15,
        table(labels={0: "rare"}),
        r"t\.csv: can't set 3 of 20 rows aside for test: .*'rare' has 1 different text; add rows, or give a test file",
        TRAIN,
    ),
    error(
        16,
        table(labels=dict.fromkeys(range(20), "praise")),
        r"t\.csv, column 'label': every row is 'praise'; expected two",
        PLAN,
    ),
    error(
        17,
        table(labels={n: f"id{n}" for n in range(20)}),
        r"t\.csv, column 'label': 20 different labels in 20 rows.*looks like an id",
        PLAN,
    ),
    told(
        18,
        table(more="".join(f"great order {n},praise\n" for n in range(990))),
        r"note: the largest class has 100 times the rows .* always answering it scores 99\.0%; look at macro-F1: --set ",
    ),
    told(
        19,
        "text,label\n" + "".join(f"{word} {n},{word}\n" for n in range(6) for word in ("melon", "iron")),
        r"note: 8 training rows are fewer than train\.batch_size, 64: each update takes all of them",
        f"{TRAIN} --set train.batch_size=64 --set train.max_steps=1",
    ),
    told(20, table({2: TEXTS[0]}), r"note: 1 training rows repeat an earlier text; they count twice: remove them"),
    told(
        21,
        GOOD,
        r"note: 1 test rows \(5\.0%\) have a text that is also in train; remove them from train",
        f"{DATA} --test test.csv",
        **{"test.csv": table({n: f"new {n}" for n in range(1, 20)})},
    ),
    error(
        21,
        GOOD,
        r"test\.csv: 2 of 20 test texts \(10\.0%\) are also in training.*type --set data\.leakage=allow",
        "train quickstart --data . --out r",
        name="train.csv",
        **{"test.csv": table({n: f"new {n}" for n in range(2, 20)})},
    ),
    told(
        22,
        table({2: "Late  ORDER number 0"}),
        r"note: 1 training rows repeat one but for case, space or punctuation; look at them",
    ),
    told(23, table({1: TEXTS[0]}), r"note: 1 texts have several labels, such as rows 1, 2 \('delivery', 'praise'\); decide"),
    told(
        24,
        table({n: f"{text} {label}" for n, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))}),
        r"note: possible leakage: the word 'delivery' stands in 100% of the texts of that class",
    ),
    error(25, GOOD, r"train and test are the same file, t\.csv", f"{DATA} --test t.csv"),
    told(26, b"\xef\xbb\xbf" + GOOD.encode(), r"t\.csv: CSV, comma, header; label = label, text = text"),
    error(27, GOOD.encode("utf-16"), r"t\.csv: not utf-8 at byte 0; perhaps utf-16: type .*\.encoding=utf-16"),
    error(
        27,
        table({0: "caf\xe9"}).encode("latin-1"),
        r"t\.csv: not utf-8 at byte 14; perhaps latin-1: type .*\.encoding=latin-1",
    ),
    error(28, table({1: "a\0b"}), r"t\.csv, row 2 \(line 3\): a NUL character"),
    error(
        28,
        JSONL + lines('{"text": "\\ud83d", "label": "a"}'),
        r"t\.jsonl, row 21 \(line 21\): a lone surrogate",
        name="t.jsonl",
    ),
    told(29, LATER.replace("late", WORLD), r"2 predictions → out\.jsonl", "predict RUN t.csv --out out.jsonl"),
    error(
        30,
        table({1: '"one, two"', 2: '"never closes'}),
        r"t\.csv, line 4: a quote opens in this row and never closes; close it",
    ),
    told(30, table({2: '"never closes'}), r"t\.csv: CSV, comma, quotes are characters, header;.*\nrows  20 train$"),
    error(31, table({3: "one, two"}), r"t\.csv, line 5: 3 fields, expected 2"),
    told(
        31, table({3: "one, two"}), r"rows  19 train; dropped: 1 train \(bad row\)", f"{DATA} --set data.skip_bad_rows=true"
    ),
    told(
        32,
        table({0: '"two\nlines"'}, between=";").replace("\n", "\r\n"),
        r"t\.csv: CSV, semicolon, header;.*\nrows  20 train",
    ),
    told(32, table(between="\t"), r"t\.tsv: TSV, tab, header;.*\nrows  20 train", name="t.tsv"),
    error(33, "text,label\n" + "x" * 50_000_000 + ",a\n", r"t\.csv, line 2: over 10,000,000 characters; cut or remove it"),
    told(
        34,
        table({0: "word " * 200}),
        r"recommended  --set data\.max_length=64 --set data\.windows=\d+  \(fits 99\.5 %\)",
        "data t.csv --base BASE",
    ),
    error(35, JSONL + '{"text": \n', r"t\.jsonl, line 21: .*; expected one JSON object a line", name="t.jsonl"),
    error(
        35,
        JSONL + lines({"text": {"en": "x"}, "label": "a"}),
        r"t\.jsonl, row 21 \(line 21\), column 'text': found a dict",
        name="t.jsonl",
    ),
    error(
        35,
        JSONL + lines({"text": ["x", "y"], "label": "a"}),
        r"t\.jsonl, row 21 \(line 21\), column 'text': found 2 values \(x, y\), expected one",
        name="t.jsonl",
    ),
    error(
        36,
        gzip.compress((b"x" * 1_000_000 + b",a\n") * 250, 6),
        r"t\.csv\.gz: [\d,]+ bytes grow to more than",
        name="t.csv.gz",
    ),
    error(36, zipped, r"t\.zip: an archive; unpack it first; expected", name="t.zip"),
    error(37, b"\x80\x04.", r"t\.pkl: a pickle may run code when it is read; expected \.csv", name="t.pkl"),
    error(37, b"\0", r"t\.bin: it holds numbers or weights, no text; expected \.csv", name="t.bin"),
    error(37, "print()", r"t\.py: a script would have to be run; rankwise runs no code from data", name="t.py"),
    error(
        38,
        None,
        r"tokens: its tokenizer has no padding token, and none that ends a text",
        "data t.csv --base tokens",
        **{"t.csv": GOOD, "tokens": without_padding},
    ),
    error(
        39,
        None,
        r"hears: transformers has no class of it that classifies texts \(model type 'whisper'\); take a base that has one",
        "plan auto --set base=hears",
        **{"hears/config.json": config(model_type="whisper")},
    ),
    error(
        40,
        None,
        r"base 'nobody/x': it is not cached in /.* and the hub can't be reached from here.*Give a local folder",
        "plan auto --set base=nobody/x",
    ),
    error(42, GOOD, r"the plan trains [\d,]+ of 10 parameters on minilm; fewer than 10 may train", f"{PLAN} --budget 10"),
    error(43, None, r"--set adapter\.rank=0: adapter\.rank: found 0, expected", "plan uniform-qkv --set adapter.rank=0"),
    error(43, None, r"--set adapter\.rank=-1: adapter\.rank: found -1, expected", "plan uniform-qkv --set adapter.rank=-1"),
    error(
        43,
        None,
        r"rank 9999 at 0\.query exceeds what a linear layer",
        "plan uniform-qkv --budget none --set adapter.rank=9999",
    ),
    error(
        44,
        None,
        r"xlnet-base-cased \(xlnet\) has no linear layer of kind query, key, value; it has ffn_in, ffn_out; type --set",
        "plan uniform-qkv --set base=xlnet-base-cased",
    ),
    *(
        error(
            45,
            None,
            rf"--set train\.learning_rate={rate}: train\.learning_rate: found",
            f"plan auto --set train.learning_rate={rate}",
        )
        for rate in ("0", "-1", "nan", "1e3")
    ),
    error(
        46,
        "base: minilm\ntrain: {epoch: 1}\n",
        r"r\.yaml:2: unknown key 'train\.epoch'; did you mean 'train\.epochs'\?",
        "plan t.csv",
        name="r.yaml",
    ),
    error(46, "base: minilm\nbase: x\n", r"r\.yaml:2: .*duplicate key", "plan t.csv", name="r.yaml"),
    error(46, "base: !!python/name:os.system x\n", r"r\.yaml: the tag .* is not allowed", "plan t.csv", name="r.yaml"),
    error(
        47,
        GOOD,
        r"run is not empty; type --resume to go on with it, --overwrite to start again, or --out",
        "train auto --data t.csv --out run",
        **{"run/notes.txt": "mine"},
    ),
    error(
        48,
        None,
        r"RUN was started with other settings, so it can't be resumed:\n  train\.epochs: 2 → 3\n",
        "train RUN/recipe.yaml --out RUN --resume --set train.epochs=3",
    ),
    told(49, "", r"already complete", "train RUN/recipe.yaml --out RUN --resume"),
    error(
        50,
        GOOD,
        r"train\.precision is fp16, which needs a GPU; on a CPU use fp32 or bf16",
        f"{TRAIN} --set train.precision=fp16",
    ),
]


def trains(row):
    return pytest.mark.long if re.search("RUN|BASE", row.command) else ()


@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=trains(row), id=f"{row.number}-{place}") for place, row in enumerate(TABLE)]
)
def test_a_bad_input_is_answered_as_its_row_says(typed, request, row):
    for name, content in row.files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    command = row.command
    if "BASE" in command:
        command = command.replace("BASE", str(request.getfixturevalue("tiny")("bert")))
    if "RUN" in command:
        run = request.getfixturevalue("run_for")()
        copy_of = request.getfixturevalue("copy_of")
        command = command.replace("RUN", str(copy_of(run) if "--resume" in command else run.folder))
    code, out, err = typed(*shlex.split(command))
    assert code == row.code, err
    if row.code:
        assert re.match(row.says.replace("RUN", ".*"), err), err
        assert all(
            line.startswith(("  ", "Type ")) for line in err.splitlines()[1:]
        )  # ways to fit a budget, settings that differ
    else:
        assert re.search(row.says, out + err, re.MULTILINE), out + err


def test_texts_in_any_script_come_back_as_they_were(typed, run_for):
    Path("t.csv").write_text(LATER.replace("late", WORLD), "utf-8")
    assert typed("predict", run_for().folder, "t.csv", "--out", "out.jsonl")[0] == 0
    assert json.loads(Path("out.jsonl").read_text("utf-8").splitlines()[0])["text"] == WORLD


def test_a_file_and_a_folder_without_permission_are_told(typed, monkeypatch):
    Path("t.csv").write_text(GOOD)
    monkeypatch.setattr(reading.os, "access", lambda *_: False)  # root may read all
    assert typed(*DATA.split()) == (2, "", "error: t.csv: no permission to read it; type: chmod u+r t.csv\n")


def test_every_row_that_is_of_no_server_is_in_the_table():
    held_elsewhere = {41}  # a damaged cache entry: tests/system/test_cache.py
    assert {row.number for row in TABLE} | held_elsewhere == set(range(1, 51))
