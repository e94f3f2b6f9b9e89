"""JSON: an object for each row, one a line, in an array or one after the other; or a document that holds rows or columns.

Lines, arrays and objects in a row are read one object at a time. What else stands in one document is read whole.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rankwise.data.files import label_studio
from rankwise.data.files.exports import export_of
from rankwise.data.files.rows import PROBED_ROWS, Format, OutputRow, Row, Rows
from rankwise.data.files.text import CHUNK, MAX_FIELD, TextFile, read_chunks, read_lines, refuse_utf16
from rankwise.errors import DataError, as_typed

EXAMPLE = '{"text": "…", "label": "…"}'
EXPECTED = f"expected one JSON object a line, such as {EXAMPLE}"
MAX_DOCUMENT = 100_000_000  # characters of a document that is read whole
BLANKS = " \t\r\n"

_BETWEEN = re.compile(r"[\s,]+")

Entry = Mapping[str, Any]
Entries = Iterator[tuple[int, Entry | None]]
"""Line numbers and the objects there, 0 for no line; None for a bad line that is to be skipped."""


def recognises(lines: Sequence[str]) -> bool:
    """Whether lines are those of such a file."""
    return _is_object(lines[0]) or lines[0].strip()[:1] == "{" or lines[0].strip()[:2] in ("[", "[{")


def read(file: TextFile) -> Rows:
    """The rows of a JSON file, cells as typed values; the first objects' keys are the columns."""
    refuse_utf16(file)
    name, entries = _entries_of(file)
    first = [entry for _, entry in islice(entries(), PROBED_ROWS) if entry is not None]
    export = export_of(first, file)
    columns = tuple(dict.fromkeys(key for entry in first for key in export.flat(entry)))
    exported = f", {export.tool}" if export.tool else ""

    def rows() -> Iterator[Row]:
        for line, entry in entries():
            flat = None if entry is None else export.flat(entry)
            yield line, None if flat is None else [flat.get(column) for column in columns]

    return Rows(f"{name}{exported}{', gzip' if file.compressed else ''}", rows, columns, typed=True)


