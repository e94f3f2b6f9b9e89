"""Label Studio's exports as flat objects: the fields of a task, and what annotators chose, question by question."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def is_task(entry: Mapping[str, Any]) -> bool:
    """Whether an object is a task of a full export, rather than a row."""
    return isinstance(entry.get("data"), dict) and isinstance(_annotations(entry), list)


def questions(entries: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The columns of the answers by question: `label` where one is asked and tasks have no such field, else its name.

    Empty where the entries are no tasks.
    """
    tasks = [entry for entry in entries if is_task(entry)]
    asked = dict.fromkeys(name for entry in tasks for name, _ in _answers(entry))
    alone = len(asked) == 1 and not any("label" in entry["data"] for entry in tasks)
    return dict.fromkeys(asked, "label") if alone else {name: name for name in asked}


def flat(entry: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """A row of a task: its fields, and the different answers to each question in a list. Other entries stay as they are.

    Short exports have several choices of one answer as `{"choices": [...]}`, which becomes the list.
    """
    if not is_task(entry):
        return {key: value["choices"] if _is_choices(value) else value for key, value in entry.items()}
    row: dict[str, Any] = dict(entry["data"])
    row |= {column: [] for column in columns.values()}
    for question, answer in _answers(entry):
        if question in columns and answer not in row[columns[question]]:
            row[columns[question]].append(answer)
    return row


def _annotations(entry: Mapping[str, Any]) -> Any:
    return entry.get("annotations", entry.get("completions"))


def _answers(entry: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(the question, a choice or a rating) of every annotation that was not cancelled."""
    for annotation in _annotations(entry):
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        for result in annotation.get("result") or ():
            value = result.get("value") if isinstance(result, dict) else None
            if isinstance(value, dict):
                name = str(result.get("from_name", "label"))
                yield from ((name, choice) for choice in value.get("choices") or ())
                if "rating" in value:
                    yield name, value["rating"]


def _is_choices(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"choices"}
