"""Sealed folders: written whole or not at all, with the digest of each of their files, so that damage is noticed."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rankwise.errors import RunError
from rankwise.system.files import Stored, json_bytes, read_json, sha256
from rankwise.system.storage import DRAFT, sync, sync_all

SEAL = "sha256.json"  # written last


@dataclass(frozen=True)
class Seal(Stored):
    """sha256.json: the hex digest of every other file of a folder."""

    sha256: Mapping[str, str]


@contextmanager
def sealed_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill; where nothing is raised it is sealed, synced and renamed to `folder`, in whose place it comes."""
    draft = folder.with_name(f".{folder.name}{DRAFT}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        (draft / SEAL).write_bytes(json_bytes(Seal({name: sha256(draft / name) for name in _files_in(draft)})))
        sync_all(draft)
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync(folder.parent)


def damage(folder: Path) -> str | None:
    """What of a sealed folder is not as it was written; None where it is whole."""
    try:
        seal = read_json(folder / SEAL, Seal)
    except RunError:
        return f"{SEAL} is damaged or missing"
    there = set(_files_in(folder))
    if odd := sorted(there ^ set(seal.sha256)):
        return f"{odd[0]} is {'none of its files' if odd[0] in there else 'missing'}"
    changed = (
        name for name, digest in seal.sha256.items() if not (folder / name).is_file() or sha256(folder / name) != digest
    )
    return next((f"{name} is not what was written" for name in changed), None)


def _files_in(folder: Path) -> list[str]:
    """Paths of a sealed folder's files, from the folder, but for its seal's."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for name in files if name != SEAL)
