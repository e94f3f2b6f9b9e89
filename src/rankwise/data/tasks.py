"""What a classifier decides about a text, and how right it is: from labels to class numbers, from logits to scores.

One task today, a single label per text. Another one (several labels, ordered labels, pairs of texts) is another class with
these methods, and Task its union with this; what torch computes of it, the loss, is in training/loss.py.

Labels become class numbers by name, or as whole numbers where the recipe or the data say the order; never by a guess.
Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import unlabelled
from rankwise.errors import DataError, Unlabelled, nearest

if TYPE_CHECKING:
    from rankwise.data.files.table import Table
    from rankwise.recipe import DataSpec, EvaluateSpec
    from rankwise.stats.scores import Scores

LONGEST_NUMBER = 100  # characters; no class has a longer one, and Python reads none of thousands

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class SingleLabel:
    """One class per text: a softmax over the classes, of which the likeliest is the decision."""

    classes: tuple[str, ...]
    """Class names in the order of their numbers."""

    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The labels of a table as class numbers (N,): names as they are, whole numbers through `numbering`.

        A source that has the class names in an order of its own is read by that one, unless the recipe says one. -1 stands
        for a class that is not known, where the recipe allows it. Raises DataError.
        """
        assert table.labels is not None
        number_of = {name: number for number, name in enumerate(self.classes)}
        distinct = set(table.labels)
        if marker := unlabelled(distinct, number_of):
            found = f"every label of {table.layout.name} is {marker}: unlabelled"
            raise Unlabelled(found, "rankwise predict gives these rows labels")
        if not distinct <= number_of.keys() and by_number(distinct, self.classes):
            own = table.layout.classes
            order = own if not spec.classes and sorted(own) == sorted(self.classes) else numbering
            names = _names_by_number(table, order, self.classes)
            number_of |= {label: number_of[name] for label, name in names.items() if name in number_of}
        numbers = np.fromiter((number_of.get(label, -1) for label in table.labels), dtype=np.int64)
        strange = np.flatnonzero(numbers < 0)
        if len(strange) and len(strange) == len(numbers):
            _refuse_to_score(table, self.classes)
        if len(strange) and spec.unseen_labels == "fail":
            label = table.labels[strange[0]]
            raise DataError(
                f"{table.layout.path}: row {table.rows[strange[0]]}: label '{label}' is not among the classes "
                f"({', '.join(self.classes)}){nearest(label, self.classes) or ';'} {len(strange)} rows like it; correct "
                "them, or type --set data.unseen_labels=wrong to count them as mistakes"
            )
        return numbers

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The softmax of logits (N, C), in double precision."""
        shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
        exponents = np.exp(shifted)
        return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))

    def decide(self, probabilities: Probabilities) -> Labels:
        """The likeliest class of each row (N,)."""
        return np.asarray(probabilities.argmax(-1))

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        """Accuracy, F1, calibration and the others, each with its bootstrap interval."""
        from rankwise.stats.scores import score

        return score(probabilities, truth, self.classes, resamples=spec.resamples, confidence=spec.confidence)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        """accuracy, macro_f1, mcc and log_loss."""
        from rankwise.stats import scores as stats

        decided = self.decide(probabilities)
        matrix = stats.confusion_matrix(truth, decided, len(self.classes))
        scores = {
            "accuracy": (decided == truth).mean(),
            "macro_f1": stats.macro_f1(matrix),
            "mcc": stats.mcc(matrix),
            "log_loss": stats.log_loss(probabilities, truth),
        }
        return {name: round(float(value), 6) for name, value in scores.items()}


Task = SingleLabel


def _refuse_to_score(table: Table, classes: Sequence[str]) -> None:
    """Raise Unlabelled for labels none of which is a class: a score on them would always be 0."""
    labels, column = sorted(set(table.labels or ())), table.layout.label
    (shown, known), hint = (", ".join(names[:5]) for names in (labels, classes)), nearest(labels[0], classes)
    raise Unlabelled(
        f"{table.layout.path}: no label in column '{column}' ({shown}) is among the classes ({known}){hint}; is it the right "
        "column? Name another: --set data.label=COLUMN"
    )


def class_names(train: Table, named: Sequence[str]) -> tuple[str, ...]:
    """Class names in the order of their numbers: as they are named, else sorted (whole numbers by value).

    Raises DataError for a label that is not among those that are named.
    """
    labels = set(train.labels or ())
    if not named:
        return tuple(sorted(labels, key=lambda name: (not _is_whole(name), int(name) if _is_whole(name) else 0, name)))
    if not (labels <= set(named) or by_number(labels, named)):
        strange = min(labels - set(named), key=lambda label: (_is_whole(label), label))
        raise DataError(
            f"{train.layout.path}: label '{strange:.40}' is not among data.classes ({', '.join(named)})"
            f"{nearest(strange, named) or ';'} type --set 'data.classes=[...]' with the names in the file"
        )
    return tuple(named)


def _names_by_number(table: Table, numbering: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Class names by whole-number label: 0 … C-1 or 1 … C in the order of `numbering`, told apart by 0 and C.

    Raises DataError where there is no order, or the labels don't say where they start.
    """
    values = {int(label) for label in table.labels or ()}
    count = len(numbering)
    if not numbering:
        raise DataError(
            f"{table.layout.path}: its labels are numbers ({', '.join(map(str, sorted(values)[:5]))}), the classes have "
            f"names ({', '.join(classes)}), and nothing says which is which; put the names in their order into a classes.txt "
            "beside the file, or type --set 'data.classes=[…]'"
        )
    if min(values) < 0 or max(values) > count or (0 in values and count in values):
        raise DataError(
            f"{table.layout.path}: labels {sorted(values)[:5]} can't number the classes {', '.join(numbering)}; "
            f"expected 0 to {count - 1} or 1 to {count}"
        )
    if 0 not in values and count not in values:
        raise DataError(
            f"{table.layout.path}: labels {sorted(values)} may count from 0 or from 1; expected one row labelled 0 or "
            f"{count} to tell"
        )
    first = 0 if 0 in values else 1
    return {str(number): name for number, name in enumerate(numbering, start=first)}


def by_number(labels: Iterable[str], classes: Iterable[str]) -> bool:
    """Whether labels are the numbers of classes: whole, where no class has a whole number for its name."""
    return all(map(_is_whole, labels)) and not any(map(_is_whole, classes))


def _is_whole(label: str) -> bool:
    return len(label) <= LONGEST_NUMBER and label.removeprefix("-").isdecimal()
