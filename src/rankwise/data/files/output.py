"""Where predictions go: a file in the format that its name says, written row by row, and renamed to it when whole."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rankwise.data.files.formats import WRITERS
from rankwise.data.files.rows import OutputRow
from rankwise.errors import DataError


def check_output(path: Path) -> None:
    """Raise DataError for a path that can't be written, before there is anything to write."""
    if path.suffix not in WRITERS:
        raise DataError(f"{path.name}: can't write '{path.suffix}' files; expected one of {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: no such folder: {path.parent}; make it first, or give another --out")
    if path.is_dir():
        raise DataError(f"{path}: a folder; give a file, such as --out {path / 'predictions.csv'}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"{path}: no permission to write into {path.parent}; give another --out")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> int:
    """Write rows under fixed columns to `path`; how many they were. An error leaves no half-written file behind.

    Raises DataError as `check_output` does, before the first row is asked for.
    """
    check_output(path)
    draft = path.with_name(f".draft-{path.name}")
    count = 0

    def counted() -> Iterator[OutputRow]:
        nonlocal count
        for count, row in enumerate(rows, start=1):  # noqa: B007 - it is returned
            yield row

    try:
        WRITERS[path.suffix](draft, columns, counted())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return count
