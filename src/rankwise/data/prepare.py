"""Tables → Prepared: split, class numbers, clean text, tokens. Everything that a run must apply again at prediction is a
Preprocessing, which travels with the artifact.

Texts and tokens go from file to file on disk, a chunk of them in memory. Shapes: a split of N texts holds its tokens end to
end with N + 1 offsets, so nothing is stored padded. Labels are class numbers (N,), -1 for a class that training never saw.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.audit import LEAK_LIMIT, Lengths, check, lengths_of, seen_in
from rankwise.data.clean import clean
from rankwise.data.files.table import Table, read_table
from rankwise.data.labels import check_rows, class_names, numbers_of
from rankwise.data.splitting import resolve
from rankwise.data.store import Texts
from rankwise.data.tokens import Tokenize, Tokens, cut, tokenize_to_disk
from rankwise.data.truncation import better_side
from rankwise.errors import DataError
from rankwise.recipe import DataSpec


@dataclass(frozen=True)
class Preprocessing:
    """From raw text to tokens, the same in training and serving."""

    classes: tuple[str, ...]
    clean: tuple[str, ...]
    max_length: int
    join: str = " . "
    text: tuple[str | int, ...] = ()
    """Column names of the training file, for prediction files that say nothing else."""
    numbering: tuple[str, ...] = ()
    """Class names in the order that whole-number labels count them; empty where nobody gave an order."""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Preprocessing:
        return cls(
            classes=tuple(values["classes"]),
            clean=tuple(values["clean"]),
            max_length=int(values["max_length"]),
            join=values["join"],
            text=tuple(values["text"]),
            numbering=tuple(values["numbering"]),
        )

    def apply(self, text: str) -> str:
        return clean(text, self.clean)


@dataclass(frozen=True)
class Split:
    """One of train, validation, test."""

    texts: Sequence[str] = field(repr=False)
    """Clean texts, N of them."""
    tokens: Tokens = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    rows: NDArray[np.int64] = field(repr=False)
    """The data row of each text in its file, from 1; shape (N,)."""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Prepared:
    """What `fit` needs, and what the run must remember."""

    preprocessing: Preprocessing
    train: Split
    validation: Split
    test: Split
    lengths: Lengths
    """Tokens of the training texts before any was cut or left out."""
    notes: tuple[str, ...] = ()
    """What was found and done, one line each, for a person to read."""

    @property
    def classes(self) -> tuple[str, ...]:
        return self.preprocessing.classes


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
    """Class names in the order that whole-number labels count them; empty where nobody gave an order."""


def read(spec: DataSpec) -> Labelled:
    """The three tables of a recipe, split where they are not given, and the class names. Raises DataError."""
    found = resolve(spec)
    train = read_table(found.train, spec)
    test = read_table(found.test, spec) if found.test else None
    validation = read_table(found.validation, spec) if found.validation else None
    return complete(spec, train, validation, test, classes=found.classes)


def classes_of(spec: DataSpec) -> tuple[str, ...]:
    """The class names of a recipe's data, in the order of their numbers, without splitting it. Raises DataError."""
    found = resolve(spec)
    train = read_table(found.train, spec)
    check(train)
    return class_names(train, spec.classes or found.classes)


def complete(
    spec: DataSpec, train: Table, validation: Table | None = None, test: Table | None = None, *, classes: tuple[str, ...] = ()
) -> Labelled:
    """Three tables from one or more: what is not given is split off the training rows. Raises DataError."""
    check(train)
    notes = []
    for name, table in (("train", train), ("test", test), ("validation", validation)):
        notes += [table.layout.describe(), *_dropped(table, name)] if table else []
    seed = spec.split.seed
    if test is None:
        train, test = split_off(train, spec.split.test, seed=seed, what="test")
        notes.append(f"test: {len(test.texts):,} rows set aside (stratified, seed {seed})")
    if validation is None:
        train, validation = split_off(train, spec.split.validation, seed=seed + 1, what="validation")
        notes.append(f"validation: {len(validation.texts):,} rows set aside (stratified, seed {seed})")
    check_rows(spec, len(set(train.labels or ())))
    if spec.rows is not None and spec.rows < len(train.texts):
        train = _some(train, spec.rows, seed=seed + 2)
        notes.append(f"train: {spec.rows:,} rows kept (stratified, seed {seed})")
    if spec.test_rows is not None and spec.test_rows < len(test.texts):
        test = _some(test, spec.test_rows, seed=seed + 3)
        notes.append(f"test: {spec.test_rows:,} rows kept (stratified, seed {seed})")
    numbering = spec.classes or classes
    names = class_names(train, numbering)
    leaked = seen_in(train, test)
    notes += _leakage(leaked, test, spec)
    return Labelled(train, validation, test, names, leaked, tuple(notes), numbering)


