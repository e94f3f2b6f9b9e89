"""Tables of raw labelled text → Labelled: train, validation and test rows, and the classes they hold."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import LEAK_LIMIT, check, seen_in
from rankwise.data.files.columns import Layout
from rankwise.data.files.table import Table, read_table
from rankwise.data.sources import Sources, sources_of
from rankwise.data.tasks import class_names
from rankwise.errors import DataError
from rankwise.planning.workload import Work, character_counts
from rankwise.recipe import DataSpec

FOLDS = 3  # parts of the rows that are few: each is scored by a classifier that the others train
FEW_ROWS = 1_000  # labelled rows up to which folds choose, where no file sets validation rows aside


@dataclass(frozen=True)
class Labelled:
    """Raw tables and the classes they hold: everything known before a tokenizer is."""

    train: Table
    validation: Table
    test: Table
    classes: tuple[str, ...]
    leaked: NDArray[np.bool_]
    """Which test rows have a text that is also in training; shape (N of test,)."""
    notes: tuple[str, ...] = ()
    numbering: tuple[str, ...] = ()
    """Class names in the order that whole-number labels count them; empty where nothing says the order."""
    set_aside: bool = False
    """Whether the validation rows were training rows before they were set aside, not a file of their own."""

    @property
    def tables(self) -> dict[str, Table]:
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @cached_property
    def sha256(self) -> str:
        """A hash of the texts and labels of all three splits, in order."""
        total = hashlib.sha256()
        for table in self.tables.values():
            for text, label in zip(table.texts, table.labels or (), strict=True):
                total.update(f"{len(text)} {text} {label}\n".encode("utf-8", "surrogatepass"))
            total.update(b"\n")
        return total.hexdigest()

    @property
    def fold_count(self) -> int:
        """FOLDS where the rows are so few that folds choose; 0 where validation rows do."""
        return _fold_count(len(self.train.texts) + len(self.validation.texts), set_aside=self.set_aside)

    def whole(self) -> "Labelled":
        """The same with every labelled row in training, the validation rows that were set aside too."""
        train, none = self.train.joined(self.validation), self.validation.take(np.arange(0))
        notes = [note for note in self.notes if not (note.startswith("validation: ") and "set aside" in note)]
        notes.append(f"validation: no rows set aside; {FOLDS} folds of all {len(train.texts):,} choose")
        return replace(self, train=train, validation=none, leaked=seen_in(train, self.test), notes=tuple(notes))

    def folds(self, seed: int) -> list["Labelled"]:
        """The training rows in FOLDS parts, one after the other set aside for validation."""
        assert self.train.labels is not None
        tables = self.train
        return [
            replace(self, train=tables.take(kept), validation=tables.take(held))
            for kept, held in folds(self.train.labels, seed)
        ]


@dataclass(frozen=True)
class Volume:
    """How much there is of a recipe's data: nothing is split, cleaned or tokenised for it, so it is known at once."""

    classes: tuple[str, ...]
    rows: tuple[int, int, int]
    """Rows of train, validation and test, as a run will split and cut them."""
    characters: NDArray[np.int64]
    """Characters of every text in the training source, (N,)."""
    layouts: tuple[Layout, ...]
    """How the files were read."""
    folds: int = 0
    """How many folds hold the rungs of a ladder against each other; 0 where the validation rows do."""

    def work(self, spec: DataSpec, *, encoder_longest: int | None) -> Work:
        """The rows and estimated tokens of a run, with long texts cut."""
        work = Work.of_characters(
            self.characters, self.rows, max_length=spec.max_length, encoder_longest=encoder_longest, windows=spec.windows
        )
        return replace(work, folds=self.folds)


def read_labelled(spec: DataSpec) -> Labelled:
    """The three tables of a recipe, split where they are not given, and the class names. Raises DataError."""
    sources = sources_of(spec)
    tables = {name: read_table(source, spec) for name, source in sources.splits.items()}
    return split_tables(spec, **tables, classes=sources.classes)


def read_training(spec: DataSpec) -> tuple[Sources, Table, tuple[str, ...]]:
    """(the recipe's sources, the rows of the first one, unsplit, the class names in the order of their numbers)."""
    sources = sources_of(spec)
    train = read_table(sources.train, spec)
    check(train)
    return sources, train, class_names(train, sources.classes or train.layout.classes)


