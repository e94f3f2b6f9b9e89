"""Where predictions go: a file in the format that its name says, written row by row, and renamed to it when whole."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from rankwise.data.files.formats import WRITERS, excel
from rankwise.data.files.rows import OutputRow
from rankwise.errors import DataError, as_typed, check_installed
from rankwise.system.storage import told_refusals, whole_file

ADVICE = "free room there, or give another --out, a folder of yours with room and a shorter name"
NEEDS = {  # (package, the extra that brings it), by the suffix of what they write
    **dict.fromkeys((".parquet", ".arrow", ".feather"), ("pyarrow", "train")),
    ".xlsx": ("xlsxwriter", excel.EXTRA),
}
ROOM = 4_096  # bytes that are written to see whether the disk takes any
NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?%?")
RUNS = tuple("=+-@\t\r\n＝＋－＠")  # what a cell begins with that a spreadsheet takes for a formula
SHEETS = (".csv", ".tsv")  # what spreadsheets open


def check_output(path: Path) -> None:
    """Raise DataError for a path that can't be written, or StorageError, before there is anything to write."""
    if path.suffix not in WRITERS:
        raise DataError(f"{path.name}: can't write '{path.suffix}' files; expected one of {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: no such folder: {path.parent}; make it first, or give another --out")
    with told_refusals(path, ADVICE):
        is_folder = path.is_dir()
    if is_folder:
        raise DataError(f"{path}: a folder; give a file, such as --out {as_typed(path / 'predictions.csv')}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"{path}: no permission to write into {path.parent}; give another --out")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> int:
    """Write rows under fixed columns to `path`; how many they were. An error leaves no half-written file behind.

    Raises DataError as `check_output` does, before the first row is asked for, and StorageError where the disk takes no more.
    """
    check_output(path)
    count = 0

    def counted() -> Iterator[OutputRow]:
        nonlocal count
        for count, row in enumerate(rows, start=1):  # noqa: B007 - it is returned
            yield row

    with told_refusals(path, ADVICE), whole_file(path, ending=path.suffix, shared=True) as draft:
        WRITERS[path.suffix](draft, columns, counted())
    return count


def check_room(path: Path) -> None:
    """Raise DataError where no file can be made there, MissingExtra where its format needs what is not installed."""
    if needed := NEEDS.get(path.suffix):
        check_installed(needed[0], extra=needed[1])
    try:
        with NamedTemporaryFile(dir=path.parent, prefix=".room-") as file:
            file.write(b"\0" * ROOM)
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror}); free room there, or give another --out") from error


def defused(columns: Sequence[str], rows: Iterable[OutputRow]) -> tuple[list[str], Iterator[OutputRow]]:
    """Columns and rows whose cells no spreadsheet runs: an apostrophe stands before what it would take for a formula."""
    names = {name: _as_text(name) for name in columns}
    return list(names.values()), ({names[name]: _as_text(row[name]) for name in columns} for row in rows)


def _as_text(cell: Any) -> Any:
    """A cell that stays text in a spreadsheet; numbers, also those written as text, as they are."""
    if isinstance(cell, str) and cell.lstrip(" ").startswith(RUNS) and not NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell
