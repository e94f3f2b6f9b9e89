"""A source, which is a file, a folder or a hub data set, is opened: its rows come from the format that it is in.

The format of a file is what its name says, or the one that recognises how it begins. Files in parts are read as one.
"""

import os
import re
import stat
from itertools import islice
from pathlib import Path

from rankwise.data.files import foreign, hub, texts
from rankwise.data.files.formats import FORMATS, LINES, READERS
from rankwise.data.files.hub_classes import with_names
from rankwise.data.files.parts import joined, parts_of
from rankwise.data.files.rows import Format, Rows
from rankwise.data.files.text import TextFile, codec, data_suffix, open_bytes, read_lines, refuse_utf16
from rankwise.errors import DataError, as_set, as_typed, nearest
from rankwise.recipe import DELIMITERS, DataSpec, SourceSpec

ROLES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
ROLE_IN_NAME = re.compile(rf"(?P<before>.*?)(?<![a-z])(?P<role>{'|'.join(ROLE_OF)})(?![a-z])(?P<behind>.*)", re.DOTALL)
PLAIN = (".txt", ".text", "")  # what else they may be, these are texts
TEXT_SUFFIXES = (".txt", ".text", ".label", ".labels", ".dat", ".data", ".psv", ".ft")
_HUB_NAME = re.compile(r"\w[\w-]*(?:/\w[\w.-]*)?")  # such as imdb and stanfordnlp/imdb
SNIFFED = 100  # lines that are looked at where the name does not say the format


def open_rows(source: SourceSpec, data: DataSpec) -> Rows:
    """The rows of a source, read as it and the recipe's data say. Raises DataError."""
    if source.path.startswith("hub:"):
        return hub.read(source.path)
    path = checked_path(source.path)
    delimiter = DELIMITERS.get(data.delimiter or "", data.delimiter)
    sheet = data.sheet if source.sheet is None else source.sheet
    file = TextFile(
        path, source.path, source.encoding, _setting_of(source, data), data.skip_bad_rows, data.quoting, delimiter, sheet
    )
    if path.is_dir() and texts.class_folders(path):
        return texts.read(file)
    return with_names(joined([(part, _format_of(part).read(part)) for part in parts_of(file)]), path)


def checked_path(name: str) -> Path:
    """The path of a file or folder that exists and can be read. Raises DataError, in other words for each failure."""
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        alike = [entry for entry in ("sample", *beside) if nearest(path.stem, [Path(entry).stem])]
        meant = nearest(path.name, alike) or "; expected a path, sample or hub:NAME"
        hub_name = f"; a hub data set is written hub:{name}" if _HUB_NAME.fullmatch(name) else ""
        raise DataError(f"{name}: no such file or folder{meant}{hub_name}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise DataError(f"{name}: cannot be looked at ({error}); expected a file or folder you may read") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{name}: neither a file nor a folder; save its content to a file first, it is read twice")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise DataError(f"{name}: no permission to read it; type: chmod u+r {as_typed(path)}")
    return path


def is_readable(path: Path) -> bool:
    """Whether the name of a file is one of data."""
    return data_suffix(path) in {*READERS, *TEXT_SUFFIXES}


def role_of(name: str) -> str | None:
    """Which split a file or folder holds that has one's name in its own, as news-train and test_2.csv do; None for others."""
    found = ROLE_IN_NAME.fullmatch(name.lower())
    return ROLE_OF[found["role"]] if found else None


def _format_of(file: TextFile) -> Format:
    """The format of a file. Raises DataError for a file of none."""
    if file.suffix in foreign.BY_SUFFIX:
        raise _unknown(file, foreign.BY_SUFFIX[file.suffix])
    with open_bytes(file) as stream:
        head = stream.read(4096)
    if file.suffix in READERS and head.startswith(READERS[file.suffix].begins or (b"\0\0",)):
        return READERS[file.suffix]
    if what := foreign.by_beginning(head.removeprefix(b"\xef\xbb\xbf").lstrip()):
        raise DataError(f"{file.name}: {what}")
    if file.suffix in READERS:
        return READERS[file.suffix]
    if binary := next((format for format in FORMATS if format.begins and head.startswith(format.begins)), None):
        return binary
    refuse_utf16(file)
    if b"\0" in head and codec(file) == "utf-8-sig":
        raise _unknown(file, "an unknown format")
    lines = [line for line in islice(read_lines(file), SNIFFED) if not line.isspace()]
    if not lines:
        return READERS[".csv"]  # which has no rows either
    if what := foreign.by_lines(lines):
        raise _unknown(file, what)
    for format in reversed(FORMATS):
        if format.recognises and format.recognises(lines):
            return format
    if file.delimiter is not None:
        return READERS[".csv"]
    if file.suffix in PLAIN or file.suffix[1:].isdecimal():
        return LINES
    raise _unknown(file, "an unknown format")


def _unknown(file: TextFile, problem: str) -> DataError:
    gzipped = ", ".join(suffix for format in FORMATS if format.gzipped for suffix in format.reads)
    others = ", ".join(suffix for format in FORMATS if not format.gzipped for suffix in format.reads)
    return DataError(
        f"{file.name}: {problem}; expected {gzipped}, .txt (each also .gz), {others}, a folder of class folders, or hub:NAME"
    )


def _setting_of(source: SourceSpec, data: DataSpec) -> str:
    """What to type before `.encoding=…` to change how this source is read."""
    for role in ("train", "validation", "test"):
        if (named := getattr(data, role)) is not None and named.path == source.path:
            return f"--set data.{role}"
    role = "train" if data.source == source.path else role_of(Path(source.path).name) or "train"
    return f"{as_set(f'data.{role}.path', source.path)} --set data.{role}"
