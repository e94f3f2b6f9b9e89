"""Folders for what is written."""

from __future__ import annotations

from pathlib import Path

from rankwise.errors import RunError


def make_folder(path: str | Path) -> Path:
    """The folder, made where there is none. Raises RunError where it can't be, as below a file."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder}: no folder can be made there ({problem.strerror}); give another --out") from None
    return folder
