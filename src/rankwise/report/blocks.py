"""What a report is made of: sections of blocks. A block is a paragraph, a table, a figure, facts, texts or code.

A figure carries the table of its numbers, so that nothing can be seen that can't be read or downloaded. A value is a number,
a text, an Interval or None, and its column's kind says how it is shown: `share` 0.895 as 89.5 (the column's label says %),
`signed` as +4.4, `count` with thousands apart, `number` with three digits after the point, `seconds` as 2 min 3 s. CSV
gives every value as it is, an interval in three columns.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from matplotlib.figure import Figure as Picture

from rankwise.stats.intervals import Interval
from rankwise.stats.scores import Mistake

Kind = Literal["text", "count", "number", "share", "signed", "seconds", "rate"]
Value = str | int | float | Interval | None
NOT_AVAILABLE = "n/a"


@dataclass(frozen=True)
class Column:
    """`name` heads it in CSV, `label` on the page. `interval`: its values are Intervals."""

    name: str
    label: str
    kind: Kind = "text"
    interval: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first column names the row."""

    name: str
    """What its file is called, without an ending; unique in a report."""
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    marked: frozenset[int] = frozenset()
    """Rows that stand out, such as a run among its baselines."""
    folded: bool = False
    """Opened on demand."""

    def as_csv(self) -> str:
        """RFC 4180 with a header; numbers as they were computed."""
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\r\n")
        heads = [name for column in self.columns for name in _heads(column)]
        writer.writerow(heads)
        for row in self.rows:
            writer.writerow([cell for column, value in zip(self.columns, row, strict=True) for cell in _cells(column, value)])
        return written.getvalue()

    def link(self) -> str:
        """The CSV as a `data:` address."""
        return f"data:text/csv;charset=utf-8,{quote(self.as_csv(), safe='')}"


@dataclass(frozen=True)
class Figure:
    """A picture, what it shows in words, and its numbers."""

    title: str
    summary: str
    """What a person who does not see it should know."""
    picture: Picture
    table: Table
    note: str = ""
    """How to read it, where it needs saying."""

    @property
    def name(self) -> str:
        return self.table.name


@dataclass(frozen=True)
class Paragraph:
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Notes:
    """Lines that say something each."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Quotes:
    """Texts, and the same as a table to download."""

    items: tuple[Mistake, ...]
    table: Table


@dataclass(frozen=True)
class Code:
    """What to type, or a file; `folded` files open on demand."""

    text: str
    title: str = ""
    folded: bool = False


Block = Paragraph | Table | Figure | Facts | Notes | Quotes | Code


@dataclass(frozen=True)
class Section:
    """A heading, blocks, and sections one level down."""

    name: str
    """The address within the page; unique."""
    title: str
    blocks: tuple[Block, ...] = ()
    sections: tuple[Section, ...] = ()
    lead: str = ""


@dataclass(frozen=True)
class Stat:
    """A number that should be seen first."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    """A page."""

    title: str
    lead: str
    stats: tuple[Stat, ...]
    sections: tuple[Section, ...]
    foot: str
    """What made the page."""

    def figures(self) -> list[Figure]:
        """Every figure, in the order of the page."""
        return [block for section in _all(self.sections) for block in section.blocks if isinstance(block, Figure)]


def shown(value: Value, kind: Kind) -> str:
    """A value as a person reads it; of an interval the estimate alone. Nothing where there is nothing to say."""
    number = value.value if isinstance(value, Interval) else value
    if number is None:
        return NOT_AVAILABLE if isinstance(value, Interval) else ""
    return number if isinstance(number, str) else shown_number(number, kind)


def shown_number(number: float, kind: Kind) -> str:
    if kind == "share":
        return f"{100 * number:z.1f}"
    if kind == "signed":
        return f"{100 * number:+z.1f}"
    if kind == "count":
        return f"{number:,.0f}"
    if kind == "seconds":
        return _duration(number)
    if kind == "rate":
        return f"{number:.3g}"
    if kind == "number":
        return f"{number:z.3f}" if abs(number) < 100 else f"{number:,.0f}"
    return str(number) if isinstance(number, int) else f"{number:g}"


def shown_bounds(value: Value, kind: Kind) -> str:
    """`[88.8, 90.2]`, or nothing where there are none."""
    if not isinstance(value, Interval) or value.low is None or value.high is None:
        return ""
    return f"[{shown_number(value.low, kind)}, {shown_number(value.high, kind)}]"


def in_words(value: Value, kind: Kind) -> str:
    """Estimate and bounds, with % where the kind is a share."""
    unit = {"share": "\u00a0%", "signed": "\u00a0points"}.get(kind, "")
    bounds = shown_bounds(value, kind)
    return shown(value, kind) + unit + (f" {bounds}" if bounds else "")


def percent(share: float, digits: int = 1) -> str:
    """`4.3 %`, which no line break divides."""
    return f"{100 * share:.{digits}f}\u00a0%"


def listed(names: Sequence[str]) -> str:
    """`a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _duration(seconds: float) -> str:
    if seconds < 59.5:
        return f"{seconds:.1f} s" if 0 < seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _heads(column: Column) -> tuple[str, ...]:
    return (column.name, f"{column.name}_low", f"{column.name}_high") if column.interval else (column.name,)


def _cells(column: Column, value: Value) -> tuple[str | int | float | None, ...]:
    if isinstance(value, Interval):
        return value.value, value.low, value.high
    return (value, None, None) if column.interval else (value,)


def _all(sections: Sequence[Section]) -> list[Section]:
    return [found for section in sections for found in (section, *_all(section.sections))]
