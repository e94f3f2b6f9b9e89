"""Cells that hold labels: which task a file's are for, and the labels in each.

A table's cell is a string. Where a text may have several labels it is a JSON list of them, sorted, `[]` for none; files write
them in many ways, and all are read here. Nothing is guessed that could be a single class: where cells are split, every part
stands in several of them.
"""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Collection, Hashable, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import MORE_SEPARATORS, SEPARATORS, are_measured, is_list, is_no_number, is_object, number_in
from rankwise.data.several import as_list
from rankwise.data.tasks.names import LABEL_COLUMNS, MULTI_LABEL, ORDERED, REGRESSION, SINGLE_LABEL
from rankwise.errors import DataError

if TYPE_CHECKING:
    from rankwise.data.files.table import Table

MOST_BINS, BIN_ROWS = 10, 10  # parts that numbers are apportioned by, and rows in each of them at least
_PRINTED_VALUE = re.compile(r"'[^']*'|\"[^\"]*\"|[-+]?\d+")
_PRINTED = re.compile(rf"\[\s*(?:{_PRINTED_VALUE.pattern})(?:\s+(?:{_PRINTED_VALUE.pattern}))+\s*\]")  # by NumPy: no commas
_BY_LABELLING = {"columns": LABEL_COLUMNS, "flags": MULTI_LABEL, "marks": MULTI_LABEL}


def tags_of(table: Table) -> list[tuple[str, ...]]:
    """The labels of each row: one, or where a text has several, these."""
    cells = table.labels or ()
    if table.task == LABEL_COLUMNS:
        return [_of_columns(cell) for cell in cells]
    return [tuple(_parsed(cell)) for cell in cells] if table.task == MULTI_LABEL else [(cell,) for cell in cells]


def strata_of(table: Table) -> list[tuple[Hashable, ...]]:
    """What rows are apportioned by: their labels, or the tenth of the rows that their number is in."""
    if table.task == REGRESSION:
        return [(number,) for number in quantile_bins(numbers_of(table)).tolist()]
    return list(tags_of(table))


def numbers_of(table: Table) -> NDArray[np.float64]:
    """The numbers that a table's labels are (N,); NaN for a label that is none."""
    return np.array([number_in(cell) for cell in table.labels or ()], dtype=np.float64)


