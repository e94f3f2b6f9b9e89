"""Rows apart: a stratified sample set aside, folds, and an order in which every beginning is such a sample.

Rows whose texts are equal stay together where a caller says how texts are cleaned. Shapes: N rows.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import hashes
from rankwise.data.clean import clean
from rankwise.data.files.table import Table
from rankwise.data.strata import apportioned
from rankwise.data.tasks import ONE_LABEL, strata_of
from rankwise.errors import DataError

FOLDS = 3  # parts of the rows that are few: each is scored by a classifier that the others train


class TooFewRows(DataError):
    """Rows of which no stratified split can be drawn."""


def split_off(
    table: Table, amount: float, *, seed: int, what: str, clean_steps: Sequence[str] | None = None
) -> tuple[Table, Table]:
    """(the other rows, a stratified sample): `amount` is a share below 1 or a number of rows, `what` the split it is for.

    With `clean_steps`, rows whose texts these make equal stay together, so that no text is on both sides; the number of rows
    is then as near as they allow. Raises TooFewRows where some class can't have a row on both sides, or another DataError.
    """
    from sklearn.model_selection import train_test_split

    assert table.labels is not None
    first = group = np.arange(len(table.texts))  # of each text its first row; of each row its text
    if clean_steps is not None:
        first, group = _groups(clean(text, clean_steps) for text in table.texts)
    if table.task not in ONE_LABEL:
        return _split_several(table, amount, first, group, seed=seed)
    labels = [table.labels[row] for row in first]
    counts = Counter(labels)
    least = len(counts) if amount >= len(counts) else 1
    taken_of = amount if amount < 1 else max(least, round(amount * len(first) / len(group)))
    wanted = rows_taken(len(labels), taken_of, classes=len(counts))
    rest = len(labels) - wanted
    rarest, fewest = min(counts.items(), key=lambda item: item[1])
    if amount >= 1 and wanted < len(counts) <= rest:
        raise DataError(
            f"data.split.{what} is {amount:g}; expected {len(counts)} or more, a row for each class: "
            f"--set data.split.{what}={len(counts)}"
        )
    if fewest < 2 or min(wanted, rest) < len(counts):
        has = f"{len(counts)} classes and '{rarest}' has {fewest} different text{'' if fewest == 1 else 's'}"
        raise TooFewRows(
            f"{table.layout.path}: can't set {wanted} of {len(labels)} rows aside for {what}: there are {has}; add rows, or "
            f"give a {what} file (--set data.{what}=FILE)"
        )
    number_of = {name: number for number, name in enumerate(sorted(counts))}
    classes = np.fromiter((number_of[label] for label in labels), dtype=np.int64)
    _, taken = train_test_split(np.arange(len(classes)), test_size=wanted, random_state=seed, stratify=classes)
    is_taken = np.isin(group, taken)  # (N,)
    return table.take(np.flatnonzero(~is_taken)), table.take(np.flatnonzero(is_taken))


def _split_several(
    table: Table, amount: float, first: NDArray[np.int64], group: NDArray[np.int64], *, seed: int
) -> tuple[Table, Table]:
    """As `split_off`, of texts with several labels: `first` has the first row of each different text, `group` each row's."""
    wanted = round((amount if amount < 1 else amount / len(group)) * len(first))
    if len(first) < 2:
        raise TooFewRows(f"{table.layout.path}: can't set a row of {len(first)} aside; add rows")
    strata = strata_of(table)
    taken = apportioned([strata[row] for row in first], min(max(1, wanted), len(first) - 1), seed=seed)
    is_taken = np.isin(group, np.flatnonzero(taken))  # (N,)
    return table.take(np.flatnonzero(~is_taken)), table.take(np.flatnonzero(is_taken))


def _groups(texts: Iterable[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the first row of each different text, rising; for each row (N,) the number of its text)."""
    _, first, number = np.unique(hashes(texts), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[number]


def rows_taken(rows: int, amount: float, *, classes: int) -> int:
    """Rows that a split takes: a share of them, though at least one of each class, or a number."""
    return max(round(amount * rows), classes) if amount < 1 else int(amount)


def sample(table: Table, rows: int, *, seed: int) -> Table:
    """A stratified sample of fewer rows than there are; where one can't be drawn with its rest, the nearest to one."""
    assert table.labels is not None
    if table.task not in ONE_LABEL:
        return split_off(table, rows, seed=seed, what="test")[1]
    counts = Counter(table.labels)
    if min(counts.values()) >= 2 and len(counts) <= rows <= len(table.texts) - len(counts):
        return split_off(table, rows, seed=seed, what="test")[1]
    return table.take(np.sort(nested_order(table.labels, seed)[:rows]))


def folds(
    labels: Sequence[str] | NDArray[Any], seed: int, texts: Iterable[str] | None = None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """FOLDS pairs of (the other rows, a part of all rows), rising; every row is in one part, each class in its share.

    With `texts`, rows of equal ones are in one part. scikit-learn's StratifiedKFold refuses classes with fewer rows than
    folds, and two are enough here.
    """
    first, group = (np.arange(len(labels)),) * 2 if texts is None else _groups(texts)
    shuffled = np.random.default_rng(seed).permutation(len(first))
    by_class = shuffled[np.argsort(np.asarray(labels)[first][shuffled], kind="stable")]
    part = np.empty(len(first), dtype=np.int64)
    part[by_class] = np.arange(len(first)) % FOLDS
    return [(np.flatnonzero(part[group] != number), np.flatnonzero(part[group] == number)) for number in range(FOLDS)]


def nested_order(labels: Sequence[str] | NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """An order of all rows in which every beginning holds the classes in their shares, to a row or two."""
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    position = np.empty(len(numbers))  # of a shuffled row among those of its class, as a share
    for number in range(len(names)):
        of_class = np.flatnonzero(numbers[shuffled] == number)
        position[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.asarray(shuffled[np.argsort(position, kind="stable")], dtype=np.int64)
