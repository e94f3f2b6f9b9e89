"""Delimited text cut into rows and cells in a known dialect, line by line and in bounded memory."""

import csv
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rankwise.data.files.text import MAX_FIELD, TextFile, read_lines
from rankwise.recipe import DELIMITERS

RETURN = "\udc0d"  # a carriage return inside a line while the csv module reads it; no decoded text holds half a character

_FIELD_LIMIT = threading.Lock()
_WORDS = {"double": "", "single": "single quotes", "backslash": "a backslash before quotes", "none": "quotes are characters"}


@dataclass(frozen=True)
class Dialect:
    """One way to cut a file into rows and cells."""

    delimiter: str
    quoting: str
    """`double`, `single`, `backslash` or `none`, as the recipe's `data.quoting` says."""
    line_end: str = "\n"
    top: int = 0
    """Lines above the first row: `sep=;`, or comments."""
    width: int = 0
    """Cells of the first row that is no comment."""
    spaced: bool = False
    """Whether blanks may stand between a delimiter and the quote behind it."""
    comments: int = 0
    """How many lines are comments."""

    def describe(self) -> str:
        """The dialect in words: `tab, quotes are characters, 2 comment lines`."""
        name = next((name for name, character in DELIMITERS.items() if character == self.delimiter), f"'{self.delimiter}'")
        comments = f"{self.comments:,} comment line{'' if self.comments == 1 else 's'}" if self.comments else ""
        return ", ".join(filter(None, (name, _WORDS[self.quoting], comments)))

    @property
    def quote(self) -> str:
        return "'" if self.quoting == "single" else '"'

    def split(self, line: str) -> list[str]:
        """A line's cells with quotes as characters."""
        return line.rstrip("\r\n").split(self.delimiter)

    def reader(self, lines: Iterable[str]) -> Any:
        """A csv reader in this dialect."""
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            quoting=csv.QUOTE_NONE if self.quoting == "none" else csv.QUOTE_MINIMAL,
            escapechar="\\" if self.quoting == "backslash" else None,
            skipinitialspace=self.spaced,
            strict=True,
        )


@dataclass
class CutRow:
    """One row as a dialect cuts it, or why it can't."""

    line: int
    """The number of its first line, from 1."""
    lines: list[str]
    cells: list[str]
    error: str = ""
    """The csv module's words where the quotes are wrong."""

    @property
    def last(self) -> int:
        """The number of its last line."""
        return self.line + len(self.lines) - 1


def rows_of(file: TextFile, dialect: Dialect) -> Iterator[CutRow]:
    """Every row of a file that is neither blank nor a comment; its `lines` are good until the next one is asked for."""
    for row in cut(islice(lines_of(file, dialect), dialect.top, None), dialect):
        if not is_comment(row, dialect):
            yield row


def cut(lines: Iterable[str], dialect: Dialect) -> Iterator[CutRow]:
    """Every row that is not blank; the first line's number is that of the first one below the top."""
    kept: list[str] = []
    reader = dialect.reader(_kept(lines, kept))
    number = dialect.top + 1
    while True:
        kept.clear()
        error = ""
        try:
            cells = _next_cells(reader)
        except csv.Error as problem:
            cells, error = [], str(problem)
        if cells is None:
            return
        if error or not _is_blank(cells, dialect):
            if any(RETURN in line for line in kept):
                cells = [cell.replace(RETURN, "\r") for cell in cells]
            yield CutRow(number, kept, cells, error)
        number += len(kept)


def lines_of(file: TextFile, dialect: Dialect) -> Iterator[str]:
    """A file's lines as the csv module can read them: it takes a bare carriage return in quotes only."""
    for line in read_lines(file, end=dialect.line_end):
        readable = line
        if dialect.line_end == "\n" and "\r" in line:
            body = line.rstrip("\r\n")
            readable = body.replace("\r", RETURN) + line[len(body) :]
        yield _with_literal_backslashes(readable, dialect) if dialect.quoting == "backslash" else readable


def is_comment(row: CutRow, dialect: Dialect) -> bool:
    """Whether a row among others is a comment: `# ` and no second cell, where rows have several."""
    return len(row.cells) == 1 < dialect.width and row.lines[0].startswith(("# ", "##"))


def _kept(lines: Iterable[str], into: list[str]) -> Iterator[str]:
    for line in lines:
        into.append(line)
        yield line


def _next_cells(reader: Iterator[list[str]]) -> list[str] | None:
    """The next row; None at the end.

    The csv module keeps one field limit for the whole process, so it is raised for one row and put back.
    """
    with _FIELD_LIMIT:
        before = csv.field_size_limit(MAX_FIELD)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(before)


def _with_literal_backslashes(line: str, dialect: Dialect) -> str:
    """A line whose backslashes are doubled where they stand before no quote, delimiter, line end or backslash: C:\\temp."""
    if "\\" not in line:
        return line
    pairs = rf'\\([\\"\r\n{re.escape(dialect.delimiter)}])|\\'
    return re.sub(pairs, lambda pair: pair[0] if pair[1] else "\\\\", line)


def _is_blank(cells: Sequence[str], dialect: Dialect) -> bool:
    return not cells or (len(cells) == 1 != dialect.width and not cells[0].strip("\x1a \t"))
