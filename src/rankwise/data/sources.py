"""Labelled text from any source becomes a Table: texts, labels, where they stood, and what was dropped on the way.

`resolve` turns what the recipe says into one source per split; `read_table` reads a source whole, `stream` record by
record in bounded memory, both along the same path. Row numbers count data rows from 1, column positions from 0. A blank
cell is no text and no label; "NA", "null" and "None" are words. Labels are strings, kept to the letter.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations, islice
from numbers import Integral
from operator import itemgetter
from pathlib import Path
from shlex import quote

from rankwise.data.formats import (
    PROBE,
    Row,
    Rows,
    at,
    checked_path,
    class_folders,
    hub_parts,
    hub_splits,
    is_readable,
    open_rows,
    written,
)
from rankwise.errors import DataError, nearest
from rankwise.specs import Column, DataSpec, SourceSpec

MAX_MISSING_LABELS = 0.05  # share of rows; above it the file is another one than its reader thinks


@dataclass(frozen=True, slots=True)
class Record:
    """One data row. `text` is empty where the row has none; `columns` has every cell, by name or by position."""

    number: int
    text: str
    label: str | None
    columns: Mapping[str, str]


@dataclass(frozen=True)
class Layout:
    """How a source was read: what was found out and what was given."""

    path: str
    format: str
    compression: str | None
    delimiter: str | None
    header: bool
    columns: tuple[str, ...]
    text: tuple[str, ...]
    label: str | None
    encoding: str

    def describe(self) -> str:
        """`test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2`."""
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
        kind = [self.format, *filter(None, [self.compression])]
        if self.delimiter:
            kind += [names[self.delimiter], "header" if self.header else "no header"]
        one, many = ("", "") if self.header else ("column ", "columns " if len(self.text) > 1 else "column ")
        label = "no label" if self.label is None else f"label = {one}{self.label}"
        name = self.path if self.path.startswith("hub:") else Path(self.path).name
        return f"{name}: {', '.join(kind)}; {label}, text = {many}{' + '.join(self.text)}"


@dataclass(frozen=True)
class Table:
    """Texts with their labels, in the source's order. `rows` is each text's data row, `dropped` is reason → count."""

    texts: tuple[str, ...]
    labels: tuple[str, ...] | None
    layout: Layout
    dropped: Mapping[str, int]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Splits:
    """Where each split is; None where it has to be split off the training rows. `classes` is empty when unknown."""

    train: SourceSpec
    validation: SourceSpec | None
    test: SourceSpec | None
    classes: tuple[str, ...]


def read_table(source: SourceSpec, data: DataSpec, *, needs_label: bool = True) -> Table:
    """All rows of a source that have a text (and a label, where one is needed). Raises DataError."""
    return _collect(_open(source, data, needs_label), data, needs_label)


def stream(source: SourceSpec, data: DataSpec, *, needs_label: bool = False) -> tuple[Layout, Iterator[Record]]:
    """The layout, and every row one by one, those without text too. Raises DataError, at a bad row when there."""
    reading = _open(source, data, needs_label)
    return reading.layout, iter(reading.records)


def table_of(texts: Sequence[str], labels: Sequence[str | int] | None = None) -> Table:
    """A Table from Python lists. Raises DataError naming the position of a value that is no text or no label."""
    if labels is not None and len(labels) != len(texts):
        raise DataError(f"{len(texts):,} texts and {len(labels):,} labels; expected one label for each text")
    label = None if labels is None else "label"
    layout = Layout("list", "list", None, None, True, ("text", *filter(None, [label])), ("text",), label, "utf-8")
    return _collect(_Reading(layout, _listed(texts, labels), [], {}), DataSpec(), labels is not None)


def resolve(data: DataSpec) -> Splits:
    """One source for each split, from `data.source`, `data.train`, `data.validation` and `data.test`.

    Raises DataError when nothing is given, a path cannot be read, or two splits are the same file.
    """
    found = {} if data.source is None else _splits_of(data.source)
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    splits = {role: _with_split(given[role] or found.get(role), role) for role in given}
    train = splits["train"]
    if train is None:
        raise DataError("no training text is given; type --set data.source=FOLDER_OR_FILE, or --set data.source=sample")
    for source in filter(None, splits.values()):
        if not source.path.startswith("hub:"):
            checked_path(source.path)
    _refuse_same(splits)
    return Splits(train, splits["validation"], splits["test"], data.classes or _class_names(data, train))


# ------------------------------------------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Reading:
    layout: Layout
    records: Iterable[Record]
    bad: list[int]  # filled while records are read
    classes: Mapping[str, tuple[str, ...]]


def _open(source: SourceSpec, data: DataSpec, needs_label: bool) -> _Reading:
    setting = _setting(source, data)
    rows = open_rows(source, setting=setting, skip_bad=data.skip_bad_rows)
    label_wanted = data.label if source.label is None else source.label
    choice = _Choice(source.path, source.text or data.text, label_wanted, setting)
    columns, header = _columns(rows, choice, source.header)
    text, label = _chosen(rows, choice, columns, header, needs_label)
    layout = Layout(
        path=source.path, format=rows.format, compression=rows.compression, delimiter=rows.delimiter, header=header,
        columns=columns, text=tuple(columns[place] for place in text), label=None if label is None else columns[label],
        encoding=source.encoding,
    )  # fmt: skip
    bad: list[int] = []
    cells = rows.read()
    if rows.columns is None and header:
        next(row for row in cells if row[1])
    if rows.typed:
        cells = written(cells, (*text, *([] if label is None else [label])), columns, source.path)
    return _Reading(layout, _records(cells, layout, _joined(text, data.join), label, bad), bad, rows.classes)


def _records(
    rows: Iterator[Row], layout: Layout, text_of: Callable[[Sequence[str]], str], label: int | None, bad: list[int]
) -> Iterator[Record]:
    for number, (place, cells) in enumerate(rows, start=1):
        if cells is None:
            bad.append(number)
            continue
        text = text_of(cells)
        name = None if label is None else cells[label]
        if "\0" in text or (name and "\0" in name):
            raise DataError(f"{at(layout.path, number, place)}: a NUL character; no text has one, remove it")
        if name is not None and (not name or name.isspace()):
            name = None
        yield Record(number, text, name, dict(zip(layout.columns, cells, strict=True)))


def _joined(text: Sequence[int], join: str) -> Callable[[Sequence[str]], str]:
    """Cells → text. One column is taken as it is; several are joined, blank ones left out."""
    if len(text) == 1:
        return itemgetter(text[0])
    pick = itemgetter(*text)
    return lambda cells: join.join(part for part in pick(cells) if part and not part.isspace())


def _collect(reading: _Reading, data: DataSpec, needs_label: bool) -> Table:
    texts, labels, rows = [], [], []
    empty: list[int] = []
    missing: list[int] = []
    for record in reading.records:
        if not record.text or record.text.isspace():
            empty.append(record.number)
        elif record.label is None and needs_label:
            missing.append(record.number)
        else:
            texts.append(record.text)
            labels.append(record.label)
            rows.append(record.number)
    dropped = {"empty text": empty, "missing label": missing, "bad row": reading.bad}
    _refuse_losses(reading.layout, len(texts), dropped, data.empty_text == "fail")
    known = [label for label in labels if label is not None]
    _refuse_twins(reading.layout, known)
    complete = reading.layout.label is not None and len(known) == len(texts)
    counts = {reason: len(numbers) for reason, numbers in dropped.items() if numbers}
    return Table(tuple(texts), tuple(known) if complete else None, reading.layout, counts, tuple(rows))


def _refuse_losses(layout: Layout, kept: int, dropped: Mapping[str, Sequence[int]], fail_empty: bool) -> None:
    total = kept + sum(map(len, dropped.values()))
    empty, missing = dropped["empty text"], dropped["missing label"]
    if empty and fail_empty:
        raise DataError(
            f"{layout.path}: {len(empty):,} of {total:,} rows have no text in {' + '.join(layout.text)} "
            f"({_first(empty)}); fill them, or drop them: --set data.empty_text=drop"
        )
    if len(missing) > MAX_MISSING_LABELS * total:
        raise DataError(
            f"{layout.path}: {len(missing):,} of {total:,} rows have no label in column '{layout.label}' "
            f"({_first(missing)}); expected at most {MAX_MISSING_LABELS:.0%}: label or remove them"
        )
    if not kept:
        reasons = ", ".join(f"{reason}: {len(rows):,}" for reason, rows in dropped.items() if rows)
        raise DataError(f"{layout.path}: 0 rows{f' left ({reasons})' if reasons else ''}; expected a row for each text")


def _refuse_twins(layout: Layout, labels: Iterable[str]) -> None:
    """Labels such as 1 and 1.0 in one column are one class written in two ways."""
    seen: dict[float, str] = {}
    for label in sorted(set(labels)):
        if label.isascii() and label.replace(".", "", 1).removeprefix("-").isdecimal():
            twin = seen.setdefault(float(label), label)
            if twin != label:
                raise DataError(
                    f"{layout.path}, column '{layout.label}': labels '{twin}' and '{label}' are the same number; "
                    "write each class in one way"
                )


def _first(numbers: Sequence[int]) -> str:
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:5]))}{', …' if len(numbers) > 5 else ''}"


def _listed(texts: Sequence[str], labels: Sequence[str | int] | None) -> Iterator[Record]:
    if isinstance(texts, str):
        raise DataError("found one string, expected a list of texts; type [text]")
    kinds: set[str] = set()
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"texts[{place}] is a {type(text).__name__} ({text!r:.40}); expected a string")
        if any("\ud800" <= character <= "\udfff" for character in text) or "\0" in text:
            raise DataError(f"texts[{place}] holds a NUL character or half of a character; expected valid Unicode")
        yield Record(place + 1, text, None if labels is None else _label_of(labels[place], place, kinds), {})


def _label_of(label: object, place: int, kinds: set[str]) -> str:
    kind = "string" if isinstance(label, str) else "bool" if isinstance(label, bool) else "integer"
    if not isinstance(label, (str, Integral)):
        raise DataError(f"labels[{place}] is a {type(label).__name__} ({label!r:.40}); expected a string or an integer")
    kinds.add(kind)
    if len(kinds) > 1:
        raise DataError(f"labels[{place}] is a {kind} ({label!r:.40}) among others; expected labels of one type")
    return str(label).lower() if kind == "bool" else str(label)


# ------------------------------------------------------------------------------------------------------------- columns

_TEXT = ("text", "sentence", "review", "content", "document", "body", "message")
_TITLE = ("title", "headline")
_BODY = ("text", "description", "summary")
_LABEL = ("label", "labels", "class", "category", "target", "sentiment")


@dataclass(frozen=True)
class _Choice:
    """Which columns the recipe asks for."""

    name: str
    text: tuple[Column, ...]
    label: Column | None
    setting: str

    @property
    def names(self) -> set[str]:
        asked = (*self.text, *([] if self.label is None else [self.label]))
        return {column for column in asked if isinstance(column, str) and not column.isdecimal()}


def _columns(rows: Rows, choice: _Choice, header: bool | None) -> tuple[tuple[str, ...], bool]:
    """Column names, and whether the first row holds them."""
    first = rows.columns or next((cells for _, cells in rows.read() if cells), None)
    if first is None:
        raise DataError(f"{choice.name}: 0 rows; expected a row for each text")
    if rows.columns is not None:
        names, header = rows.columns, True
    else:
        cells = [cell.strip() for cell in first]
        header = _is_header(cells, choice) if header is None else header
        names = tuple(cell if cell and header else str(place) for place, cell in enumerate(cells))
    if len(set(names)) < len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise DataError(
            f"{choice.name}: two columns are called '{twice}'; rename one, or say that there is no header: "
            f"{choice.setting}.header=false"
        )
    return names, header


def _is_header(cells: Sequence[str], choice: _Choice) -> bool:
    """A first row with a known name; names in the recipe only make sense with a header."""
    return bool(choice.names) or any(cell.lower() in {*_TEXT, *_TITLE, *_BODY, *_LABEL, "id"} for cell in cells)


def _chosen(
    rows: Rows, choice: _Choice, columns: Sequence[str], header: bool, needs_label: bool
) -> tuple[tuple[int, ...], int | None]:
    """Positions of the text columns and of the label."""
    text = tuple(_position(wanted, columns, choice.name) for wanted in choice.text)
    label = None
    if choice.label is not None and (needs_label or _is_there(choice.label, columns)):
        label = _position(choice.label, columns, choice.name)
    if label is None and choice.label is None:
        label = _named(columns, _LABEL, text) if header else _label_by_values(rows, len(columns), text)
    if not text:
        text = _text_by_name(columns, label) if header else _text_by_rest(columns, label)
    if not text or (label is None and needs_label):
        raise _unclear(choice, columns, header, "text" if not text else "label")
    if label in text or len(set(text)) < len(text):
        twice = next(columns[place] for place in text if place == label or text.count(place) > 1)
        raise DataError(f"{choice.name}: column '{twice}' is asked for twice; name a column once, for text or for label")
    return text, label


def _position(wanted: Column, columns: Sequence[str], name: str) -> int:
    if isinstance(wanted, str) and wanted in columns:
        return columns.index(wanted)
    if _is_there(wanted, columns):
        return int(wanted)
    known = ", ".join(columns)
    if isinstance(wanted, int) or wanted.isdecimal():
        raise DataError(f"{name}: no column {wanted}; the columns are 0 to {len(columns) - 1}: {known}")
    raise DataError(f"{name}: no column '{wanted}' among {known}{nearest(wanted, columns)}")


def _is_there(wanted: Column, columns: Sequence[str]) -> bool:
    if isinstance(wanted, str) and not wanted.isdecimal():
        return wanted in columns
    return wanted in columns or 0 <= int(wanted) < len(columns)


def _named(columns: Sequence[str], known: Sequence[str], taken: Sequence[int] = ()) -> int | None:
    """The column with the first known name, whatever its case."""
    places = {column.strip().lower(): place for place, column in reversed(list(enumerate(columns)))}
    return next((places[name] for name in known if name in places and places[name] not in taken), None)


def _text_by_name(columns: Sequence[str], label: int | None) -> tuple[int, ...]:
    taken = () if label is None else (label,)
    title = _named(columns, _TITLE, taken)
    body = _named(columns, _BODY, taken) if title is not None else None
    alone = _named(columns, _TEXT, taken)
    if title is not None and body is not None and (alone is None or alone == body):
        return (title, body)
    found = next((place for place in (alone, _named(columns, _BODY, taken), title) if place is not None), None)
    return () if found is None else (found,)


def _text_by_rest(columns: Sequence[str], label: int | None) -> tuple[int, ...]:
    rest = tuple(place for place in range(len(columns)) if place != label)
    return rest if label is not None or len(rest) == 1 else ()


def _label_by_values(rows: Rows, width: int, taken: Sequence[int]) -> int | None:
    """The one column of a headerless file whose short values repeat most; None when no column or several do."""
    sample = [cells for _, cells in islice(rows.read(), PROBE) if cells]
    distinct = {}
    for place in set(range(width)).difference(taken):
        values = {cells[place] for cells in sample}
        if len(values) <= min(50, len(sample) / 2) and max(map(len, values)) <= 50:
            distinct[place] = len(values)
    varied = {place: count for place, count in distinct.items() if count > 1} or distinct
    best = [place for place, count in varied.items() if count == min(varied.values())]
    return best[0] if len(best) == 1 else None


def _unclear(choice: _Choice, columns: Sequence[str], header: bool, missing: str) -> DataError:
    if header:
        known = " or ".join(_TEXT[:3] if missing == "text" else _LABEL[:3])
        return DataError(
            f"{choice.name}: no {missing} column found among {', '.join(columns)}; expected one called {known}, or say "
            f"which: {choice.setting}.{missing}=NAME"
        )
    return DataError(
        f"{choice.name}: no known name in the first row, so no header, and it is unclear which of the {len(columns)} "
        f"columns is the {missing}; say so by position: {choice.setting}.text=1, and .label=0 likewise (or by name)"
    )


def _setting(source: SourceSpec, data: DataSpec) -> str:
    """What to type before `.encoding=…` to change how this source is read."""
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    for role, spec in given.items():
        if spec == source:
            return f"--set data.{role}"
    role = _role_of(Path(source.path).name) or "train"
    return f"--set data.{role}.path={quote(source.path)} --set data.{role}"


# -------------------------------------------------------------------------------------------------------------- splits

_ROLES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


def _role_of(name: str) -> str | None:
    stem = name.lower().split(".")[0]
    return next((role for role, names in _ROLES.items() if stem in names), None)


def _splits_of(source: str) -> dict[str, SourceSpec]:
    """What one `data.source` holds."""
    if source == "sample":
        folder = resources.files("rankwise") / "sample"
        return {role: SourceSpec(path=str(folder / f"{role}.csv")) for role in _ROLES}
    if source.startswith("hub:"):
        return _hub_splits_of(source)
    path = checked_path(source)
    return _folder_splits(path, source) if path.is_dir() else {"train": SourceSpec(path=source)}


def _hub_splits_of(source: str) -> dict[str, SourceSpec]:
    name, split = hub_parts(source)
    if split is not None:
        return {"train": SourceSpec(path=source)}
    there = hub_splits(name)
    found = {role: next((split for split in names if split in there), None) for role, names in _ROLES.items()}
    if found["train"] is None:
        raise DataError(f"{source}: no split is called train; there are {', '.join(there)}: type {source}:{there[0]}")
    return {role: SourceSpec(path=f"hub:{name}:{split}") for role, split in found.items() if split is not None}


def _folder_splits(folder: Path, as_given: str) -> dict[str, SourceSpec]:
    found: dict[str, str] = {}
    entries = sorted(entry for entry in folder.iterdir() if _role_of(entry.name))
    for entry in entries:
        if not (class_folders(entry) if entry.is_dir() else is_readable(entry)):
            continue
        role = str(_role_of(entry.name))
        if role in found:
            raise DataError(
                f"{as_given}: {found[role]} and {entry.name} both look like the {role} split; say which: "
                f"--set data.{role}={as_given}/{entry.name}"
            )
        found[role] = entry.name
    splits = {role: SourceSpec(path=str(Path(as_given) / name)) for role, name in found.items()}
    if "train" not in splits and class_folders(folder):
        splits["train"] = SourceSpec(path=as_given)
    if not splits:
        raise _nothing_readable(folder, as_given)
    return splits


def _nothing_readable(folder: Path, as_given: str) -> DataError:
    names = sorted(entry.name for entry in folder.iterdir())
    inside = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    return DataError(
        f"{as_given}: expected train.csv (or .tsv, .jsonl, .parquet) or class folders of .txt files, found {inside}; "
        "name the file: --set data.train=FILE"
    )


def _with_split(source: SourceSpec | None, role: str) -> SourceSpec | None:
    """A hub data set without a split is read at the split of its role."""
    if source is None or not source.path.startswith("hub:") or hub_parts(source.path)[1] is not None:
        return source
    return source.model_copy(update={"path": f"{source.path}:{role}"})


def _refuse_same(splits: Mapping[str, SourceSpec | None]) -> None:
    for (one, first), (other, second) in combinations(splits.items(), 2):
        if first and second and _is_same(first.path, second.path):
            raise DataError(
                f"{one} and {other} are the same file, {second.path}; give {other} rows of its own, or leave "
                f"data.{other} out to split them off"
            )


def _is_same(one: str, other: str) -> bool:
    if one.startswith("hub:") or other.startswith("hub:"):
        return one == other
    return os.path.samefile(Path(one).expanduser(), Path(other).expanduser())


def _class_names(data: DataSpec, train: SourceSpec) -> tuple[str, ...]:
    """From classes.txt beside the training rows, or from a hub data set's features; empty when neither says."""
    if train.path.startswith("hub:"):
        reading = _open(train, data, needs_label=True)
        return reading.classes.get(str(reading.layout.label), ())
    path = checked_path(data.source) if data.source and not data.source.startswith(("hub:", "sample")) else None
    folder = path if path and path.is_dir() else checked_path(train.path).parent
    file = folder / "classes.txt"
    if not file.is_file():
        return ()
    names = tuple(line.strip() for line in file.read_text("utf-8-sig").splitlines() if line.strip())
    if len(set(names)) < len(names):
        raise DataError(f"{file}: a class stands twice; expected each class name on a line of its own, once")
    return names