def prepare(
    spec: DataSpec, tokenizer: Any, *, longest: int, labelled: Labelled | None = None, tokenized: Tokenize = tokenize_to_disk
) -> Prepared:
    """Read, clean and tokenise. `longest` is the most tokens that the encoder takes; `tokenizer` a transformers one.

    `tokenized` tokenises; a TokenStore shares what it has with other processes.

    Raises DataError for files, columns, labels and texts that cannot be used.
    """
    labelled = labelled or read(spec)
    numbers = label_numbers(labelled, spec)
    texts = clean_all(labelled.train.texts, spec.clean)
    tokens = tokenized(tokenizer, texts, max_length=None)
    lengths = lengths_of(tokens.lengths, "tokens", bars=40, width=1)
    max_length, length_note = choose_length(tokens.lengths, spec.max_length, longest)
    side, side_note = _side(spec, tokens, numbers["train"], max_length)
    tokenizer.truncation_side = side  # saved with it, so whoever loads the run cuts on the same side
    keep, filter_note = _within_percentiles(tokens.lengths, spec.length_percentiles)
    tokens = cut(tokens, texts, tokenizer, max_length)
    train = _subset(Split(texts, tokens, numbers["train"], labelled.train.rows), keep)

    def scored(name: str, table: Table) -> Split:
        texts = clean_all(table.texts, spec.clean)
        return Split(texts, tokenized(tokenizer, texts, max_length=max_length), numbers[name], table.rows)

    preprocessing = Preprocessing(
        classes=labelled.classes,
        clean=spec.clean,
        max_length=max_length,
        join=spec.join,
        text=tuple(labelled.train.layout.text),
        numbering=labelled.numbering,
    )
    return Prepared(
        preprocessing=preprocessing,
        train=train,
        validation=scored("validation", labelled.validation),
        test=scored("test", labelled.test),
        lengths=lengths,
        notes=(*labelled.notes, length_note, *side_note, *filter_note),
    )


def label_numbers(labelled: Labelled, spec: DataSpec) -> dict[str, NDArray[np.int64]]:
    """Class numbers of each split, (N,) each; -1 for a class that training never saw, where the recipe allows it."""
    return {
        name: numbers_of(getattr(labelled, name), labelled.classes, labelled.numbering, spec)
        for name in ("train", "validation", "test")
    }


def split_off(table: Table, amount: float, *, seed: int, what: str) -> tuple[Table, Table]:
    """The table without, and with, a stratified sample: a share below 1 or a number of rows. Raises DataError."""
    from sklearn.model_selection import train_test_split

    assert table.labels is not None
    counts = Counter(table.labels)
    number = {name: place for place, name in enumerate(sorted(counts))}
    wanted = max(round(amount * len(table.texts)), len(counts)) if amount < 1 else int(amount)
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
    classes = np.fromiter((number[label] for label in table.labels), dtype=np.int64)
    kept, taken = train_test_split(np.arange(len(classes)), test_size=wanted, random_state=seed, stratify=classes)
    return take(table, np.sort(kept)), take(table, np.sort(taken))


def _some(table: Table, rows: int, *, seed: int) -> Table:
    """A stratified sample of fewer rows than there are; where one can't be drawn with its rest, the nearest to one."""
    assert table.labels is not None
    counts = Counter(table.labels)
    if min(counts.values()) >= 2 and len(counts) <= rows <= len(table.texts) - len(counts):
        return split_off(table, rows, seed=seed, what="test")[1]
    return take(table, np.sort(nested_order(table.labels, seed)[:rows]))


