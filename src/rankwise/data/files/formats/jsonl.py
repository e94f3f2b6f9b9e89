"""JSON Lines: one object a line, columns by key."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rankwise.data.files.rows import PROBED_ROWS, Format, OutputRow, Row, Rows
from rankwise.data.files.text import TextFile, read_lines, refuse_utf16
from rankwise.errors import DataError

EXPECTED = 'expected one JSON object a line, such as {"text": "…", "label": "…"}'


def read(file: TextFile) -> Rows:
    """The rows of a JSON Lines file, cells as typed values; the first objects' keys are the columns."""
    refuse_utf16(file)
    first = (entry for _, entry in islice(_objects(file), PROBED_ROWS) if entry is not None)
    columns = tuple(dict.fromkeys(key for entry in first for key in entry))
    return Rows(f"JSONL{', gzip' if file.compressed else ''}", lambda: _rows(file, columns), columns, typed=True)


def _write(path: Path, _columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(json.dumps(dict(row), ensure_ascii=False) + "\n" for row in rows)


def _rows(file: TextFile, columns: Sequence[str]) -> Iterator[Row]:
    for line, entry in _objects(file):
        yield line, None if entry is None else [entry.get(column) for column in columns]


def _objects(file: TextFile) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Line numbers and the objects there; None for a bad line that is to be skipped."""
    for number, line in enumerate(read_lines(file), start=1):
        if line.isspace():
            continue
        try:
            entry = json.loads(line, object_pairs_hook=_unique)
            if not isinstance(entry, dict):
                raise ValueError(f"found a {type(entry).__name__}")
        except (ValueError, RecursionError) as error:
            if not file.skip_bad:
                problem = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
                raise DataError(f"{file.name}, line {number}: {problem}; {EXPECTED}") from None
            entry = None
        yield number, entry


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise ValueError(f"the key '{Counter(key for key, _ in pairs).most_common(1)[0][0]}' stands twice")
    return entry


FORMAT = Format(reads=(".jsonl", ".ndjson", ".json"), read=read, writes=(".jsonl",), write=_write)
