"""What the label cells of a row say: one label, several (a list, columns of 0 and 1), or one for each of several columns.

Where a row may have several labels, `several` has them, and the label is `several.as_list` of them unless it is one alone;
`in_one_form` is for the end, when all rows are known.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.data.files.columns import Layout
from rankwise.data.files.rows import Location, row_name
from rankwise.data.several import as_list, as_object
from rankwise.errors import DataError

YES, NO = frozenset({"1", "1.0", "true"}), frozenset({"0", "0.0", "false"})
NOT_SAID = frozenset({"", "-1", "-1.0"})  # in every column of a row: nobody has labelled it

_CHOICES = '{"choices":'  # several choices in a cell of Label Studio's CSV


@dataclass(frozen=True, slots=True)
class Said:
    """What a row's label cells say: None where they say nothing."""

    label: str | None
    several: tuple[str, ...] | None = None
    """The labels of a row whose source says that there may be several."""

    @classmethod
    def of_several(cls, names: Sequence[str]) -> "Said":
        names = tuple(dict.fromkeys(names))
        return cls(names[0] if len(names) == 1 else as_list(names), names)


Reader = Callable[[Sequence[str], Sequence[Any] | None, int, Location], Said]
"""Takes a row's cells as strings, as they are typed (None where they are not), its number and its location."""


def reader_of(layout: Layout) -> Reader:
    """What reads the label cells of a layout's rows. It raises DataError for a cell that is neither 0 nor 1 among such."""
    indices = [layout.columns.index(name) for name in layout.label_columns]
    if not indices:
        return lambda *_: _NOTHING
    if layout.labelling == "columns":
        return lambda cells, *_: _of_columns({name: cells[at] for name, at in zip(layout.labels, indices, strict=True)})
    if layout.labelling != "one":
        return lambda cells, _, number, location: _of_flags(layout, [cells[at] for at in indices], number, location)
    return lambda cells, own, *_: _of_one(cells[indices[0]], None if own is None else own[indices[0]])


def in_one_form(labels: Sequence[str | None], counts: Sequence[int]) -> list[str | None]:
    """Labels of a source some of whose rows have several: each that stands alone as a list of one, too.

    `counts` has how many labels a row has; -1 where the source says one.
    """
    lists: dict[str, str] = {}  # one string per class, whatever the number of rows
    return [
        label if label is None or count not in (-1, 1) else lists.setdefault(label, as_list([label]))
        for label, count in zip(labels, counts, strict=True)
    ]


_NOTHING = Said(None)


def _of_one(cell: str, own: Any) -> Said:
    if isinstance(own, list):
        if len(own) != 1:
            return Said.of_several(json.loads(cell))
        return Said.of_several([cell]) if cell else _NOTHING
    if cell.startswith(_CHOICES):
        try:
            return Said.of_several([str(choice) for choice in json.loads(cell)["choices"]])
        except (ValueError, TypeError):  # a label that begins like that
            pass
    return _NOTHING if not cell or cell.isspace() else Said(cell)


def _of_columns(cells: dict[str, str]) -> Said:
    """A label for each column whose cell is not blank."""
    filled = {name: cell for name, cell in cells.items() if cell and not cell.isspace()}
    return Said(as_object(filled)) if filled else _NOTHING


def _of_flags(layout: Layout, cells: Sequence[str], number: int, location: Location) -> Said:
    """The names of the columns that say 1."""
    said = [cell.strip().lower() for cell in cells]
    is_header = tuple(cell.strip() for cell in cells) == layout.labels
    if is_header or (layout.labelling == "flags" and NOT_SAID.issuperset(said)):
        return _NOTHING
    blank_is_no = layout.labelling == "marks"
    for name, cell, value in zip(layout.labels, cells, said, strict=True):
        if not (value in YES or value in NO or (blank_is_no and not value)):
            found = f"found '{cell.strip():.40}'" if value else "a blank cell beside filled ones"
            raise DataError(f"{row_name(layout.path, number, location)}, column '{name}': {found}, expected 0 or 1")
    return Said.of_several([name for name, value in zip(layout.labels, said, strict=True) if value in YES])