def quantile_bins(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of MOST_BINS parts, of about as many rows each, every number is in (N,); -1 for one that is not known."""
    known = ~np.isnan(numbers)
    bins = max(1, min(MOST_BINS, int(known.sum()) // BIN_ROWS))
    edges = np.unique(np.quantile(numbers[known], np.arange(1, bins) / bins)) if bins > 1 else numbers[:0]
    return np.where(known, np.searchsorted(edges, numbers, side="right"), -1)


def columns_of(table: Table) -> tuple[str, ...]:
    """The label columns of a table whose texts have a label in each, in the order of their first cells."""
    return tuple(dict.fromkeys(name for cell in table.labels or () for name in json.loads(cell)))


@cache
def _of_columns(cell: str) -> tuple[str, ...]:
    return tuple(f"{column}={label}" for column, label in json.loads(cell).items())


def recognised(table: Table, wanted: str = "auto", known: Collection[str] = ()) -> Table:
    """The table with its task, and its cells as that writes them; a warning tells where it was found by looking.

    `wanted` is the recipe's `data.task`, `known` are class names that stand in no cell with another. Raises DataError for
    cells that can't hold several labels where the recipe says that they do.
    """
    labels = table.labels
    if labels is None or table.task != SINGLE_LABEL or wanted == SINGLE_LABEL:
        return table
    if wanted == ORDERED:
        return replace(table, task=ORDERED)
    distinct = set(labels)
    if wanted == REGRESSION or (wanted == "auto" and table.layout.labelling == "one" and are_measured(distinct)):
        return _measured(table, asked=wanted == REGRESSION)
    if LABEL_COLUMNS in (wanted, _BY_LABELLING.get(table.layout.labelling)):
        if not all(map(is_object, distinct)):
            raise DataError(
                f"{table.layout.path}: its labels are in one column; expected several for data.task={LABEL_COLUMNS}: "
                "--set 'data.label=[COLUMN, COLUMN]'"
            )
        return replace(table, task=LABEL_COLUMNS)
    lists = [cell for cell in distinct if is_list(cell)]
    if wanted == "auto" and lists and len(lists) < len(distinct):
        return table  # lists beside others: classes that are called so, or a file to look at
    separator = None if lists else _separator(distinct, known, wanted)
    if wanted == "auto" and not lists and separator is None and table.layout.labelling == "one":
        return table
    several = {cell: _parts(cell, separator, known) for cell in distinct}
    if wanted == "auto" and table.layout.labelling == "one":
        example = next((cell for cell in labels if len(several[cell]) > 1), None)
        if example is None:
            return table  # a list of one label in each row: no reason to expect more
        told = (
            f"labels look like {'lists' if lists else 'several in one cell'}, such as '{example:.40}', so a text may have "
            f"several ({MULTI_LABEL}); if each cell is one label, type --set data.task={SINGLE_LABEL}"
        )
        table = replace(table, warnings=(*table.warnings, told))
    written = {cell: as_list(sorted(parts)) for cell, parts in several.items()}
    return replace(table, task=MULTI_LABEL, labels=tuple(written[cell] for cell in labels))


def read_as(table: Table, task: str, known: Collection[str]) -> Table:
    """A further table of a task that is known, with its cells as that writes them."""
    return recognised(table, task, known) if task != SINGLE_LABEL else table


def _measured(table: Table, *, asked: bool) -> Table:
    """The table as one of numbers, without the rows whose label is a word for none; a warning where nobody `asked` for it."""
    if table.layout.labelling != "one":
        raise DataError(
            f"{table.layout.path}: its labels are in several columns; expected one of numbers for data.task={REGRESSION}: "
            "--set data.label=COLUMN"
        )
    labels = table.labels or ()
    missing = np.array(list(map(is_no_number, labels)), dtype=np.bool_)
    if missing.any() and not missing.all():
        dropped = {**table.dropped, "missing label": table.dropped.get("missing label", 0) + int(missing.sum())}
        table = replace(table.take(np.flatnonzero(~missing)), dropped=dropped)
    if not asked:
        distinct = list(dict.fromkeys(table.labels or ()))
        told = (
            f"labels are {len(distinct):,} numbers, some with fractions, such as {', '.join(distinct[:3])}, so a number is "
            f"estimated ({REGRESSION}); if each is a class, type --set data.task={SINGLE_LABEL}"
        )
        table = replace(table, warnings=(*table.warnings, told))
    return replace(table, task=REGRESSION)


@cache
def _parsed(cell: str) -> list[str]:
    labels: list[str] = json.loads(cell)
    return labels


def _parts(cell: str, separator: str | None, known: Collection[str]) -> list[str]:
    """The labels in a cell: a list as JSON or Python writes it, or parts between separators."""
    plain = cell.strip()
    if is_list(plain):
        return _listed(plain)
    if separator is None or plain in known:
        return [plain] if plain else []
    return [part for part in (part.strip() for part in plain.split(separator)) if part]


def _listed(cell: str) -> list[str]:
    """The labels in a list. Raises DataError for one that can't be read."""
    if _PRINTED.fullmatch(cell):
        return [value.strip("'\"") for value in _PRINTED_VALUE.findall(cell)]
    try:
        values = json.loads(cell)
    except ValueError:
        try:
            values = ast.literal_eval(cell)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            inside = cell[1:-1]  # [joy, anger], without quotes
            values = [part.strip() for part in inside.split(",")] if inside.strip() else []
    if not isinstance(values, (list, tuple, set)) or any(
        isinstance(value, (list, dict)) or value is None for value in values
    ):
        raise DataError(f'label \'{cell:.60}\' is no list of labels; expected one such as ["joy", "anger"]')
    return [str(value).lower() if isinstance(value, bool) else str(value) for value in values]


def _separator(cells: Iterable[str], known: Collection[str], wanted: str) -> str | None:
    """What stands between labels in these cells; None where nothing does.

    By itself a separator is found where each part of each cell that has one is a label elsewhere too, alone or in another
    combination, so that `Business, Finance` stays a class where nothing else is called so. Where the recipe says that there
    are several, the first that stands in a cell is taken where no such is found.
    """
    cells, first = [cell for cell in cells if cell not in known], None
    for separator in SEPARATORS if wanted == "auto" else (*SEPARATORS, *MORE_SEPARATORS):
        parts = {cell: [part.strip() for part in cell.split(separator)] for cell in cells}
        combined = [several for several in parts.values() if len(several) > 1]
        if not combined:
            continue
        counts = Counter(part for several in parts.values() for part in set(several))
        found = (all(part and (counts[part] > 1 or part in known) for part in several) for several in combined)
        if all(found):
            return separator
        first = first or separator
    return None if wanted == "auto" else first
