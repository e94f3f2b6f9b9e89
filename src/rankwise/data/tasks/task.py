"""What each task answers, and how labels become numbers, which is the same in all of them.

Labels become class numbers by name, or as whole numbers where the recipe or the data say the order; never by a guess.
Shapes: N rows, C classes.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.labels import unlabelled
from rankwise.data.tasks.cells import columns_of, tags_of
from rankwise.data.tasks.names import LABEL_COLUMNS, ORDERED, REGRESSION
from rankwise.errors import DataError, RecipeError, Unlabelled, nearest

if TYPE_CHECKING:
    from rankwise.data.files.table import Table
    from rankwise.recipe import DataSpec, EvaluateSpec, Recipe
    from rankwise.stats.intervals import Interval
    from rankwise.stats.scores import Scores

LONGEST_NUMBER = 100  # characters; no class has a longer one, and Python reads none of thousands
UNKNOWN = "(unknown class)"

Probabilities = NDArray[np.float64]
"""What a task makes of logits (N, C): the probability of each class, or the number that is estimated (N, 1)."""
Labels = NDArray[Any]
"""One row for each text, in the type of its task: whole numbers, the class's (N,) or 1 for each class that it has (N, C), -1
where it is not known; or the number that is estimated (N,) in floating point, NaN where it is not known.
"""


@dataclass(frozen=True)
class Question:
    """One of the things that a row's labels say, of several classes one, which can be looked at alone."""

    name: str
    """The label column, or the label that a text has or has not; empty where there is one question."""
    classes: tuple[str, ...]
    labels: Labels
    """(N,) class numbers, -1 where it is not known."""


