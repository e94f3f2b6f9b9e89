"""What a request says of a text → the text that a run reads: a string, a pair, an object of columns, a chat's messages.

Nothing is guessed: an object that lacks a run's text columns is refused with their names. With `any_json` it is read as JSON
is written, which is unlike what a run was trained on.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.data.clean import has_surrogate
from rankwise.data.given import text_of
from rankwise.errors import DataError
from rankwise.serving.catalogue import Served
from rankwise.serving.refusals import Place, Refused, listed

Text = str | tuple[str, ...]
"""As a run's predictor takes it: a string, or where it classifies pairs both of its texts."""

PARTS = ("text", "input_text", "output_text")  # of a message, whose text is read


@dataclass(frozen=True)
class Question:
    """A text for a run."""

    run: Served
    text: Text


def question(run: Served, text: Any, place: Place) -> Question:
    """A text as it was given, checked. Raises Refused for one that the run can't read."""
    pairs = run.run.preprocessing.reads_pairs
    if pairs and isinstance(text, str):
        raise Refused(f"{_columns_told(run)}, found one text", "missing_column", place=place)
    try:
        whole = text_of(text, ".".join(map(str, place)), pairs=pairs)
    except DataError as problem:
        raise Refused(str(problem), "invalid_text", place=place) from problem
    if has_surrogate(whole):
        raise Refused("a text holds half of a character; expected valid Unicode", "invalid_text", place=place)
    return Question(run, text)


def two_texts(run: Served, first: str, second: str, place: Place) -> Question:
    """A pair, or the cells of a run's two text columns. Raises Refused where it has one."""
    about = run.run.preprocessing
    if about.reads_pairs:
        return question(run, (first, second), place)
    if len(about.text) != 2:
        raise Refused(
            f"two texts are a pair, and the model '{run.name}' reads {_columns(run)}; for several inputs give each as a list "
            "of one: [[TEXT], [TEXT]]",
            "missing_column",
            place=place,
        )
    return question(run, _joined((first, second), about.join), place)


def by_columns(run: Served, cells: Mapping[str, Any], place: Place) -> Question | None:
    """The text whose cells stand under a run's text columns; None where they are not all there."""
    about = run.run.preprocessing
    sides = [tuple(map(str, side)) for side in (about.text, about.text_pair or ()) if side]
    if not sides or not all(isinstance(cells.get(column), str) for side in sides for column in side):
        return None
    texts = [_joined([cells[column] for column in side], about.join) for side in sides]
    return question(run, tuple(texts) if about.reads_pairs else texts[0], place)


def of_state(run: Served, state: Any, *, place: Place = ("state",), any_json: bool = False) -> Question:
    """The text of what System One calls a state: a string, an object, or an array of messages. Raises Refused."""
    if isinstance(state, str):
        return question(run, state, place)
    if isinstance(state, Mapping):
        inner = state.get("inputs")
        for cells in (state, inner if isinstance(inner, Mapping) else {}):
            found = by_columns(run, cells, place)
            if found is not None:
                return found
            if len(cells) == 1 and isinstance(only := next(iter(cells.values())), str):
                return question(run, only, place)
    elif isinstance(state, Sequence) and (text := of_messages(state)) is not None:
        return question(run, text, place)
    if any_json:
        return question(run, json.dumps(state, ensure_ascii=False, separators=(",", ":")), place)
    found_there = (
        f"an object with {listed(state) or 'nothing in it'}" if isinstance(state, Mapping) else "an array of no messages"
    )
    raise Refused(f"{_columns_told(run)}; found {found_there}", "missing_column", place=place)


def of_messages(items: Iterable[Any]) -> str | None:
    """The text of the user's messages, a line break between them; None where there is none, or one is no message."""
    said = list[str | None]()
    for item in items:
        if not isinstance(item, Mapping) or "content" not in item:
            return None
        if item.get("role") != "user":
            continue
        content = item["content"]
        parts = (
            [content]
            if isinstance(content, str)
            else [_said(part) for part in content]
            if isinstance(content, list)
            else [None]
        )
        said += parts
    return None if not said or None in said else "\n".join(map(str, said))


def _said(part: Any) -> str | None:
    """The text of a part of a message; None for an image and the like."""
    if isinstance(part, Mapping) and part.get("type") in PARTS and isinstance(part.get("text"), str):
        return str(part["text"])
    return None


def _joined(cells: Sequence[str], join: str) -> str:
    """The cells of several columns as a file's are read: blank ones left out."""
    return cells[0] if len(cells) == 1 else join.join(cell for cell in cells if cell and not cell.isspace())


def _columns_told(run: Served) -> str:
    return f"the model '{run.name}' reads {_columns(run)}: give an object with these keys" + (
        "" if run.run.preprocessing.reads_pairs else ", or the text itself"
    )


def _columns(run: Served) -> str:
    about = run.run.preprocessing
    if about.reads_pairs:
        return (
            f"pairs of texts, {' + '.join(map(str, about.text)) or 'first'} and {' + '.join(map(str, about.text_pair or ()))}"
        )
    names = listed(about.text) or "text"
    return f"the columns {names}" if len(about.text) > 1 else f"one text, {names}"
