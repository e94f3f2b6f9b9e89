"""Which splits a folder holds: files and folders named after them, parts of files, class folders, what the hub stores."""

from collections.abc import Iterator, Set
from pathlib import Path
from shlex import quote

from rankwise.data.files.formats import READERS
from rankwise.data.files.parts import STATE, data_files, split_of_part
from rankwise.data.files.reading import ROLE_IN_NAME, ROLE_OF, is_readable, role_of
from rankwise.data.files.text import data_suffix
from rankwise.data.files.texts import TEXTS, class_folders, text_files
from rankwise.errors import DataError, as_set

EXPECTED = "expected train.csv (or .tsv, .jsonl, .parquet, .txt), class folders or what datasets saves"


def splits_in(folder: Path, written: str, *, named: Set[str] = frozenset()) -> dict[str, str]:
    """The path of each role's rows; `written` is the folder as somebody wrote it. Roles in `named` have rows elsewhere.

    Raises DataError for two of one role, or nothing that can be read.
    """
    names = _in_folder(folder, written, named)
    if not names and "train" not in named:
        names = _below(folder, written, named)
    if "train" not in {*names, *named} and (_is_of_classes(folder) or data_files(folder)):
        names["train"] = "."
    if not names and "train" not in named:
        contents = sorted(entry.name for entry in folder.iterdir())
        inside = ", ".join(contents[:5]) + (", …" if len(contents) > 5 else "") if contents else "nothing"
        saved = [entry.name for entry in sorted(folder.iterdir()) if (entry / STATE).is_file()]
        trains = as_set("data.train", str(Path(written) / saved[0])) if saved else ""
        fix = f"say which split trains: {trains}" if saved else _files_of(folder, written)
        raise DataError(f"{written}: {EXPECTED}, found {inside}; {fix}")
    return {role: str(Path(written) / name) if name != "." else written for role, name in names.items()}


def _files_of(folder: Path, written: str) -> str:
    """What to give instead of a folder: its files of data, those of training rows first."""
    files = [entry.name for entry in sorted(folder.iterdir()) if entry.is_file() and is_readable(entry)]
    files.sort(key=lambda name: role_of(name) != "train")
    if not files:
        return "none is a file of data; give one"
    return f"give a file instead: {' or '.join(quote(str(Path(written) / name)) for name in files[:3])}"


def _in_folder(folder: Path, written: str, named: Set[str]) -> dict[str, str]:
    """The entry of each role; those whose names are a role's go before those that have it in their name."""
    names: dict[str, str] = {}
    for role, name in _by_name(folder):
        if role in named:
            continue
        if role in names:
            raise DataError(
                f"{written}: {names[role]} and {name} both look like the {role} split; say which: "
                f"{as_set(f'data.{role}', str(Path(written) / name))}"
            )
        names[role] = name
    return names or _pairs(folder, written, named)


def _by_name(folder: Path) -> Iterator[tuple[str, str]]:
    """(a role, the entry that is called so)."""
    found: list[tuple[str, Path]] = []
    for entry in sorted(folder.iterdir()):
        split = split_of_part(entry.name) or entry.name.split(".")[0]
        if (role := ROLE_OF.get(split.lower())) and _holds_rows(entry):
            found.append((role, entry))
    tables = {role for role, entry in found if data_suffix(entry) in READERS}  # which go before plain text beside them
    for role, entry in found:
        if role not in tables or data_suffix(entry) in READERS or entry.is_dir():
            yield role, entry.name


def _pairs(folder: Path, written: str, named: Set[str]) -> dict[str, str]:
    """Entries whose names differ in the role alone, such as news-train and news-test, which both are there."""
    alike: dict[tuple[str, str], dict[str, str]] = {}
    for entry in sorted(folder.iterdir()):
        found = ROLE_IN_NAME.fullmatch(entry.name.lower())
        if found and _holds_rows(entry):
            alike.setdefault((found["before"], found["behind"]), {})[ROLE_OF[found["role"]]] = entry.name
    pairs = [names for names in alike.values() if len(names) > 1 and "train" in names]
    if len(pairs) > 1 and "train" not in named:
        found_names = " and ".join(names["train"] for names in pairs)
        raise DataError(
            f"{written}: {found_names} both look like the train split; say which: "
            f"{' '.join(as_set(f'data.{role}', str(Path(written) / name)) for role, name in pairs[0].items())}"
        )
    return {role: name for role, name in pairs[0].items() if role not in named} if len(pairs) == 1 else {}


def _below(folder: Path, written: str, named: Set[str]) -> dict[str, str]:
    """The splits that a folder in this one holds: `data`, as on the hub, or the only one that holds any."""
    below: dict[str, dict[str, str]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() and entry.name[0] not in "._":
            names = {role: f"{entry.name}/{name}" for role, name in _by_name(entry) if role not in named}
            below |= {entry.name: names} if "train" in names else {}
    if len(below) > 1 and "data" not in below:
        fix = as_set("data.source", str(Path(written) / next(iter(below))))
        raise DataError(f"{written}: {', '.join(below)} hold splits each; name one: {fix}")
    return below.get("data") or next(iter(below.values()), {})


def _is_of_classes(folder: Path) -> bool:
    """Whether a folder that nothing calls training rows has class folders: two, or one of .txt files."""
    found = class_folders(folder)
    return len(found) > 1 or any(name.lower().endswith(TEXTS) for entry in found for name in text_files(entry))


def _holds_rows(entry: Path) -> bool:
    """Whether a file or folder may be a split's."""
    if entry.is_dir():
        return bool((entry / STATE).is_file() or class_folders(entry) or data_files(entry))
    return is_readable(entry) or (not entry.suffix and entry.is_file())
