"""Where predictions go: CSV, JSONL or Parquet by the file's ending, row by row, renamed into place when whole."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from rankwise.errors import DataError

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
PARQUET_ROWS = 4_096  # rows held before a row group is written


class Sink:
    """Write rows under fixed columns to `path`, as a context manager; an error leaves no half-written file behind."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        if path.suffix not in ENDINGS:
            raise DataError(f"{path.name}: can't write '{path.suffix}' files; expected one of {', '.join(ENDINGS)}")
        if not path.parent.is_dir():
            raise DataError(f"{path}: no such folder: {path.parent}; make it first, or give another --out")
        if path.is_dir():
            raise DataError(f"{path}: a folder; give a file, such as --out {path / 'predictions.csv'}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise DataError(f"{path}: no permission to write into {path.parent}; give another --out")
        self.path = path
        self.columns = list(columns)
        self.draft = path.with_name(f".{path.name}.draft")
        self.rows = 0

    def __enter__(self) -> Sink:
        self.writer = _ParquetWriter(self) if self.path.suffix == ".parquet" else _TextWriter(self)
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        self.writer.write(row)
        self.rows += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with closing(self.writer):
                if kind is None:
                    self.writer.flush()
            if kind is None:
                self.draft.replace(self.path)
        finally:
            self.draft.unlink(missing_ok=True)


class TextSink:
    """Rows as CSV on an open stream, such as standard output."""

    def __init__(self, stream: TextIO, columns: Sequence[str]) -> None:
        self.writer = csv.DictWriter(stream, list(columns), lineterminator="\n")
        self.writer.writeheader()

    def write(self, row: Mapping[str, Any]) -> None:
        self.writer.writerow(row)


class _TextWriter:
    def __init__(self, sink: Sink) -> None:
        self.file = sink.draft.open("w", encoding="utf-8", newline="")
        self.csv = None
        if sink.path.suffix != ".jsonl":
            delimiter = "\t" if sink.path.suffix == ".tsv" else ","
            self.csv = csv.DictWriter(self.file, sink.columns, delimiter=delimiter, lineterminator="\n")
            self.csv.writeheader()

    def write(self, row: Mapping[str, Any]) -> None:
        if self.csv is None:
            self.file.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
        else:
            self.csv.writerow(row)

    def flush(self) -> None:
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class _ParquetWriter:
    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.held: list[Mapping[str, Any]] = []
        self.file: Any = None

    def write(self, row: Mapping[str, Any]) -> None:
        self.held.append(row)
        if len(self.held) >= PARQUET_ROWS:
            self.flush()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()

    def flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if not self.held and self.file is not None:
            return
        columns = {name: [row[name] for row in self.held] for name in self.sink.columns}
        table = pa.table(columns) if self.file is None else pa.table(columns, schema=self.file.schema)
        if self.file is None:
            self.file = pq.ParquetWriter(self.sink.draft, table.schema)
        self.file.write_table(table)
        self.held = []
