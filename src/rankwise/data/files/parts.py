"""Data in several files read as one: the parts of a file, the files of a folder, and what `datasets` saves to disk."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from rankwise.data.files.formats import READERS
from rankwise.data.files.rows import Row, Rows
from rankwise.data.files.text import TextFile, data_suffix
from rankwise.errors import DataError, as_typed

STATE = "state.json"  # what `datasets` writes beside the Arrow files of a split that it saves

_NUMBER = re.compile(r"\d+")
_PART = re.compile(r"(?P<name>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<ending>\..+)?")


def parts_of(file: TextFile) -> list[TextFile]:
    """The files that make up a source, in order: itself, all parts of which it is the first, or those of a folder.

    Raises DataError where a part is missing, or a folder holds none that can be read.
    """
    if file.path.is_dir():
        paths = data_files(file.path)
        if not paths:
            raise DataError(f"{file.name}: a folder without class folders or data files; {_inside(file.path)}")
    else:
        paths = _series(file)
    if len(paths) == 1 and paths[0] == file.path:
        return [file]
    parent = file.name if file.path.is_dir() else str(Path(file.name).parent)
    return [replace(file, path=path, name=str(Path(parent) / path.name)) for path in paths]


def data_files(folder: Path) -> list[Path]:
    """The files of a folder whose names differ in numbers alone, or that `datasets` saved; empty for any other folder.

    Raises DataError for what was saved in a way that only `datasets` reads.
    """
    if (folder / STATE).is_file():
        return _saved_files(folder)
    paths = sorted(path for path in folder.iterdir() if path.name[0] not in "._" and path.is_file())
    alike = {_NUMBER.sub("0", path.name) for path in paths}
    return paths if len(alike) == 1 and "0" in alike.pop() and data_suffix(paths[0]) in READERS else []


def split_of_part(name: str) -> str | None:
    """The name of a split whose first part this file is: `train` of train-00000-of-00002.parquet."""
    part = _PART.fullmatch(name)
    return part["name"] if part and int(part["number"]) == 0 else None


def joined(parts: Sequence[tuple[TextFile, Rows]]) -> Rows:
    """The rows of several files as one source's. Raises DataError where they do not have the same columns and class names."""
    first_file, first = parts[0]
    if len(parts) == 1:
        return first
    for file, rows in parts[1:]:
        if set(rows.columns or ()) != set(first.columns or ()) or rows.classes != first.classes:
            unlike = ", ".join(rows.columns or ("none",)), ", ".join(first.columns or ("none",))
            raise DataError(
                f"{file.name}: columns {unlike[0]} where {first_file.name} has {unlike[1]}, or other class names; "
                "parts of one file have the same"
            )
    return replace(first, format=f"{first.format}, {len(parts)} files", read=lambda: _rows(parts))


def _rows(parts: Sequence[tuple[TextFile, Rows]]) -> Iterator[Row]:
    """The rows of all parts, in the first one's order of columns. The header of each is the first one's."""
    columns = parts[0][1].columns
    header: Sequence[str] | None = None
    for number, (file, rows) in enumerate(parts):
        order = None if columns is None or rows.columns == columns else [(rows.columns or ()).index(name) for name in columns]
        at_top = columns is None
        for location, cells in rows.read():
            if at_top and cells is not None:
                at_top = False
                header = cells if number == 0 else header
                if number and sorted(cells) == sorted(header or ()):
                    order = [cells.index(cell) for cell in header or ()]
                    continue
            if columns is None and cells is not None and header is not None and len(cells) != len(header):
                raise DataError(
                    f"{file.name}: {len(cells)} columns where {parts[0][0].name} has {len(header)}; parts have as many"
                )
            name = file.path.name if not location else f"{file.path.name}, line {location}"
            yield name, cells if order is None or cells is None else [cells[index] for index in order]


def _series(file: TextFile) -> list[Path]:
    """All parts of the file of which this is the first; else the file itself."""
    part = _PART.fullmatch(file.path.name)
    if part is None or int(part["number"]) > 0:
        return [file.path]
    count, ending = int(part["count"]), part["ending"] or ""
    paths = [file.path.with_name(f"{part['name']}-{number:05}-of-{part['count']}{ending}") for number in range(count)]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise DataError(f"{file.name}: the first of {count} parts, of which {missing[0]} is not here; fetch it too")
    return paths


def _saved_files(folder: Path) -> list[Path]:
    try:
        state = json.loads((folder / STATE).read_text("utf-8"))
        names = [str(entry["filename"]) for entry in state["_data_files"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(f"{folder / STATE}: not as datasets writes it; save the data set again with save_to_disk") from error
    if state.get("_indices_files") or state.get("_indices_data_files") or any(Path(name).name != name for name in names):
        fix = f"type {as_typed(f'hub:./{folder.name}')} from its folder"
        raise DataError(f"{folder}: saved by datasets in a way that only it reads; {fix}")
    if not names:
        raise DataError(f"{folder}: saved by datasets, but it holds no rows; save it again with save_to_disk")
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise DataError(f"{folder}: saved by datasets, but {missing[0]} is not here; save it again with save_to_disk")
    return [folder / name for name in names]


def _inside(folder: Path) -> str:
    names = sorted(path.name for path in folder.iterdir())
    return f"it holds {', '.join(names[:5])}{', …' if len(names) > 5 else ''}" if names else "it holds nothing"
