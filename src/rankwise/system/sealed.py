"""What is sealed is written whole or not at all, with a digest, so that damage is noticed: folders, and files of JSON.

A folder has the digest of each of its files in one more, a file of JSON that of its other keys in its last.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from rankwise.errors import Damaged, RunError
from rankwise.system.files import Stored, json_bytes, parse_json, read_bounded, read_json, sha256, to_json, write_json
from rankwise.system.storage import DRAFT, sync, sync_all

SEAL = "sha256.json"  # in a folder, written last
KEY = "sha256"  # in a file

T = TypeVar("T")


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


def write_sealed(path: Path, value: Any) -> None:
    """Write a dataclass or a mapping as `write_json` does, with the digest of its keys as one more."""
    content = to_json(value)
    write_json(path, {**content, KEY: _digest(content)}, shared=True)


def read_sealed(path: Path, schema: type[T]) -> T:
    """What `write_sealed` has written, or `write_json`, which gives no digest.

    Raises Damaged where it is no JSON object or its digest differs, RunError where it can't be read or is of another schema.
    """
    found = read_bounded(path)
    try:
        content = parse_json(found, dict[str, Any])
    except ValueError as error:
        raise Damaged(f"{path.parent}: {path.name}{error}") from error
    digest = content.pop(KEY, None)
    if digest not in (None, _digest(content)):
        raise Damaged(f"{path.parent}: {path.name} is not what was written (its sha256 differs); delete it and make it again")
    try:
        return parse_json(json.dumps(content), schema)
    except ValueError as error:
        raise RunError(f"{path.parent}: {path.name}{error}") from error


def _digest(content: Any) -> str:
    return hashlib.sha256(json_bytes(content)).hexdigest()


def _files_in(folder: Path) -> list[str]:
    """Paths of a sealed folder's files, from the folder, but for its seal's."""
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return sorted(name for name in files if name != SEAL)