@dataclass(frozen=True)
class Task(ABC):
    """What a classifier decides about a text."""

    classes: tuple[str, ...]
    """Class names in the order of their numbers."""

    name: ClassVar[str]
    """As recipes call it."""
    problem_type: ClassVar[str]
    """As transformers calls it."""
    credit_name: ClassVar[str]
    """What the mean of `credit` is called."""

    headline: ClassVar[tuple[str, str]]
    """The two scores that say most, the one that classifiers are held against each other by first."""
    compared_by: ClassVar[tuple[str, str]] = ("accuracy", "macro_f1")
    """The two scores of which it is told whether runs differ in them, the first one before the other."""
    is_tuned: ClassVar[bool] = False
    """Whether it chooses something by held-out rows."""
    has_classes: ClassVar[bool] = True
    """Whether it tells classes apart, so that there are probabilities, confusions and right answers."""
    points: ClassVar[str] = "points"
    """What `difference` is told in, times 100."""
    floor: ClassVar[str] = "majority class"
    """What the baseline is called that gives one answer to everything."""

    @abstractmethod
    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """Of logits (N, C), in double precision."""

    @abstractmethod
    def logits(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """Logits (N, C) that have these probabilities."""

    @abstractmethod
    def decide(self, probabilities: Probabilities) -> Labels:
        """The decision for each row, as labels are."""

    @abstractmethod
    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """How sure the decision for each row is, (N,)."""

    @abstractmethod
    def right(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.bool_]:
        """Which decisions are right, (N,)."""

    @abstractmethod
    def credit(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """How right each decision is, (N,) up to 1: what classifiers are held against each other by."""

    @abstractmethod
    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        """Accuracy, F1, calibration and the others, each with its bootstrap interval."""

    @abstractmethod
    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> Mapping[str, float | None]:
        """accuracy, macro_f1, mcc and log_loss, or what `ValidationScores` has for the task in their place."""

    @abstractmethod
    def difference(self, one: Probabilities, other: tuple[Task, Probabilities], truth: Labels, confidence: float) -> Interval:
        """How far a classifier is ahead of another one on the same rows, paired."""

    @abstractmethod
    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """One number for each row (N,), by which rows are apportioned where they are few."""

    @abstractmethod
    def names(self, label: Any) -> tuple[str, ...]:
        """The classes that one row of labels or decisions has."""

    def tuned(self, probabilities: Probabilities, truth: Labels) -> Self:
        """The task with what it can choose by held-out rows."""
        del probabilities, truth
        return self

    def learnt(self, labels: Labels, spec: DataSpec) -> Self:
        """The task with what it takes from the training labels."""
        del labels, spec
        return self

    @property
    def remembered(self) -> dict[str, Any]:
        """What it has chosen, by the names that a run's preprocessing has for it."""
        return {}

    @property
    def about_choice(self) -> str:
        """A line on what it has chosen that a person should know of; may be empty."""
        return ""

    def check(self, recipe: Recipe) -> None:
        """Raises RecipeError for what a recipe asks for and the task does not have."""
        if not isinstance(recipe.data.bounds, str):
            raise RecipeError(
                f"data.bounds is of an estimated number, and classes are told apart ({self.name}); leave it out"
            )
        if recipe.train.select_by == "root_mean_squared_error":
            raise RecipeError(
                f"train.select_by={recipe.train.select_by} is of estimated numbers, and classes are told apart "
                f"({self.name}); type --set train.select_by=accuracy"
            )

    def needs_classes(self, what: str, instead: str) -> None:
        """Raises DataError where the task has no classes, which `what` is for; `instead` says what to type."""
        if not self.has_classes:
            raise DataError(f"{what} for classes, and here a number is estimated ({self.name}); {instead}")

    @property
    def column_count(self) -> int:
        """How many label columns are told at once."""
        return 1

    def suited(self, recipe: Recipe) -> Recipe:
        """A recipe without what it adds by itself and the task does not have."""
        return recipe

    def worst(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.int64]:
        """The rows with a wrong decision, the most confident one first."""
        wrong = np.flatnonzero(~self.right(probabilities, truth))
        return np.asarray(wrong[np.argsort(-self.confidence(probabilities)[wrong], kind="stable")])

    def rivals(self, number: int) -> NDArray[np.bool_]:
        """Which classes (C,) a text can't have beside this one."""
        others = np.ones(len(self.classes), dtype=np.bool_)
        others[number] = False
        return others

    def normal(self, probabilities: Probabilities) -> Probabilities:
        """Probabilities that each class's own classifier tells, as this task has them."""
        return probabilities

    def questions(self, labels: Labels) -> tuple[Question, ...]:
        """What the labels of rows say, apart from each other."""
        return (Question("", self.classes, labels),)

    def answer(self, decided: Any, names: Sequence[Any]) -> Any:
        """What a prediction says of one row's decision, where classes have these names."""
        return names[int(decided)]

    def metric(self, asked: str) -> str:
        """The score that chooses a checkpoint, where a recipe asks for this one."""
        return asked

    def shown(self, label: Any) -> str:
        """One row of labels or decisions in words."""
        return " + ".join(self.names(label)) or "(none)"

    @abstractmethod
    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The labels of a table; `numbering` names the classes that whole numbers count. Raises DataError."""


class ClassTask(Task):
    """A task whose labels are names of classes."""

    def parse(self, table: Table, numbering: Sequence[str], spec: DataSpec) -> Labels:
        """The labels of a table: names as they are, whole numbers through `numbering`.

        A source that has the class names in an order of its own is read by that one, unless the recipe says one. -1 stands
        for a class that is not known, where the recipe allows it. Raises DataError.
        """
        tags = tags_of(table)
        number_of = {name: number for number, name in enumerate(self.classes)}
        distinct = {tag for row in tags for tag in row}
        if marker := unlabelled(distinct, number_of):
            found = f"every label of {table.layout.name} is {marker}: unlabelled"
            raise Unlabelled(found, "rankwise predict gives these rows labels")
        if not distinct <= number_of.keys() and by_number(distinct, self.classes):
            own = table.layout.classes
            order = own if not spec.classes and sorted(own) == sorted(self.classes) else numbering
            names = _names_by_number(table, distinct, order, self.classes)
            number_of |= {label: number_of[name] for label, name in names.items() if name in number_of}
        strange = [row for row, several in enumerate(tags) if any(tag not in number_of for tag in several)]
        if strange and len(strange) == len(tags):
            _refuse_to_score(table, distinct, self.classes)
        if strange and spec.unseen_labels == "fail":
            label = next(tag for tag in tags[strange[0]] if tag not in number_of)
            raise DataError(
                f"{table.layout.path}: row {table.rows[strange[0]]}: label '{label}' is not among the classes "
                f"({', '.join(self.classes)}){nearest(label, self.classes) or ';'} {len(strange)} rows like it; correct "
                "them, or type --set data.unseen_labels=wrong to count them as mistakes"
            )
        return self._numbers(tags, number_of)

    @abstractmethod
    def _numbers(self, tags: Sequence[tuple[str, ...]], number_of: Mapping[str, int]) -> Labels:
        """The labels of rows that have these tags; a tag without a number makes its row unknown."""


def _refuse_to_score(table: Table, labels: Iterable[str], classes: Sequence[str]) -> None:
    """Raise Unlabelled for labels none of which is a class: a score on them would always be 0."""
    labels, column = sorted(labels), table.layout.label
    (shown, known), hint = (", ".join(names[:5]) for names in (labels, classes)), nearest(labels[0], classes)
    raise Unlabelled(
        f"{table.layout.path}: no label in column '{column}' ({shown}) is among the classes ({known}){hint}; is it the right "
        "column? Name another: --set data.label=COLUMN"
    )


def class_names(train: Table, named: Sequence[str]) -> tuple[str, ...]:
    """Class names in the order of their numbers: as they are named, else sorted (whole numbers by value).

    Raises DataError for a label that is not among those that are named.
    """
    labels = {tag for row in tags_of(train) for tag in row}
    if train.task == REGRESSION:
        return (train.layout.label or "value",)
    if train.task == LABEL_COLUMNS:
        return tuple(f"{column}={label}" for column, several in _labels_by_column(train).items() for label in several)
    if not named and train.task == ORDERED and not all(map(_is_whole, labels)):
        shown = ", ".join(sorted(labels)[:5])
        raise DataError(
            f"{train.layout.path}: its labels ({shown}) are no whole numbers, so nothing says their order; give it, from low "
            "to high: --set 'data.classes=[…]'"
        )
    if not named:
        return tuple(sorted(labels, key=lambda name: (not _is_whole(name), int(name) if _is_whole(name) else 0, name)))
    if not (labels <= set(named) or by_number(labels, named)):
        strange = min(labels - set(named), key=lambda label: (_is_whole(label), label))
        raise DataError(
            f"{train.layout.path}: label '{strange:.40}' is not among data.classes ({', '.join(named)})"
            f"{nearest(strange, named) or ';'} type --set 'data.classes=[...]' with the names in the file"
        )
    return tuple(named)


def column_sizes(table: Table) -> dict[str, int] | None:
    """How many classes each of several label columns has, in the order of `class_names`; None of another task."""
    if table.task != LABEL_COLUMNS:
        return None
    return {column: len(several) for column, several in _labels_by_column(table).items()}


def _labels_by_column(table: Table) -> dict[str, list[str]]:
    """The labels in each of several label columns. Raises DataError for a column that has one only."""
    found: dict[str, set[str]] = {column: set() for column in columns_of(table)}
    for cell in set(table.labels or ()):
        for column, label in json.loads(cell).items():
            found[column].add(label)
    for column, several in found.items():
        if len(several) < 2:
            alone = next(iter(several), "")
            raise DataError(
                f"{table.layout.path}, column '{column}': every row is '{alone}'; expected two classes or more in each label "
                "column: leave it out of data.label"
            )
    return {column: sorted(several) for column, several in found.items()}


def _names_by_number(table: Table, labels: Iterable[str], numbering: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """As `names_counted`. Raises DataError where there is no order, or the labels don't say where they start."""
    if names := names_counted(labels, numbering):
        return names
    values = {int(label) for label in labels}
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
    raise DataError(
        f"{table.layout.path}: labels {sorted(values)} may count from 0 or from 1; expected one row labelled 0 or "
        f"{count} to tell"
    )


def names_counted(labels: Iterable[str], numbering: Sequence[str]) -> dict[str, str]:
    """Class names by whole-number label: 0 … C-1 or 1 … C in the order of `numbering`, told apart by 0 and C.

    Empty where they are others, or these don't tell.
    """
    values, count = {int(label) for label in labels}, len(numbering)
    from_0, from_1 = values <= set(range(count)), values <= set(range(1, count + 1))
    if from_0 == from_1:
        return {}
    return {str(number): name for number, name in enumerate(numbering, start=0 if from_0 else 1)}


def by_number(labels: Iterable[str], classes: Iterable[str]) -> bool:
    """Whether labels are the numbers of classes: whole, where no class has a whole number for its name."""
    return all(map(_is_whole, labels)) and not any(map(_is_whole, classes))


def _is_whole(label: str) -> bool:
    return len(label) <= LONGEST_NUMBER and label.removeprefix("-").isdecimal()
