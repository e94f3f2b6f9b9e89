"""Which columns hold the text and the label: as the recipe says, by name, or by what is in them.

The first row is a header when it has a known name or one that the recipe asks for. Columns count from 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from shlex import quote

from rankwise.data.files.reading import role_of
from rankwise.data.files.rows import PROBED_ROWS, Rows
from rankwise.errors import DataError, nearest
from rankwise.recipe import Column, DataSpec, SourceSpec

_TEXT = ("text", "sentence", "review", "content", "document", "body", "message")
_TITLE = ("title", "headline")
_BODY = ("text", "description", "summary")
_LABEL = ("label", "labels", "class", "category", "target", "sentiment")


@dataclass(frozen=True)
class ColumnChoice:
    """Which columns of a source the recipe asks for."""

    name: str
    """The source's, for messages."""
    text: tuple[Column, ...]
    label: Column | None
    setting: str
    """What to type before `.header=…` to change how the source is read."""
    header: bool | None = None

    @property
    def names(self) -> set[str]:
        """The columns that are asked for by name, not by position."""
        asked = (*self.text, *([] if self.label is None else [self.label]))
        return {column for column in asked if isinstance(column, str) and not column.isdecimal()}


def name_columns(rows: Rows, choice: ColumnChoice) -> tuple[tuple[str, ...], bool]:
    """(column names, whether the first row holds them). Raises DataError for no rows, or two columns of one name."""
    first = rows.columns or next((cells for _, cells in rows.read() if cells), None)
    if first is None:
        raise DataError(f"{choice.name}: 0 rows; expected a row for each text")
    if rows.columns is not None:
        names, header = rows.columns, True
    else:
        cells = [cell.strip() for cell in first]
        header = _is_header(cells, choice) if choice.header is None else choice.header
        names = tuple(cell if cell and header else str(index) for index, cell in enumerate(cells))
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise DataError(
            f"{choice.name}: two columns are called '{twice}'; rename one, or say that there is no header: "
            f"{choice.setting}.header=false"
        )
    return names, header


def _is_header(cells: Sequence[str], choice: ColumnChoice) -> bool:
    """Whether the first row has a known name, or the recipe asks for columns by name, which only a header can have."""
    return bool(choice.names) or any(cell.lower() in {*_TEXT, *_TITLE, *_BODY, *_LABEL, "id"} for cell in cells)


def choose_columns(
    rows: Rows, choice: ColumnChoice, columns: Sequence[str], header: bool, needs_label: bool
) -> tuple[tuple[int, ...], int | None]:
    """(indices of the text columns, the label's index or None). Raises DataError where that is not clear."""
    text = tuple(_index(wanted, columns, choice.name) for wanted in choice.text)
    label = None
    if choice.label is not None and (needs_label or _is_there(choice.label, columns)):
        label = _index(choice.label, columns, choice.name)
    if label is None and choice.label is None:
        label = _named(columns, _LABEL, text) if header else _label_by_values(rows, choice, len(columns), text)
    if not text:
        text = _text_by_name(columns, label) if header else _text_by_rest(columns, label)
    if not text or (label is None and needs_label):
        raise _unclear(choice, columns, header, "text" if not text else "label")
    if label in text or len(set(text)) < len(text):
        twice = next(columns[index] for index in text if index == label or text.count(index) > 1)
        raise DataError(f"{choice.name}: column '{twice}' is asked for twice; name a column once, for text or for label")
    return text, label


def _index(wanted: Column, columns: Sequence[str], name: str) -> int:
    """The index of a column that is asked for by name or position. Raises DataError where there is none."""
    if isinstance(wanted, str) and wanted in columns:
        return columns.index(wanted)
    if _is_there(wanted, columns):
        return int(wanted)
    known = ", ".join(columns)
    if isinstance(wanted, int) or wanted.isdecimal():
        raise DataError(f"{name}: no column {wanted}; the columns are 0 to {len(columns) - 1}: {known}")
    raise DataError(f"{name}: no column '{wanted}' among {known}{nearest(wanted, columns)}")


