"""TREC's question files: a line for each text, `COARSE:fine text`, such as `DESC:manner How did serfdom develop`."""

import re
from collections.abc import Iterator, Sequence

from rankwise.data.files.rows import Format, Row, Rows
from rankwise.data.files.text import TextFile, filled_lines
from rankwise.errors import DataError

_LINE = re.compile(r"([A-Z]{2,}):(\w+)\s+(\S.*)", re.DOTALL)


def recognises(lines: Sequence[str]) -> bool:
    """Whether lines are those of such a file."""
    return all(_LINE.match(line) for line in lines)


def read(file: TextFile) -> Rows:
    """The texts with their coarse `label` and their `fine_label`, which has both parts."""
    name = f"TREC, coarse labels (the others: --set data.label=fine_label){', gzip' if file.compressed else ''}"
    return Rows(name, lambda: _rows(file), ("label", "fine_label", "text"))


def _rows(file: TextFile) -> Iterator[Row]:
    for number, line in filled_lines(file):
        parts = _LINE.match(line)
        if parts:
            yield number, [parts[1], f"{parts[1]}:{parts[2]}", parts[3].strip()]
        elif file.skip_bad:
            yield number, None
        else:
            raise DataError(
                f"{file.name}, line {number}: found '{line.strip()[:40]}', expected COARSE:fine and a text as in the first "
                "line; mend it, or drop such lines: --set data.skip_bad_rows=true"
            )


FORMAT = Format(read=read, recognises=recognises)
