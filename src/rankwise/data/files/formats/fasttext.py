"""fastText's training files: a line for each text, in which a word `__label__NAME` is the label; several words are several.

Files made for another prefix begin each line with it: `__class__NAME`.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from rankwise.data.files.rows import Format, Row, Rows
from rankwise.data.files.text import TextFile, filled_lines

SNIFFED = 100  # lines whose beginnings say what stands before labels
LABELLED = 0.5  # share of lines from which on a file without a known ending is one

_LABEL = re.compile(r"(?:(?<=\s)|^)__label__(\S+)\s*")
_OTHER = re.compile(r"(__[^\W\d_]+__)(?=\S)")


def recognises(lines: Sequence[str]) -> bool:
    """Whether lines are those of such a file."""
    labelled = sum(bool(_LABEL.search(line)) for line in lines)
    return labelled > LABELLED * len(lines) or (len(lines) > 1 and _other_prefix(lines) is not None)


def read(file: TextFile) -> Rows:
    """The texts and their labels; a line without one is a text without a label."""
    prefix = _other_prefix([line for _, line in islice(filled_lines(file), SNIFFED)])
    label = re.compile(_LABEL.pattern.replace("__label__", prefix)) if prefix else _LABEL
    name = f"fastText{f', {prefix} before labels' if prefix else ''}{', gzip' if file.compressed else ''}"
    return Rows(name, lambda: _rows(file, label), ("label", "text"), typed=True)


def _other_prefix(lines: Sequence[str]) -> str | None:
    """What every line begins with where that is not `__label__` but looks like it; None where nothing is."""
    found = {match[1] if (match := _OTHER.match(line)) else None for line in lines}
    prefix = found.pop() if len(found) == 1 else None
    return prefix if prefix != "__label__" else None


def _rows(file: TextFile, label: re.Pattern[str]) -> Iterator[Row]:
    for number, line in filled_lines(file):
        labels = list(dict.fromkeys(label.findall(line)))
        yield number, [labels if len(labels) > 1 else "".join(labels), label.sub("", line).strip()]


FORMAT = Format(read=read, recognises=recognises)
