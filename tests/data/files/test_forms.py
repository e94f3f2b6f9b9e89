"""Every form of docs/formats.md gives the same texts and labels, and what is written in it is read again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tables import read, write

from rankwise.data.files.formats import READERS, WRITERS
from rankwise.data.files.output import write_rows
from rankwise.data.sources import sources_of
from rankwise.recipe import DataSpec

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
NAMES = ["praise", "delivery"]
TEXTS = [f"the text of visit {number}, again" for number in range(30)]
LABELS = [NAMES[number % 2] for number in range(30)]
SEVERAL = [[["praise", "delivery"], ["delivery"], []][number % 3] for number in range(30)]


def rows(labels: Sequence[Any], label: str = "label", **more: Any) -> list[dict[str, Any]]:
    return [{"text": text, label: said, **more} for text, said in zip(TEXTS, labels, strict=True)]


def lines(entries: Sequence[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(entry)}\n" for entry in entries)


def delimited(path: Path, columns: Sequence[str], cells: Sequence[Sequence[Any]], delimiter: str = ",") -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([*([columns] if columns else []), *cells])
    return path


def label_studio(labels: Sequence[Sequence[str]]) -> str:
    choices = [{"from_name": "s", "to_name": "text", "type": "choices", "value": {"choices": one}} for one in labels]
    tasks = [
        {"id": number, "data": {"text": text}, "annotations": [{"result": [choice] if choice["value"]["choices"] else []}]}
        for number, (text, choice) in enumerate(zip(TEXTS, choices, strict=True))
    ]
    return json.dumps(tasks)


def argilla(labels: Sequence[Any]) -> str:
    return json.dumps(
        [
            {
                "id": str(number),
                "fields": {"text": text},
                "metadata": {},
                "suggestions": {},
                "responses": {"topic": [{"value": said, "user_id": "u"}]},
                "vectors": {},
                "_server_id": "s",
            }
            for number, (text, said) in enumerate(zip(TEXTS, labels, strict=True))
        ]
    )


def prodigy(labels: Sequence[Sequence[str]], style: str) -> str:
    options = [{"id": name, "text": name} for name in NAMES]
    asked = {"options": options, "answer": "accept", "config": {"choice_style": style}, "_view_id": "choice"}
    return lines(rows(labels, "accept", **asked))


def table(labels: Sequence[Any]) -> pa.Table:
    return pa.table({"text": TEXTS, "label": labels})


def classed(labels: Sequence[Any], feature: dict[str, Any]) -> pa.Table:
    """A table whose schema names the numbers of its classes, as the datasets library writes it."""
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": feature}
    return table(labels).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def class_label(nested: bool) -> dict[str, Any]:
    one = {"names": NAMES, "_type": "ClassLabel"}
    return {"feature": one, "_type": "List"} if nested else one


def workbook(path: Path, columns: Sequence[str], cells: Sequence[Sequence[Any]]) -> Path:
    xlsxwriter = pytest.importorskip("xlsxwriter", reason="the extra excel is not installed")
    pytest.importorskip("python_calamine", reason="the extra excel is not installed")
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet()
        for at, row in enumerate([columns, *cells]):
            sheet.write_row(at, 0, row)
    return path


def class_folders(path: Path) -> Path:
    for number, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True)):
        write(path / label / f"{number:02}.txt", text)
    return path


def flags() -> list[list[Any]]:
    return [[text, *(int(name in said) for name in NAMES)] for text, said in zip(TEXTS, SEVERAL, strict=True)]


PAIRS = list(zip(TEXTS, LABELS, strict=True))
ONE: dict[str, Callable[[Path], Path]] = {
    "csv": lambda folder: delimited(folder / "t.csv", ["text", "label"], PAIRS),
    "tsv without a header": lambda folder: delimited(
        folder / "t.tsv", [], [(*pair, f"id{at:02}x") for at, pair in enumerate(PAIRS)], "\t"
    ),
    "excel": lambda folder: workbook(folder / "t.xlsx", ["text", "label"], PAIRS),
    "jsonl": lambda folder: write(folder / "t.jsonl", lines(rows(LABELS))),
    "label studio": lambda folder: write(folder / "t.json", label_studio([[label] for label in LABELS])),
    "argilla": lambda folder: write(folder / "t.json", argilla(LABELS)),
    "prodigy": lambda folder: write(folder / "t.jsonl", prodigy([[label] for label in LABELS], "single")),
    "prodigy, yes or no": lambda folder: write(folder / "t.jsonl", lines(rows(LABELS, answer="accept"))),
    "doccano": lambda folder: write(folder / "t.jsonl", lines(rows([[label] for label in LABELS], Comments=[]))),
    "parquet": lambda folder: pq.write_table(table(LABELS), folder / "t.parquet") or folder / "t.parquet",
    "classes in parquet": lambda folder: (
        pq.write_table(classed([NAMES.index(label) for label in LABELS], class_label(False)), folder / "t.parquet")
        or folder / "t.parquet"
    ),
    "feather": lambda folder: pyarrow.feather.write_feather(table(LABELS), str(folder / "t.feather")) or folder / "t.feather",
    "fasttext": lambda folder: write(folder / "t.txt", "".join(f"__label__{label} {text}\n" for text, label in PAIRS)),
    "class folders": class_folders,
}
MANY: dict[str, Callable[[Path], Path]] = {
    "jsonl": lambda folder: write(folder / "t.jsonl", lines(rows(SEVERAL))),
    "label studio": lambda folder: write(folder / "t.json", label_studio(SEVERAL)),
    "argilla": lambda folder: write(folder / "t.json", argilla(SEVERAL)),
    "prodigy": lambda folder: write(folder / "t.jsonl", prodigy(SEVERAL, "multiple")),
    "doccano": lambda folder: write(folder / "t.jsonl", lines(rows(SEVERAL, Comments=[]))),
    "parquet": lambda folder: pq.write_table(table(SEVERAL), folder / "t.parquet") or folder / "t.parquet",
    "classes in parquet": lambda folder: (
        pq.write_table(
            classed([[NAMES.index(one) for one in said] for said in SEVERAL], class_label(True)), folder / "t.parquet"
        )
        or folder / "t.parquet"
    ),
    "columns of 0 and 1": lambda folder: delimited(folder / "t.csv", ["text", *NAMES], flags()),
    "columns of 0 and 1 in excel": lambda folder: workbook(folder / "t.xlsx", ["text", *NAMES], flags()),
}


@pytest.mark.parametrize("form", ONE)
def test_a_form_gives_its_texts_and_labels(tmp_path: Path, form: str) -> None:
    found = read(ONE[form](tmp_path))
    assert sorted(zip(found.texts, found.labels or (), strict=True)) == sorted(PAIRS)


@pytest.mark.parametrize("form", MANY)
def test_a_form_gives_several_labels_in_one_way(tmp_path: Path, form: str) -> None:
    named = {"label": tuple(NAMES)} if "0 and 1" in form else {}
    found = read(MANY[form](tmp_path), **named)
    assert (list(found.texts), list(found.labels or ())) == (TEXTS, [json.dumps(said) for said in SEVERAL])


@pytest.mark.filterwarnings("ignore")
def test_what_datasets_saves_is_read_with_its_splits_and_class_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the hub extra is not installed")
    numbers = [[NAMES.index(one) for one in said] for said in SEVERAL]
    features = datasets.Features(text=datasets.Value("string"), label=datasets.List(datasets.ClassLabel(names=NAMES)))
    whole = datasets.Dataset.from_dict({"text": TEXTS, "label": numbers}, features=features)
    datasets.DatasetDict(train=whole, test=whole.select(range(3))).save_to_disk(str(tmp_path / "saved"))
    splits = sources_of(DataSpec(source=str(tmp_path / "saved"))).splits
    found = [read(splits[role].path) for role in ("train", "test")]
    assert [list(one.labels or ()) for one in found] == [[json.dumps(said) for said in SEVERAL][:count] for count in (30, 3)]
    assert found[0].layout.classes == tuple(NAMES)


@pytest.mark.parametrize("form", MANY)
@pytest.mark.parametrize("ending", [ending for ending in WRITERS if ending != ".xlsx"])
def test_several_labels_that_are_written_in_another_form_stay_the_same(tmp_path: Path, form: str, ending: str) -> None:
    named = {"label": tuple(NAMES)} if "0 and 1" in form else {}
    found = read(MANY[form](tmp_path), **named)
    labels = [{"text": text, "label": label} for text, label in zip(found.texts, found.labels or (), strict=True)]
    write_rows(tmp_path / f"out{ending}", ["text", "label"], labels)
    assert read(tmp_path / f"out{ending}").labels == found.labels


def test_the_page_has_each_ending_that_is_read_or_written() -> None:
    page = PAGE.read_text("utf-8")
    assert {ending for ending in {**READERS, **WRITERS} if f"`{ending}`" not in page} == set()
