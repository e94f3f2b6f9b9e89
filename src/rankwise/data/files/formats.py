"""A file, a folder or a hub data set becomes rows of cells, one at a time and in bounded memory.

`open_rows(source)` looks at the path and answers with `Rows`: the kind of file, its column names (None where only a
first row could give them) and `read()`, which starts at the top each time it is called. CSV yields strings, the others
typed values, which `written` turns into strings. A row's place is its line number, its file name, or 0 without either.
"""

from __future__ import annotations

import csv
import json
import math
import os
import stat
import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

from rankwise.data.files.text import MAX_FIELD, TextFile, has_surrogate, read_lines, refuse_utf16
from rankwise.errors import DataError, nearest, require
from rankwise.recipe import SourceSpec
from rankwise.system.hub import is_reachable

PROBE = 1000  # rows looked at to find columns
SNIFFED_LINES, SNIFFED_CHARACTERS = 100, 1_000_000  # looked at to find a delimiter, whichever is reached first

ROLES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}

Place = int | str
Row = tuple[Place, Sequence[Any] | None]  # None: a bad row that the recipe says to skip


@dataclass(frozen=True)
class Rows:
    """What a source holds. `read()` raises DataError at a row that cannot be read, naming its line."""

    format: str
    read: Callable[[], Iterator[Row]]
    columns: tuple[str, ...] | None = None
    compression: str | None = None
    delimiter: str | None = None
    typed: bool = False
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # column → names, from hub features


def open_rows(source: SourceSpec, *, setting: str, skip_bad: bool) -> Rows:
    """The rows of a source. `setting` is how to change it, such as `--set data.train`. Raises DataError."""
    if source.path.startswith("hub:"):
        return _hub(source.path)
    path = checked_path(source.path)
    file = TextFile(path, source.path, source.encoding, setting, skip_bad)
    if path.is_dir():
        return _folder(file)
    suffix = data_suffix(path)
    if suffix not in _READERS:
        raise DataError(f"{source.path}: {_REFUSED.get(suffix, 'an unknown format')}; expected {_EXPECTED}")
    if file.compressed and suffix in (".parquet", ".pq"):
        raise DataError(f"{source.path}: a compressed Parquet file; unpack it: gunzip {source.path}")
    return _READERS[suffix](file)


def written(rows: Iterator[Row], used: Collection[int], columns: Sequence[str], name: str) -> Iterator[Row]:
    """Typed rows as strings: 3 and 3.0 as "3", true as "true", missing as "". A `used` column must hold one type."""
    kinds: dict[int, str] = {}
    for number, (place, cells) in enumerate(rows, start=1):
        if cells is None:
            yield place, None
            continue
        try:
            for position in used:
                _check_kind(cells[position], position, kinds)
            yield place, [cell if type(cell) is str and cell.isascii() else _string(cell) for cell in cells]
        except _WrongValue as error:
            column = f", column '{columns[error.position]}'" if error.position is not None else ""
            raise DataError(f"{at(name, number, place)}{column}: {error}") from None


def at(name: str, number: int, place: Place) -> str:
    """Where a row is, for messages: `train.csv, row 3 (line 5)`."""
    if not place:
        return f"{name}, row {number}"
    return f"{name}, row {number} ({place if isinstance(place, str) else f'line {place}'})"


