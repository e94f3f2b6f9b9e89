"""What a recipe says about its data becomes one source for each of train, validation and test.

Folders are looked into: files named after splits, folders named after splits, folders of classes. A `classes.txt` beside
the training rows names the classes in the order of their numbers.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path

from rankwise.data.files import hub
from rankwise.data.files.class_folders import class_folders
from rankwise.data.files.formats import WRITERS
from rankwise.data.files.reading import ROLES, checked_path, is_readable, role_of
from rankwise.data.files.table import hub_classes
from rankwise.errors import DataError
from rankwise.recipe import DataSpec, SourceSpec


@dataclass(frozen=True)
class Sources:
    """Where each split is; None where it has to be split off the training rows. `classes` is empty when unknown."""

    train: SourceSpec
    validation: SourceSpec | None
    test: SourceSpec | None
    classes: tuple[str, ...]


def sources_of(data: DataSpec) -> Sources:
    """One source for each split, from `data.source`, `data.train`, `data.validation` and `data.test`.

    Raises DataError when nothing is given, a path cannot be read, or two splits are the same file.
    """
    splits = _found(data)
    train = splits["train"]
    if train is None and data.source is not None:
        held = " and ".join(role for role, source in splits.items() if source is not None)
        raise DataError(f"{data.source} has {held} rows but no training rows; add train.csv, or type --set data.train=FILE")
    if train is None:
        raise DataError("no training text is given; type --set data.source=FOLDER_OR_FILE, or --set data.source=sample")
    return Sources(train, splits["validation"], splits["test"], data.classes or _class_names(data, train))


def source_to_score(data: DataSpec) -> tuple[SourceSpec, tuple[str, ...]]:
    """Of what `data` has, the rows to be scored: test, else validation, else training rows; and the class names, if known.

    Raises DataError as `sources_of` does, but for a source without training rows.
    """
    splits = _found(data)
    chosen = splits["test"] or splits["validation"] or splits["train"]
    if chosen is None:
        raise DataError("no text is given; give a file, a folder or hub:NAME")
    return chosen, data.classes or _class_names(data, splits["train"] or chosen)


def _found(data: DataSpec) -> dict[str, SourceSpec | None]:
    """The source of each role."""
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    found = {} if data.source is None else _splits_of(data.source, given={role for role in given if given[role]})
    splits = {role: _with_split(given[role] or found.get(role), role) for role in given}
    for source in filter(None, splits.values()):
        if not source.path.startswith("hub:"):
            checked_path(source.path)
    _refuse_same(splits)
    return splits


def _splits_of(source: str, *, given: Set[str]) -> dict[str, SourceSpec]:
    """What one `data.source` holds for roles that are not `given` otherwise."""
    if source == "sample":
        folder = resources.files("rankwise.data") / "sample"
        return {role: SourceSpec(path=str(folder / f"{role}.csv")) for role in ROLES}
    if source.startswith("hub:"):
        return _hub_splits_of(source)
    path = checked_path(source)
    return _folder_splits(path, source, given=given) if path.is_dir() else {"train": SourceSpec(path=source)}


def _hub_splits_of(source: str) -> dict[str, SourceSpec]:
    name, split = hub.name_and_split(source)
    if split is not None:
        return {"train": SourceSpec(path=source)}
    there = hub.split_names(name)
    found = {role: next((split for split in names if split in there), None) for role, names in ROLES.items()}
    if found["train"] is None:
        raise DataError(f"{source}: no split is called train; there are {', '.join(there)}: type {source}:{there[0]}")
    return {role: SourceSpec(path=f"hub:{name}:{split}") for role, split in found.items() if split is not None}


def _folder_splits(folder: Path, as_given: str, *, given: Set[str]) -> dict[str, SourceSpec]:
    found: dict[str, str] = {}
    entries = sorted(entry for entry in folder.iterdir() if role_of(entry.name) not in {None, *given})
    for entry in entries:
        if not (class_folders(entry) if entry.is_dir() else is_readable(entry)):
            continue
        role = str(role_of(entry.name))
        if role in found:
            raise DataError(
                f"{as_given}: {found[role]} and {entry.name} both look like the {role} split; say which: "
                f"--set data.{role}={as_given}/{entry.name}"
            )
        found[role] = entry.name
    splits = {role: SourceSpec(path=str(Path(as_given) / name)) for role, name in found.items()}
    if "train" not in {*splits, *given} and class_folders(folder):
        splits["train"] = SourceSpec(path=as_given)
    if not splits and "train" not in given:
        raise _nothing_readable(folder, as_given)
    return splits


def _nothing_readable(folder: Path, as_given: str) -> DataError:
    names = sorted(entry.name for entry in folder.iterdir())
    first, *others = WRITERS
    inside = ", ".join(names[:5]) + (", …" if len(names) > 5 else "") if names else "nothing"
    return DataError(
        f"{as_given}: expected train{first} (or {', '.join(others)}) or class folders of .txt files, found {inside}; "
        "name the file: --set data.train=FILE"
    )


def _with_split(source: SourceSpec | None, role: str) -> SourceSpec | None:
    """A hub data set without a split is read at the split of its role."""
    if source is None or not source.path.startswith("hub:") or hub.name_and_split(source.path)[1] is not None:
        return source
    return source.model_copy(update={"path": f"{source.path}:{role}"})


def _refuse_same(splits: Mapping[str, SourceSpec | None]) -> None:
    for (one, first), (other, second) in combinations(splits.items(), 2):
        if first and second and _is_same(first.path, second.path):
            raise DataError(
                f"{one} and {other} are the same file, {second.path}; give {other} rows of its own, or leave "
                f"data.{other} out to split them off"
            )


def _is_same(one: str, other: str) -> bool:
    if one.startswith("hub:") or other.startswith("hub:"):
        return one == other
    return os.path.samefile(Path(one).expanduser(), Path(other).expanduser())


def _class_names(data: DataSpec, train: SourceSpec) -> tuple[str, ...]:
    """From classes.txt beside the training rows, or from a hub data set's features; empty when neither says."""
    if train.path.startswith("hub:"):
        return hub_classes(train, data)
    path = checked_path(data.source) if data.source and not data.source.startswith(("hub:", "sample")) else None
    folder = path if path and path.is_dir() else checked_path(train.path).parent
    file = folder / "classes.txt"
    if not file.is_file():
        return ()
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not utf-8 at byte {error.start:,}; save it as UTF-8") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) < len(names):
        raise DataError(f"{file}: a class stands twice; expected each class name on a line of its own, once")
    return names
