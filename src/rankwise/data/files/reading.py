"""A source, which is a file, a folder or a hub data set, is opened: its rows come from the format that its name says."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from rankwise.data.files import hub
from rankwise.data.files.formats import FORMATS, READERS
from rankwise.data.files.rows import Row, Rows
from rankwise.data.files.text import MAX_FIELD, TextFile, data_suffix, read_lines
from rankwise.errors import DataError, nearest
from rankwise.recipe import DELIMITERS, DataSpec, SourceSpec

ROLES = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}
REFUSED = {
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), "a pickle may run code when it is read"),
    **dict.fromkeys((".bin", ".npy", ".safetensors"), "it holds numbers or weights, no text"),
    **dict.fromkeys((".py", ".ipynb"), "a script would have to be run; rankwise runs no code from data"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz", ".zst"), "an archive; unpack it first"),
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "a spreadsheet; save the sheet as CSV"),
}
UNLABELLED = "unsup"  # IMDB's folder of texts without a class


def open_rows(source: SourceSpec, data: DataSpec, *, setting: str) -> Rows:
    """The rows of a source. `setting` is what to type to change it, such as `--set data.train`. Raises DataError."""
    if source.path.startswith("hub:"):
        return hub.read(source.path)
    path = checked_path(source.path)
    delimiter = DELIMITERS.get(data.delimiter or "", data.delimiter)
    file = TextFile(path, source.path, source.encoding, setting, data.skip_bad_rows, data.quoting, delimiter)
    if path.is_dir():
        return _read_class_folders(file)
    if file.suffix not in READERS:
        gzipped = ", ".join(suffix for format in FORMATS if format.gzipped for suffix in format.reads)
        others = ", ".join(suffix for format in FORMATS if not format.gzipped for suffix in format.reads)
        raise DataError(
            f"{source.path}: {REFUSED.get(file.suffix, 'an unknown format')}; expected {gzipped} (each also .gz), {others}, "
            "a folder of class folders, or hub:NAME"
        )
    return READERS[file.suffix].read(file)


def checked_path(name: str) -> Path:
    """The path of a file or folder that exists and can be read. Raises DataError, in other words for each failure."""
    path = Path(name).expanduser()
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        alike = [entry for entry in ("sample", *beside) if nearest(path.stem, [Path(entry).stem])]
        raise DataError(
            f"{name}: no such file or folder{nearest(path.name, alike) or ';'} a hub data set is written hub:{name}"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        raise DataError(f"{name}: cannot be looked at ({error}); expected a file or folder you may read") from error
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise DataError(f"{name}: neither a file nor a folder; save its content to a file first, it is read twice")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise DataError(f"{name}: no permission to read it; type: chmod u+r {name}")
    return path


def is_readable(path: Path) -> bool:
    """Whether a file of this name has a format that is read."""
    return data_suffix(path) in READERS


def role_of(name: str) -> str | None:
    """Which split a file or folder of this name holds; None for other names."""
    stem = name.lower().split(".")[0]
    return next((role for role, names in ROLES.items() if stem in names), None)


def class_folders(folder: Path) -> list[Path]:
    """The subfolders that hold one text per .txt file, by name; IMDB's unlabelled `unsup` is left out."""
    folders = (entry for entry in folder.iterdir() if entry.is_dir() and entry.name != UNLABELLED)
    return sorted(entry for entry in folders if next(entry.glob("*.txt"), None) is not None)


def _read_class_folders(folder: TextFile) -> Rows:
    """The texts of a folder of class folders: a label is a folder's name, every .txt file in it one text."""
    if not class_folders(folder.path):
        files = sorted(entry.name for entry in folder.path.iterdir() if entry.is_file())[:5]
        inside = f"it holds {', '.join(files)}; name one of them" if files else "it holds no files"
        raise DataError(f"{folder.name}: a folder without class folders of .txt files; {inside}")
    return Rows("folder of class folders", lambda: _class_folder_rows(folder), ("file", "text", "label"))


def _class_folder_rows(folder: TextFile) -> Iterator[Row]:
    for subfolder in class_folders(folder.path):
        for text_name in sorted(path.name for path in subfolder.glob("*.txt")):  # a path takes ten times a name's memory
            path, name = subfolder / text_name, f"{subfolder.name}/{text_name}"
            file = TextFile(path, f"{folder.name}/{name}", folder.encoding, folder.setting, folder.skip_bad)
            if path.stat().st_size > MAX_FIELD:
                raise DataError(f"{file.name}: {path.stat().st_size:,} bytes; one text has at most {MAX_FIELD:,}")
            yield name, [name, "".join(read_lines(file)), subfolder.name]
