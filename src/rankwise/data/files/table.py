"""Labelled text from any source becomes a Table: texts, labels, their row numbers, and what was dropped on the way.

`read_table` reads a source whole, its texts to disk, `stream` record by record, both along the same path and in bounded
memory. Row numbers count data rows from 1, columns from 0. A blank cell is no text and no label; "NA", "null" and
"None" are words. Labels are strings, kept to the letter.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import tee
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.clean import has_surrogate
from rankwise.data.files.cells import LEAST_TOLD, SHARE_TOLD, Cells, Sampler, told_by
from rankwise.data.files.columns import Layout, columns_in_words, layout_of
from rankwise.data.files.frames import rows_of
from rankwise.data.files.label_cells import in_one_form, reader_of
from rankwise.data.files.reading import open_rows
from rankwise.data.files.rows import Row, Rows, as_strings, row_name
from rankwise.data.given import KINDS, check_fractions, check_order, labels_in, text_of, texts_in
from rankwise.data.labels import are_measured
from rankwise.data.pairs import is_blank, pair_of
from rankwise.data.store import Texts
from rankwise.data.tasks.names import REGRESSION
from rankwise.errors import DataError, Unlabelled, as_set
from rankwise.recipe import DataSpec, SourceSpec

MAX_MISSING_LABELS = 0.05  # share of rows; above it the file is another one than its reader thinks
REFUSED = ("reject", "ignore")  # what an annotation tool writes of a label that was not accepted


@dataclass(frozen=True, slots=True)
class Record:
    """One data row. `text` is empty where the row has none, or a pair; `columns` has every cell, by name or by position."""

    number: int
    text: str
    label: str | None
    columns: Mapping[str, str]
    own: Mapping[str, Any] = field(default_factory=dict)
    """The cells as the source has them: typed values where its format has types, else the strings."""
    several: tuple[str, ...] | None = None
    """The labels, where the source says that a row may have several; `label` has them as several.py writes them."""


@dataclass(frozen=True, eq=False)
class Table:
    """N texts with their labels, in the source's order."""

    texts: Sequence[str]
    """On disk, when they were read from a source; see store.py. All of them are pairs (pairs.py), or none is."""
    labels: tuple[str, ...] | None
    layout: Layout
    dropped: Mapping[str, int]
    """How many rows were left out, by reason."""
    rows: NDArray[np.int64]
    """The data row that a text stands in, from 1; shape (N,)."""
    warnings: tuple[str, ...] = ()
    """What a person should look at in the columns that were read."""
    label_type: str | None = None
    """What labels were in Python where they were no strings, as `given` names it."""
    task: str = "single-label"
    """What its labels are for, as `data.tasks` names it; where a text may have several, cells are JSON lists of them."""

    def take(self, indices: NDArray[np.int64]) -> Table:
        """A table with only the texts at these indices, in this order."""
        labels = None if self.labels is None else tuple(self.labels[index] for index in indices)
        return replace(self, texts=Texts.of(self.texts).take(indices), labels=labels, rows=self.rows[indices])

    def joined(self, other: Table) -> Table:
        """These texts and another part of the same source's, in the order of their rows."""
        order = np.argsort(rows := np.concatenate([self.rows, other.rows]), kind="stable")
        texts, labels = [*self.texts, *other.texts], [*(self.labels or ()), *(other.labels or ())]
        both = replace(self, texts=texts, labels=tuple(labels) if self.labels is not None else None, rows=rows)
        return both.take(order)


def read_table(source: SourceSpec, data: DataSpec, *, needs_label: bool = True) -> Table:
    """All rows of a source that have a text (and a label, where one is needed). Raises DataError for what can't be read."""
    bad = array("q")
    layout, records = stream(source, data, needs_label=needs_label, bad=bad)
    return _collect(layout, records, data, needs_label, bad)


def stream(
    source: SourceSpec, data: DataSpec, *, needs_label: bool = False, bad: array[int] | None = None
) -> tuple[Layout, Iterator[Record]]:
    """(the layout, every row one by one, those without text too). Raises DataError, for a bad row when it is reached.

    Where the recipe says to skip bad rows, their numbers go into `bad` while records are read.
    """
    return _opened(open_rows(source, data), source, data, needs_label, array("q") if bad is None else bad)


