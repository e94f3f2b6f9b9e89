"""What the cells of a column look like: sentences, dates, numbers, codes, a few values; judged by a sample of the rows.

A sample is drawn from all rows, the first among them: many files are sorted by their label, so their first thousand rows say
little. Blank cells say nothing and are left out.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from random import Random

SAMPLED = 1_000  # rows that are looked at
KEPT = 500  # characters of a cell that are kept of them
MOST_VALUES = 50  # of a column that may be the label without being named
LONGEST_VALUE = 50  # characters of such a value
FEW = 10  # cells, of which nobody can say whether they repeat
NEARLY_ALL = 0.9  # share of the cells that must look alike
NEARLY_FLAGS = 0.99  # share of 0 and 1 in a column among label columns, from which on another cell is a mistake
UNIQUE = 0.95  # share of different values above which they are ids
LEAST_TOLD = 20  # rows, below which it is not asked what a column tells of the label
SHARE_TOLD = 0.5  # of the way from chance to certainty, from which a column is said to tell the label
SHORT = 4  # words on average, below which a column may hold names or titles

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_TIME = r"(?:[ T,]+\d{1,2}:\d{2}.*)?"
_DATE = re.compile(
    rf"\d{{4}}[-/.]\d{{1,2}}(?:[-/.]\d{{1,2}})?{_TIME}"
    rf"|\d{{1,2}}[-/.]\d{{1,2}}[-/.](?:\d{{4}}|\d{{2}}){_TIME}"
    r"|\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?(?: ?[ap]m)?"
    rf"|(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*\.?,? +)?(?:(?:{_MONTHS})[a-z]*\.?[ ,-]+\d{{1,4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th)?[ -]+(?:{_MONTHS})[a-z]*)\b[^a-z]*(?:[a-z]{{1,4}}\b[^a-z]*){{0,2}}",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[-+]?(?:\d+(?:[.,]\d+)*|\.\d+)(?:e[-+]?\d+)?%?", re.IGNORECASE)
_OBJECT = re.compile(r"\s*(?:\[\s*)?\{\s*(?:[\"'].*|\}\s*\]?\s*)", re.DOTALL)  # of JSON, or as Python prints it
_FLAGS = frozenset({"0", "1", "true", "false", "0.0", "1.0"})
_BETWEEN = re.compile(r"[,;|]")
_WITHOUT_SPACES = "\u0e00"  # from Thai on, most scripts put no space between words


class Sampler:
    """Of any number of rows the first and at most SAMPLED others, drawn evenly from all; the same each time."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, list[str]]] = []
        self._count = 0
        self._place = 0
        self._draw = Random(0).random

    def takes_next(self) -> bool:
        """Whether the next row is one of them; then `take` it, which may replace another."""
        self._count += 1
        if self._count <= SAMPLED + 1:
            return True
        self._place = int(self._draw() * (self._count - 1))  # among the rows but for the first
        return self._place < SAMPLED

    def take(self, row: Sequence[str]) -> None:
        """Keep the beginnings of a row's cells."""
        kept = (self._count, [cell[:KEPT] for cell in row])
        if self._count <= SAMPLED + 1:
            self._kept.append(kept)
        else:
            self._kept[self._place + 1] = kept

    def columns(self) -> list[list[str]]:
        """The cells that were taken, column by column, in the order of their rows."""
        rows = [row for _, row in sorted(self._kept, key=lambda pair: pair[0])]
        return [list(cells) for cells in zip(*rows, strict=True)]


