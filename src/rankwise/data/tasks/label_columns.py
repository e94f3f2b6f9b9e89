"""A label for each of several columns, such as queue and priority: a softmax over the classes of each.

Classes of all columns stand in one line, `queue=billing` and so on, a column's beside each other, so that one head, one pass
and one ledger serve them all. Shapes: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tasks.multi_label import MultiLabel, rarest_classes
from rankwise.data.tasks.names import LABEL_COLUMNS
from rankwise.data.tasks.task import UNKNOWN, Labels, Probabilities, Question, Task

if TYPE_CHECKING:
    from rankwise.recipe import EvaluateSpec
    from rankwise.stats.intervals import Interval
    from rankwise.stats.scores import Scores


@dataclass(frozen=True)
class LabelColumns(MultiLabel):
    """A label for each column. Labels are 1 for a class that a text has, else 0 (N, C); -1 in a column that lacks one."""

    columns: tuple[tuple[str, int], ...] = ()
    """The name of each column, and how many classes it has, in the order of the classes."""

    name = LABEL_COLUMNS
    credit_name = "columns right"
    headline = ("accuracy", "macro_f1")
    compared_by = ("accuracy", "macro_f1")
    is_tuned = False

    @property
    def column_count(self) -> int:
        return len(self.columns)

    @property
    def blocks(self) -> dict[str, slice]:
        """Where each column's classes stand."""
        ends = np.cumsum([size for _, size in self.columns]).tolist()
        return {name: slice(end - size, end) for (name, size), end in zip(self.columns, ends, strict=True)}

    def probabilities(self, logits: NDArray[np.float32]) -> Probabilities:
        """The softmax over the classes of each column, in double precision."""
        parts = [np.exp(part - part.max(axis=1, keepdims=True)) for part in self._parts(logits.astype(np.float64))]
        return np.concatenate([part / part.sum(axis=1, keepdims=True) for part in parts], axis=1)

    def logits(self, probabilities: Probabilities) -> NDArray[np.float32]:
        """The probabilities' logarithms (N, C)."""
        return np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)).astype(np.float32)

    def normal(self, probabilities: Probabilities) -> Probabilities:
        """The softmax, column by column, of the log-odds: what a head of these classifiers gives."""
        return self.probabilities(super().logits(probabilities))

    def decide(self, probabilities: Probabilities) -> Labels:
        """1 for the likeliest class of each column, (N, C)."""
        likeliest = [np.eye(part.shape[1], dtype=np.int64)[part.argmax(axis=1)] for part in self._parts(probabilities)]
        return np.concatenate(likeliest, axis=1)

    def confidence(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """The probability of the least sure of a row's labels."""
        return np.asarray(np.min([part.max(axis=1) for part in self._parts(probabilities)], axis=0))

    def credit(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """The share of a row's columns that are right, of those whose label is known; 0 where none is."""
        right, known = self._right(probabilities, truth)
        return np.asarray(right.sum(axis=1) / np.maximum(known.sum(axis=1), 1))

    def right(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.bool_]:
        """Which rows are right in every column whose label is known."""
        right, known = self._right(probabilities, truth)
        return np.asarray((right == known).all(axis=1) & known.any(axis=1))

    def tuned(self, probabilities: Probabilities, truth: Labels) -> Self:
        del probabilities, truth
        return self

    @property
    def remembered(self) -> dict[str, Any]:
        return {}

    def rivals(self, number: int) -> NDArray[np.bool_]:
        """The other classes of its column."""
        others = np.zeros(len(self.classes), dtype=np.bool_)
        others[next(block for block in self.blocks.values() if block.start <= number < block.stop)] = True
        others[number] = False
        return others

    def metric(self, asked: str) -> str:
        return asked

    def scores(self, probabilities: Probabilities, truth: Labels, spec: EvaluateSpec) -> Scores:
        """As for several labels, but for log-loss, with the accuracy of each column beside them."""
        from rankwise.stats.intervals import wilson
        from rankwise.stats.several import paired_mean

        scores = super().scores(probabilities, truth, spec)
        losses = self._losses(probabilities, truth)
        if losses.size:
            loss = paired_mean(losses, np.zeros_like(losses), resamples=spec.resamples, confidence=spec.confidence)
            scores = replace(scores, log_loss=loss)
        right, known = self._right(probabilities, truth)
        by_column = {}
        for (name, _), hits, rows in zip(self.columns, right.sum(axis=0).tolist(), known.sum(axis=0).tolist(), strict=True):
            if rows:
                by_column[f"{name} accuracy"] = wilson(hits / rows, rows, spec.confidence)
        return replace(scores, more=by_column)

    def quick_scores(self, probabilities: Probabilities, truth: Labels) -> dict[str, float]:
        """As for several labels, but for log-loss, by which the best checkpoint may be chosen: no column counts for more than
        another because it has more classes.
        """
        losses = self._losses(probabilities, truth)
        loss = {"log_loss": round(float(losses.mean()), 6)} if losses.size else {}
        return super().quick_scores(probabilities, truth) | loss

    def _losses(self, probabilities: Probabilities, truth: Labels) -> NDArray[np.float64]:
        """For each row of which some label is known, the mean of -log of what its known labels were given; in nats."""
        of_truth = [
            (part * (labels == 1)).sum(axis=1)
            for part, labels in zip(self._parts(probabilities), self._parts(truth), strict=True)
        ]
        known = np.stack([labels[:, 0] >= 0 for labels in self._parts(truth)], axis=1)  # (N, columns)
        losses = -np.log(np.maximum(np.stack(of_truth, axis=1), np.finfo(np.float32).tiny))
        rows = known.any(axis=1)
        return np.asarray((losses * known).sum(axis=1)[rows] / known.sum(axis=1)[rows])

    def difference(self, one: Probabilities, other: tuple[Task, Probabilities], truth: Labels, confidence: float) -> Interval:
        """One's share of rows that are right in every column minus the other's."""
        from rankwise.stats.several import paired_mean

        task, probabilities = other
        ours, theirs = self.right(one, truth), task.right(probabilities, truth)
        return paired_mean(ours.astype(np.float64), theirs.astype(np.float64), confidence=confidence)

    def strata(self, labels: Labels) -> NDArray[np.int64]:
        """The rarest class of each row."""
        return rarest_classes(labels == 1)

    def names(self, label: Any) -> tuple[str, ...]:
        found = tuple(name for name, has in zip(self.classes, label, strict=True) if has == 1)
        return found or (UNKNOWN,)

    def questions(self, labels: Labels) -> tuple[Question, ...]:
        """For each column which of its classes a text has."""
        told = []
        for name, block in self.blocks.items():
            own = labels[:, block]
            classes = tuple(known.removeprefix(f"{name}=") for known in self.classes[block])
            told.append(Question(name, classes, np.where(own.max(axis=1) == 1, own.argmax(axis=1), -1)))
        return tuple(told)

    def answer(self, decided: Any, names: Sequence[Any]) -> dict[str, Any]:
        """The label of each column, without the column's name before it."""
        chosen = np.flatnonzero(np.asarray(decided) == 1).tolist()
        owner = [name for name, size in self.columns for _ in range(size)]
        return {owner[number]: str(names[number]).removeprefix(f"{owner[number]}=") for number in chosen}

    def _right(self, probabilities: Probabilities, truth: Labels) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """(which columns are right and known, which are known), (N, columns) each."""
        decided = self.decide(probabilities)
        known = np.stack([truth[:, block].min(axis=1) >= 0 for block in self.blocks.values()], axis=1)
        same = np.stack([(decided[:, block] == truth[:, block]).all(axis=1) for block in self.blocks.values()], axis=1)
        return same & known, known

    def _parts(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        return [values[:, block] for block in self.blocks.values()]

    def _numbers(self, tags: Sequence[tuple[str, ...]], number_of: Mapping[str, int]) -> Labels:
        numbers = np.full((len(tags), len(self.classes)), -1, dtype=np.int64)
        owner = [block for name, block in self.blocks.items() for _ in range(block.stop - block.start)]
        for row, several in enumerate(tags):
            for tag in several:
                number = number_of.get(tag)
                if number is not None:
                    numbers[row, owner[number]] = 0
                    numbers[row, number] = 1
                elif named := [name for name in self.blocks if tag.startswith(f"{name}=")]:
                    numbers[row, self.blocks[max(named, key=len)]] = 0  # there is a label, and no answer is right
        return numbers