def _opened(
    rows: Rows, source: SourceSpec, data: DataSpec, needs_label: bool, bad: array[int]
) -> tuple[Layout, Iterator[Record]]:
    label = data.label if source.label is None else source.label
    header = data.header if source.header is None else source.header
    text, pair = (source.text, source.text_pair) if source.text else (data.text, source.text_pair or data.text_pair)
    asked = source.model_copy(update={"text": text, "text_pair": pair, "label": label, "header": header})
    layout = layout_of(rows, asked, needs_label=needs_label)
    saying = layout if needs_label or not layout.labels else replace(layout, label=None, labels=())
    cells = rows.read()
    if layout.header:
        next(row for row in cells if row[1])
    typed: Iterator[Row] | None = None
    if rows.typed:
        cells, typed = tee(cells)
        listed = layout.label if layout.labelling == "one" else None
        cells = as_strings(cells, (*layout.read, *saying.label_columns), layout.columns, source.path, listed=listed)
    return layout, _records(cells, typed, saying, data.join, bad)


def table_of(texts: Any, labels: Any = None, data: DataSpec | None = None) -> Table:
    """A Table from Python's lists, arrays, columns, or the text columns of a frame that `data` names.

    Of a frame without `labels` beside it text and labels are found as in a file. Raises DataError naming the position of a
    value that is no text or no label.
    """
    data = data or DataSpec()
    if labels is None and (rows := rows_of(texts)) is not None:
        bad = array("q")
        layout, records = _opened(rows, SourceSpec(path="texts"), data, True, bad)
        kinds = set[str]()
        table = _collect(layout, _noting_kinds(records, layout, kinds), data, True, bad)
        return replace(table, label_type=kinds.pop() if len(kinds) == 1 and kinds <= KINDS.keys() - {"str"} else None)
    check_order(texts, labels)
    listed = list(texts_in(texts, data.text, data.join, call="train", pair=data.text_pair))
    are_pairs = bool(listed) and not isinstance(listed[0], str)
    names, label_type = (None, None) if labels is None else labels_in(labels)
    if names is not None and len(names) != len(listed):
        raise DataError(f"{len(listed):,} texts and {len(names):,} labels; expected one label for each text")
    estimated = data.task == REGRESSION or (data.task == "auto" and are_measured(set(names or ())))
    if names is not None and label_type == "float" and not estimated:
        check_fractions(names)
    label = None if names is None else "label"
    columns = tuple(map(str, data.text)) or ("text",)
    pair = (tuple(map(str, data.text_pair)) or ("text_pair",)) if are_pairs else ()
    layout = Layout("list", "list", None, (*columns, *pair, *filter(None, [label])), columns, label, text_pair=pair)
    table = _collect(layout, _list_records(listed, names, pairs=are_pairs), DataSpec(), names is not None, ())
    return replace(table, label_type=label_type)


def _noting_kinds(records: Iterator[Record], layout: Layout, kinds: set[str]) -> Iterator[Record]:
    """The records, while the types of their labels go into `kinds`."""
    for record in records:
        if record.label is not None:
            kinds.add(type(record.own.get(layout.label or "")).__name__)
        yield record


def like_training(
    source: SourceSpec, data: DataSpec, text: Sequence[str], trained: Layout | None = None, *, pair: Sequence[str] = ()
) -> SourceSpec:
    """The source read from the columns that training read as `text`, where nothing else is asked for and it has them.

    `pair` are those of a pair's second text. `trained` is the layout of the training rows, where they lie beside it: a file
    without a header that is as wide is read alike. Raises DataError for a file that has some of the columns only, Unlabelled
    for one that lacks the label alone.
    """
    if source.text or data.text or not text:
        return source
    rows = open_rows(source, data)
    columns = tuple(rows.columns or (cell.strip() for cell in next((cells for _, cells in rows.read() if cells), ())))
    if trained is not None and trained.header is False:
        without_label = [name for name in trained.columns if name not in trained.label_columns]
        if len(columns) == len(without_label) and data.label is None and source.label is None:
            raise Unlabelled(f"{source.path}: {len(columns)} columns where training has {len(trained.columns)}, so no label")
        if len(columns) != len(trained.columns):
            return source
        label = data.label if source.label is None else source.label
        columns_read = {"text": tuple(text), "text_pair": tuple(pair)}
        alike = trained.labels or trained.label
        return source.model_copy(update={**columns_read, "label": alike if label is None else label})
    if rows.columns is None and all(map(str.isdecimal, text)):  # training had no header, so these are no names
        return source
    both = (*text, *pair)
    here = [name for name in both if name in columns]
    if here and len(here) < len(both):
        lacks = ", ".join(f"'{name}'" for name in both if name not in columns)
        fix = f", or read what is there: {as_set('data.text', here[0] if len(here) == 1 else here)}"
        raise DataError(
            f"{source.path}: no column {lacks} among {', '.join(columns)}, and training read {columns_in_words(text, pair)}; "
            f"add it{'' if pair else fix}"
        )
    return source.model_copy(update={"text": tuple(text), "text_pair": tuple(pair)}) if here else source


