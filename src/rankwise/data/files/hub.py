"""Data sets of the Hugging Face hub, written `hub:NAME` or `hub:NAME:SPLIT`, or saved on this machine: `hub:./FOLDER`."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from rankwise.data.files.rows import ClassNames, Row, Rows, class_name, first_line
from rankwise.errors import DataError, require
from rankwise.system.hub import is_reachable


def read(path: str) -> Rows:
    """The rows of a split, training's unless another is named; class numbers are read as their names."""
    name, split = name_and_split(path)
    datasets = _datasets(name)
    with _explained(name):
        examples = datasets.load_dataset(name, split=split or "train", streaming=True)
        features = examples.features or dict.fromkeys(next(iter(examples), {}))
    ones = {key: getattr(kind, "feature", kind) for key, kind in features.items()}  # of a list what it holds
    classes = {key: tuple(kind.names) for key, kind in ones.items() if isinstance(kind, datasets.ClassLabel)}
    columns = tuple(features)
    return Rows("hub data set", partial(_rows, name, examples, classes, columns), columns, typed=True, classes=classes)


def name_and_split(path: str) -> tuple[str, str | None]:
    """The NAME and SPLIT of `hub:NAME:SPLIT`; None when no split is named."""
    name, colon, split = path.removeprefix("hub:").rpartition(":")
    return (name, split) if colon else (split, None)


def split_names(name: str) -> list[str]:
    """The splits that a data set has. Raises DataError when it cannot be reached."""
    datasets = _datasets(name)
    with _explained(name):
        return list(datasets.get_dataset_split_names(name))


def _rows(name: str, examples: Any, classes: ClassNames, columns: tuple[str, ...]) -> Iterator[Row]:
    with _explained(name):
        for example in examples:
            yield 0, [class_name(example.get(column), classes.get(column)) for column in columns]


def _datasets(name: str) -> ModuleType:
    """The datasets library, when it has a way to the data set."""
    if not Path(name).exists() and not is_reachable():
        raise DataError(
            f"hub:{name}: the Hugging Face hub can't be reached from here; give files instead: --data FILE_OR_FOLDER, or "
            "hub:./FOLDER for a data set saved on this machine"
        )
    return require("datasets", extra="hub")


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Raise DataError where the library fails on a data set."""
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:  # not found or offline; unknown split or configuration; a script
        raise DataError(
            f"hub:{name}: {first_line(error)}; expected hub:NAME or hub:NAME:SPLIT of a data set without a script, or "
            "hub:./FOLDER for a local one"
        ) from error
