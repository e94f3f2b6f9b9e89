"""Arrow: Feather, and files and streams of its own format; by pyarrow, loaded only where such a file is there."""

import json
from collections.abc import Iterator
from typing import Any

from rankwise.data.files.rows import PROBED_ROWS, ClassNames, Format, Row, Rows, class_name, first_line
from rankwise.data.files.text import TextFile
from rankwise.errors import DataError, as_typed

FILE, STREAM, FEATHER_1 = b"ARROW1", b"\xff\xff\xff\xff", b"FEA1"  # how files begin


def read(file: TextFile) -> Rows:
    """The rows of an Arrow or Feather file, cells as typed values; class numbers as the names that its schema has."""
    import pyarrow

    if file.compressed:
        raise DataError(f"{file.name}: a compressed Arrow file; unpack it: gunzip {as_typed(file.name)}")
    try:
        schema, _ = _opened(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: not an Arrow file that can be read ({first_line(error)})") from error
    classes = class_names(schema)
    return Rows("Arrow", lambda: _rows(file, classes), tuple(schema.names), typed=True, classes=classes)


def class_names(schema: Any) -> dict[str, tuple[str, ...]]:
    """The class names by column that the datasets library writes into a schema; empty where it did not."""
    try:
        written = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = written.get("info", {}).get("features", {})
        return {column: names for column, feature in features.items() if (names := _names(feature))}
    except (ValueError, AttributeError):  # somebody else's metadata
        return {}


def cells_of(batch: Any, classes: ClassNames) -> Iterator[list[Any]]:
    """The rows of a record batch, a few of them held at a time."""
    for start in range(0, batch.num_rows, PROBED_ROWS):
        part = batch.slice(start, PROBED_ROWS)
        columns = []
        for name, column in zip(batch.schema.names, part.columns, strict=True):
            values, names = column.to_pylist(), classes.get(name)
            columns.append([class_name(value, names) for value in values] if names else values)
        yield from map(list, zip(*columns, strict=True))


def _names(feature: Any) -> tuple[str, ...]:
    """The class names of a feature, or of the one in its list."""
    if isinstance(feature, list):
        feature = feature[0] if feature else {}
    if isinstance(feature, dict) and "feature" in feature:
        feature = feature["feature"]
    is_class = isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    return tuple(map(str, feature.get("names") or ())) if is_class else ()


def _opened(file: TextFile) -> tuple[Any, Iterator[Any]]:
    """(the schema, the record batches) of a file, which is mapped and not loaded."""
    import pyarrow

    with file.path.open("rb") as stream:
        head = stream.read(len(FILE))
    if head.startswith(FEATHER_1):
        raise DataError(f"{file.name}: Feather's first version, which is no longer read; write it again, as version 2")
    source = pyarrow.memory_map(str(file.path))
    if head != FILE:
        reader = pyarrow.ipc.open_stream(source)
        return reader.schema, iter(reader)
    batches = pyarrow.ipc.open_file(source)
    return batches.schema, map(batches.get_batch, range(batches.num_record_batches))


def _rows(file: TextFile, classes: ClassNames) -> Iterator[Row]:
    import pyarrow

    read_rows = 0
    try:
        for batch in _opened(file)[1]:
            for cells in cells_of(batch, classes):
                yield 0, cells
            read_rows += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: cannot be read after row {read_rows:,} ({first_line(error)})") from error


FORMAT = Format(reads=(".arrow", ".feather", ".ipc"), read=read, begins=(FILE, STREAM), gzipped=False)
