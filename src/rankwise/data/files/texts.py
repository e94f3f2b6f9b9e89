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
_NO_TEXTS = re.compile(  # endings of other files that folders are full of
    r"\.(csv|tsv|tab|jsonl?|ndjson|parquet|pq|arrow|feather|ipc|gz|zip|tar|tgz|bz|xz|zst|bin|npy|pth?|pkl|pickle|onnx|pyc?|so|ipynb|"
    r"[chm]|cc|cpp|hpp|java|go|rs|jsx?|tsx?|css|sh|ya?ml|toml|cfg|ini|lock|sql|png|jpe?g|gif|svg|pdf|docx?|xlsx?|od[ts]|wav)"
)


def class_folders(folder: Path) -> list[Path]:
    """The subfolders that hold a text in each file, by name; IMDB's unlabelled `unsup` is left out.

    One alone is a class folder where its files are called .txt; others are where there are two, with nothing else in them.
    """
    folders = sorted(
        entry for entry in folder.iterdir() if entry.name[0] not in "._" and entry.name != UNLABELLED and entry.is_dir()
    )
    with_texts = [entry for entry in folders if text_files(entry)]
    if len(with_texts) == 1 and not any(name.lower().endswith(TEXTS) for name in text_files(with_texts[0])):
        return []
    return with_texts


def text_files(folder: Path) -> list[str]:
    """The names of the files of a class folder that are texts: those called .txt or nothing, else all where all are alike."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
    endings = Counter(_ending(name) for name in names)
    if any(ending in TEXTS for ending in endings):
        return [name for name in names if _ending(name) in (*TEXTS, "")]
    alike = len(endings) == 1 and not any(map(_NO_TEXTS.fullmatch, endings)) and _is_text(folder / names[0])
    return names if alike else []


def read(folder: TextFile) -> Rows:
    """The texts of a folder of class folders."""
    return Rows("folder of class folders", lambda: _rows(folder), ("file", "text", "label"))


def _rows(folder: TextFile) -> Iterator[Row]:
    for subfolder in class_folders(folder.path):
        for text_name in text_files(subfolder):  # a path takes ten times a name's memory
            path, name = subfolder / text_name, f"{subfolder.name}/{text_name}"
            file = replace(folder, path=path, name=f"{folder.name}/{name}")
            if path.stat().st_size > MAX_FIELD:
                raise DataError(f"{file.name}: {path.stat().st_size:,} bytes; one text has at most {MAX_FIELD:,}")
            yield name, [name, "".join(read_lines(file)), subfolder.name]


def _ending(name: str) -> str:
    """What a file's name ends in, if that is letters; numbers and hashes behind a point count the files."""
    suffix = Path(name).suffix.lower()
    return suffix if suffix[1:].isalpha() and len(suffix) <= 6 else ""


def _is_text(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"\0" not in stream.read(4096)