def checked_path(name: str) -> Path:
    """The path of a file or folder that exists and can be read. Raises DataError, in other words for each failure."""
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        alike = [entry for entry in ("sample", *beside) if nearest(path.stem, [Path(entry).stem])]
        raise DataError(
            f"{name}: no such file or folder{nearest(path.name, alike) or ';'} a hub data set is written hub:{name}"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise DataError(f"{name}: cannot be looked at ({error}); expected a file or folder you may read") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{name}: neither a file nor a folder; save its content to a file first, it is read twice")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise DataError(f"{name}: no permission to read it; type: chmod u+r {name}")
    return path


def data_suffix(path: Path) -> str:
    """`.csv` for train.csv and for TRAIN.CSV.GZ."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def is_readable(path: Path) -> bool:
    return data_suffix(path) in _READERS


def class_folders(folder: Path) -> list[Path]:
    """Subfolders that hold one text per .txt file, by name; IMDB's unlabelled `unsup` is left out."""
    return sorted(entry for entry in folder.iterdir() if _is_class(entry))


def role_of(name: str) -> str | None:
    """Which split a file or folder of this name holds; None for other names."""
    stem = name.lower().split(".")[0]
    return next((role for role, names in ROLES.items() if stem in names), None)


def hub_parts(path: str) -> tuple[str, str | None]:
    """`hub:NAME:SPLIT` → NAME and SPLIT, None when no split is named."""
    name, colon, split = path.removeprefix("hub:").rpartition(":")
    return (name, split) if colon else (split, None)


def hub_splits(name: str) -> list[str]:
    """The splits that a hub data set has. Raises DataError when it cannot be reached."""
    datasets = _datasets(name)
    try:
        return list(datasets.get_dataset_split_names(name))
    except _HUB_ERRORS as error:
        raise _hub_error(name, error) from error


# ---------------------------------------------------------------------------------------------------------- the formats


def _csv(file: TextFile) -> Rows:
    refuse_utf16(file)
    tabs = data_suffix(file.path) in (".tsv", ".tab")
    delimiter = "\t" if tabs else _sniffed(file)
    return Rows(
        "TSV" if tabs else "CSV", lambda: _csv_rows(file, delimiter), compression=file.compression, delimiter=delimiter
    )


def _sniffed(file: TextFile) -> str:
    """The delimiter that cuts the first lines into the most even rows; a comma when none does."""
    sample: list[str] = []
    for line in islice(read_lines(file), SNIFFED_LINES):
        sample.append(line)
        if sum(map(len, sample)) > SNIFFED_CHARACTERS:
            break
    return max(",;\t|", key=lambda delimiter: _evenness(sample, delimiter))


def _evenness(sample: Sequence[str], delimiter: str) -> float:
    reader = csv.reader(sample, delimiter=delimiter)
    widths = [len(cells) for cells in iter(lambda: _next_cells(reader), None) if cells]
    if not widths:
        return 0.0
    width, rows = Counter(widths).most_common(1)[0]
    return rows / len(widths) if width == widths[0] > 1 else 0.0


def _csv_rows(file: TextFile, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(read_lines(file), delimiter=delimiter, strict=True)
    width = 0
    while True:
        line = reader.line_num + 1
        try:
            cells = _next_cells(reader)
        except csv.Error as error:
            problem = _quote_problem(file, line, reader.line_num, str(error))
            if not file.skip_bad or "expected after" not in str(error):  # else the rest of the file is inside the quote
                raise problem from None
            yield line, None
            continue
        if cells is None:
            return
        width = width or len(cells)
        if len(cells) == width:
            yield line, cells
        elif cells and not file.skip_bad:
            raise DataError(
                f"{file.name}, line {line}: {_count(len(cells), 'field')}, expected {width} as in the first row; put a "
                f"text that holds '{delimiter}' in quotes, or drop such rows: --set data.skip_bad_rows=true"
            )
        elif cells:
            yield line, None


_FIELD_LIMIT = threading.Lock()


def _next_cells(reader: Iterator[list[str]]) -> list[str] | None:
    """The csv module keeps one field limit for the whole process, so it is raised for one row and put back."""
    with _FIELD_LIMIT:
        before = csv.field_size_limit(MAX_FIELD)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(before)


def _quote_problem(file: TextFile, first: int, last: int, reason: str) -> DataError:
    if "limit" in reason and first == last:
        return DataError(f"{file.name}, line {first}: a field of more than {MAX_FIELD:,} characters; cut or remove it")
    until = "never closes" if "end of data" in reason else f"is not closed well by line {last}"
    return DataError(
        f"{file.name}, line {first}: a quote opens in this row and {until}; close it, and write a quote "
        'inside quotes twice ("")'
    )


def _jsonl(file: TextFile) -> Rows:
    refuse_utf16(file)
    found = (entry for _, entry in islice(_objects(file), PROBE) if entry is not None)
    columns = tuple(dict.fromkeys(key for entry in found for key in entry))
    return Rows("JSONL", lambda: _json_rows(file, columns), columns, file.compression, typed=True)


def _json_rows(file: TextFile, columns: Sequence[str]) -> Iterator[Row]:
    for line, entry in _objects(file):
        yield line, None if entry is None else [entry.get(column) for column in columns]


def _objects(file: TextFile) -> Iterator[tuple[int, dict[str, Any] | None]]:
    for number, line in enumerate(read_lines(file), start=1):
        if line.isspace():
            continue
        try:
            entry = json.loads(line, object_pairs_hook=_unique)
            if not isinstance(entry, dict):
                raise ValueError(f"found a {type(entry).__name__}")
        except (ValueError, RecursionError) as error:
            if not file.skip_bad:
                problem = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
                raise DataError(f"{file.name}, line {number}: {problem}; {_ONE_OBJECT}") from None
            entry = None
        yield number, entry


_ONE_OBJECT = 'expected one JSON object a line, such as {"text": "…", "label": "…"}'


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise ValueError(f"the key '{Counter(key for key, _ in pairs).most_common(1)[0][0]}' stands twice")
    return entry


def _parquet(file: TextFile) -> Rows:
    import pyarrow
    import pyarrow.parquet  # late: a CSV needs no Arrow, and `rankwise data` should answer at once

    try:
        columns = tuple(pyarrow.parquet.read_schema(file.path).names)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: not a Parquet file that can be read ({_first_line(error)})") from error
    return Rows("Parquet", lambda: _parquet_rows(file), columns, typed=True)


def _parquet_rows(file: TextFile) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        # Unless told otherwise, Arrow loads a whole row group, which may be the whole file.
        with pyarrow.parquet.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 20) as parquet:
            for batch in parquet.iter_batches(batch_size=PROBE):
                for cells in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    yield 0, cells
                number += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: cannot be read after row {number:,} ({_first_line(error)})") from error


def _folder(file: TextFile) -> Rows:
    if not class_folders(file.path):
        files = sorted(entry.name for entry in file.path.iterdir() if entry.is_file())[:5]
        inside = f"it holds {', '.join(files)}; name one of them" if files else "it holds no files"
        raise DataError(f"{file.name}: a folder without class folders of .txt files; {inside}")
    return Rows("folder of class folders", lambda: _folder_rows(file), ("file", "text", "label"))


def _folder_rows(file: TextFile) -> Iterator[Row]:
    for folder in class_folders(file.path):
        for text_name in sorted(path.name for path in folder.glob("*.txt")):  # names: a path takes ten times the memory
            path, name = folder / text_name, f"{folder.name}/{text_name}"
            one = TextFile(path, f"{file.name}/{name}", file.encoding, file.setting, file.skip_bad)
            if path.stat().st_size > MAX_FIELD:
                raise DataError(f"{one.name}: {path.stat().st_size:,} bytes; one text has at most {MAX_FIELD:,}")
            yield name, [name, "".join(read_lines(one)), folder.name]


def _is_class(entry: Path) -> bool:
    return entry.is_dir() and entry.name != "unsup" and next(entry.glob("*.txt"), None) is not None


_HUB_ERRORS = (OSError, ValueError, RuntimeError)  # not found or offline; unknown split or configuration; a script


def _hub(path: str) -> Rows:
    name, split = hub_parts(path)
    datasets = _datasets(name)
    try:
        examples = datasets.load_dataset(name, split=split or "train", streaming=True)
        features = examples.features or dict.fromkeys(next(iter(examples), {}))
    except _HUB_ERRORS as error:
        raise _hub_error(name, error) from error
    classes = {key: tuple(kind.names) for key, kind in features.items() if isinstance(kind, datasets.ClassLabel)}
    columns = tuple(features)
    read = partial(_hub_rows, name, examples, classes, columns)
    return Rows("hub data set", read, columns, typed=True, classes=classes)


def _hub_rows(name: str, examples: Any, classes: Mapping[str, tuple[str, ...]], columns: tuple[str, ...]) -> Iterator[Row]:
    try:
        for example in examples:
            yield 0, [_named(example.get(column), classes.get(column)) for column in columns]
    except _HUB_ERRORS as error:
        raise _hub_error(name, error) from error


def _named(value: Any, names: tuple[str, ...] | None) -> Any:
    """The class name of a number; -1 is the hub's way to say unlabelled."""
    if names is None or not isinstance(value, int):
        return value
    return names[value] if 0 <= value < len(names) else None


def _datasets(name: str) -> ModuleType:
    """The datasets library, when it has a way to the data set."""
    if not Path(name).exists() and not is_reachable():
        raise DataError(
            f"hub:{name}: the Hugging Face hub can't be reached from here; give files instead: --data FILE_OR_FOLDER, or "
            "hub:./FOLDER for a data set saved on this machine"
        )
    return require("datasets", extra="hub")


def _hub_error(name: str, error: Exception) -> DataError:
    return DataError(
        f"hub:{name}: {_first_line(error)}; expected hub:NAME or hub:NAME:SPLIT of a data set without a script, or "
        "hub:./FOLDER for a local one"
    )


_READERS: dict[str, Callable[[TextFile], Rows]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".tab": _csv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _jsonl,
    ".parquet": _parquet,
    ".pq": _parquet,
}

_EXPECTED = ".csv, .tsv, .jsonl (each also .gz), .parquet, a folder of class folders, or hub:NAME"

_REFUSED = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), "a pickle may run code when it is read"),
    **dict.fromkeys((".bin", ".npy", ".safetensors"), "it holds numbers or weights, no text"),
    **dict.fromkeys((".py", ".ipynb"), "a script would have to be run; rankwise runs no code from data"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst"), "an archive; unpack it first"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet; save the sheet as CSV"),
}

# ------------------------------------------------------------------------------------------------------ typed → strings

_KINDS = {str: "text", bool: "true or false", int: "a number", float: "a number"}


class _WrongValue(ValueError):
    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


def _check_kind(value: Any, position: int, kinds: dict[int, str]) -> None:
    if _is_missing(value):
        return
    kind = _KINDS.get(type(value))
    if kind is None:
        raise _WrongValue(f"found a {type(value).__name__}, expected text or a number; flatten it first", position)
    if kinds.setdefault(position, kind) != kind:
        problem = f"found {kind} ({value!r:.40}) after {kinds[position]}"
        raise _WrongValue(f"{problem}; write the column in one type", position)


def _string(value: Any) -> str:
    if _is_missing(value):
        return ""
    if isinstance(value, str):
        if has_surrogate(value):
            raise _WrongValue("a lone surrogate, half of a character; write the text again as valid Unicode")
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, (list, dict)) else str(value)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
