"""How a delimited text is cut into rows and cells: its delimiter, what its quotes mean, what stands above its rows.

Everything is found out from the file itself. A reading is right when every row has the width of the first one and no row in
quotes swallows lines that look like rows of their own. Where two readings fit, the user is asked.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice

from rankwise.data.files.delimited import CutRow, Dialect, cut, is_comment, lines_of
from rankwise.data.files.text import TextFile, line_end
from rankwise.errors import DataError
from rankwise.recipe import DELIMITERS

SNIFFED_LINES, SNIFFED_CHARACTERS = 100, 1_000_000  # looked at to find a delimiter, whichever is reached first
KEPT_VALUES, SHORT = 1_000, 50  # values of a column that are kept to compare with, and their longest
KEPT_SPANS, KEPT_LINES = 50, 100  # rows in quotes that are kept to look into, and lines of one
LOOKED_AT, EVERY = 2_000, 20  # rows that are looked into, and of those below every one of so many, or with quotes
QUOTED_SHARE = 1 / 3  # of a column's cells; where so many are in quotes, quotes are no characters

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)


def dialect_of(file: TextFile, *, delimiter: str | None = None) -> Dialect:
    """The dialect of a file, as far as it is not asked for; `delimiter` is what the file's name says.

    Raises DataError where two readings fit and only somebody who knows the file can tell.
    """
    state = file.path.stat()
    return _found(file, delimiter, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=16)  # a file is opened several times, and each dialect is tried on all of its lines
def _found(file: TextFile, delimiter: str | None, _size: int, _changed: int) -> Dialect:
    dialect = Dialect(delimiter or ",", "none", line_end(file))
    sample = _sample(lines_of(file, dialect))
    separator = _SEPARATOR_LINE.fullmatch(sample[0]) if sample else None
    dialect = replace(dialect, top=int(separator is not None))
    delimiter = file.delimiter or (separator and separator[1]) or delimiter or _delimiter(file, sample[dialect.top :])
    dialect = replace(dialect, delimiter=delimiter)

    def fit(quoting: str, *, spaced: bool = False) -> _Fit:
        return _Fit(file, _with_top(replace(dialect, quoting=quoting, spaced=spaced), sample))

    return (fit(file.quoting) if file.quoting != "auto" else _best(file.name, fit)).told


def evenness(lines: Sequence[str]) -> float:
    """The share of lines that some delimiter cuts into as many cells; all of them below a line that names one."""
    return 1.0 if _SEPARATOR_LINE.fullmatch(lines[0]) else _most_even(lines)[0]


def _sample(lines: Iterable[str]) -> list[str]:
    """The first lines of a file."""
    sample: list[str] = []
    characters = 0
    for line in islice(lines, SNIFFED_LINES):
        sample.append(line)
        characters += len(line)
        if characters > SNIFFED_CHARACTERS:
            break
    return sample


def _with_top(dialect: Dialect, sample: Sequence[str]) -> Dialect:
    """The dialect with the width of the first row, and the comments above it counted to the top."""
    rows = [replace(row, lines=list(row.lines)) for row in cut(sample[dialect.top :], dialect)]
    marked = [row.lines[0].startswith("#") for row in rows]
    above = marked.index(False) if False in marked else 0
    width = len(rows[above].cells) if rows else 0
    comments = 0
    while comments < above and _is_above(rows[comments], rows[above:], width):
        comments += 1
    top = rows[comments].line - 1 if comments else dialect.top
    return replace(dialect, top=top, comments=comments, width=width)


def _is_above(row: CutRow, others: Sequence[CutRow], width: int) -> bool:
    """Whether a line that begins with `#` is a comment above the other rows, which have a width.

    One of their width is if it begins with `# `, has no cell that they have too and is no header, whose cells are words.
    """
    if len(row.cells) != width:
        return True
    if width == 1 or not row.lines[0].startswith("# "):
        return False
    words = all(len(cell.removeprefix("# ").split()) < 2 for cell in row.cells)
    alike = any(cell == other for row_below in others for cell, other in zip(row.cells, row_below.cells, strict=False))
    return not words and not alike


def _delimiter(file: TextFile, sample: Sequence[str]) -> str:
    """The delimiter that cuts the first lines into the most even rows; a comma when none does.

    Raises DataError where several cut all lines evenly.
    """
    most, best = _most_even(sample)
    if most == 1 and len(best) > 1 and len(sample) > 1:
        raise DataError(
            f"{file.name}: {' and '.join(best)} cut all lines evenly; say which stands between cells: "
            + " or ".join(f"--set data.delimiter={name}" for name in best)
        )
    return DELIMITERS[best[0]]


def _most_even(sample: Sequence[str]) -> tuple[float, list[str]]:
    """(the share of rows that a delimiter cuts evenly at best, the delimiters that do)."""
    rows = [line for line in sample if not line.startswith("#")] or sample
    most, best = 0.0, list(DELIMITERS)
    for quoting in ("double", "none", "backslash", "single"):
        shares = {name: _evenness(rows, Dialect(character, quoting)) for name, character in DELIMITERS.items()}
        if max(shares.values()) > most:
            most = max(shares.values())
            best = [name for name, share in shares.items() if share == most]
    return most, best


def _evenness(sample: Sequence[str], dialect: Dialect) -> float:
    """The share of rows with the first row's number of cells, if that is the usual number; 0 for a single cell."""
    widths = [len(row.cells) for row in cut(sample, dialect)]
    if len(sample) >= SNIFFED_LINES:
        widths = widths[:-1]  # it may go on below
    if not widths:
        return 0.0
    width, rows = Counter(widths).most_common(1)[0]
    return rows / len(widths) if width == widths[0] > 1 else 0.0


