"""What a recipe says about its data becomes one source for each of train, validation and test.

Folders are looked into: files named after splits, folders named after splits, folders of classes. A `classes.txt` or
`labels.txt` beside the training rows names the classes in the order of their numbers.
"""

import os
import zipfile
from collections.abc import Mapping, Set
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path

from rankwise.data.files import hub
from rankwise.data.files.folders import splits_in
from rankwise.data.files.formats import excel
from rankwise.data.files.reading import ROLE_OF, ROLES, checked_path
from rankwise.data.files.text import data_suffix
from rankwise.errors import DataError, as_typed
from rankwise.recipe import DataSpec, SourceSpec

NAMES = ("classes.txt", "labels.txt")  # files beside training rows that name the classes


@dataclass(frozen=True)
class Sources:
    """Where the splits are, and what their classes are called."""

    splits: Mapping[str, SourceSpec]
    """By role; validation or test is missing where its rows have to be split off the training rows."""
    classes: tuple[str, ...]
    """Class names in the order of their numbers; empty where neither the recipe nor a file of names says them."""

    @property
    def train(self) -> SourceSpec:
        return self.splits["train"]


def sources_of(data: DataSpec) -> Sources:
    """The sources of the splits, from `data.source`, `data.train`, `data.validation` and `data.test`.

    Raises DataError when nothing is given, a path cannot be read, or two splits are the same file.
    """
    splits = _source_by_role(data)
    if "train" not in splits and data.source is not None:
        others = " and ".join(splits)
        raise DataError(f"{data.source} has {others} rows but no training rows; add train.csv, or type --set data.train=FILE")
    if "train" not in splits:
        raise DataError("no training text is given; type --set data.source=FOLDER_OR_FILE, or --set data.source=sample")
    return Sources(splits, data.classes or _class_names(data, splits["train"]))


def source_to_score(data: DataSpec) -> tuple[SourceSpec, tuple[str, ...]]:
    """(the rows to be scored: test, else validation, else training rows; the class names, empty where unknown).

    Raises DataError as `sources_of` does, but for a source without training rows.
    """
    splits = _source_by_role(data)
    if not splits:
        raise DataError("no text is given; give a file, a folder or hub:NAME")
    scored = next(splits[role] for role in ("test", "validation", "train") if role in splits)
    return scored, data.classes or _class_names(data, splits.get("train", scored))


def _source_by_role(data: DataSpec) -> dict[str, SourceSpec]:
    """The source of every role that has one. Raises DataError for one that can't be read, or that two roles have."""
    named = {role: source for role in ROLES if (source := getattr(data, role)) is not None}
    inside = {}
    if data.source is not None and not _is_elsewhere(data.source, named):
        inside = _sources_in(data.source, named=named.keys(), sheet=data.sheet)
    sources = {role: named.get(role) or inside[role] for role in ROLES if role in {*named, *inside}}
    for role, source in sources.items():
        if not source.path.startswith("hub:"):
            checked_path(source.path)
        elif hub.name_and_split(source.path)[1] is None:  # a hub data set without a split is read at that of its role
            sources[role] = source.model_copy(update={"path": f"{source.path}:{role}"})
    for (one, first), (other, second) in combinations(sources.items(), 2):
        if first.sheet == second.sheet and _is_same(first.path, second.path):
            raise DataError(
                f"{one} and {other} are the same file, {second.path}; give {other} rows of its own, or leave "
                f"data.{other} out to split them off"
            )
    return sources


def _is_elsewhere(source: str, named: Mapping[str, SourceSpec]) -> bool:
    """Whether `data.source` is another data set than the training rows that are named, so that no split comes from it.

    Raises DataError where a validation or test file is named beside the sample, which would train.
    """
    if "train" in named:
        folder, path = Path(source).expanduser().absolute(), Path(named["train"].path).expanduser().absolute()
        return source != named["train"].path and folder not in path.parents
    if named and source == "sample":
        role = next(iter(named))
        raise DataError(
            f"data.{role} is {named[role].path}, but the training rows would be the sample's; name yours too: "
            "--set data.train=FILE"
        )
    return False


def _sources_in(source: str, *, named: Set[str], sheet: str | None) -> dict[str, SourceSpec]:
    """What one `data.source` holds, by role; the roles in `named` have sources of their own; `sheet` is asked for."""
    if source == "sample":
        folder = resources.files("rankwise.data") / "sample"
        return {role: SourceSpec(path=str(folder / f"{role}.csv")) for role in ROLES}
    if not source.startswith("hub:"):
        path = checked_path(source)
        if path.is_file() and sheet is None and (sheets := _sheets_by_role(path, source)):
            return {role: SourceSpec(path=source, sheet=name) for role, name in sheets.items()}
        paths = splits_in(path, source, named=named) if path.is_dir() else {"train": source}
        return {role: SourceSpec(path=path) for role, path in paths.items()}
    name, split = hub.name_and_split(source)
    if split is not None:
        return {"train": SourceSpec(path=source)}
    known = hub.split_names(name)
    splits = {role: next((split for split in names if split in known), None) for role, names in ROLES.items()}
    if splits["train"] is None:
        raise DataError(
            f"{source}: no split is called train; there are {', '.join(known)}: type {as_typed(f'{source}:{known[0]}')}"
        )
    return {role: SourceSpec(path=f"hub:{name}:{split}") for role, split in splits.items() if split is not None}


def _sheets_by_role(path: Path, name: str) -> dict[str, str]:
    """The sheets of a workbook that are named after splits, where one of them has training rows."""
    if data_suffix(path) not in excel.FORMAT.reads or not zipfile.is_zipfile(path):
        return {}
    roles = {ROLE_OF[sheet.lower()]: sheet for sheet in excel.sheets_in(path, name) if sheet.lower() in ROLE_OF}
    return roles if "train" in roles else {}


def _is_same(one: str, other: str) -> bool:
    """Whether two paths are one file, by whatever name, or one hub data set."""
    if one.startswith("hub:") or other.startswith("hub:"):
        return one == other
    return os.path.samefile(Path(one).expanduser(), Path(other).expanduser())


def _class_names(data: DataSpec, train: SourceSpec) -> tuple[str, ...]:
    """Class names from a file of NAMES beside the training rows; empty where there is none, as for a hub data set."""
    if train.path.startswith("hub:"):
        return ()
    path = checked_path(data.source) if data.source and not data.source.startswith(("hub:", "sample")) else None
    folder = path if path and path.is_dir() else checked_path(train.path).parent
    for file in (folder / name for name in NAMES):
        if file.is_file() and (names := _names_in(file)):
            return names
    return ()


def _names_in(file: Path) -> tuple[str, ...]:
    """The names in a file, a line each. Raises DataError for a class that stands twice in a classes.txt.

    Such a labels.txt has the label of each row, which names nothing.
    """
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not utf-8 at byte {error.start:,}; save it as UTF-8") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if len(set(names)) == len(names):
        return names
    if file.name == NAMES[0]:
        raise DataError(f"{file}: a class stands twice; expected each class name on a line of its own, once")
    return ()