def _is_there(wanted: Column, columns: Sequence[str]) -> bool:
    """Whether a column that is asked for by name or position exists."""
    if isinstance(wanted, str) and not wanted.isdecimal():
        return wanted in columns
    return wanted in columns or 0 <= int(wanted) < len(columns)


def _named(columns: Sequence[str], known: Sequence[str], taken: Sequence[int] = ()) -> int | None:
    """The index of the column with the first known name, whatever its case; None for no such column."""
    indices = {column.strip().lower(): index for index, column in reversed(list(enumerate(columns)))}
    return next((indices[name] for name in known if name in indices and indices[name] not in taken), None)


def _text_by_name(columns: Sequence[str], label: int | None) -> tuple[int, ...]:
    """The text columns with known names: a title and a body, or one column; empty for none."""
    taken = () if label is None else (label,)
    title = _named(columns, _TITLE, taken)
    body = _named(columns, _BODY, taken) if title is not None else None
    alone = _named(columns, _TEXT, taken)
    if title is not None and body is not None and (alone is None or alone == body):
        return (title, body)
    return next(((index,) for index in (alone, _named(columns, _BODY, taken), title) if index is not None), ())


def _text_by_rest(columns: Sequence[str], label: int | None) -> tuple[int, ...]:
    """All columns but the label; empty where no label is known and several columns may be text."""
    rest = tuple(index for index in range(len(columns)) if index != label)
    return rest if label is not None or len(rest) == 1 else ()


def _label_by_values(rows: Rows, choice: ColumnChoice, width: int, taken: Sequence[int]) -> int | None:
    """The one column of a headerless file whose short values repeat most; None when no column or several do.

    Raises DataError where the first row may well be a header: its value there is in no other row.
    """
    sample = [cells for _, cells in islice(rows.read(), PROBED_ROWS) if cells]
    distinct = {}
    for index in set(range(width)).difference(taken):
        values = {cells[index] for cells in sample}
        if len(values) <= min(50, len(sample) / 2) and max(map(len, values)) <= 50:
            distinct[index] = len(values)
    varied = {index: count for index, count in distinct.items() if count > 1} or distinct
    best = [index for index, count in varied.items() if count == min(varied.values())]
    if len(best) != 1:
        return None
    labels = [cells[best[0]] for cells in sample]
    if choice.header is None and labels.count(labels[0]) == 1:
        raise DataError(
            f"{choice.name}: the first row ({', '.join(sample[0]):.60}) has no known name, but may be a header: "
            f"'{labels[0]}' is in no other row; if it is one, name its columns: --set data.text=NAME --set "
            f"data.label={quote(labels[0])}; if not, type {choice.setting}.header=false"
        )
    return best[0]


def _unclear(choice: ColumnChoice, columns: Sequence[str], header: bool, missing: str) -> DataError:
    if header:
        known = " or ".join(_TEXT[:3] if missing == "text" else _LABEL[:3])
        return DataError(
            f"{choice.name}: no {missing} column found among {', '.join(columns)}; expected one called {known}, or say "
            f"which: {choice.setting}.{missing}=NAME"
        )
    return DataError(
        f"{choice.name}: no known name in the first row, so no header, and it is unclear which of the {len(columns)} "
        f"columns is the {missing}; say so by position: {choice.setting}.text=1, and .label=0 likewise (or by name)"
    )


def setting_of(source: SourceSpec, data: DataSpec) -> str:
    """What to type before `.encoding=…` to change how this source is read."""
    for role in ("train", "validation", "test"):
        if getattr(data, role) == source:
            return f"--set data.{role}"
    role = "train" if data.source == source.path else role_of(Path(source.path).name) or "train"
    return f"--set data.{role}.path={quote(source.path)} --set data.{role}"