def read_volume(spec: DataSpec) -> Volume:
    """The volume of a recipe's data, whose sources are read once. Raises DataError."""
    sources, table, classes = read_training(spec)
    _check_rows(spec, len(set(table.labels or ())))
    layouts, train = [table.layout], len(table.texts)
    rows = {}
    for role in ("test", "validation"):
        if role in sources.splits:
            other = read_table(sources.splits[role], spec)
            rows[role] = len(other.texts)
            layouts.append(other.layout)
        else:
            rows[role] = min(train, rows_taken(train, getattr(spec.split, role), classes=len(classes)))
            train -= rows[role]
    train, test = min(train, spec.rows or train), min(rows["test"], spec.test_rows or rows["test"])
    fold_count = _fold_count(train + rows["validation"], set_aside="validation" not in sources.splits)
    return Volume(
        classes, (max(1, train), rows["validation"], test), character_counts(table.texts), tuple(layouts), fold_count
    )


def split_tables(
    spec: DataSpec, train: Table, validation: Table | None = None, test: Table | None = None, *, classes: tuple[str, ...] = ()
) -> Labelled:
    """Three tables from one or more: validation and test are split off the training rows where they are None.

    `classes` are the class names in the order of their numbers, where the sources say so. Raises DataError.
    """
    check(train)
    notes = []
    for name, table in (("train", train), ("test", test), ("validation", validation)):
        if table is not None:
            dropped = (f"{name}: {count:,} rows dropped ({reason})" for reason, count in table.dropped.items())
            notes += [table.layout.describe(), *dropped]
    seed = spec.split.seed
    if test is None:
        train, test = split_off(train, spec.split.test, seed=seed, what="test")
        notes.append(f"test: {len(test.texts):,} rows set aside (stratified, seed {seed})")
    if set_aside := validation is None:
        train, validation = split_off(train, spec.split.validation, seed=seed + 1, what="validation")
        notes.append(f"validation: {len(validation.texts):,} rows set aside (stratified, seed {seed})")
    _check_rows(spec, len(set(train.labels or ())))
    if spec.rows is not None and spec.rows < len(train.texts):
        train = sample(train, spec.rows, seed=seed + 2)
        notes.append(f"train: {spec.rows:,} rows kept (stratified, seed {seed})")
    if spec.test_rows is not None and spec.test_rows < len(test.texts):
        test = sample(test, spec.test_rows, seed=seed + 3)
        notes.append(f"test: {spec.test_rows:,} rows kept (stratified, seed {seed})")
    numbering = spec.classes or classes or train.layout.classes
    names = class_names(train, numbering)
    leaked = seen_in(train, test)
    notes += _leakage(leaked, test, spec)
    return Labelled(train, validation, test, names, leaked, tuple(notes), numbering, set_aside)


def _check_rows(spec: DataSpec, classes: int) -> None:
    """Raise DataError where `data.rows` leaves classes without a row."""
    if spec.rows is not None and spec.rows < classes:
        raise DataError(f"data.rows is {spec.rows}; expected {classes} or more, a row for each class")


def _leakage(leaked: NDArray[np.bool_], test: Table, spec: DataSpec) -> list[str]:
    """A note on test rows that are also in training. Raises DataError when they are many."""
    if not leaked.any():
        return []
    overlap = f"{leaked.sum():,} of {len(leaked):,} test texts ({leaked.mean():.1%}) are also in training"
    if leaked.mean() > LEAK_LIMIT and spec.leakage == "fail":
        raise DataError(
            f"{test.layout.path}: {overlap}, so a score on them says little; remove them from training, or type "
            "--set data.leakage=allow to see a score on the others beside it"
        )
    return [f"test: {overlap}; scores leave nothing out, the clean score is beside them"]


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


def _fold_count(rows: int, *, set_aside: bool) -> int:
    """FOLDS where validation rows are `set_aside` of so few rows; else 0."""
    return FOLDS if set_aside and rows <= FEW_ROWS else 0


def folds(labels: Sequence[str] | NDArray[np.int64], seed: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """FOLDS pairs of (the other rows, a part of all rows), rising; every row is in one part, each class in its share.

    scikit-learn's StratifiedKFold refuses classes with fewer rows than folds, and two are enough here.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(np.asarray(labels)[shuffled], kind="stable")]
    part = np.empty(len(labels), dtype=np.int64)
    part[by_class] = np.arange(len(labels)) % FOLDS
    return [(np.flatnonzero(part != number), np.flatnonzero(part == number)) for number in range(FOLDS)]


def nested_order(labels: Sequence[str], seed: int) -> NDArray[np.int64]:
    """An order of all rows in which every beginning holds the classes in their shares, to a row or two."""
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    position = np.empty(len(numbers))  # of a shuffled row among those of its class, as a share
    for number in range(len(names)):
        of_class = np.flatnonzero(numbers[shuffled] == number)
        position[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.asarray(shuffled[np.argsort(position, kind="stable")], dtype=np.int64)
