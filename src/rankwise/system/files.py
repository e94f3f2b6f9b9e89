"""Files of JSON, written whole or not at all, bounded and checked when they are read.

What such a file holds is a frozen dataclass, so writers and readers share one schema. A field that is None by default is left
out where it is None.

pydantic's core checks it, without pydantic itself, whose import would take a single prediction longer than all of ours.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from stat import S_ISREG
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, ValidationError, core_schema

from rankwise.errors import RunError
from rankwise.system.storage import write_whole

MOST_BYTES = 2**24  # of a file of JSON: a scores.json of 1,000 classes has half of it

T = TypeVar("T")
STRICT = CoreConfig(strict=True, extra_fields_behavior="forbid")
SCALARS: dict[Any, CoreSchema] = {
    int: core_schema.int_schema(),
    float: core_schema.float_schema(),
    str: core_schema.str_schema(),
    bool: core_schema.bool_schema(),
    Any: core_schema.any_schema(),
}
_validators: dict[Any, SchemaValidator] = {}
"""By schema, made when one is first read."""


class Stored:
    """Base class of dataclasses that a file of JSON holds: unknown keys and wrong types are refused when it is read."""

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


def write_json(path: Path, value: Any, *, shared: bool = False) -> None:
    """Write a value beside its path and move it there: what has its name is whole. `shared` is as in `whole_file`."""
    write_whole(path, json_bytes(value), shared=shared)


def json_bytes(value: Any) -> bytes:
    """A value as a file holds it."""
    return (json.dumps(to_json(value), indent=2, ensure_ascii=False) + "\n").encode()


def read_json(path: Path, schema: type[T]) -> T:
    """What a file holds, as a `Stored` dataclass or a mapping. Raises RunError, which names the file and the key."""
    content = read_bounded(path)
    try:
        return parse_json(content, schema)
    except ValueError as error:
        raise RunError(f"{path.parent}: {path.name}{error}") from error


def read_bounded(path: Path) -> bytes:
    """The bytes of a file of JSON. Raises RunError where there is none, where it can't be read, or is too large."""
    try:
        about = path.stat()
        if not S_ISREG(about.st_mode):
            raise RunError(f"{path.parent}: {path.name} is no file; copy the folder again")
        if about.st_size > MOST_BYTES:
            raise RunError(f"{path.parent}: {path.name} has {about.st_size:,} bytes, expected at most {MOST_BYTES:,}")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise RunError(f"{path.parent}: {path.name} is missing; copy the folder again") from error
    except OSError as error:
        raise RunError(f"{path.parent}: {path.name} can't be read ({error.strerror}); copy the folder again") from error


def parse_json(text: str | bytes, schema: type[T]) -> T:
    """JSON as an object of a schema. Raises ValueError, whose one line names the first key that is wrong."""
    validator = _validators.get(schema) or _validators.setdefault(schema, SchemaValidator(_core_schema(schema)))
    try:
        value: T = validator.validate_json(text)
    except ValidationError as error:
        raise ValueError(_explained(error)) from error
    return value


def _core_schema(kind: Any) -> CoreSchema:
    """What a file and the fields of its dataclass may be: scalars, dataclasses, lists, tuples, mappings, one of several."""
    if kind in SCALARS:
        return SCALARS[kind]
    if isinstance(kind, type) and is_dataclass(kind):
        hints, entries = get_type_hints(kind), []
        for field in fields(kind):
            schema = _core_schema(hints[field.name])
            if field.default is not MISSING:
                schema = core_schema.with_default_schema(schema, default=field.default)
            entries.append(core_schema.dataclass_field(field.name, schema, kw_only=field.kw_only is True))
        arguments = core_schema.dataclass_args_schema(kind.__name__, entries)
        return core_schema.dataclass_schema(kind, arguments, [entry["name"] for entry in entries], config=STRICT)
    parts = [_core_schema(part) for part in get_args(kind) if part not in (type(None), Ellipsis)]
    if get_origin(kind) is list:
        return core_schema.list_schema(parts[0])
    if get_origin(kind) is tuple:
        return core_schema.tuple_schema(parts, variadic_item_index=0 if Ellipsis in get_args(kind) else None)
    if get_origin(kind) is UnionType:
        one = core_schema.union_schema([*parts]) if len(parts) > 1 else parts[0]
        return core_schema.nullable_schema(one) if type(None) in get_args(kind) else one
    assert get_origin(kind) in (dict, Mapping), f"{kind} is nothing that a file holds"
    return core_schema.dict_schema(*parts)


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
