"""What a reader of files gives: rows of cells, one at a time and in bounded memory.

CSV yields strings, other formats typed values, which `as_strings` turns into strings. A row's location is its line number,
its file name, or 0 where there is neither.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rankwise.data.files.text import has_surrogate
from rankwise.errors import DataError

PROBED_ROWS = 1000  # looked at to find columns, and held at a time

Location = int | str
Row = tuple[Location, Sequence[Any] | None]
"""A location and its cells; None for a bad row that the recipe says to skip."""

_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Rows:
    """The rows of a source. `read()` starts at the top each time; it raises DataError at a row that can't be read."""

    format: str
    read: Callable[[], Iterator[Row]]
    columns: tuple[str, ...] | None = None
    """None where only the first row could name them."""
    compression: str | None = None
    delimiter: str | None = None
    typed: bool = False
    """Whether cells are typed values instead of strings."""
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Class names by column, from a hub data set's features."""


def as_strings(rows: Iterator[Row], used: Collection[int], columns: Sequence[str], name: str) -> Iterator[Row]:
    """Typed rows as strings: 3 and 3.0 as "3", true as "true", missing as "". A `used` column must hold one type."""
    kinds: dict[int, str] = {}
    for number, (location, cells) in enumerate(rows, start=1):
        if cells is None:
            yield location, None
            continue
        try:
            for index in used:
                _check_kind(cells[index], index, kinds)
            yield location, [cell if type(cell) is str and cell.isascii() else _string(cell) for cell in cells]
        except _WrongValue as error:
            column = f", column '{columns[error.column]}'" if error.column is not None else ""
            raise DataError(f"{row_name(name, number, location)}{column}: {error}") from None


def row_name(name: str, number: int, location: Location) -> str:
    """A row's name in messages: `train.csv, row 3 (line 5)`."""
    if not location:
        return f"{name}, row {number}"
    return f"{name}, row {number} ({location if isinstance(location, str) else f'line {location}'})"


def first_line(error: Exception) -> str:
    """The first line of another library's error, or its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


class _WrongValue(ValueError):
    """A cell that can't be read as text; `column` is the index of its column, where the column is part of the problem."""

    def __init__(self, message: str, column: int | None = None) -> None:
        super().__init__(message)
        self.column = column


def _check_kind(value: Any, index: int, kinds: dict[int, str]) -> None:
    """Raise _WrongValue for a value of another kind than those above it in its column."""
    if _is_missing(value):
        return
    kind = _KINDS.get(type(value))
    if kind is None:
        raise _WrongValue(f"found a {type(value).__name__}, expected text or a number; flatten it first", index)
    if kinds.setdefault(index, kind) != kind:
        problem = f"found {kind} ({value!r:.40}) after {kinds[index]}"
        raise _WrongValue(f"{problem}; write the column in one type", index)


def _string(cell: Any) -> str:
    if _is_missing(cell):
        return ""
    if isinstance(cell, str):
        if has_surrogate(cell):
            raise _WrongValue("a lone surrogate, half of a character; write the text again as valid Unicode")
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, (list, dict)) else str(cell)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