class _Fit:
    """How well a dialect cuts a whole file."""

    def __init__(self, file: TextFile, dialect: Dialect) -> None:
        self.dialect = dialect
        self.bad = 0
        """Lines that stand in no row of the usual width."""
        self.unbalanced = 0
        """Rows among these whose quotes do not pair within a line."""
        self.needed = False
        """Whether only quotes make some row one: a delimiter or a line of another width is inside."""
        self.quotes = self.escaped = self.spaced = self.single = False
        """Whether another quoting has anything to go by."""
        self.blanks = dialect.width > 1
        """Whether every delimiter has a blank behind it, in rows of the usual width."""
        self._comments = dialect.comments
        self._good = self._rows = 0
        self._quoted: Counter[int] = Counter()
        self._wrapped: Counter[int] = Counter()
        self._doubled = self._inside = 0
        self._around: list[tuple[int, str]] = []
        self._values: dict[int, set[str]] = {}
        self._spans: list[tuple[int, int, list[list[tuple[int, str]]]]] = []
        for row in cut(islice(lines_of(file, dialect), dialect.top, None), dialect):
            if is_comment(row, dialect):
                self._comments += 1
            else:
                self._count(row)

    @property
    def told(self) -> Dialect:
        """The dialect with all its comments."""
        return replace(self.dialect, comments=self._comments)

    @property
    def is_clean(self) -> bool:
        """Whether every row is one."""
        return not self.bad and (not self._spans or (self.needed and not self.merged))

    @property
    def span(self) -> tuple[int, int]:
        """The first and last line of the first row in quotes each of whose lines would be a row."""
        return self._spans[0][:2]

    @property
    def merged(self) -> tuple[int, int] | None:
        """The first and last line of a row in quotes whose lines are rows of their own; None where there is none.

        They are if each has a cell outside the text that stands in another row or line too, such as a label, or if nothing
        else in a file with tabs has a use for quotes.
        """
        inside = Counter(place for _, _, lines in self._spans for line in lines for place in line)
        for first, last, lines in self._spans:
            if self.dialect.delimiter == "\t" and self.dialect.width > 1 and not self.needed and not self.looks_quoted:
                return first, last
            telling = [line for line in lines if line]
            if telling and all(any(self._is_shared(place, inside) for place in line) for line in telling):
                return first, last
        return None

    def _is_shared(self, place: tuple[int, str], inside: Mapping[tuple[int, str], int]) -> bool:
        """Whether a column has a cell in another row, or in another line among those `inside` quotes."""
        column, cell = place
        return _is_short(cell) and (cell in self._values.get(column, ()) or inside[place] > 1)

    @property
    def wrapped(self) -> bool:
        """Whether every cell of a column is in single quotes."""
        return self._rows > 1 and self._rows in self._wrapped.values()

    @property
    def quotes_in_vain(self) -> bool:
        """Whether cells keep quotes, inside or around them, that no writer of quoted cells would have left or put there."""
        return self._inside > 0 or any(
            cell == cell.strip() and cell[:1] not in ("", "#") and cell not in self._values.get(column, ())
            for column, cell in self._around
        )

    @property
    def looks_quoted(self) -> bool:
        """Whether cells that keep their quotes look as if those were around them."""
        most = max(self._quoted.values(), default=0)
        return self._doubled > self._inside or (most > 0 and most >= QUOTED_SHARE * self._rows)

    def _count(self, row: CutRow) -> None:
        text = row.lines[0] if len(row.lines) == 1 else "".join(row.lines)
        width = self.dialect.width
        self.quotes |= self.dialect.quote in text
        self.escaped |= "\\" in text
        self.spaced |= f'{self.dialect.delimiter} "' in text
        self.single |= "'" in text
        if self.blanks and len(row.cells) == width:
            self.blanks = all(cell[:1] == " " for cell in row.cells[1:])
        if row.error or len(row.cells) != width:
            self.bad += len(row.lines)
            self.unbalanced += bool(row.error) or len(row.lines) > 1
            self._look_at_lines(row)
        elif len(row.lines) > 1:
            lines = self._split(row)
            even = sum(len(cells) == width for cells in lines)
            self.needed |= even < len(lines) or 2 * self.dialect.quote in text
            if 2 * even > len(lines) and len(self._spans) < KEPT_SPANS:
                self._spans.append((row.line, row.last, _telling(lines, self.dialect)))
        else:
            if not self.needed and self.dialect.quote in text:
                self.needed = len(self.dialect.split(text)) != width
            self._good += 1
            has_quotes = '"' in text or "'" in text
            if self._good < LOOKED_AT or self._good % EVERY == 0 or (has_quotes and not self.needed):
                self._look_at_lines(row)
            elif not self.needed:
                self._rows += 1  # a row without quotes

    def _split(self, row: CutRow) -> list[list[str]]:
        """The first lines of a row, with quotes as characters."""
        return [self.dialect.split(line) for line in row.lines[:KEPT_LINES] if line.strip("\r\n")]

    def _look_at_lines(self, row: CutRow) -> None:
        """Keep the values of a row on one line, and what quotes tell in the lines of any row."""
        if len(row.cells) == self.dialect.width:
            for column, cell in enumerate(row.cells):
                values = self._values.setdefault(column, set())
                if _is_short(cell) and len(values) < KEPT_VALUES:
                    values.add(cell)
        lines = self._split(row)
        self._rows += len(lines)
        for cells in lines:
            self._look_at_quotes(cells)

    def _look_at_quotes(self, cells: Sequence[str]) -> None:
        """Keep what the cells of a line, with quotes as characters, tell of them."""
        for column, cell in enumerate(cells):
            if '"' not in cell and "'" not in cell:
                continue
            around = cell[0] if len(cell) > 1 and cell[0] == cell[-1] else ""
            self._inside += '"' in cell and cell[0] != '"'
            self._wrapped[column] += around == "'"
            if around == '"':
                self._quoted[column] += 1
                self._doubled += cell == '""' or '""' in cell[1:-1]
                if len(self._around) < KEPT_SPANS:
                    self._around.append((column, cell[1:-1]))


