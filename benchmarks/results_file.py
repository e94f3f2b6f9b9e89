"""CSVs of results: appended to, so that an interrupted benchmark keeps what it had, or written whole."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def append(path: Path, columns: Sequence[str], row: Mapping[str, object]) -> None:
    """Add a row, after a header where the file is new."""
    path.parent.mkdir(exist_ok=True)
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerow(row)


def write(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> None:
    """Replace the file by these rows."""
    path.unlink(missing_ok=True)
    for row in rows:
        append(path, columns, row)