def spread(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """The cells of the first row and at most SAMPLED others, drawn evenly from all, column by column."""
    sampler = Sampler()
    for row in rows:
        if sampler.takes_next():
            sampler.take(row)
    return sampler.columns()


@dataclass(frozen=True)
class Cells:
    """A sample of one column's cells."""

    sample: Sequence[str]

    @cached_property
    def filled(self) -> list[str]:
        """The cells that are not blank, without the space around them."""
        return [stripped for cell in self.sample if (stripped := cell.strip())]

    @cached_property
    def values(self) -> list[str]:
        """Every different value once, in the order of their first rows."""
        return list(dict.fromkeys(self.filled))

    @cached_property
    def kind(self) -> str:
        """In words: `blank`, `objects`, `one value`, `dates`, `sentences`, `numbers` or `codes`, or the last two `unique`."""
        if not self.values:
            return "blank"
        if self._share(_OBJECT.fullmatch) >= NEARLY_ALL:
            return "objects"
        if len(self.values) < 2:
            return "one value"
        unique = "unique " if len(self.filled) >= FEW and len(self.values) >= UNIQUE * len(self.filled) else ""
        if self._share(_NUMBER.fullmatch) >= NEARLY_ALL:
            return f"{unique}numbers"
        if self._share(_DATE.fullmatch) >= NEARLY_ALL:
            return "dates"
        if self._share(_has_words) >= 0.5:
            return "sentences"
        return f"{unique}codes"

    @property
    def are_numbers(self) -> bool:
        return self.kind.endswith("numbers") or (len(self.values) == 1 and bool(_NUMBER.fullmatch(self.values[0])))

    @cached_property
    def may_be_labels(self) -> bool:
        """Whether few short values repeat, as labels do."""
        count = len(self.values)
        few = 1 < count <= min(MOST_VALUES, len(self.filled) / 2)
        return few and self.kind not in ("dates", "objects") and max(map(len, self.values)) <= LONGEST_VALUE

    @cached_property
    def may_be_lists(self) -> bool:
        """Whether they are lists of few short values that repeat, as several labels in one cell are: `4,27`, `['joy']`."""
        listed = [_listed(cell) for cell in self.filled]
        if self.kind in ("dates", "objects") or not any(len(values) > 1 for values in listed):
            return False
        known = {value for values in listed for value in values}
        few = 1 < len(known) <= min(MOST_VALUES, len(self.filled) / 2)
        return few and all(listed) and max(map(len, known)) <= LONGEST_VALUE

    @property
    def may_name_labels(self) -> bool:
        """Whether they may be labels, one in a cell or several."""
        return self.may_be_labels or self.may_be_lists

    @cached_property
    def may_be_classes(self) -> bool:
        """Whether a person may take them for labels: they repeat, or are too few to say."""
        if self.kind in ("blank", "objects"):
            return False
        return len(self.filled) < FEW or 1 < len(self.values) <= len(self.filled) / 2

    @cached_property
    def may_be_text(self) -> bool:
        """Whether they are sentences, or at least several words, which hardly repeat."""
        return self.kind == "sentences" and len(self.values) > len(self.filled) / 2

    @cached_property
    def are_flags(self) -> bool:
        """Whether they say yes or no, as the columns of a table of several labels a text do."""
        return bool(self.values) and {value.lower() for value in self.values} <= _FLAGS

    @cached_property
    def are_nearly_flags(self) -> bool:
        """Whether they say so but for a rare other one, or -1 where nobody said."""
        known = {*_FLAGS, "-1", "-1.0"}
        return sum(cell.lower() in known for cell in self.filled) >= NEARLY_FLAGS * len(self.filled)

    @cached_property
    def are_marks(self) -> bool:
        """Whether they say yes wherever they are not blank, as where nobody writes the 0."""
        return {value.lower() for value in self.values} <= {"1", "true", "1.0"}

    @cached_property
    def words(self) -> float:
        """Words a cell, on average."""
        return sum(len(cell.split()) for cell in self.filled) / max(1, len(self.filled))

    def examples(self) -> str:
        """The first values, quoted: `'neg', 'pos'`."""
        return ", ".join(f"'{value:.30}'" for value in self.values[:3]) + (", …" if len(self.values) > 3 else "")

    def _share(self, looks: Callable[[str], object]) -> float:
        return sum(1 for cell in self.filled if looks(cell)) / len(self.filled)


def name_each_other(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether two columns of the same rows say the same in other words: each value of one goes with one of the other."""
    pairs = {(first.strip(), second.strip()) for first, second in zip(one, other, strict=True)}
    return len(pairs) == len({first for first, _ in pairs}) == len({second for _, second in pairs})


def told_by(cells: Sequence[str], labels: Sequence[str]) -> tuple[float, float]:
    """(how often neighbours in the order of these cells have one label, how often two rows at random do).

    A column that says nothing of the label has both alike; one from which it can be read has the first near 1.
    """
    order = sorted(range(len(cells)), key=lambda index: (_number(cells[index]), cells[index], index * 7919 % 104_729))
    same = sum(labels[one] == labels[two] for one, two in pairwise(order))
    counts = [labels.count(label) for label in set(labels)]
    rows = len(labels)
    return same / max(1, rows - 1), sum(count * (count - 1) for count in counts) / max(1, rows * (rows - 1))


def _listed(cell: str) -> list[str]:
    """What a cell lists between commas, semicolons or bars, in brackets or not; nothing where one of them is blank."""
    inner = cell[1:-1] if (cell[0], cell[-1]) in (("[", "]"), ("(", ")"), ("{", "}")) else cell
    values = [value.strip().strip("'\"") for value in _BETWEEN.split(inner)]
    return values if all(values) else []


def _has_words(cell: str) -> bool:
    """Whether a cell has two words or more, or several characters of a script that puts no space between them."""
    if not any(map(str.isalpha, cell)):
        return False
    return len(cell.split()) > 1 or (len(cell) > 3 and max(cell) >= _WITHOUT_SPACES)


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return 0.0
