"""Which columns hold the text and the label: as the recipe says, by name, or by what is in them.

The first row is a header when it has a known name or one that the recipe asks for. Columns count from 0.
"""

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
class Layout:
    """How a source is read: its format, and which columns hold what."""

    path: str
    format: str
    """In words: `CSV, gzip, comma`."""
    header: bool | None
    """Whether the first row names the columns; None where the format does."""
    columns: tuple[str, ...]
    text: tuple[str, ...]
    label: str | None
    classes: tuple[str, ...] = ()
    """Class names in the order of their numbers, where a hub data set's features say them."""

    def describe(self) -> str:
        """The layout in one line: `test.csv: CSV, comma, no header; label = column 0, text = columns 1 + 2`."""
        name = self.path if self.path.startswith("hub:") else Path(self.path).name
        header = {None: "", True: ", header", False: ", no header"}[self.header]
        one, many = ("column ", "columns " if len(self.text) > 1 else "column ") if self.header is False else ("", "")
        label = "no label" if self.label is None else f"label = {one}{self.label}"
        return f"{name}: {self.format}{header}; {label}, text = {many}{' + '.join(self.text)}"


def layout_of(rows: Rows, asked: SourceSpec, setting: str, *, needs_label: bool) -> Layout:
    """The layout of a source whose columns are those that are asked for; what is left open is found out.

    `setting` is what to type before `.header=…` to change how it is read. Raises DataError for no rows, for two columns of
    one name, and where it is not clear which columns hold the text and the label.
    """
    columns, header = _named_columns(rows, asked, setting)
    by_name = header is not False
    text = tuple(_index(wanted, columns, asked.path) for wanted in asked.text)
    label = None
    if asked.label is None:
        label = _named(columns, _LABEL, text) if by_name else _label_by_values(rows, asked, setting, len(columns), text)
    elif needs_label or _is_there(asked.label, columns):
        label = _index(asked.label, columns, asked.path)
    if not text and by_name:
        text = _text_by_name(columns, label)
    elif not text and (label is not None or len(columns) == 1):  # of several columns without a label, any may be text
        text = tuple(index for index in range(len(columns)) if index != label)
    if not text or (label is None and needs_label):
        raise _unclear(asked.path, setting, columns, by_name, "text" if not text else "label")
    if label in text or len(set(text)) < len(text):
        twice = next(columns[index] for index in text if index == label or text.count(index) > 1)
        raise DataError(f"{asked.path}: column '{twice}' is asked for twice; name a column once, for text or for label")
    name = None if label is None else columns[label]
    classes = rows.classes.get(name or "", ())
    return Layout(asked.path, rows.format, header, columns, tuple(columns[index] for index in text), name, classes)


def _named_columns(rows: Rows, asked: SourceSpec, setting: str) -> tuple[tuple[str, ...], bool | None]:
    """(column names, whether the first row holds them; None where the format does)."""
    columns, header = rows.columns, None
    if columns is None:
        cells = [cell.strip() for cell in next((cells for _, cells in rows.read() if cells), ())]
        if (header := asked.header) is None:  # a known name is there, or one is asked for, which only a header can have
            by_name = any(isinstance(column, str) and not column.isdecimal() for column in (*asked.text, asked.label))
            header = by_name or any(cell.lower() in {*_TEXT, *_TITLE, *_BODY, *_LABEL, "id"} for cell in cells)
        columns = tuple(cell if cell and header else str(index) for index, cell in enumerate(cells))
    if not columns:
        raise DataError(f"{asked.path}: 0 rows; expected a row for each text")
    if len(set(columns)) < len(columns):
        twice = next(name for index, name in enumerate(columns) if name in columns[:index])
        raise DataError(
            f"{asked.path}: two columns are called '{twice}'; rename one, or say that there is no header: "
            f"{setting}.header=false"
        )
    return columns, header


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


def _label_by_values(rows: Rows, asked: SourceSpec, setting: str, width: int, taken: Sequence[int]) -> int | None:
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
    if asked.header is None and labels.count(labels[0]) == 1:
        raise DataError(
            f"{asked.path}: the first row ({', '.join(sample[0]):.60}) has no known name, but may be a header: "
            f"'{labels[0]}' is in no other row; if it is one, name its columns: --set data.text=NAME --set "
            f"data.label={quote(labels[0])}; if not, type {setting}.header=false"
        )
    return best[0]


def _unclear(path: str, setting: str, columns: Sequence[str], by_name: bool, missing: str) -> DataError:
    if by_name:
        known = " or ".join(_TEXT[:3] if missing == "text" else _LABEL[:3])
        return DataError(
            f"{path}: no {missing} column found among {', '.join(columns)}; expected one called {known}, or say "
            f"which: {setting}.{missing}=NAME"
        )
    return DataError(
        f"{path}: no known name in the first row, so no header, and it is unclear which of the {len(columns)} "
        f"columns is the {missing}; say so by position: {setting}.text=1, and .label=0 likewise (or by name)"
    )


def setting_of(source: SourceSpec, data: DataSpec) -> str:
    """What to type before `.encoding=…` to change how this source is read."""
    for role in ("train", "validation", "test"):
        if getattr(data, role) == source:
            return f"--set data.{role}"
    role = "train" if data.source == source.path else role_of(Path(source.path).name) or "train"
    return f"--set data.{role}.path={quote(source.path)} --set data.{role}"