def _records(
    rows: Iterator[Row], typed: Iterator[Row] | None, layout: Layout, join: str, bad: array[int]
) -> Iterator[Record]:
    reading = _reading(layout, join)
    read_label = reader_of(layout)
    for number, (location, cells) in enumerate(rows, start=1):
        own = None if typed is None else next(typed)[1]
        if cells is None:
            bad.append(number)
            continue
        sides = [side(cells) for side in reading]
        text = sides[0] if len(sides) == 1 else pair_of(*sides)
        said = read_label(cells, own, number, location)
        if any("\0" in side for side in sides) or (said.label and "\0" in said.label):
            raise DataError(f"{row_name(layout.path, number, location)}: a NUL character; no text has one, remove it")
        columns = dict(zip(layout.columns, cells, strict=True))
        typed_columns = columns if own is None else dict(zip(layout.columns, own, strict=True))
        yield Record(number, text, said.label, columns, typed_columns, said.several)


def _reading(layout: Layout, join: str) -> list[Callable[[Sequence[str]], str]]:
    """A function from cells to text, of a pair one for each side."""
    sides = [side for side in (layout.text, layout.text_pair) if side]
    return [_joined([layout.columns.index(name) for name in side], join) for side in sides]


def _joined(text: Sequence[int], join: str) -> Callable[[Sequence[str]], str]:
    """A function from cells to text: one column is taken as it is; several are joined, blank ones left out."""
    if len(text) == 1:
        return itemgetter(text[0])
    pick = itemgetter(*text)
    return lambda cells: join.join(part for part in pick(cells) if part and not part.isspace())


def _collect(layout: Layout, records: Iterable[Record], data: DataSpec, needs_label: bool, bad: Sequence[int]) -> Table:
    """The table of records that have what is needed; `bad` is filled while they are read."""
    labels: list[str | None] = []
    counts = array("i")  # of labels of each row that may have several; -1 for a row that has one
    rows, empty, missing, again, refused = (array("q") for _ in range(5))
    known: dict[str, str] = {}  # one string per class, whatever the number of rows
    named: dict[str, str] = {}  # class names by number

    sampler, top = Sampler(), layout.columns[0]

    def kept_texts() -> Iterator[str]:
        for record in records:
            if layout.header and record.columns[top] == top and list(record.columns.values()) == list(layout.columns):
                again.append(record.number)
            elif is_blank(record.text):
                empty.append(record.number)
            elif layout.verdict is not None and record.columns[layout.verdict] in REFUSED:
                refused.append(record.number)
            elif record.label is None and needs_label:
                missing.append(record.number)
            else:
                if layout.numbers is not None and record.label is not None:
                    _note_name(named, record, layout)
                labels.append(None if record.label is None else known.setdefault(record.label, record.label))
                counts.append(-1 if record.several is None else len(record.several))
                rows.append(record.number)
                if sampler.takes_next():
                    sampler.take([record.label or "", *(record.columns[name] for name in layout.read if record.columns)])
                yield record.text

    texts = Texts.of(kept_texts())
    dropped = {
        "empty text": empty,
        "missing label": missing,
        "bad row": bad,
        "the header again": again,
        f"{layout.verdict} is reject or ignore": refused,
    }
    several = max(counts, default=0) > 1 or (layout.labels and 0 in counts)
    unsaid = [] if several or not needs_label else [index for index, count in enumerate(counts) if not count]
    missing.extend(rows[index] for index in unsaid)  # an empty list among single labels
    _refuse_losses(layout, len(texts) - len(unsaid), dropped, data.empty_text == "fail")
    if several:
        labels = in_one_form(labels, counts)
    complete = tuple(label for label in labels if label is not None)
    labelled = layout.label is not None and len(complete) == len(texts)
    layout = replace(layout, classes=layout.classes or _in_order(named))
    table = Table(
        texts=texts,
        labels=complete if labelled else None,
        layout=layout,
        dropped={reason: len(numbers) for reason, numbers in dropped.items() if numbers},
        rows=np.frombuffer(rows, dtype=np.int64),
        warnings=(*layout.warnings, *_column_warnings(layout, *sampler.columns())),
    )
    return table.take(np.setdiff1d(np.arange(len(texts)), unsaid)) if unsaid else table


def _note_name(named: dict[str, str], record: Record, layout: Layout) -> None:
    """Keep the name of a class number. Raises DataError where it has another one further up."""
    assert layout.numbers is not None
    assert record.label is not None
    number = record.columns[layout.numbers].strip()
    if (name := named.setdefault(number, record.label)) != record.label:
        raise DataError(
            f"{layout.path}, row {record.number}: {layout.numbers} {number} is '{record.label}' in column '{layout.label}', "
            f"and '{name}' further up; say which is the label: {as_set('data.label', layout.label)} or "
            f"{as_set('data.label', layout.numbers)}"
        )


