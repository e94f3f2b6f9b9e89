"""How much data a recipe has, from one reading: class names, rows by split, characters of the training texts.

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
from rankwise.data.splitting import rows_taken
from rankwise.planning.workload import Work, character_counts
from rankwise.recipe import DataSpec


@dataclass(frozen=True)
class Volume:
    """How much there is of a data set, before it is split."""

    classes: tuple[str, ...]
    rows: tuple[int, int, int]
    """Rows of train, validation and test, as a run will split and cut them."""
    characters: NDArray[np.int64]
    """Characters of every text in the training source, (N,)."""
    layouts: tuple[Layout, ...] = ()
    """How the files were read."""

    def work(self, spec: DataSpec, *, encoder_longest: int | None) -> Work:
        """The rows and estimated tokens of a run, with long texts cut."""
        return Work.of_characters(self.characters, self.rows, max_length=spec.max_length, encoder_longest=encoder_longest)


def volume(spec: DataSpec) -> Volume:
    """The volume of a recipe's data, whose sources are read once. Raises DataError."""
    sources = sources_of(spec)
    table = read_table(sources.train, spec)
    check(table)
    classes = class_names(table, spec.classes or sources.classes)
    check_rows(spec, len(set(table.labels or ())))
    layouts, train = [table.layout], len(table.texts)
    rows = {}
    for role, source, amount in (
        ("test", sources.test, spec.split.test),
        ("validation", sources.validation, spec.split.validation),
    ):
        if source:
            other = read_table(source, spec)
            rows[role] = len(other.texts)
            layouts.append(other.layout)
        else:
            rows[role] = min(train, rows_taken(train, amount, classes=len(classes)))
            train -= rows[role]
    train, test = min(train, spec.rows or train), min(rows["test"], spec.test_rows or rows["test"])
    return Volume(classes, (max(1, train), rows["validation"], test), character_counts(table.texts), tuple(layouts))
