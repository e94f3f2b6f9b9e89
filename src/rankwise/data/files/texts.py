"""Folders of class folders: a label is a folder's name, each file in it one text, whatever its ending."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from rankwise.data.files.rows import Row, Rows
from rankwise.data.files.text import MAX_FIELD, TextFile, read_lines
from rankwise.errors import DataError

UNLABELLED = "unsup"  # IMDB's folder of texts without a class
TEXTS = (".txt", ".text")
_COUNT = re.compile(r"\.(\d+|[0-9a-f]{8,})")
_NO_TEXTS = re.compile(  # endings of other files that folders are full of
    r"\.(csv|tsv|tab|jsonl?|ndjson|parquet|pq|arrow|feather|ipc|gz|zip|tar|tgz|bz|xz|zst|bin|npy|pth?|pkl|pickle|onnx|pyc?|so|ipynb|"
    r"[chm]|cc|cpp|hpp|java|go|rs|jsx?|tsx?|css|sh|ya?ml|toml|cfg|ini|lock|sql|png|jpe?g|gif|svg|pdf|docx?|xlsx?|od[ts]|wav)"
)


def class_folders(folder: Path) -> list[Path]:
    """The subfolders whose files are texts, by name; IMDB's unlabelled `unsup` is left out."""
    return [entry for entry in _subfolders(folder) if text_files(entry)]


def text_files(folder: Path) -> list[str]:
    """The names of the files of a class folder that are texts: those called .txt, else all where all are alike."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
    endings = Counter(_ending(name) for name in names)
    if any(ending in TEXTS for ending in endings):
        return [name for name in names if _ending(name) in TEXTS]
    if 2 * endings[""] > len(names):
        names = [name for name in names if _ending(name) == ""]
    elif len(endings) != 1 or any(map(_NO_TEXTS.fullmatch, endings)):
        return []
    return names if _is_text(folder / names[0]) else []


def read(folder: TextFile) -> Rows:
    """The texts of a folder of class folders."""
    classes = class_folders(folder.path)
    others = [entry.name for entry in _subfolders(folder.path) if entry not in classes and any(entry.iterdir())]
    left_out = f", without {', '.join(others[:3])}{', …' if len(others) > 3 else ''}, where no texts are" if others else ""
    return Rows(f"folder of class folders{left_out}", lambda: _rows(folder), ("file", "text", "label"))


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith((".", "__")) and entry.name != UNLABELLED and entry.is_dir()
    )


def _rows(folder: TextFile) -> Iterator[Row]:
    for subfolder in class_folders(folder.path):
        for text_name in text_files(subfolder):  # a path takes ten times a name's memory
            path, name = subfolder / text_name, f"{subfolder.name}/{text_name}"
            file = replace(folder, path=path, name=f"{folder.name}/{name}")
            if path.stat().st_size > MAX_FIELD:
                raise DataError(f"{file.name}: {path.stat().st_size:,} bytes; one text has at most {MAX_FIELD:,}")
            yield name, [name, "".join(read_lines(file)), subfolder.name]


def _ending(name: str) -> str:
    """What a file's name ends in, but for numbers and hashes behind a point, which count the files."""
    suffix = Path(name).suffix.lower()
    return "" if _COUNT.fullmatch(suffix) else suffix


def _is_text(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"\0" not in stream.read(4096)
