"""Arrow: Feather, and files and streams of its own format; by pyarrow, loaded only where such a file is there."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from rankwise.data.files.rows import PROBED_ROWS, ClassNames, Format, OutputRow, Row, Rows, class_name, first_line
from rankwise.data.files.text import TextFile
from rankwise.errors import DataError, as_typed

WRITTEN_ROWS = 4_096  # held before they are written together
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


def typed_tables(columns: Sequence[str], rows: Iterable[OutputRow], format: str) -> tuple[Any, Iterator[Any]]:
    """(the schema, tables of WRITTEN_ROWS rows or fewer), of which the first one's values decide the types of the columns.

    A table raises DataError where a later value has another type; `format` is what has no place for it.
    """
    import pyarrow as pa

    def table(group: Sequence[OutputRow], schema: Any = None) -> Any:
        try:
            return pa.table({name: [row[name] for row in group] for name in columns}, schema=schema)
        except (pa.ArrowException, OverflowError) as error:  # a column of an input without types, such as JSONL
            problem = f"a column holds values of several types ({first_line(error)})"
            raise DataError(f"{problem}, which {format} has no place for; write .jsonl or .csv") from error

    left = iter(rows)
    first = table(list(islice(left, WRITTEN_ROWS)))
    unknown = [field.name for field in first.schema if pa.types.is_null(field.type)]  # empty so far, so text for all we know
    schema = pa.schema([pa.field(field.name, pa.string()) if field.name in unknown else field for field in first.schema])

    def tables() -> Iterator[Any]:
        yield first.cast(schema)
        while group := list(islice(left, WRITTEN_ROWS)):
            yield table(group, schema)

    return schema, tables()


def _write(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    """Rows in record batches of an Arrow file, which Feather's second version is too."""
    import pyarrow as pa

    schema, tables = typed_tables(columns, rows, "Arrow")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
        for table in tables:
            file.write_table(table)


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


FORMAT = Format(
    reads=(".arrow", ".feather", ".ipc"),
    read=read,
    begins=(FILE, STREAM),
    writes=(".arrow", ".feather"),
    write=_write,
    gzipped=False,
)
