"""Parquet, by pyarrow, which is loaded only where such a file is there."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rankwise.data.files.formats.arrow import cells_of, class_names, typed_tables
from rankwise.data.files.rows import PROBED_ROWS, ClassNames, Format, OutputRow, Row, Rows, first_line
from rankwise.data.files.text import TextFile
from rankwise.errors import DataError, as_typed


def read(file: TextFile) -> Rows:
    """The rows of a Parquet file, cells as typed values; class numbers as the names that its schema has."""
    import pyarrow.parquet

    if file.compressed:
        raise DataError(f"{file.name}: a compressed Parquet file; unpack it: gunzip {as_typed(file.name)}")
    try:
        schema = pyarrow.parquet.read_schema(file.path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{file.name}: not a Parquet file that can be read ({first_line(error)})") from error
    classes = class_names(schema)
    return Rows("Parquet", lambda: _rows(file, classes), tuple(schema.names), typed=True, classes=classes)


def _write(path: Path, columns: Sequence[str], rows: Iterable[OutputRow]) -> None:
    """Rows in row groups."""
    import pyarrow.parquet as pq

    schema, tables = typed_tables(columns, rows, "Parquet")
    with pq.ParquetWriter(path, schema) as file:
        for table in tables:
            file.write_table(table)


def _rows(file: TextFile, classes: ClassNames) -> Iterator[Row]:
    import pyarrow.parquet

    read_rows = 0
    try:
        # Without these settings Arrow loads a whole row group, which may be the whole file.
        with pyarrow.parquet.ParquetFile(file.path, pre_buffer=False, buffer_size=1 << 20) as parquet:
            for batch in parquet.iter_batches(batch_size=PROBED_ROWS):
                for cells in cells_of(batch, classes):
                    yield 0, cells
                read_rows += batch.num_rows
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name}: cannot be read after row {read_rows:,} ({first_line(error)})") from error


FORMAT = Format(reads=(".parquet", ".pq"), read=read, begins=(b"PAR1",), writes=(".parquet",), write=_write, gzipped=False)
