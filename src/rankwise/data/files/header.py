"""What a source's columns are called: as its format says, or as its first row does, where that is a header.

It is one when it has a known name, one that the recipe asks for, or words above numbers.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice

from rankwise.data.files.candidates import NAMES, Candidates, Choice
from rankwise.data.files.cells import SHORT, Cells, spread
from rankwise.data.files.rows import PROBED_ROWS, Rows, as_strings
from rankwise.errors import DataError
from rankwise.recipe import SourceSpec

_ABOVE = 20  # rows among which a header is sought that has others above it
_MEASURED = ("numbers", "unique numbers", "dates")  # what no name looks like


def candidates_of(rows: Rows, asked: SourceSpec) -> Candidates:
    """The column names of a source, and samples of its cells. Raises DataError for no column, or two of one name."""
    columns, header = rows.columns, None
    skipped = 0
    if columns is None:
        cells = [cell.strip() for cell in next((cells for _, cells in rows.read() if cells), ())]
        if (header := asked.header) is None:
            header = _is_header(cells, rows, asked)
        columns = tuple(cell if cell and header else str(index) for index, cell in enumerate(cells))
        skipped = int(header)
    if not columns:
        raise DataError(f"{asked.path}: 0 rows; expected a row for each text")
    if len(set(columns)) < len(columns):
        twice = next(name for index, name in enumerate(columns) if name in columns[:index])
        fix = "rename one, or say that there is no header: --set data.header=false" if header else "rename one"
        raise DataError(f"{asked.path}: two columns are called '{twice}'; {fix}")

    @cache
    def first() -> list[list[str]]:
        return spread(islice(_cells(rows, columns, asked.path), skipped, PROBED_ROWS))

    @cache
    def whole() -> list[list[str]]:
        return spread(islice(_cells(rows, columns, asked.path), skipped, None))

    def column_of(cells: list[list[str]], index: int) -> Cells:
        return Cells(cells[index] if cells else [])

    return Candidates(
        asked.path,
        columns,
        header,
        cache(lambda index: column_of(first(), index)),
        cache(lambda index: column_of(whole(), index)),
    )


def refuse_likely_header(file: Candidates, rows: Rows, choice: Choice, *, guessed: bool) -> None:
    """Raise DataError where the first row may well be a header: its label is in no other row.

    Of a label column that was asked for, only where every other label repeats.
    """
    assert choice.label is not None
    label = choice.label
    first, *others = (cell.strip() for cell in file.all(label).sample)
    if first in others or not others or (not guessed and min(map(others.count, others)) < 2):
        return
    everywhere = _cells(rows, file.columns, file.path)
    names = tuple(name.strip() for name in next(everywhere))
    if any(cells[label].strip() == first for cells in everywhere):
        return
    named = Candidates(file.path, names, True, file.first, file.all)
    raise DataError(
        f"{file.path}: the first row ({', '.join(names):.60}) has no known name, but may be a header: '{first}' is in no "
        f"other row; if it is one, name its columns: {named.command(choice.text, label)}; if not, type "
        "--set data.header=false"
    )


def _is_header(first: Sequence[str], rows: Rows, asked: SourceSpec) -> bool:
    """Whether the first row names the columns. Raises DataError where its known names are also values further down."""
    labels = asked.label if isinstance(asked.label, tuple) else (asked.label,)
    if any(isinstance(column, str) and not column.isdecimal() for column in (*asked.text, *labels)):
        return True  # only a header can have the name that is asked for
    sample = islice(_cells(rows, (), asked.path), 1, PROBED_ROWS)
    others = spread(cells for cells in sample if [cell.strip() for cell in cells] != list(first))
    known = [index for index, cell in enumerate(first) if cell.lower() in NAMES]
    if known:
        again = [index for index in known if others and first[index] in map(str.strip, others[index])]
        if len(again) < len(known):
            return True
        raise DataError(
            f"{asked.path}: the first row ({', '.join(first):.60}) may be a header, but '{first[again[0]]}' stands in its "
            "column again; say which it is: --set data.header=true or --set data.header=false"
        )
    for location, cells in islice(rows.read(), 1, _ABOVE):
        if sum(cell.strip().lower() in NAMES for cell in cells or ()) > 1:
            raise DataError(
                f"{asked.path}, line {location}: ({', '.join(cells or ()):.60}) looks like the header, but rows stand above "
                "it; remove them, or if it is a row like others, type --set data.header=false"
            )
    short = all(cell and len(cell) <= 50 and len(cell.split()) <= SHORT for cell in first)
    if not short or len(set(first)) < len(first) or not others or len(others[0]) < 3:
        return False
    below = {cell: Cells(cells) for cell, cells in zip(first, others, strict=True) if not any(map(str.isdigit, cell))}
    values_never_seen = [cell for cell, cells in below.items() if cells.may_be_labels and cell not in cells.values]
    return len(values_never_seen) > 1 or any(cells.kind in _MEASURED for cells in below.values())


def _cells(rows: Rows, columns: Sequence[str], path: str) -> Iterator[Sequence[str]]:
    """The rows' cells as strings, without the rows that can't be read."""
    read = as_strings(rows.read(), (), columns, path) if rows.typed else rows.read()
    return (cells for _, cells in read if cells)
