"""CSV and TSV: the dialect is found out, a row of another width is an error with its line."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from rankwise.data.files.delimited import CutRow, Dialect, rows_of
from rankwise.data.files.dialect import dialect_of, evenness
from rankwise.data.files.rows import Format, OutputRow, Row, Rows
from rankwise.data.files.text import MAX_FIELD, TextFile, refuse_utf16
from rankwise.errors import DataError

LOOKED_AT = 100  # rows below one of another width, which say whether that one or the first row is odd
NEARLY_ALL = 0.8  # share of lines from which on a file without a known ending is delimited


def recognises(lines: Sequence[str]) -> bool:
    """Whether lines are those of such a file: some delimiter cuts nearly all of them into as many cells."""
    return len(lines) > 1 and evenness(lines) > NEARLY_ALL


def read(file: TextFile) -> Rows:
    """The rows of a CSV or TSV file, cells as strings."""
    refuse_utf16(file)
    tabs = file.suffix in (".tsv", ".tab")
    dialect = dialect_of(file, delimiter="\t" if tabs else None)
    format = f"{'TSV' if tabs else 'CSV'}{', gzip' if file.compressed else ''}, {dialect.describe()}"
    return Rows(format, lambda: _rows(file, dialect))


def write_lines(stream: TextIO, columns: Sequence[str], rows: Iterable[OutputRow], *, delimiter: str = ",") -> None:
    """Write CSV to an open stream, such as standard output: a header, then each row as it comes."""
    writer = csv.DictWriter(stream, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_lines(stream, columns, rows, delimiter="\t" if path.suffix == ".tsv" else ",")


def _rows(file: TextFile, dialect: Dialect) -> Iterator[Row]:
    width = 0
    rows = rows_of(file, dialect)
    for row in rows:
        if row.error:
            if not file.skip_bad or "expected after" not in row.error:  # else the rest of the file is inside the quote
                raise _quote_problem(file, row, dialect)
            yield row.line, None
            continue
        width = width or len(row.cells)
        if len(row.cells) == width:
            yield row.line, row.cells
        elif file.skip_bad:
            yield row.line, None
        else:
            below = [len(other.cells) for other in islice(rows, LOOKED_AT)]
            fix = f"put a text that holds '{dialect.delimiter}' in quotes"
            if 2 * below.count(width) >= len(below):
                fix += ", or drop such rows: --set data.skip_bad_rows=true"
            else:
                fix = f"most rows below have not either: remove what stands above them, or {fix}"
            raise DataError(
                f"{file.name}, line {row.line}: {len(row.cells)} field{'' if len(row.cells) == 1 else 's'}, expected {width} "
                f"as in the first row; {fix}"
            )


def _quote_problem(file: TextFile, row: CutRow, dialect: Dialect) -> DataError:
    if "limit" in row.error and row.line == row.last:
        return DataError(f"{file.name}, line {row.line}: a field of more than {MAX_FIELD:,} characters; cut or remove it")
    until = "never closes" if "end of data" in row.error else f"is not closed well by line {row.last}"
    return DataError(
        f"{file.name}, line {row.line}: a quote opens in this row and {until}; close it, and write a quote inside quotes "
        f"twice ({2 * dialect.quote}), or have quotes read as characters: --set data.quoting=none"
    )


FORMAT = Format(read=read, reads=(".csv", ".tsv", ".tab"), recognises=recognises, writes=(".csv", ".tsv"), write=_write)
