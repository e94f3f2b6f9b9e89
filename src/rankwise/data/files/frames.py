"""A frame that Python hands over (pandas, Polars, Arrow, datasets, a mapping of columns) as the rows of a source.

So its text and labels are found as a file's are. Libraries are known by the methods of their values, and none is imported.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from rankwise.data.files.formats.arrow import class_names
from rankwise.data.files.rows import ClassNames, Row, Rows, class_name
from rankwise.data.given import column_names, is_missing, listed
from rankwise.errors import DataError


def rows_of(given: Any) -> Rows | None:
    """The rows of a frame; None for what is none. Raises DataError for columns of unlike lengths."""
    names = column_names(given)
    if names is None:
        return None
    columns = [list(listed(given[name])) for name in names]
    lengths = {str(name): len(cells) for name, cells in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} {length:,}" for name, length in lengths.items())
        raise DataError(f"texts: columns of unlike lengths ({told}); expected a cell of each for every row")
    classes = _classes(given)
    of_column = [classes.get(str(name)) for name in names]

    def read() -> Iterator[Row]:
        for cells in zip(*columns, strict=True):
            yield 0, [class_name(_plain(cell), known) for cell, known in zip(cells, of_column, strict=True)]

    kind = type(given)
    library = "" if kind.__module__ == "builtins" else f"{kind.__module__.partition('.')[0]} "
    return Rows(f"{library}{kind.__name__}", read, tuple(map(str, names)), typed=True, classes=classes)


def _classes(given: Any) -> ClassNames:
    """The class names that a data set's features, or an Arrow table's schema, have for numbers, by column."""
    features = getattr(given, "features", None)
    if isinstance(features, Mapping):
        ones = {str(name): getattr(feature, "feature", feature) for name, feature in features.items()}
        return {name: tuple(map(str, names)) for name, one in ones.items() if (names := getattr(one, "names", None))}
    schema = getattr(given, "schema", None)
    return class_names(schema) if hasattr(schema, "metadata") else {}


def _plain(cell: Any) -> Any:
    """A cell as Python has it: None for what is missing, a list for an array."""
    if type(cell) in (str, int, float, bool, type(None)):
        return cell
    plain = cell.tolist() if hasattr(cell, "tolist") else cell  # numpy's, also in a column of arrays
    return None if is_missing(plain) else plain
