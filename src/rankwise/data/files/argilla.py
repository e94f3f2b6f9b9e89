"""Argilla's exported records as flat objects: their fields, what annotators answered, and beside that what was suggested.

A suggestion is a model's guess and no label; it stands in a column of its own, `QUESTION.suggestion`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rankwise.data.files.annotators import Question, together

_RESPONSES = ".responses"
_KEPT = ("id", "status")


def is_record(entry: Mapping[str, Any]) -> bool:
    """Whether an object is a record, as `records.to_json` writes it or flattened, as `records.to_list(flatten=True)` does."""
    if isinstance(entry.get("fields"), dict):
        return isinstance(entry.get("responses"), dict) and isinstance(entry.get("suggestions"), dict)
    return "_server_id" in entry and any(key.endswith((_RESPONSES, ".suggestion")) for key in entry)


def questions(entries: Iterable[Mapping[str, Any]]) -> dict[str, Question]:
    """The questions that take labels, by name; the column is `label` where there is one and no such field, else the name.

    Empty where the entries are no records.
    """
    records = [entry for entry in entries if is_record(entry)]
    found: dict[str, bool] = {}
    for record in records:
        for name, values in (*_responses(record), *((name, [value]) for name, value in _suggestions(record))):
            if all(map(_are_labels, values)):
                found[name] = found.get(name, False) or any(isinstance(value, list) for value in values)
    alone = len(found) == 1 and not any("label" in _fields(record) for record in records)
    return {name: Question("label" if alone else name, several) for name, several in found.items()}


def flat(entry: Mapping[str, Any], asked: Mapping[str, Question], file: str) -> dict[str, Any]:
    """A row of a record. Raises DataError as `together` does."""
    row = _fields(entry) | {key: entry[key] for key in _KEPT if key in entry}
    responses = dict(_responses(entry))
    for name, question in asked.items():
        answers = [value if isinstance(value, list) else [value] for value in responses.get(name, ())]
        row[question.column] = together(answers, several=question.several, file=file)
    return row | {f"{name}.suggestion": value for name, value in _suggestions(entry) if name in asked}


def _fields(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A record's own fields; flattened, whatever is neither an answer nor about one."""
    if isinstance(fields := entry.get("fields"), dict):
        return dict(fields)
    about = (f"{_RESPONSES}.", ".suggestion.")
    is_answer = {key: key.endswith((_RESPONSES, ".suggestion")) or any(part in key for part in about) for key in entry}
    return {key: value for key, value in entry.items() if not is_answer[key] and key != "_server_id"}


def _responses(entry: Mapping[str, Any]) -> Iterator[tuple[str, list[Any]]]:
    """(a question, the values that annotators gave), without what they discarded or left as a draft."""
    if isinstance(nested := entry.get("responses"), dict):
        for name, given in nested.items():
            values = [one for one in given or () if isinstance(one, dict) and _is_said(one.get("status"))]
            yield name, [one["value"] for one in values if one.get("value") is not None]
        return
    for key, given in entry.items():
        if key.endswith(_RESPONSES) and isinstance(given, list):
            states = entry.get(f"{key}.status") or [None] * len(given)
            values = [value for value, state in zip(given, states, strict=False) if _is_said(state)]
            yield key.removesuffix(_RESPONSES), [value for value in values if value is not None]


def _suggestions(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(a question, the value that was suggested)."""
    if isinstance(nested := entry.get("suggestions"), dict):
        found = ((name, one.get("value")) for name, one in nested.items() if isinstance(one, dict))
    else:
        found = ((key.removesuffix(".suggestion"), value) for key, value in entry.items() if key.endswith(".suggestion"))
    yield from ((name, value) for name, value in found if value is not None)


def _is_said(status: Any) -> bool:
    return status in (None, "submitted")


def _are_labels(value: Any) -> bool:
    """Whether a value is a label or a list of some, rather than spans or a ranking."""
    return all(isinstance(one, (str, int)) for one in (value if isinstance(value, list) else [value]))
