"""Files of JSON, written whole or not at all and checked when they are read; folders for what is written.

What such a file holds is a frozen dataclass, so writers and readers share one schema. A field that is None by default is left
out where it is None.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from rankwise.errors import RunError

DRAFT = ".draft"  # ends the name of a file that is being written
MOST_BYTES = 2**26  # of a file of JSON: a scores.json of 1,000 classes has a tenth of it

T = TypeVar("T")
_adapters: dict[Any, TypeAdapter[Any]] = {}
"""pydantic's validators by schema, made when a schema is first read."""


class Stored:
    """Base class of dataclasses that a file of JSON holds: unknown keys and wrong types are refused when it is read."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    def __getitem__(self, key: str) -> Any:
        """The entry under a key of the file, as JSON gives it: `run.facts["base"]["name"]`. Raises KeyError."""
        return to_json(self)[key]


def to_json(value: Any) -> Any:
    """Dataclasses, mappings and sequences in each other → dicts and lists, as JSON gives them back."""
    if is_dataclass(value):
        entries = [(field, getattr(value, field.name)) for field in fields(value)]
        return {field.name: to_json(entry) for field, entry in entries if entry is not None or field.default is not None}
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    return value


def write_json(path: Path, value: Any) -> None:
    """Write a value beside its path and move it there: what has its name is whole."""
    draft = path.with_name(f"{path.name}{DRAFT}")
    draft.write_text(json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n", "utf-8")
    draft.replace(path)


def read_json(path: Path, schema: type[T]) -> T:
    """What a file holds, as a `Stored` dataclass or a mapping. Raises RunError, which names the file and the key."""
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise RunError(f"{path.parent}: {path.name} has {size:,} bytes, expected at most {MOST_BYTES:,}")
        return parse_json(path.read_bytes(), schema)
    except FileNotFoundError as error:
        raise RunError(f"{path.parent}: {path.name} is missing; copy the folder again") from error
    except ValueError as error:
        raise RunError(f"{path.parent}: {path.name}{error}") from error


def parse_json(text: str | bytes, schema: type[T]) -> T:
    """JSON as an object of a schema. Raises ValueError, whose one line names the first key that is wrong."""
    adapter = _adapters.get(schema) or _adapters.setdefault(schema, TypeAdapter(schema))
    try:
        value: T = adapter.validate_json(text)
    except ValidationError as error:
        raise ValueError(_explained(error)) from error
    return value


def _explained(error: ValidationError) -> str:
    """The first problem, to be put behind the name of the file."""
    problem = error.errors()[0]
    key = ".".join(map(str, problem["loc"]))
    match problem["type"]:
        case "json_invalid":
            return f" is not JSON ({problem['ctx']['error']}); copy the folder again"
        case "missing":
            return f": key '{key}' is missing; copy the folder again, or make it again"
        case "unexpected_keyword_argument":
            return f": unknown key '{key}', of a newer rankwise; upgrade rankwise"
    expected = problem["msg"].removeprefix("Input should be ")
    found = json.dumps(problem["input"], ensure_ascii=False)
    found = found if len(found) <= 60 else f"{found[:57]}…"
    return f": {key or 'it'} is {found}, expected {expected}; copy the folder again, or make it again"


def sha256(path: Path) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_folder(path: str | Path) -> Path:
    """The folder, made where there is none. Raises RunError where it can't be, as below a file."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise RunError(f"{folder}: no folder can be made there ({problem.strerror}); give another --out") from None
    return folder
