"""Label Studio's exports as flat objects: the fields of a task, and what annotators chose, question by question."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rankwise.data.files.annotators import Question, are_several, together


def is_task(entry: Mapping[str, Any]) -> bool:
    """Whether an object is a task of a full export, rather than a row."""
    return isinstance(entry.get("data"), dict) and isinstance(_annotations(entry), list)


def questions(entries: Iterable[Mapping[str, Any]]) -> dict[str, Question]:
    """The questions by name; the column is `label` where one is asked and tasks have no such field, else the name.

    Empty where the entries are no tasks.
    """
    tasks = [entry for entry in entries if is_task(entry)]
    answers = [answer for entry in tasks for answer in _answers(entry)]
    asked = dict.fromkeys(name for answer in answers for name in answer)
    alone = len(asked) == 1 and not any("label" in entry["data"] for entry in tasks)
    return {
        name: Question("label" if alone else name, are_several(answer.get(name, ()) for answer in answers)) for name in asked
    }


def flat(entry: Mapping[str, Any], asked: Mapping[str, Question], file: str) -> dict[str, Any]:
    """A row of a task: its fields, and the answers to each question. Other entries stay as they are.

    Short exports have several choices of one answer as `{"choices": [...]}`, which becomes the list. Raises DataError as
    `together` does.
    """
    if not is_task(entry):
        return {key: value["choices"] if _is_choices(value) else value for key, value in entry.items()}
    answers = list(_answers(entry))
    given = {
        question.column: together([one.get(name, []) for one in answers], several=question.several, file=file)
        for name, question in asked.items()
    }
    return {**entry["data"], **given}


def _annotations(entry: Mapping[str, Any]) -> Any:
    return entry.get("annotations", entry.get("completions"))


def _answers(entry: Mapping[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """The choices and ratings of every annotation that was not cancelled, by question."""
    for annotation in _annotations(entry):
        if not isinstance(annotation, dict) or annotation.get("was_cancelled"):
            continue
        answer: dict[str, list[Any]] = {}
        for result in annotation.get("result") or ():
            value = result.get("value") if isinstance(result, dict) else None
            if isinstance(value, dict) and ("choices" in value or "rating" in value):
                given = answer.setdefault(str(result.get("from_name", "label")), [])
                given += value.get("choices") or ()
                given += [value["rating"]] if "rating" in value else []
        yield answer


def _is_choices(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"choices"}
