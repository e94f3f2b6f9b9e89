"""What a classifier decides about a text, and how right it is: from labels to numbers, from logits to scores.

A task is a class with the methods of `Task`: one label a text (single_label.py), several labels a text (multi_label.py). What
torch computes of it, the loss, is in training/loss.py. A file says which one it is by its cells (cells.py).
"""

from rankwise.data.tasks.cells import read_as, recognised, tags_of
from rankwise.data.tasks.multi_label import MultiLabel
from rankwise.data.tasks.names import MULTI_LABEL, SINGLE_LABEL, TASKS
from rankwise.data.tasks.single_label import SingleLabel
from rankwise.data.tasks.task import Labels, Probabilities, Task, by_number, class_names

__all__ = [
    "MULTI_LABEL",
    "SINGLE_LABEL",
    "TASKS",
    "Labels",
    "MultiLabel",
    "Probabilities",
    "SingleLabel",
    "Task",
    "by_number",
    "class_names",
    "read_as",
    "recognised",
    "tags_of",
    "task_called",
]

_CLASSES: dict[str, type[Task]] = {SINGLE_LABEL: SingleLabel, MULTI_LABEL: MultiLabel}


def task_called(name: str | None, classes: tuple[str, ...], thresholds: tuple[float, ...] | None = None) -> Task:
    """The task of a name, one label a text where it has none, over these classes; with the thresholds that it may have."""
    if name == MULTI_LABEL:
        return MultiLabel(classes, thresholds)
    return _CLASSES[name or SINGLE_LABEL](classes)
