"""What a format gives: rows of cells, one at a time and in bounded memory; and what it takes, predictions row by row.

CSV yields strings, other formats typed values, which `as_strings` turns into strings. A row's location is its line number,
its file name, or 0 where there is neither.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rankwise.data.clean import has_surrogate
from rankwise.data.files.text import TextFile
from rankwise.data.several import as_list
from rankwise.errors import DataError

PROBED_ROWS = 1000  # looked at to find columns, and held at a time

Location = int | str
Row = tuple[Location, Sequence[Any] | None]
"""A location and its cells; None for a bad row that the recipe says to skip."""
ClassNames = Mapping[str, tuple[str, ...]]
"""Class names by column, in the order of their numbers."""
OutputRow = Mapping[str, Any]
"""One row that is written, by column."""

_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True)
class Rows:
    """The rows of a source. `read()` starts at the top each time; it raises DataError at a row that can't be read."""

    format: str
    """In words: `CSV, gzip, comma`."""
    read: Callable[[], Iterator[Row]]
    columns: tuple[str, ...] | None = None
    """None where only the first row could name them."""
    typed: bool = False
    """Whether cells are typed values instead of strings."""
    classes: ClassNames = field(default_factory=dict)
    """From the features that the datasets library keeps with its data; cells are names, or still their numbers."""


Writer = Callable[[Path, Sequence[str], Iterable[OutputRow]], None]


@dataclass(frozen=True)
class Format:
    """One file format; it is known by the suffix of a file's name, or by what the file begins with."""

    read: Callable[[TextFile], Rows]
    reads: tuple[str, ...] = ()
    """Suffixes of the files that it reads, such as `.csv`."""
    begins: tuple[bytes, ...] = ()
    """What its files begin with, where they are no text."""
    recognises: Callable[[Sequence[str]], bool] | None = None
    """Whether a file that begins with these lines, none of them blank, is of this format."""
    writes: tuple[str, ...] = ()
    """Suffixes of the files that it writes; messages name these."""
    write: Writer | None = None
    """Writes (file, columns, rows), each row as it comes or a few of them together."""
    gzipped: bool = True
    """Whether files may also be compressed as .gz."""


def as_strings(
    rows: Iterator[Row], used: Sequence[str], columns: Sequence[str], name: str, *, listed: str | None = None
) -> Iterator[Row]:
    """Typed rows as strings: 3 and 3.0 as "3", true as "true", missing as "", a list of one as that one.

    A `used` column must hold one value of one type in each row; the one that may be `listed` also several, or none, which
    are written as `several.as_list` does. Raises DataError for others.
    """
    kinds: dict[str, str] = {}
    indices = {column: columns.index(column) for column in used}
    for number, (location, cells) in enumerate(rows, start=1):
        if cells is None:
            yield location, None
            continue
        values = list(cells)
        for column, index in indices.items():
            several = values[index] if isinstance(values[index], list) else None
            if several is not None and column == listed and len(several) != 1:
                problem = next(filter(None, (_wrong_kind(value, column, kinds) for value in several)), "")
                values[index] = as_list(_string(value) for value in several if not _is_missing(value))
            else:
                if several is not None and len(several) < 2:
                    values[index] = several[0] if several else None
                problem = _wrong_kind(values[index], column, kinds)
            if problem:
                raise DataError(f"{row_name(name, number, location)}, column '{column}': {problem}")
        if any(isinstance(cell, str) and has_surrogate(cell) for cell in values):
            problem = "a lone surrogate, half of a character; write the text again as valid Unicode"
            raise DataError(f"{row_name(name, number, location)}: {problem}")
        yield location, [cell if type(cell) is str else _string(cell) for cell in values]


def class_name(value: Any, names: Sequence[str] | None) -> Any:
    """The class name of a number, or of each in a list; -1 is the hub's way to say unlabelled. Other values pass."""
    if names is None or isinstance(value, bool):
        return value
    if isinstance(value, list):
        return [class_name(one, names) for one in value]
    if not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def row_name(name: str, number: int, location: Location) -> str:
    """A row's name in messages: `train.csv, row 3 (line 5)`."""
    if not location:
        return f"{name}, row {number}"
    return f"{name}, row {number} ({location if isinstance(location, str) else f'line {location}'})"


def first_line(error: Exception) -> str:
    """The first line of another library's error, or its type where it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _wrong_kind(value: Any, column: str, kinds: dict[str, str]) -> str:
    """What is wrong with a value of another kind than those above it, which `kinds` keeps by column; empty for nothing."""
    if _is_missing(value):
        return ""
    if isinstance(value, list):
        shown = ", ".join(map(str, value[:3])) + (", …" if len(value) > 3 else "")
        found = f"found {len(value)} values ({shown:.60})"
        return f"{found}, expected one"
    kind = _KINDS.get(type(value))
    if kind is None:
        return f"found a {type(value).__name__}, expected text or a number; flatten it first"
    if kinds.setdefault(column, kind) != kind:
        return f"found {kind} ({value!r:.40}) after {kinds[column]}; write the column in one type"
    return ""


def _string(cell: Any) -> str:
    if _is_missing(cell):
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, (list, dict)) else str(cell)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
