"""Where predictions go: a file in the format that its name says, written row by row, and renamed to it when whole."""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from rankwise.data.files.formats import WRITERS
from rankwise.data.files.rows import OutputRow
from rankwise.errors import DataError


class Sink:
    """Write rows under fixed columns to `path`, as a context manager; an error leaves no half-written file behind."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        """Raise DataError for a path that can't be written, before there is anything to write."""
        if path.suffix not in WRITERS:
            raise DataError(f"{path.name}: can't write '{path.suffix}' files; expected one of {', '.join(WRITERS)}")
        if not path.parent.is_dir():
            raise DataError(f"{path}: no such folder: {path.parent}; make it first, or give another --out")
        if path.is_dir():
            raise DataError(f"{path}: a folder; give a file, such as --out {path / 'predictions.csv'}")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise DataError(f"{path}: no permission to write into {path.parent}; give another --out")
        self.path = path
        self.columns = list(columns)
        self.draft = path.with_name(f".draft-{path.name}")
        self.rows = 0

    def __enter__(self) -> Self:
        self.writer = WRITERS[self.path.suffix].writer(self.draft, self.columns)
        return self

    def write(self, row: OutputRow) -> None:
        self.writer.write(row)
        self.rows += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with closing(self.writer):
                if kind is None:
                    self.writer.finish()
            if kind is None:
                self.draft.replace(self.path)
        finally:
            self.draft.unlink(missing_ok=True)