def _telling(lines: Sequence[Sequence[str]], dialect: Dialect) -> list[list[tuple[int, str]]]:
    """For each line of a row in quotes that may be a row, its cells by column; without those that are cells either way."""
    telling = []
    for number, cells in enumerate(lines):
        if len(cells) == dialect.width:
            opening = [column for column, cell in enumerate(cells) if cell.lstrip().startswith(dialect.quote)]
            closing = [column for column, cell in enumerate(cells) if cell.rstrip().endswith(dialect.quote)]
            start = opening[-1] + 1 if opening and number == 0 else 0
            stop = closing[0] if closing and number == len(lines) - 1 else len(cells)
            telling.append(list(enumerate(cells))[start:stop])
    return telling


def _is_short(cell: str) -> bool:
    """Whether a cell is worth keeping to compare with others."""
    return 0 < len(cell) <= SHORT and not cell.isspace()


def _best(name: str, fit: Callable[..., _Fit]) -> _Fit:
    """The fit of the quoting that cuts the file called `name` best; quotes are double ones unless the file says otherwise.

    Raises DataError where quotes may as well be characters.
    """
    double = fit("double")
    if double.blanks and (spaced := fit("double", spaced=True)).is_clean:
        return spaced
    if double.wrapped and (single := fit("single")).is_clean:
        return single
    if double.is_clean:
        in_vain = double.quotes and not double.needed and not double.looks_quoted and double.quotes_in_vain
        return fit("none") if in_vain else double
    fits = [double]
    for quoting, blanks, possible in (
        ("double", True, double.spaced),
        ("backslash", False, double.escaped),
        ("single", False, double.single),
    ):
        other = fit(quoting, spaced=blanks) if possible else None
        if other and (quoting != "single" or other.needed):  # single quotes are apostrophes but where a delimiter is inside
            if other.is_clean:
                return other
            fits.append(other)
    none = fit("none")
    swallows = double.unbalanced or double.merged
    if swallows and not double.looks_quoted:
        if not none.bad:
            return none
        fits += [] if double.needed else [none]
    best = min(fits, key=lambda fit: (fit.bad, fit.merged is not None))
    if best.merged or (not best.bad and not double.looks_quoted):
        first, last = best.merged or best.span
        raise DataError(
            f"{name}, lines {first} to {last}: one row with a text in quotes, or rows with quotes as characters? Say which: "
            f"--set data.quoting={best.dialect.quoting} or --set data.quoting=none"
        )
    return best
