"""What annotation tools ask, and what several annotators say of one text, as one answer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rankwise.errors import DataError


@dataclass(frozen=True)
class Question:
    """A question that annotators were asked of each text."""

    column: str
    several: bool
    """Whether a text may have several labels in answer."""


def are_several(answers: Iterable[Sequence[Any]]) -> bool:
    """Whether one annotator alone gave a text several labels, so that a question takes several."""
    return any(len(set(map(str, one))) > 1 for one in answers)


def together(answers: Sequence[Sequence[Any]], *, several: bool, file: str) -> Any:
    """All labels that annotators gave a text, each once: one alone, more in a list; none of those offered is an empty list.

    None where nobody answered. Raises DataError where one label was asked for and annotators gave unlike ones.
    """
    if not answers:
        return None
    labels = list(dict.fromkeys(label for one in answers for label in one))
    if len(labels) > 1 and not several:
        raise DataError(
            f"{file}: annotators gave one text the labels {' and '.join(map(str, labels[:3]))}, and no text has several from "
            "one of them; keep the one that is right, or write a list of labels where a text has them all"
        )
    return labels[0] if len(labels) == 1 else labels
