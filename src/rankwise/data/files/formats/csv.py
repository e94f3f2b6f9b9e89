"""CSV and TSV: the delimiter is found out, a row of another width is an error with its line."""

import csv
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

from rankwise.data.files.rows import Format, OutputRow, Row, Rows
from rankwise.data.files.text import MAX_FIELD, TextFile, read_lines, refuse_utf16
from rankwise.errors import DataError

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
SNIFFED_LINES, SNIFFED_CHARACTERS = 100, 1_000_000  # looked at to find a delimiter, whichever is reached first

_FIELD_LIMIT = threading.Lock()


def read(file: TextFile) -> Rows:
    """The rows of a CSV or TSV file, cells as strings."""
    refuse_utf16(file)
    tabs = file.suffix in (".tsv", ".tab")
    delimiter = "\t" if tabs else _delimiter(file)
    format = f"{'TSV' if tabs else 'CSV'}{', gzip' if file.compressed else ''}, {DELIMITERS[delimiter]}"
    return Rows(format, lambda: _rows(file, delimiter))


def write_lines(stream: TextIO, columns: Sequence[str], rows: Iterable[OutputRow], *, delimiter: str = ",") -> None:
    """Write CSV to an open stream, such as standard output: a header, then each row as it comes."""
    writer = csv.DictWriter(stream, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _write(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_lines(stream, columns, rows, delimiter="\t" if path.suffix == ".tsv" else ",")


def _delimiter(file: TextFile) -> str:
    """The delimiter that cuts the first lines into the most even rows; a comma when none does."""
    sample: list[str] = []
    for line in islice(read_lines(file), SNIFFED_LINES):
        sample.append(line)
        if sum(map(len, sample)) > SNIFFED_CHARACTERS:
            break
    return max(DELIMITERS, key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: Sequence[str], delimiter: str) -> float:
    """The share of rows with the first row's number of cells, if that is the usual number; 0 for a single cell."""
    reader = csv.reader(sample, delimiter=delimiter)
    widths = [len(cells) for cells in iter(lambda: _next_cells(reader), None) if cells]
    if not widths:
        return 0.0
    width, rows = Counter(widths).most_common(1)[0]
    return rows / len(widths) if width == widths[0] > 1 else 0.0


def _rows(file: TextFile, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(read_lines(file), delimiter=delimiter, strict=True)
    width = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = _next_cells(reader)
        except csv.Error as error:
            problem = _quote_problem(file, line, reader.line_num, str(error))
            if not file.skip_bad or "expected after" not in str(error):  # else the rest of the file is inside the quote
                raise problem from None
            yield line, None
            continue
        if cells is None:
            return
        width = width or len(cells)
        if len(cells) == width:
            yield line, cells
        elif cells and not file.skip_bad:
            raise DataError(
                f"{file.name}, line {line}: {len(cells)} field{'' if len(cells) == 1 else 's'}, expected {width} as in the "
                f"first row; put a text that holds '{delimiter}' in quotes, or drop such rows: --set data.skip_bad_rows=true"
            )
        elif cells:
            yield line, None


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


def _quote_problem(file: TextFile, first: int, last: int, reason: str) -> DataError:
    if "limit" in reason and first == last:
        return DataError(f"{file.name}, line {first}: a field of more than {MAX_FIELD:,} characters; cut or remove it")
    until = "never closes" if "end of data" in reason else f"is not closed well by line {last}"
    return DataError(
        f"{file.name}, line {first}: a quote opens in this row and {until}; close it, and write a quote "
        'inside quotes twice ("")'
    )


FORMAT = Format(reads=(".csv", ".tsv", ".tab"), read=read, writes=(".csv", ".tsv"), write=_write)
