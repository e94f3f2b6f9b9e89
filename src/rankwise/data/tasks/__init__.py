"""What a classifier decides about a text, and how right it is: from labels to numbers, from logits to scores.

A task is a class with the methods of `Task`: one label a text (single_label.py), of classes in an order (ordered.py), several
labels a text (multi_label.py), a label for each of several columns (label_columns.py), a number (regression.py). What torch
computes of it, the loss, is in training/loss.py. A file says which one it is by its cells (cells.py), but for an order, which
somebody must say.
"""

from collections.abc import Mapping

from rankwise.data.tasks.cells import columns_of, numbers_of, read_as, recognised, strata_of, tags_of
from rankwise.data.tasks.label_columns import LabelColumns
from rankwise.data.tasks.multi_label import MultiLabel
from rankwise.data.tasks.names import LABEL_COLUMNS, MULTI_LABEL, ONE_LABEL, ORDERED, REGRESSION, SINGLE_LABEL, TASKS
from rankwise.data.tasks.ordered import Ordered
from rankwise.data.tasks.regression import Regression
from rankwise.data.tasks.single_label import SingleLabel
from rankwise.data.tasks.task import (
    Labels,
    Probabilities,
    Question,
    Task,
    by_number,
    class_names,
    column_sizes,
    names_counted,
)

__all__ = [
    "LABEL_COLUMNS",
    "MULTI_LABEL",
    "ONE_LABEL",
    "ORDERED",
    "REGRESSION",
    "SINGLE_LABEL",
    "TASKS",
    "LabelColumns",
    "Labels",
    "MultiLabel",
    "Ordered",
    "Probabilities",
    "Question",
    "Regression",
    "SingleLabel",
    "Task",
    "by_number",
    "class_names",
    "column_sizes",
    "columns_of",
    "names_counted",
    "numbers_of",
    "read_as",
    "recognised",
    "strata_of",
    "tags_of",
    "task_called",
]


def task_called(
    name: str | None,
    classes: tuple[str, ...],
    thresholds: tuple[float, ...] | None = None,
    columns: Mapping[str, int] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Task:
    """The task of a name, one label a text where it has none, over these classes.

    `thresholds` are those of several labels, `columns` the number of classes that each of several label columns has, `bounds`
    those of a number.
    """
    if name == MULTI_LABEL:
        return MultiLabel(classes, thresholds)
    if name == LABEL_COLUMNS:
        return LabelColumns(classes, columns=tuple((columns or {}).items()))
    if name == REGRESSION:
        return Regression(classes, bounds=bounds)
    return (Ordered if name == ORDERED else SingleLabel)(classes)
