"""Files that people reported, one of each kind: read as they are meant, or asked about; never wrong in silence."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from pyarrow import feather, parquet

ROWS = 80
LABELS = ["praise", "billing"] * (ROWS // 2)
WORDS = {
    "praise": "kind helpful team lovely quick service happy thanks perfect",
    "billing": "charged twice invoice refund bank card fee receipt monthly",
}
TEXTS = [
    f"{' '.join(WORDS[label].split()[row % 5 :])} again, yesterday. ref {7 * row:05d}" for row, label in enumerate(LABELS)
]
PAIRS = list(zip(TEXTS, LABELS, strict=True))
NUMBERS = [["billing", "praise"].index(label) for label in LABELS]


def written(name, rows, *, header=None, quoting=csv.QUOTE_MINIMAL, delimiter=","):
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, quoting=quoting, delimiter=delimiter, lineterminator="\n")
        out.writerows([*([header] if header else []), *rows])


def lines(name, rows):
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), "utf-8")


def records(**columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def unbalanced_quotes():
    texts = [f'the 12" {text}' if row % 9 == 0 else f'"{text}' if row % 31 == 4 else text for row, text in enumerate(TEXTS)]
    lines("f.tsv", ["sentence\tlabel", *(f"{text}\t{label}" for text, label in zip(texts, LABELS, strict=True))])


def backslash_quotes():
    texts = [text.replace("again,", r"\"again\",") if row % 4 == 0 else text for row, text in enumerate(TEXTS)]
    lines("f.csv", ['"label","text"', *(f'"{label}","{text}"' for text, label in zip(texts, LABELS, strict=True))])


def headerless():
    dates = [f"Mon Apr 06 22:{row % 60:02d}:45 PDT 2009" for row in range(ROWS)]
    users = [f"user_{row * 37 % 9973}" for row in range(ROWS)]
    rows = zip(LABELS, range(1467800000, 1467800000 + 37 * ROWS, 37), dates, ["NO_QUERY"] * ROWS, users, TEXTS, strict=True)
    written("f.csv", rows, quoting=csv.QUOTE_ALL)


def sorted_by_label():
    channels = ["web", "app", "phone"] * ROWS
    written("f.csv", sorted((label, channel, text) for channel, (text, label) in zip(channels, PAIRS, strict=False)))


def kaggle():
    places = ["", "oslo", "london", "rome"] * (ROWS // 4)
    written("d/train.csv", zip(range(ROWS), places, TEXTS, NUMBERS, strict=True), header=["id", "location", "text", "target"])
    written("d/test.csv", [(1000 + row, "", f"more {row}") for row in range(9)], header=["id", "location", "text"])
    written("d/sample_submission.csv", [(1000 + row, 0) for row in range(9)], header=["id", "target"])


def minus_one():
    lines("d/train.jsonl", records(sentence=TEXTS, label=NUMBERS, idx=range(ROWS)))
    lines("d/test.jsonl", records(sentence=[f"new {text}" for text in TEXTS], label=[-1] * ROWS, idx=range(ROWS)))


def fasttext():
    lines("f.txt", [f"__label__{label} {text}" for text, label in PAIRS])


def trec():
    lines("f.label", [f"{label[:4].upper()}:{'ab'[row % 3 == 0]} {text}" for row, (text, label) in enumerate(PAIRS)])


def newsgroups():
    for part, first, last in (("train", 0, 60), ("test", 60, ROWS)):
        for row in range(first, last):
            path = Path(f"d/20news-bydate-{part}/talk.{LABELS[row]}/{10_000 + row}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"From: someone\nSubject: hello\n\n{TEXTS[row]}\n", "utf-8")


def prodigy():
    answers = ["accept", "accept", "accept", "reject", "ignore"] * (ROWS // 5)
    lines("f.jsonl", records(text=TEXTS, label=LABELS, answer=answers))


def prodigy_choices():
    options = [{"id": label, "text": label} for label in WORDS]
    accepted = [[label] for label in LABELS]
    lines("f.jsonl", records(text=TEXTS, options=[options] * ROWS, accept=accepted, answer=["accept"] * ROWS))


def label_studio():
    def task(number, text, label):
        chosen = {"value": {"choices": [label]}, "from_name": "s", "to_name": "text", "type": "choices"}
        return {"id": number, "data": {"text": text}, "annotations": [{"id": number, "result": [chosen]}]}

    Path("f.json").write_text(json.dumps([task(number, *pair) for number, pair in enumerate(PAIRS)], indent=2), "utf-8")


def doccano():
    lines("f.jsonl", records(id=range(ROWS), text=TEXTS, label=[[label] for label in LABELS], Comments=[[]] * ROWS))


def json_array():
    Path("f.json").write_text(json.dumps(records(text=TEXTS, label=LABELS)), "utf-8")


def json_wrapped():
    Path("f.json").write_text(json.dumps({"data": records(text=TEXTS, label=LABELS)}), "utf-8")


def json_columns():
    Path("f.json").write_text(json.dumps({"text": TEXTS, "label": LABELS}), "utf-8")


def combinations():
    written(
        "f.csv",
        [(text, ["praise", "billing", "billing,praise"][row % 3]) for row, text in enumerate(TEXTS)],
        header=["text", "labels"],
    )


def lists():
    written(
        "f.csv",
        [(text, ["['praise']", "['billing']", "['billing', 'praise']"][row % 3]) for row, text in enumerate(TEXTS)],
        header=["text", "labels"],
    )


def one_hot():
    rows = [(row, text, int(row % 2 == 0), int(row % 3 == 0)) for row, text in enumerate(TEXTS)]
    written("f.csv", rows, header=["id", "comment_text", "praise", "billing"])


def codes():
    written(
        "f.csv", [(text, ["07", "007", "010", "0100"][row % 4]) for row, text in enumerate(TEXTS)], header=["text", "label"]
    )


def title_content():
    rows = [
        (number + 1, f"Ref {row:05d} at last", text) for row, (text, number) in enumerate(zip(TEXTS, NUMBERS, strict=True))
    ]
    written("f.csv", rows, header=["label", "title", "content"])


def index_column():
    written("f.csv", [(row, *pair) for row, pair in enumerate(PAIRS)], header=["", "text", "label"])


def index_without_header():
    written("f.csv", [(row, *pair) for row, pair in enumerate(PAIRS)])


def label_text():
    lines("f.jsonl", records(id=range(ROWS), text=TEXTS, label=NUMBERS, label_text=LABELS))


FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["billing", "praise"])})
COLUMNS = {"text": TEXTS, "label": NUMBERS}


def parquet_class_label():
    Dataset.from_dict(COLUMNS, features=FEATURES).to_parquet("f.parquet")


def parquet_pandas():
    parquet.write_table(pa.table({"text": TEXTS, "label": LABELS}), "f.parquet")


def arrow_stream():
    table = pa.table({"text": TEXTS, "label": LABELS})
    with pa.OSFile("f.arrow", "wb") as file, pa.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)


def feather_file():
    feather.write_feather(pa.table({"text": TEXTS, "label": LABELS}), "f.feather")


def saved():
    whole = Dataset.from_dict(COLUMNS, features=FEATURES)
    DatasetDict(train=whole.select(range(60)), test=whole.select(range(60, ROWS))).save_to_disk("d")


NAMED = (r"^billing +40 ", r"^praise +40 ", r"rows  80 train")
TABLE = {  # what makes the file: where it is, and what is said of it, every pattern somewhere
    unbalanced_quotes: ("f.tsv", "quotes are characters", *NAMED),
    backslash_quotes: ("f.csv", "a backslash before quotes", *NAMED),
    headerless: ("f.csv", r"label = column 0, text = column 5 \(guessed .*left out: .*numbers.*dates.*one value", *NAMED),
    sorted_by_label: ("f.csv", r"error: .*column 0 .* and column 1 .* may both be the label; say which: --set .* or --set"),
    kaggle: ("d", r"label = target, text = text", r"test\.csv.*no label", "rows  80 train$"),
    minus_one: ("d", r"label = label, text = sentence", r"test\.jsonl.*'?-1'?", "rows  80 train$"),
    fasttext: ("f.txt", "fastText", *NAMED),
    trec: ("f.label", r"TREC, coarse labels", r"^BILL +40 ", r"^PRAI +40 "),
    newsgroups: ("d", r"rows  60 train, 20 test", r"^talk\.billing +30 "),
    prodigy: ("f.jsonl", r"rows  48 train; dropped: 32 train \(answer is reject or ignore\)"),
    prodigy_choices: ("f.jsonl", "Prodigy", *NAMED),
    label_studio: ("f.json", "Label Studio", *NAMED),
    doccano: ("f.jsonl", "label = label, text = text", *NAMED),
    json_array: ("f.json", *NAMED),
    json_wrapped: ("f.json", *NAMED),
    json_columns: ("f.json", *NAMED),
    combinations: ("f.csv", r"note: .*'billing,praise'"),
    lists: ("f.csv", r"note: labels look like lists"),
    one_hot: ("f.csv", r"error: .*praise, billing hold only 0 and 1.*--set data\.text=comment_text --set data\.label=praise"),
    codes: ("f.csv", r"note: labels '007', '07' are one number written in 2 ways, and stay 2 classes", r"^0100 +20 "),
    title_content: ("f.csv", r"label = label, text = title \+ content", "rows  80 train"),
    index_column: ("f.csv", "label = label, text = text", *NAMED),
    index_without_header: ("f.csv", r"label = column 2, text = column 1 \(guessed .*left out: column 0", *NAMED),
    label_text: ("f.jsonl", "label = label_text, text = text", *NAMED),
    parquet_class_label: ("f.parquet", *NAMED),
    parquet_pandas: ("f.parquet", *NAMED),
    arrow_stream: ("f.arrow", *NAMED),
    feather_file: ("f.feather", *NAMED),
    saved: ("d", r"rows  60 train, 20 test", r"^billing +30 "),
}


@pytest.mark.parametrize("make", [pytest.param(make, id=make.__name__) for make in TABLE])
def test_a_file_that_was_reported_is_read_as_it_is_meant_or_asked_about(typed, make):
    make()
    where, *patterns = TABLE[make]
    code, out, err = typed("data", where, "--no-tokens")
    printed = out + err
    assert code == (2 if patterns[0].startswith("error") else 0), printed
    assert [pattern for pattern in patterns if not re.search(pattern, printed, re.MULTILINE)] == [], printed
