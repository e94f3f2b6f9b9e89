"""Which rows are set aside: stratified samples of a table, the same for the same seed."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import Table
from rankwise.errors import DataError


def split_off(table: Table, amount: float, *, seed: int, what: str) -> tuple[Table, Table]:
    """(the other rows, a stratified sample): `amount` is a share below 1 or a number of rows, `what` the split it is for.

    Raises DataError where some class can't have a row on both sides.
    """
    from sklearn.model_selection import train_test_split

    assert table.labels is not None
    counts = Counter(table.labels)
    wanted = rows_taken(len(table.texts), amount, classes=len(counts))
    rest = len(table.texts) - wanted
    rarest, fewest = min(counts.items(), key=lambda item: item[1])
    if amount >= 1 and wanted < len(counts) <= rest:
        raise DataError(
            f"data.split.{what} is {wanted}; expected {len(counts)} or more, a row for each class: "
            f"--set data.split.{what}={len(counts)}"
        )
    if fewest < 2 or min(wanted, rest) < len(counts):
        raise DataError(
            f"{table.layout.path}: can't set {wanted} of {len(table.texts)} rows aside for {what}: there are "
            f"{len(counts)} classes and '{rarest}' has {fewest} row(s); add rows, or give a {what} file "
            f"(--set data.{what}=FILE)"
        )
    number_of = {name: number for number, name in enumerate(sorted(counts))}
    classes = np.fromiter((number_of[label] for label in table.labels), dtype=np.int64)
    kept, taken = train_test_split(np.arange(len(classes)), test_size=wanted, random_state=seed, stratify=classes)
    return table.take(np.sort(kept)), table.take(np.sort(taken))


def rows_taken(rows: int, amount: float, *, classes: int) -> int:
    """Rows that a split takes: a share of them, though at least one of each class, or a number."""
    return max(round(amount * rows), classes) if amount < 1 else int(amount)


def sample(table: Table, rows: int, *, seed: int) -> Table:
    """A stratified sample of fewer rows than there are; where one can't be drawn with its rest, the nearest to one."""
    assert table.labels is not None
    counts = Counter(table.labels)
    if min(counts.values()) >= 2 and len(counts) <= rows <= len(table.texts) - len(counts):
        return split_off(table, rows, seed=seed, what="test")[1]
    return table.take(np.sort(nested_order(table.labels, seed)[:rows]))


def nested_order(labels: Sequence[str], seed: int) -> NDArray[np.int64]:
    """An order of all rows in which every beginning holds the classes in their shares, to a row or two."""
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    position = np.empty(len(numbers))  # of a shuffled row among those of its class, as a share
    for number in range(len(names)):
        of_class = np.flatnonzero(numbers[shuffled] == number)
        position[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.asarray(shuffled[np.argsort(position, kind="stable")], dtype=np.int64)