def _write(path: Path, _columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(f"{as_line(row)}\n" for row in rows)


def as_line(row: OutputRow) -> str:
    """A row as JSON, which has no word for what is no number: null stands for it, and for infinity."""
    try:
        return json.dumps(dict(row), ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(dict(row)), ensure_ascii=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(cell) for key, cell in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(cell) for cell in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _entries_of(file: TextFile) -> tuple[str, Callable[[], Entries]]:
    """(the file's kind in words, what gives its objects from the top each time)."""
    first = _first_lines(file)
    begins = first[0].lstrip(BLANKS)[:1] if first else ""
    if begins == "[":
        return "JSON array", lambda: _items(file)
    if begins != "{" or (len(first) > 1 and _is_object(first[0])):
        return "JSONL", lambda: _lines(file)
    text = _whole(file)
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text[error.pos] in "{,":
            return "JSON objects", lambda: _items(file)
        if any(map(_is_object, text.splitlines()[1:100])):  # one object a line, and the first line is broken
            return "JSONL", lambda: _lines(file)
        raise DataError(f"{file.name}, line {error.lineno}: {error.msg} at column {error.colno}; {EXPECTED}") from None
    except (ValueError, RecursionError) as error:
        where = "" if "\n" in text.strip() else ", line 1"
        raise DataError(f"{file.name}{where}: {error}; {EXPECTED}") from None
    rows = _rows_of(file, document)
    return "JSON", lambda: ((0, row) for row in rows)


def _lines(file: TextFile) -> Entries:
    """The object of every line."""
    for number, line in enumerate(read_lines(file), start=1):
        if line.isspace():
            continue
        entry = None
        try:
            entry = json.loads(line, object_pairs_hook=_unique)
            if not isinstance(entry, dict):
                raise ValueError(f"found a {type(entry).__name__}")
        except (ValueError, RecursionError) as error:
            if not file.skip_bad:
                problem = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
                raise DataError(f"{file.name}, line {number}: {problem}; {EXPECTED}") from None
            entry = None
        yield number, entry


def _items(file: TextFile) -> Entries:
    """The objects of an array, or of a file of several, one at a time."""
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    chunks = read_chunks(file)
    text, at, line = next(chunks, ""), 0, 1
    in_array = text.lstrip(BLANKS).startswith("[")
    at = text.index("[") + 1 if in_array else 0
    while True:
        between = _BETWEEN.match(text, at)
        line += text.count("\n", at, between.end() if between else at)
        at = between.end() if between else at
        if at == len(text):
            text, at = next(chunks, ""), 0
            if not text and in_array:
                raise DataError(f"{file.name}, line {line}: the array does not end; the file may have been cut")
            if not text:
                return
            continue
        if text[at] == "]":
            return
        try:
            entry, end = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            text, at, place = text[at:], 0, error.pos - at
            more = "".join(islice(chunks, 1 + len(text) // CHUNK)) if len(text) <= MAX_FIELD else ""
            if more:  # the object may go on below
                text += more
                continue
            raise _unreadable(file, line, text[:place], text[place:], error.msg) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file.name}, line {line}: {error}; expected an object such as {EXAMPLE}") from None
        if not isinstance(entry, dict):
            raise DataError(f"{file.name}, line {line}: found a {type(entry).__name__}, expected an object such as {EXAMPLE}")
        yield line, entry
        line += text.count("\n", at, end)
        at = end


def _unreadable(file: TextFile, line: int, before: str, rest: str, reason: str) -> DataError:
    """The error for an object that begins in a line and can be read up to its `rest`."""
    near = f" at {json.dumps(rest[:20], ensure_ascii=False)}" if rest else ""
    line += before.count("\n")
    return DataError(f"{file.name}, line {line}: {reason.removesuffix(' at')}{near}; expected objects such as {EXAMPLE}")


def _rows_of(file: TextFile, document: dict[str, Any]) -> Sequence[Entry]:
    """The rows of a document: it may be one, hold a list of them, or hold columns as pandas writes them."""
    values = list(document.values())
    lists = [key for key, value in document.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if label_studio.is_task(document) or isinstance(document.get("text"), str) or not values:
        return [document]
    if len(lists) == 1:
        rows = document[lists[0]]
        if bad := next((row for row in rows if not isinstance(row, dict)), None):
            raise DataError(f"{file.name}: found a {type(bad).__name__} in '{lists[0]}', expected objects such as {EXAMPLE}")
        return list(rows)
    if lists:
        raise DataError(
            f"{file.name}: {' and '.join(lists)} are lists of objects; expected one: write each into a file of its own, such "
            f"as: jq -c {as_typed(f'.{json.dumps(lists[0], ensure_ascii=False)}[]')} {as_typed(file.name)} > "
            f"{as_typed(f'{lists[0]}.jsonl')}"
        )
    if all(isinstance(value, dict) for value in values):
        return _rows_of_columns(file, document)
    if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):  # pandas, orient="split"
        return [
            dict(zip(document["columns"], row, strict=True)) for row in _even(file, document["data"], document["columns"])
        ]
    if all(isinstance(value, list) for value in values):
        return [dict(zip(document, row, strict=True)) for row in zip(*_even(file, values), strict=True)]
    return [document]


def _rows_of_columns(file: TextFile, document: dict[str, dict[str, Any]]) -> Sequence[Entry]:
    """The rows of an object of objects: columns that have rows, or rows that have columns."""
    inner = dict.fromkeys(key for value in document.values() for key in value)
    if any(isinstance(cell, (dict, list)) for value in document.values() for cell in value.values()):
        if len(document) == 1:
            return _rows_of(file, next(iter(document.values())))
        raise DataError(f"{file.name}: found objects in objects in '{next(iter(document))}'; expected rows such as {EXAMPLE}")
    numbered = [all(key.isdecimal() for key in keys) for keys in (document, inner)]
    if numbered[0] > numbered[1] or (numbered[0] == numbered[1] and len(document) > len(inner)):
        return list(document.values())
    return [{column: values.get(row) for column, values in document.items()} for row in inner]


def _even(file: TextFile, lists: Sequence[Any], alike: Sequence[Any] | None = None) -> Sequence[Any]:
    """Lists that are all as long as the first, or as `alike`. Raises DataError for others."""
    length = len(lists[0] if alike is None else alike) if lists else 0
    for number, values in enumerate(lists, start=1):
        if not isinstance(values, list) or len(values) != length:
            found = f"{len(values)} values" if isinstance(values, list) else f"a {type(values).__name__}"
            raise DataError(f"{file.name}: found {found} in list {number}, expected a list of {length}")
    return lists


def _first_lines(file: TextFile) -> list[str]:
    """The first lines that are not blank: one where the file has no other, or one that is too long to be a row."""
    head = ""
    for chunk in read_chunks(file):
        head += chunk
        if len(head) > MAX_FIELD or ("\n" in chunk and "\n" in head.strip()):
            break
    return [line for line in head.split("\n") if line.strip()][:2]


def _whole(file: TextFile) -> str:
    """The text of a document. Raises DataError for one that is too long to be read whole."""
    text = ""
    for chunk in read_chunks(file):
        text += chunk
        if len(text) > MAX_DOCUMENT:
            raise DataError(f"{file.name}: over {MAX_DOCUMENT:,} characters in one JSON document; {EXPECTED}")
    return text


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        raise ValueError(f"the key '{Counter(key for key, _ in pairs).most_common(1)[0][0]}' stands twice")
    return entry


FORMAT = Format(read=read, reads=(".jsonl", ".json", ".ndjson"), recognises=recognises, writes=(".jsonl",), write=_write)
