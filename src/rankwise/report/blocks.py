"""What a report is made of: sections of blocks.

A column's kind says how its values are shown: `share` 0.895 as 89.5 (the column's label says %), `signed` as +4.4, `count`
with thousands apart, `number` with three digits after the point, `seconds` as 2 min 3 s. CSV gives every value as it is.
"""

import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass, replace
from typing import Self

from matplotlib.figure import Figure as Picture

from rankwise.report.words import Kind, Value
from rankwise.stats.intervals import Interval


@dataclass(frozen=True)
class Column:
    """`name` heads it in CSV, `label` on the page."""

    name: str
    label: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows under columns; the first column names the row. A folded one is opened on demand."""

    name: str
    """What its file is called, without an ending; unique in a report."""
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    marked: Collection[int] = ()
    """Rows that stand out, such as a run among its baselines."""
    folded: bool = False

    def without(self, label: str) -> Self:
        """The same with nothing in the columns of this label."""
        blank = {index for index, column in enumerate(self.columns) if column.label == label}
        rows = [[None if index in blank else value for index, value in enumerate(row)] for row in self.rows]
        return replace(self, rows=rows) if blank else self

    def as_csv(self) -> str:
        """RFC 4180 with a header; numbers as they were computed, a column that has an Interval as three."""
        wide = {index for row in self.rows for index, value in enumerate(row) if isinstance(value, Interval)}
        ends = [("", "_low", "_high") if index in wide else ("",) for index in range(len(self.columns))]
        written = io.StringIO()
        writer = csv.writer(written, lineterminator="\r\n")
        writer.writerow([column.name + end for column, own in zip(self.columns, ends, strict=True) for end in own])
        for row in self.rows:
            cells = [astuple(value) if isinstance(value, Interval) else (value, None, None) for value in row]
            writer.writerow([cell for own, three in zip(ends, cells, strict=True) for cell in three[: len(own)]])
        return written.getvalue()


@dataclass(frozen=True)
class Figure:
    """A picture, what it shows in words, and its numbers, so that nothing can be seen that can't be read or downloaded."""

    title: str
    summary: str
    """What a person who does not see it should know."""
    picture: Picture
    table: Table
    note: str = ""
    """How to read it, where it needs saying."""


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Facts:
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Notes:
    items: Sequence[str]


@dataclass(frozen=True)
class Part:
    """Of a quoted text: a word that pulled somewhere, or what stands between such."""

    text: str
    score: float = 0.0
    """What it adds to the margin of the class that it was taken for; below 0 it pulled away, 0 is of other text."""
    strong: bool = False


@dataclass(frozen=True)
class Quotes:
    """Texts that were taken for another class; a row is (row, truth, predicted, confidence, text)."""

    table: Table
    parts: Sequence[Sequence[Part]] = ()
    """Of each row's text, where its words are explained."""


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
    blocks: Sequence[Block] = ()
    sections: Sequence["Section"] = ()
    lead: str = ""
    note: str = ""
    """How to read its blocks, below them."""

    def prefixed(self, prefix: str) -> Self:
        """The same with other addresses and file names, for a page that holds several of its kind."""
        return replace(self, name=prefix + self.name, blocks=[_prefixed(block, prefix) for block in self.blocks])


@dataclass(frozen=True)
class Stat:
    """A number that should be seen first."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Report:
    title: str
    lead: str
    stats: Sequence[Stat]
    sections: Sequence[Section]

    def figures(self) -> list[Figure]:
        sections = [section for outer in self.sections for section in (outer, *outer.sections)]
        return [block for section in sections for block in section.blocks if isinstance(block, Figure)]


def _prefixed(block: Block, prefix: str) -> Block:
    if isinstance(block, Table):
        return replace(block, name=prefix + block.name)
    if isinstance(block, Figure | Quotes):
        return replace(block, table=replace(block.table, name=prefix + block.table.name))
    return block
