"""A folder of class folders: the label is the folder's name, every .txt file in it is one text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rankwise.data.files.rows import Row, Rows
from rankwise.data.files.text import MAX_FIELD, TextFile, read_lines
from rankwise.errors import DataError

UNLABELLED = "unsup"  # IMDB's folder of texts without a class


def read(folder: TextFile) -> Rows:
    """The texts below a folder, under the columns file, text and label. Raises DataError where it has no class folders."""
    if not class_folders(folder.path):
        files = sorted(entry.name for entry in folder.path.iterdir() if entry.is_file())[:5]
        inside = f"it holds {', '.join(files)}; name one of them" if files else "it holds no files"
        raise DataError(f"{folder.name}: a folder without class folders of .txt files; {inside}")
    return Rows("folder of class folders", lambda: _rows(folder), ("file", "text", "label"))


def class_folders(folder: Path) -> list[Path]:
    """The subfolders that hold one text per .txt file, by name; IMDB's unlabelled `unsup` is left out."""
    folders = (entry for entry in folder.iterdir() if entry.is_dir() and entry.name != UNLABELLED)
    return sorted(entry for entry in folders if next(entry.glob("*.txt"), None) is not None)


def _rows(folder: TextFile) -> Iterator[Row]:
    for subfolder in class_folders(folder.path):
        for text_name in sorted(path.name for path in subfolder.glob("*.txt")):  # a path takes ten times a name's memory
            path, name = subfolder / text_name, f"{subfolder.name}/{text_name}"
            file = TextFile(path, f"{folder.name}/{name}", folder.encoding, folder.setting, folder.skip_bad)
            if path.stat().st_size > MAX_FIELD:
                raise DataError(f"{file.name}: {path.stat().st_size:,} bytes; one text has at most {MAX_FIELD:,}")
            yield name, [name, "".join(read_lines(file)), subfolder.name]
