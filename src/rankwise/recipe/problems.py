"""What pydantic says against a file's values → one line for each wrong key: where it stands, what was found and expected."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from rankwise.errors import nearest
from rankwise.recipe.keys import hint_for, known_keys
from rankwise.recipe.yaml import KeyPath, Lines, line_of, quote

EXPECTED = {"model_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}  # in YAML's words, not Python's


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


def _key_and_message(problem: Any, model: type[BaseModel], lines: Lines, origin: str) -> tuple[str, str]:
    """Of one problem: where it stands, with its key, and what was found and expected."""
    path = path_in_file(problem["loc"], model, lines)
    line, dotted = line_of(path, lines, origin), ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        return f"{line}: ", f"unknown key '{dotted}'{hint_for(path, model)}"
    if problem["type"].startswith("union_tag"):
        policies = problem["ctx"].get("expected_tags", "'uniform', 'by-depth', 'last-k' and so on")
        return f"{line}: {dotted}: ", f"its policy is one of {policies}{_nearest_of(problem['ctx'].get('tag'), policies)}"
    if problem["type"] in ("value_error", "missing"):
        return f"{line}: {dotted}: ", problem["msg"].removeprefix("Value error, ")
    expected = expectation(problem)
    hint = _nearest_of(problem["input"], expected) if problem["type"] == "literal_error" else ""
    return f"{line}: {dotted}: found {quote(problem['input'])}, expected ", expected + hint


def _nearest_of(value: Any, quoted: str) -> str:
    """A hint at the nearest of the values that a message quotes."""
    return nearest(value, re.findall(r"'([^']+)'", quoted)) if isinstance(value, str) else ""
