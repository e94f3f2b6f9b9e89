"""Tables of raw labelled text → Labelled: train, validation and test rows, and the classes they hold."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import LEAK_LIMIT, check, seen_in, shares_a_side
from rankwise.data.clean import clean
from rankwise.data.files.columns import Layout
from rankwise.data.files.table import Table, like_training, read_table
from rankwise.data.labels import unlabelled
from rankwise.data.several import as_list
from rankwise.data.sources import Sources, sources_of
from rankwise.data.splitting import FOLDS, TooFewRows, folds, rows_taken, sample, split_off
from rankwise.data.tasks import (
    MULTI_LABEL,
    ONE_LABEL,
    Task,
    by_number,
    class_names,
    column_sizes,
    names_counted,
    read_as,
    recognised,
    strata_of,
    tags_of,
    task_called,
)
from rankwise.errors import DataError, Unlabelled, as_set
from rankwise.planning.workload import Work, character_counts
from rankwise.recipe import DataSpec, SourceSpec

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
    warnings: tuple[str, ...] = ()
    """What a person should know of what was read: rows that were dropped, files that were left out."""
    clean: tuple[str, ...] = ()
    """The cleaning steps, after which texts that are equal stay together."""
    columns: Mapping[str, int] | None = None
    """How many classes each of several label columns has."""

    @property
    def task(self) -> Task:
        """What is decided about a text."""
        return task_called(self.train.task, self.classes, columns=self.columns)

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

    @property
    def pairs(self) -> int:
        """How many rows that train are pairs of texts."""
        return len(self.train.texts) if self.train.layout.text_pair else 0

    @property
    def volume(self) -> "Volume":
        """How much there is of them."""
        rows = (len(self.train.texts), len(self.validation.texts), len(self.test.texts))
        layouts = tuple(table.layout for table in self.tables.values())
        return Volume(self.classes, rows, character_counts(self.train.texts), layouts, self.fold_count)

    def whole(self) -> "Labelled":
        """The same with every labelled row in training, the validation rows that were set aside too."""
        train, none = self.train.joined(self.validation), self.validation.take(np.arange(0))
        notes = [note for note in self.notes if not (note.startswith("validation: ") and "set aside" in note)]
        notes.append(f"validation: no rows set aside; {FOLDS} folds of all {len(train.texts):,} choose")
        return replace(self, train=train, validation=none, leaked=seen_in(train, self.test), notes=tuple(notes))

    def folds(self, seed: int) -> list["Labelled"]:
        """The training rows in FOLDS parts, one after the other set aside for validation."""
        table, texts = self.train, (clean(text, self.clean) for text in self.train.texts)
        assert table.labels is not None
        strata: Sequence[str] | NDArray[np.int64] = table.labels
        if table.task not in ONE_LABEL:
            strata = self.task.strata(self.task.parse(table, self.numbering, DataSpec()))
        return [
            replace(self, train=table.take(kept), validation=table.take(held)) for kept, held in folds(strata, seed, texts)
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
    warnings: tuple[str, ...] = ()
    """What a person should know of what was read: rows that were dropped, files that were left out."""

    @property
    def pairs(self) -> int:
        """How many rows that train are pairs of texts."""
        return self.rows[0] if self.layouts[0].text_pair else 0

    def work(self, spec: DataSpec, *, encoder_longest: int | None) -> Work:
        """The rows and estimated tokens of a run, with long texts cut."""
        work = Work.of_characters(
            self.characters,
            self.rows,
            max_length=spec.max_length,
            encoder_longest=encoder_longest,
            windows=1 if self.pairs else spec.windows,  # a pair is read in one
        )
        return replace(work, folds=self.folds, pairs=self.pairs)


def read_labelled(spec: DataSpec, *, by_folds: bool = False) -> Labelled:
    """The three tables of a recipe, split where they are not given, and the class names; `by_folds` as in `split_tables`.

    Raises DataError.
    """
    tables, classes, left_out = read_splits(spec)
    return split_tables(spec, **tables, classes=classes, left_out=left_out, by_folds=by_folds)


def read_splits(spec: DataSpec) -> tuple[dict[str, Table], tuple[str, ...], tuple[str, ...]]:
    """(the tables by role, train first; class names in the order of their numbers; a line about each file left out).

    All are read alike, and ids of several labels are names where the sources say which. A validation or test file without
    labels that nobody named, but a folder holds, is left out. Raises DataError, Unlabelled for one that is named.
    """
    sources = sources_of(spec)
    train = recognised(read_table(sources.train, spec), spec.task, known=spec.classes or sources.classes)
    tables, left_out = {"train": train}, []
    for role, source in sources.splits.items():
        if role == "train":
            continue
        try:
            tables[role] = _read_beside(train, source, spec)
        except Unlabelled as error:
            if getattr(spec, role) is not None:
                fix = f"leave data.{role} out, and {role} rows are set aside from training: predict labels this file later"
                raise Unlabelled(error.found, fix) from error
            left_out.append(f"{error.found}; it is left out, and {role} rows are set aside from training")
    return _named(tables, sources.classes or train.layout.classes), sources.classes, tuple(left_out)


def _named(tables: Mapping[str, Table], numbering: Sequence[str]) -> dict[str, Table]:
    """The tables, with names in the place of the whole numbers that count them, where texts have several labels.

    What counts from 0 or from 1 all tables say together. Where they don't, or nothing says the order of names, they stay as
    they are.
    """
    tags = {
        role: {tag for row in tags_of(table) for tag in row} for role, table in tables.items() if table.task == MULTI_LABEL
    }
    counted = [own for own in tags.values() if own and by_number(own, numbering)]
    names = names_counted(set().union(*counted), numbering)
    return {role: _renamed(table, names) if names and tags.get(role) in counted else table for role, table in tables.items()}


def _renamed(table: Table, names: Mapping[str, str]) -> Table:
    written = {cell: as_list(sorted(names[tag] for tag in json.loads(cell))) for cell in set(table.labels or ())}
    return replace(table, labels=tuple(written[cell] for cell in table.labels or ()))


def losses(name: str, table: Table) -> list[str]:
    """A line for each reason for which rows of a split were dropped."""
    return [f"{name}: {count:,} row{'' if count == 1 else 's'} dropped ({reason})" for reason, count in table.dropped.items()]


def _read_beside(train: Table, source: SourceSpec, spec: DataSpec) -> Table:
    """Rows of another split, from the columns that training reads, or with a warning from more of them.

    Raises DataError for fewer of them, Unlabelled for rows without labels.
    """
    pair = train.layout.text_pair
    table = read_table(like_training(source, spec, train.layout.text, train.layout, pair=pair), spec)
    ours, theirs = train.layout.read, table.layout.read
    if bool(pair) != bool(table.layout.text_pair) or (len(ours) != len(theirs) and not (source.text or spec.text)):
        differs = (
            f"{table.layout.name}: training reads {train.layout.read_in_words}, and the text of this file would be "
            f"{table.layout.read_in_words}, of its columns {', '.join(table.layout.columns)}"
        )
        if bool(pair) != bool(table.layout.text_pair) or len(theirs) < len(ours):
            raise DataError(f"{differs}; call the columns alike, or leave the file out")
        table = replace(table, warnings=(*table.warnings, f"{differs}; look whether that is the same text"))
    if marker := unlabelled(table.labels or (), known=set(train.labels or ())):
        raise Unlabelled(f"every label of {table.layout.name} is {marker}: unlabelled")
    return _like(train, table)


def _like(train: Table, table: Table) -> Table:
    """Rows of another split, of the task that the training rows are for."""
    return read_as(table, train.task, known={tag for row in tags_of(train) for tag in row})


def read_training(spec: DataSpec) -> tuple[Sources, Table, tuple[str, ...]]:
    """(the recipe's sources, the rows of the first one, unsplit, the class names in the order of their numbers)."""
    sources = sources_of(spec)
    train = recognised(read_table(sources.train, spec), spec.task, known=spec.classes or sources.classes)
    train = _named({"train": train}, sources.classes or train.layout.classes)["train"]
    check(train)
    return sources, train, class_names(train, sources.classes or train.layout.classes)


def read_volume(spec: DataSpec) -> Volume:
    """The volume of a recipe's data, whose sources are read once. Raises DataError."""
    tables, numbering, left_out = read_splits(spec)
    return volume_of(spec, tables, numbering, left_out)


def volume_of(
    spec: DataSpec, tables: Mapping[str, Table], numbering: tuple[str, ...] = (), left_out: tuple[str, ...] = ()
) -> Volume:
    """The volume of tables that were read, as `read_splits` gives them. Raises DataError."""
    table = tables["train"]
    check(table)
    classes = class_names(table, numbering or table.layout.classes)
    _check_rows(spec, len(classes))
    layouts, train = [table.layout], len(table.texts)
    rows = {}
    for role in ("test", "validation"):
        if role in tables:
            rows[role] = len(tables[role].texts)
            layouts.append(tables[role].layout)
        else:
            rows[role] = min(train, rows_taken(train, getattr(spec.split, role), classes=len(classes)))
            train -= rows[role]
    train, test = min(train, spec.rows or train), min(rows["test"], spec.test_rows or rows["test"])
    fold_count = _fold_count(train + rows["validation"], set_aside="validation" not in tables)
    return Volume(
        classes=classes,
        rows=(max(1, train), rows["validation"], test),
        characters=character_counts(table.texts),
        layouts=tuple(layouts),
        folds=fold_count,
        warnings=(*left_out, *(line for name, read in tables.items() for line in losses(name, read))),
    )


def split_tables(
    spec: DataSpec,
    train: Table,
    validation: Table | None = None,
    test: Table | None = None,
    *,
    classes: tuple[str, ...] = (),
    left_out: tuple[str, ...] = (),
    by_folds: bool = False,
) -> Labelled:
    """Three tables from one or more: validation and test are split off the training rows where they are None.

    `classes` are the class names in the order of their numbers, where the sources say so; `left_out` are lines about files
    that are not used. Where few rows are trained on `by_folds`, classes may have too few for a validation split, which is
    then empty. Raises DataError.
    """
    train = recognised(train, spec.task, known=spec.classes or classes)
    validation, test = (None if table is None else _like(train, table) for table in (validation, test))
    check(train)
    notes = []
    warnings = [*left_out]
    for name, table in (("train", train), ("test", test), ("validation", validation)):
        if table is not None:
            warnings += losses(name, table)
            notes.append(table.layout.describe())
    seed = spec.split.seed
    if test is None:
        train, test = split_off(train, spec.split.test, seed=seed, what="test", clean_steps=spec.clean)
        notes.append(f"test: {len(test.texts):,} rows set aside (stratified, seed {seed})")
    if set_aside := validation is None:
        few = by_folds and len(train.texts) <= FEW_ROWS
        train, validation = _validation_of(train, spec, may_be_empty=few)
        notes.append(f"validation: {len(validation.texts):,} rows set aside (stratified, seed {seed})")
    _check_rows(spec, len({stratum for row in strata_of(train) for stratum in row}))
    if spec.rows is not None and spec.rows < len(train.texts):
        train = sample(train, spec.rows, seed=seed + 2)
        notes.append(f"train: {spec.rows:,} rows kept (stratified, seed {seed})")
    if spec.test_rows is not None and spec.test_rows < len(test.texts):
        test = sample(test, spec.test_rows, seed=seed + 3)
        notes.append(f"test: {spec.test_rows:,} rows kept (stratified, seed {seed})")
    numbering = spec.classes or classes or train.layout.classes
    names = class_names(train, numbering)
    numbering = numbering if task_called(train.task, names).has_classes else ()
    leaked = seen_in(train, test)
    notes += [*_leakage(leaked, test, spec), *_about_pairs(train, test, spec)]
    return Labelled(
        train=train,
        validation=validation,
        test=test,
        classes=names,
        leaked=leaked,
        notes=tuple(notes),
        numbering=numbering,
        set_aside=set_aside,
        warnings=tuple(warnings),
        clean=spec.clean,
        columns=column_sizes(train),
    )


def _validation_of(train: Table, spec: DataSpec, *, may_be_empty: bool) -> tuple[Table, Table]:
    """(the rows that train, those for validation: none where that may be, and some class is too small)."""
    try:
        return split_off(train, spec.split.validation, seed=spec.split.seed + 1, what="validation", clean_steps=spec.clean)
    except TooFewRows:
        if not may_be_empty:
            raise
        return train, train.take(np.arange(0))


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


def _about_pairs(train: Table, test: Table, spec: DataSpec) -> list[str]:
    """Notes on how pairs are read, and on test pairs that are half known."""
    if not train.layout.text_pair:
        return []
    notes = []
    asked = spec.text or (spec.train is not None and spec.train.text)
    if not asked and spec.names_files:
        joined = as_set("data.text", train.layout.read)
        notes.append(f"a row is a pair of texts, by the names of their columns; to read them joined, type {joined}")
    shared = int(shares_a_side(train, test).sum())
    if shared:
        of = f"{shared:,} of {len(test.texts):,} pairs ({shared / len(test.texts):.1%})"
        notes.append(f"test: {of} have at least one of their texts in a training pair")
    return notes


def _fold_count(rows: int, *, set_aside: bool) -> int:
    """FOLDS where validation rows are `set_aside` of so few rows; else 0."""
    return FOLDS if set_aside and rows <= FEW_ROWS else 0
