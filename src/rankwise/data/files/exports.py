"""Exports of annotation tools as flat rows: the fields of a task, and what annotators said of it in a column.

Several labels of one answer stay a list, and none of those that were offered is an empty one. Where annotators were asked for
one label and gave several, somebody must decide, so that is refused.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankwise.data.files import argilla, label_studio
from rankwise.data.files.annotators import are_several, together
from rankwise.data.files.text import TextFile
from rankwise.errors import DataError

MAX_NAMES = 1_000_000  # bytes of a file that names labels; a longer one holds rows
SURE = 0.5  # of a category in spaCy's format, from which on a text has it

_OF_LABELS = {"prefixkey", "suffixkey", "shortcut", "backgroundcolor", "textcolor"}  # keys in doccano's, also with underlines
_OF_ROWS = {"annotations", "meta"}

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Export:
    """What wrote a file, in words, and how its objects become rows."""

    tool: str
    flat: Callable[[Entry], dict[str, Any]]


def export_of(entries: Sequence[Entry], file: TextFile) -> Export:
    """The export that a file's first objects are; objects of no tool stay as they are. Raises DataError for unclear names."""
    if asked := label_studio.questions(entries):
        return Export("Label Studio", lambda entry: label_studio.flat(entry, asked, file.name))
    if records := argilla.questions(entries):
        return Export("Argilla", lambda entry: argilla.flat(entry, records, file.name))
    has_label = any("label" in entry for entry in entries)
    if not has_label and any(map(_is_choice, entries)):
        several = any(_takes_several(entry) for entry in entries if _is_choice(entry))
        return Export("Prodigy", lambda entry: _of_prodigy(entry, several=several))
    if not has_label and any(_categories(entry) for entry in entries):
        return Export("spaCy", _of_spacy)
    if not has_label and (numbers := {number for entry in entries for number in _annotated(entry)}):
        names, source = _names_beside(file, numbers)
        where = f"label names of {source}" if source else "labels are its numbers: put its label_config.json beside the file"
        several = any(are_several(_by_annotator(entry)) for entry in entries)
        return Export(
            f"doccano, {where}" if not all(map(_is_text, numbers)) else "doccano",
            lambda row: _of_doccano(row, names, file.name, source, several=several),
        )
    return Export("", lambda entry: label_studio.flat(entry, {}, file.name))


def _is_choice(entry: Entry) -> bool:
    """Whether an object is a Prodigy task with options, some of which were accepted."""
    options = entry.get("options")
    return isinstance(options, list) and all(isinstance(one, dict) and "id" in one for one in options) and "accept" in entry


def _accepted(entry: Entry) -> list[Any]:
    return entry["accept"] if isinstance(entry["accept"], list) else [entry["accept"]]


def _takes_several(entry: Entry) -> bool:
    """Whether several options were accepted, or could have been."""
    config = entry.get("config")
    style = config.get("choice_style") if isinstance(config, dict) else None
    return len(_accepted(entry)) > 1 or style == "multiple"


def _of_prodigy(entry: Entry, *, several: bool) -> dict[str, Any]:
    """A task with the ids that were accepted as its label, and beside them what these options say.

    Where a text may have several labels, that is a list, of what the options say instead of ids that are numbers.
    """
    if not _is_choice(entry):
        return dict(entry)
    row = {key: value for key, value in entry.items() if key not in ("options", "accept")}
    accepted, words = _accepted(entry), {option["id"]: option.get("text") for option in entry["options"]}
    if several:
        is_said = entry.get("answer", "accept") == "accept"
        names = [words.get(one) or one if _is_number(one) else one for one in accepted]
        return row | {"label": names if is_said else None}
    return row | {"label": _alone(accepted), "label_text": _alone([words[one] for one in accepted if one in words])}


def _categories(entry: Entry) -> Mapping[str, float]:
    """The categories of an object in spaCy's format, such as `{"cats": {"neg": 0, "pos": 1}}`; empty for others."""
    categories = entry.get("cats")
    return categories if isinstance(categories, dict) and all(map(_is_number, categories.values())) else {}


def _of_spacy(entry: Entry) -> dict[str, Any]:
    row = {key: value for key, value in entry.items() if key != "cats"}
    return row | {"label": [name for name, share in _categories(entry).items() if share >= SURE]}


def _annotated(entry: Entry) -> Iterator[Any]:
    """The labels of an object with annotations as doccano writes them: `[{"label": 1, "user": 2}]`; none of others."""
    return (label for labels in _by_annotator(entry) for label in labels)


def _by_annotator(entry: Entry) -> list[list[Any]]:
    """The labels that each annotator gave."""
    annotations, found = entry.get("annotations"), dict[Any, list[Any]]()
    for one in annotations if isinstance(annotations, list) else ():
        if isinstance(one, dict) and isinstance(one.get("label"), (int, str)) and "start_offset" not in one:
            found.setdefault(str(one.get("user")), []).append(one["label"])
    return list(found.values())


def _of_doccano(entry: Entry, names: Mapping[str, str], file: str, source: str, *, several: bool) -> dict[str, Any]:
    """A row with the different labels that annotators gave it, by the names that `source` has, where there are any.

    Raises DataError for a label that has no name among others that have one, and as `together` does.
    """
    row = {key: value for key, value in entry.items() if key != "annotations"}
    labels = list(dict.fromkeys(_annotated(entry)))
    if names and (strange := [label for label in labels if str(label) not in names]):
        raise DataError(
            f"{file}: label {strange[0]} has no name in {source} beside it, as others have; add it there, or move {source} "
            "away to keep the numbers"
        )
    named = [[names.get(str(label), label) for label in one] for one in _by_annotator(entry)]
    return row | {"label": together(named or [[]], several=several, file=file)}


def _names_beside(file: TextFile, numbers: set[Any]) -> tuple[dict[str, str], str]:
    """(label names by number, the name of the JSON file beside it that has one for each of these); empty for none.

    Raises DataError where two files name them unlike.
    """
    found: dict[str, dict[str, str]] = {}
    for path in sorted(file.path.parent.glob("*.json")):
        if path != file.path and path.is_file() and path.stat().st_size <= MAX_NAMES:
            names = _names_in(path)
            if {str(number) for number in numbers} <= names.keys() and names not in found.values():
                found[path.name] = names
    if len(found) > 1:
        raise DataError(f"{file.name}: {' and '.join(found)} beside it name its labels unlike; move away those of other data")
    return next(((names, name) for name, names in found.items()), ({}, ""))


def _names_in(path: Path) -> dict[str, str]:
    """Label names by number: of a list of labels with `id` and `text`, as doccano writes it, or of one object."""
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (ValueError, RecursionError, OSError):  # whatever it is, it names no labels
        return {}
    if isinstance(content, list) and all(map(_is_label, content)):
        content = {one.get("id"): one.get("text", one.get("name")) for one in content if _is_number(one.get("id"))}
    is_named = isinstance(content, dict) and all(isinstance(name, str) for name in content.values())
    return {str(number): name for number, name in content.items()} if is_named else {}


def _is_label(value: Any) -> bool:
    """Whether a value is a label as doccano describes it, with its key and colours, and not a row that has labels."""
    if not isinstance(value, dict) or not value.keys().isdisjoint(_OF_ROWS):
        return False
    return not _OF_LABELS.isdisjoint(str(key).replace("_", "").lower() for key in value)


def _alone(answers: Sequence[Any]) -> Any:
    """The one answer, None for no answer; several as they are."""
    return answers if len(answers) > 1 else answers[0] if answers else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