def nested_order(labels: Sequence[str], seed: int) -> NDArray[np.int64]:
    """An order of all rows whose every beginning has each class in its share, to a row or two."""
    names, numbers = np.unique(np.asarray(labels), return_inverse=True)
    shuffled = np.random.default_rng(seed).permutation(len(numbers))
    position = np.empty(len(numbers))  # of a shuffled row among those of its class, as a share
    for number in range(len(names)):
        mine = np.flatnonzero(numbers[shuffled] == number)
        position[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return np.asarray(shuffled[np.argsort(position, kind="stable")], dtype=np.int64)


def take(table: Table, rows: NDArray[np.int64]) -> Table:
    """The table with only these places, in this order."""
    return Table(
        texts=Texts.of(table.texts).take(rows),
        labels=tuple(table.labels[place] for place in rows) if table.labels is not None else None,
        layout=table.layout,
        dropped=table.dropped,
        rows=table.rows[rows],
    )


def clean_all(texts: Sequence[str], steps: Sequence[str]) -> Sequence[str]:
    """Clean texts, on disk; the texts themselves where there is no step."""
    return Texts.of(clean(text, steps) for text in texts) if steps else texts


def choose_length(lengths: NDArray[np.int64], wanted: float, longest: int) -> tuple[int, str]:
    """The max length in tokens, and a line about it. A share up to 1 is coverage, rounded up to a multiple of 8."""
    if wanted <= 1:
        covering = int(np.quantile(lengths, wanted, method="inverted_cdf"))
        chosen = min(8 * math.ceil(covering / 8), longest)
    else:
        chosen = int(wanted)
        if chosen > longest:
            raise DataError(f"data.max_length is {chosen}, but this encoder takes at most {longest} tokens")
    cut = float((lengths > chosen).mean())
    fits_all = min(8 * math.ceil(float(np.quantile(lengths, 0.995)) / 8), longest)
    hint = f"; {fits_all} would cut 0.5 % or fewer" if cut > 0.05 and fits_all > chosen else ""
    return chosen, f"max length {chosen} tokens cuts {cut:.1%} of the training texts{hint}"


def _side(spec: DataSpec, tokens: Tokens, labels: NDArray[np.int64], max_length: int) -> tuple[str, list[str]]:
    """The side on which longer texts are cut, and a note where that is not the usual one."""
    if spec.truncation_side == "auto":
        side, note = better_side(tokens, labels, max_length)
        return side, [note] if note else []
    return spec.truncation_side, ["longer texts lose their beginning"] if spec.truncation_side == "left" else []


def _leakage(leaked: NDArray[np.bool_], test: Table, spec: DataSpec) -> list[str]:
    """A note on test rows that are also in training. Raises DataError when they are many."""
    if not leaked.any():
        return []
    found = f"{leaked.sum():,} of {len(leaked):,} test texts ({leaked.mean():.1%}) are also in training"
    if leaked.mean() > LEAK_LIMIT and spec.leakage == "fail":
        raise DataError(
            f"{test.layout.path}: {found}, so a score on them says little; remove them from training, or type "
            "--set data.leakage=allow to see a score on the others beside it"
        )
    return [f"test: {found}; scores leave nothing out, the clean score is beside them"]


def _dropped(table: Table, name: str) -> list[str]:
    return [f"{name}: {count:,} rows dropped ({reason})" for reason, count in table.dropped.items() if count]


def _within_percentiles(
    lengths: NDArray[np.int64], percentiles: tuple[float, float] | None
) -> tuple[NDArray[np.bool_], list[str]]:
    if percentiles is None:
        return np.ones(len(lengths), dtype=np.bool_), []
    low, high = np.percentile(lengths, percentiles)
    keep = (lengths >= low) & (lengths <= high)
    note = f"train: {(~keep).sum():,} rows outside {low:.0f} to {high:.0f} tokens left out of training"
    return keep, [note]


def _subset(split: Split, keep: NDArray[np.bool_]) -> Split:
    if keep.all():
        return split
    places = np.flatnonzero(keep)
    tokens = split.tokens.take_to_disk(places)
    return Split(Texts.of(split.texts).take(places), tokens, split.labels[places], split.rows[places])
