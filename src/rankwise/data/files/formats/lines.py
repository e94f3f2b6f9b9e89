"""Plain text: every line that is not blank is a text, without a label."""

from collections.abc import Iterator

from rankwise.data.files.rows import Format, Row, Rows
from rankwise.data.files.text import TextFile, filled_lines


def read(file: TextFile) -> Rows:
    """The texts, line by line."""
    return Rows(f"a text on each line{', gzip' if file.compressed else ''}", lambda: _rows(file), ("text",))


def _rows(file: TextFile) -> Iterator[Row]:
    for number, line in filled_lines(file):
        yield number, [line.rstrip("\r\n")]


FORMAT = Format(read=read)
