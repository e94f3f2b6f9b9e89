"""How much data a recipe has, from one reading: class names, rows of each split, characters of the training texts.

Nothing is split, cleaned or tokenised, so the answer comes at once; it is what a plan says its predictions for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import check
from rankwise.data.files.table import Layout, read_table
from rankwise.data.labels import check_rows, class_names
from rankwise.data.sources import sources_of
from rankwise.planning.workload import Work, character_counts
from rankwise.recipe import DataSpec


@dataclass(frozen=True)
class Volume:
    """What is known of a data set before it is split."""

    classes: tuple[str, ...]
    rows: tuple[int, int, int]
    """Of train, validation and test, as a run will split and cut them."""
    characters: NDArray[np.int64]
    """Of every text in the training source."""
    layouts: tuple[Layout, ...] = ()
    """What was found out about each file."""

    def work(self, spec: DataSpec, *, encoder_longest: int | None) -> Work:
        """Rows and estimated tokens, long texts cut."""
        return Work.of_characters(self.characters, self.rows, max_length=spec.max_length, encoder_longest=encoder_longest)


def volume(spec: DataSpec) -> Volume:
    """Reads the sources of a recipe's data. Raises DataError."""
    found = sources_of(spec)
    table = read_table(found.train, spec)
    check(table)
    classes = class_names(table, spec.classes or found.classes)
    check_rows(spec, len(set(table.labels or ())))
    train = len(table.texts)
    layouts = [table.layout]
    if found.test:
        other = read_table(found.test, spec)
        test = len(other.texts)
        layouts.append(other.layout)
    else:
        test = _taken(train, spec.split.test, len(classes))
        train -= test
    if found.validation:
        other = read_table(found.validation, spec)
        validation = len(other.texts)
        layouts.append(other.layout)
    else:
        validation = _taken(train, spec.split.validation, len(classes))
        train -= validation
    train, test = min(train, spec.rows or train), min(test, spec.test_rows or test)
    return Volume(classes, (max(1, train), validation, test), character_counts(table.texts), tuple(layouts))


def _taken(rows: int, amount: float, classes: int) -> int:
    """Rows that a split takes: a share of them, though at least one of each class, or a number."""
    return min(rows, max(round(amount * rows), classes) if amount < 1 else int(amount))
