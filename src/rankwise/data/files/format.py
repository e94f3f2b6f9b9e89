"""What a file format is: the suffixes that its files have, how they are read, and how predictions are written in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rankwise.data.files.rows import Rows
from rankwise.data.files.text import TextFile

OutputRow = Mapping[str, str | int | float]
"""One prediction, by column."""


class Writer(Protocol):
    """Writes rows under fixed columns to a file."""

    def write(self, row: OutputRow) -> None: ...

    def finish(self) -> None:
        """Write what is still held."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Format:
    """One file format; it is known by the suffix of a file's name."""

    reads: tuple[str, ...]
    """Suffixes of the files that it reads, such as `.csv`."""
    read: Callable[[TextFile], Rows]
    writes: tuple[str, ...]
    """Suffixes of the files that it writes; messages name these."""
    writer: Callable[[Path, str, Sequence[str]], Writer]
    """(file, suffix, columns) → a writer."""
    gzipped: bool = True
    """Whether files may also be compressed as .gz."""


FORMATS: list[Format] = []


def register(format: Format) -> None:
    """Make a format known; a file in `formats/` calls this once."""
    FORMATS.append(format)