def _in_order(named: Mapping[str, str]) -> tuple[str, ...]:
    """Class names in the order of their numbers, where these count from 0 or 1 and no name stands twice; else none."""
    if not named or not all(number.isdecimal() for number in named) or len(set(named.values())) < len(named):
        return ()
    order = sorted(named, key=int)
    counted = [int(number) for number in order]
    return tuple(named[number] for number in order) if counted in ([*range(len(order))], [*range(1, len(order) + 1)]) else ()


def _refuse_losses(layout: Layout, kept: int, dropped: Mapping[str, Sequence[int]], fail_empty: bool) -> None:
    """Raise DataError for rows without text that the recipe wants, many rows without a label, or no row left."""
    total = kept + sum(map(len, dropped.values()))
    empty, missing = dropped["empty text"], dropped["missing label"]
    if empty and fail_empty:
        raise DataError(
            f"{layout.path}: {len(empty):,} of {total:,} rows have no text in {layout.read_in_words} "
            f"({_first(empty)}); fill them, or drop them: --set data.empty_text=drop"
        )
    if missing and len(missing) + len(empty) == total:
        raise Unlabelled(f"{layout.path}: every label in column '{layout.label}' is blank: unlabelled")
    if len(missing) > MAX_MISSING_LABELS * total:
        raise DataError(
            f"{layout.path}: {len(missing):,} of {total:,} rows have no label in column '{layout.label}' "
            f"({_first(missing)}); expected at most {MAX_MISSING_LABELS:.0%}: label or remove them"
        )
    if not kept:
        reasons = ", ".join(f"{reason}: {len(rows):,}" for reason, rows in dropped.items() if rows)
        raise DataError(f"{layout.path}: 0 rows{f' left ({reasons})' if reasons else ''}; expected a row for each text")


def _column_warnings(layout: Layout, labels: Sequence[str] = (), *columns: Sequence[str]) -> Iterator[str]:
    """A warning for each text column, of which a sample is given, that holds none, or tells the label without being any."""
    for name, column in zip(layout.read, columns, strict=False):  # lists have none
        cells = Cells(column)
        called = f"column {name}" if layout.header is False else f"column '{name}'"
        role = "in the pair of texts" if layout.text_pair else "joined into the text" if len(layout.text) > 1 else "the text"
        is_text = f"{layout.name}: {called} is {role}, but"
        is_no_text = cells.kind in _NO_TEXT
        if cells.kind == "blank":
            yield f"{is_text} it is blank in every row"
        elif cells.kind == "one value" and len(column) > 1:
            yield f"{is_text} it is {cells.examples()} in every row"
        elif is_no_text:
            yield f"{is_text} it holds {_NO_TEXT[cells.kind]}, such as {cells.examples()}; is that meant?"
        beside = len(layout.read) > 1 and not cells.may_be_text
        if (is_no_text or beside) and (told := _told(column, labels)):
            yield f"{is_text} it tells the label by itself: {told}; readers who will not have it should not train on it"


_NO_TEXT = {
    "dates": "dates",
    "objects": "objects with values of their own",
    "numbers": "numbers",
    "unique numbers": "numbers, nearly all different",
    "unique codes": "codes, nearly all different, as ids are",
}


def _told(cells: Sequence[str], labels: Sequence[str]) -> str:
    """How well a column tells the label, in words; empty where it does not, or there are too few rows or labels to say."""
    if len(labels) < LEAST_TOLD or len(set(labels)) < 2:
        return ""
    alike, chance = told_by(cells, labels)
    if alike < chance + SHARE_TOLD * (1 - chance):
        return ""
    return f"rows next to each other by it have one label in {alike:.0%} of the cases, {chance:.0%} by chance"


def _first(numbers: Sequence[int]) -> str:
    """The first row numbers in words: `rows 1, 2, 3, 4, 5, …`."""
    return f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:5]))}{', …' if len(numbers) > 5 else ''}"


def _list_records(texts: Sequence[Any], labels: Sequence[str] | None, *, pairs: bool) -> Iterator[Record]:
    """The records of Python lists. Raises DataError for what is no text, or no pair of texts among pairs."""
    for index, value in enumerate(texts):
        text = text_of(value, f"texts[{index}]", pairs=pairs)
        if has_surrogate(text):
            raise DataError(f"texts[{index}] holds half of a character; expected valid Unicode")
        yield Record(index + 1, text, None if labels is None else labels[index], {})
