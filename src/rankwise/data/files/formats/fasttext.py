"""fastText's training files: a line for each text, in which a word `__label__NAME` is the label."""

import re
from collections.abc import Iterator, Sequence

from rankwise.data.files.rows import Format, Row, Rows
from rankwise.data.files.text import TextFile, filled_lines
from rankwise.errors import DataError

LABELLED = 0.5  # share of lines from which on a file without a known ending is one

_LABEL = re.compile(r"(?:(?<=\s)|^)__label__(\S+)\s*")


def recognises(lines: Sequence[str]) -> bool:
    """Whether lines are those of such a file."""
    return sum(bool(_LABEL.search(line)) for line in lines) > LABELLED * len(lines)


def read(file: TextFile) -> Rows:
    """The texts and their labels; a line without one is a text without a label."""
    return Rows(f"fastText{', gzip' if file.compressed else ''}", lambda: _rows(file), ("label", "text"))


def _rows(file: TextFile) -> Iterator[Row]:
    for number, line in filled_lines(file):
        labels = list(dict.fromkeys(_LABEL.findall(line)))
        if len(labels) < 2:
            yield number, ["".join(labels), _LABEL.sub("", line).strip()]
        elif file.skip_bad:
            yield number, None
        else:
            raise DataError(
                f"{file.name}, line {number}: {len(labels)} labels ({', '.join(labels)[:60]}), expected one; several labels "
                "for one text are not supported: keep one, or drop such lines: --set data.skip_bad_rows=true"
            )


FORMAT = Format(read=read, recognises=recognises)
