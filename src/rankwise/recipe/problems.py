"""What pydantic says against a file's values → one line for each wrong key: where it stands, what was found and expected.

A key that there is not comes with the one that was meant: what other tools call a key, its name elsewhere, or its spelling.
"""

import json
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from rankwise.errors import nearest
from rankwise.recipe.yaml import KeyPath, Lines, line_of, quote

EXPECTED = {"model_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}  # in YAML's words, not Python's
OTHER_TOOLS: Mapping[str, Sequence[str]] = json.loads(
    (resources.files("rankwise") / "recipe/other_tools.json").read_text("utf-8")
)
"""What other tools call a recipe's key, or `key=value`: a method or an option that has another name here."""


def explain(problems: Iterable[Any], model: type[BaseModel], lines: Lines, origin: str) -> list[str]:
    """One line for each wrong key; what the members of a union expected is joined by `or`."""
    messages: dict[str, list[str]] = {}
    for problem in problems:
        key, message = _key_and_message(problem, model, lines, origin)
        messages.setdefault(key, []).append(message)
    return [f"{key}{', or '.join(expected)}" for key, expected in messages.items()]


def expectation(problem: Any) -> str:
    """What pydantic expected, in the words of YAML where its own are Python's."""
    return EXPECTED.get(problem["type"]) or str(problem["msg"]).removeprefix("Input should be ")


def path_in_file(location: KeyPath, model: type[BaseModel], lines: Lines) -> KeyPath:
    """pydantic's location without the names of union members, which are no keys of the file."""
    path: KeyPath = ()
    for part in location:
        is_key = (*path, part) in lines or part in known_keys(model, path) or isinstance(part, int)
        if is_key or (part == location[-1] and not any(mark in str(part) for mark in "[-(")):
            path = (*path, part)
    return path or location


def known_keys(model: type[BaseModel], path: KeyPath = ()) -> set[str]:
    """The keys that a spec may have below `path`, of all members of a union."""
    models = [model]
    for part in path:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [below for field in fields for below in _models_in(field.annotation)]
    return {name for model in models for name in model.model_fields}


def key_for(name: str, model: type[BaseModel]) -> str | None:
    """The dotted key that other tools call so, or that ends in this name."""
    elsewhere = (key for key, names in OTHER_TOOLS.items() if name in names)
    return next(elsewhere, None) or _keys_by_last_part(model).get(name)


def _key_and_message(problem: Any, model: type[BaseModel], lines: Lines, origin: str) -> tuple[str, str]:
    """Of one problem: where it stands, with its key, and what was found and expected."""
    path = path_in_file(problem["loc"], model, lines)
    line, dotted = line_of(path, lines, origin), ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        return f"{line}: ", f"unknown key '{dotted}'{_hint_for(path, model)}"
    if problem["type"].startswith("union_tag"):
        policies = problem["ctx"].get("expected_tags", "'uniform', 'by-depth', 'last-k' and so on")
        return f"{line}: {dotted}: ", f"its policy is one of {policies}{_nearest_of(problem['ctx'].get('tag'), policies)}"
    if problem["type"] in ("value_error", "missing"):
        where = f"{line}: {dotted}: " if path else f"{origin}: "  # a rule of the whole recipe stands at no key
        return where, problem["msg"].removeprefix("Value error, ")
    expected = expectation(problem)
    hint = ""
    if problem["type"] == "literal_error":
        hint = _elsewhere(problem["input"]) or _nearest_of(problem["input"], expected)
    return f"{line}: {dotted}: found {quote(problem['input'])}, expected ", expected + hint


def _nearest_of(value: Any, quoted: str) -> str:
    """A hint at the nearest of the values that a message quotes."""
    return nearest(value, re.findall(r"'([^']+)'", quoted)) if isinstance(value, str) else ""


def _elsewhere(value: Any) -> str:
    """A hint at what other tools call so, where that is a value here."""
    called = str(value).lower()
    meant = next((key for key, names in OTHER_TOOLS.items() if "=" in key and called in names), None)
    return f"; did you mean '{meant}'?" if meant else ""


def _hint_for(path: KeyPath, model: type[BaseModel]) -> str:
    """A hint for a key that there is not: its name with other tools, the same one elsewhere, else one that is spelt so."""
    last = str(path[-1])
    beside = known_keys(model, path[:-1]) - {last}
    if ".".join(map(str, path)) in _all_keys(model):  # a key of another policy is known, but not here
        return nearest(last, beside, below=path[:-1])
    if key := key_for(last, model):
        return f"; did you mean '{key}'?"
    if hint := nearest(last, beside, below=path[:-1]):
        return hint
    anywhere = _keys_by_last_part(model)
    close = get_close_matches(last, anywhere, n=1, cutoff=0.75)
    return f"; did you mean '{anywhere[close[0]]}'?" if close else "; rankwise recipes show auto --full lists all"


@cache
def _keys_by_last_part(model: type[BaseModel]) -> dict[str, str]:
    """The shortest dotted key for every last part."""
    by_length = sorted(_all_keys(model), key=lambda key: (len(key), key), reverse=True)
    return {key.split(".")[-1]: key for key in by_length}


@cache
def _all_keys(model: type[BaseModel], path: KeyPath = ()) -> tuple[str, ...]:
    """Every key that a spec may have, dotted, in the alphabet's order."""
    paths = [(*path, key) for key in known_keys(model, path)]
    return tuple(sorted(key for below in paths for key in (".".join(map(str, below)), *_all_keys(model, below))))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []
