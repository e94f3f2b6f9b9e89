"""An audit says what a person should know about labelled text before training: balance, repeats, leaks, lengths.

`check` refuses tables that no classifier can learn from; `audit` counts the rest and says in plain words what to do. Texts
stream past, never a list of them, and are compared by 8-byte hashes (blake2b): a million rows take megabytes, and fewer than
one such table in ten million has two texts with one hash. A repeat is a row whose text stood in an earlier row; a near repeat
differs from it in case, space or punctuation. A pair of texts repeats another where both texts do.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import combinations, pairwise

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import Table
from rankwise.data.labels import alike_labels, are_numbers, in_figures, spelled, strange_labels, unlabelled
from rankwise.data.lengths import COVERED, Lengths, lengths_of
from rankwise.data.pairs import is_pair, on_each_side, shown, sides
from rankwise.data.scripts import script_counts, unseen_scripts
from rankwise.data.tasks import ONE_LABEL, REGRESSION, by_number, numbers_of, tags_of
from rankwise.errors import DataError, Unlabelled

LEAK_LIMIT = 0.05  # share of test rows seen in training above which a score means little
LONG_TEXT = 20_000  # characters, some 4,000 tokens: many times what encoders read
MANY_CLASSES = 20  # labels, up to which they may be classes however few rows there are
PARTS = 10  # of the range of numbers, whose rows are counted
LEAST_OF_ONE = 20  # rows of a split that has one class only, from which that is worth a word
IMBALANCE = 10  # largest class over smallest
SHOWN, SHOWN_ROWS = 200, 5  # characters and rows of a text that an example keeps

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Overlap:
    """Rows of `split` whose text is also in `other`; `near` counts those alike but for case, space and punctuation.

    `one_side` counts pairs of which one text, not the pair, is also in a pair of `other`.
    """

    split: str
    other: str
    rows: int
    share: float
    near: int
    one_side: int = 0


@dataclass(frozen=True)
class Conflict:
    """One text under several labels."""

    text: str
    labels: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class LabelWord:
    """A label that stands as a word in its texts: `share` of its class has it, `precision` of rows with it are its class."""

    label: str
    share: float
    precision: float


@dataclass(frozen=True)
class Numbers:
    """Labels that are numbers, in short."""

    mean: float
    deviation: float
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True)
class Audit:
    """What was counted in labelled tables, and warnings in plain words."""

    rows: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    classes: Mapping[str, int]
    """Rows of each class; of numbers, of each of ten equal parts of their range."""
    majority: float
    """The share of the largest class, which is the accuracy of always answering it."""
    imbalance: float
    """Rows of the largest class over those of the smallest."""
    duplicates: int
    near_duplicates: int
    conflicts: int
    conflict_examples: tuple[Conflict, ...]
    overlaps: tuple[Overlap, ...]
    label_words: tuple[LabelWord, ...]
    alike_labels: tuple[tuple[str, ...], ...]
    single_classes: tuple[str, ...]
    suspicious: Mapping[str, tuple[int, ...]]
    """The first rows that look wrong, by what looks wrong."""
    characters: Lengths
    tokens: Lengths | None
    warnings: tuple[str, ...]
    numbers: Numbers | None = None
    """Of labels that are numbers to be estimated."""
    scripts: Mapping[str, int] = field(default_factory=dict)
    """How many training texts are mostly in each script."""


def check(table: Table) -> None:
    """Raise DataError for labels that cannot be learned: none, one class only, an id in each row, no number among numbers."""
    name, column = table.layout.path, table.layout.label
    if table.labels is None:
        raise DataError(f"{name}: rows without labels; expected a label in each row: --set data.label=COLUMN")
    counts = _label_counts(table)
    if marker := unlabelled(counts):
        raise Unlabelled(f"{name}, column '{column}': every label is {marker}: unlabelled", "expected two classes or more")
    if len(counts) == 1 and (table.task in ONE_LABEL or len(set(table.labels)) == 1):
        another = f"{table.layout.verdict}, which says what was accepted" if table.layout.verdict else "COLUMN"
        raise DataError(
            f"{name}, column '{column}': every row is '{next(iter(counts))}'; expected two classes or more. Is it the right "
            f"column? Name another: --set data.label={another}"
        )
    if not counts:
        raise DataError(
            f"{name}, column '{column}': no row has a label; expected two classes or more: --set data.label=COLUMN"
        )
    if table.task == REGRESSION:
        if len(strange := np.flatnonzero(np.isnan(numbers_of(table)))):
            row = int(strange[0])
            raise DataError(
                f"{name}, column '{column}': row {table.rows[row]}: label '{table.labels[row]:.40}' is no number, "
                f"{len(strange):,} rows like it; correct or remove them, or, where labels are classes, type "
                "--set data.task=single-label"
            )
        return
    if len(table.labels) >= 10 and len(counts) > len(table.labels) / 2:
        measured = f", or to estimate a number, type --set data.task={REGRESSION}" * are_numbers(counts)
        raise DataError(
            f"{name}, column '{column}': {len(counts):,} different labels in {len(table.labels):,} rows, such as "
            f"{_listed(counts)}; it looks like an id or a measurement, expected a few classes: --set data.label=COLUMN"
            f"{measured}"
        )


def audit(tables: Mapping[str, Table], *, lengths: NDArray[np.int64] | None = None) -> Audit:
    """Count what there is to know of tables by split, of which train is one.

    `lengths` are the training texts' tokens, special ones included, (N,).
    """
    train = tables["train"]
    exact = {name: hashes(table.texts) for name, table in tables.items()}
    near = {name: hashes(map(_plain, table.texts)) for name, table in tables.items()}
    numbers = _numbers(train)
    counts = dict(_label_counts(train).most_common()) if numbers is None else _parts(train, numbers)
    groups = _conflicts(train.labels or (), exact["train"])
    if numbers is not None:
        groups = [group for group in groups if np.ptp(numbers_of(train.take(np.array(group)))) > numbers.deviation]
    repeats, near_repeats = (len(keys) - len(np.unique(keys)) for keys in (exact["train"], near["train"]))
    counted = Audit(
        rows={name: len(table.texts) for name, table in tables.items()},
        dropped={name: dict(table.dropped) for name, table in tables.items()},
        classes=counts,
        majority=max(counts.values(), default=0) / max(1, len(train.texts)),
        imbalance=max(counts.values(), default=1) / min(counts.values(), default=1) if numbers is None else 1.0,
        duplicates=repeats,
        near_duplicates=near_repeats - repeats,
        conflicts=len(groups),
        conflict_examples=tuple(_example(train, indices) for indices in groups[:5]),
        overlaps=tuple(_overlap(one, two, exact, near, tables) for one, two in combinations(tables, 2)),
        label_words=() if numbers else _label_words(train, counts),
        alike_labels=() if numbers else alike_labels(counts),
        single_classes=() if numbers else tuple(label for label, count in counts.items() if count == 1),
        suspicious=_suspicious(train),
        characters=lengths_of(np.fromiter(map(len, train.texts), dtype=np.int64), "characters"),
        tokens=None if lengths is None else lengths_of(lengths, "tokens"),
        warnings=(),
        numbers=numbers,
        scripts=script_counts(train.texts),
    )
    of_columns = dict.fromkeys(line for table in tables.values() for line in table.warnings)
    others = {name: table for name, table in tables.items() if name != "train"}
    if numbers is not None:
        of_labels = [line for name, table in tables.items() for line in _about_numbers(name, table, numbers)]
    else:
        of_labels = [*strange_labels(counts)]
        of_labels += [line for name, table in others.items() for line in _other_labels(name, table, counts)]
    of_texts = [_other_scripts(name, table, counted.scripts) for name, table in others.items()]
    return replace(counted, warnings=(*of_columns, *of_labels, *filter(None, of_texts), *_warnings(counted, train.task)))


def _label_counts(table: Table) -> Counter[str]:
    """How many rows have each label."""
    return Counter(tag for row in tags_of(table) for tag in row)


def _numbers(table: Table) -> Numbers | None:
    """The labels in short, where they are numbers to be estimated."""
    numbers = numbers_of(table) if table.task == REGRESSION else np.empty(0)
    known = numbers[~np.isnan(numbers)]
    if not len(known):
        return None
    lowest, median, highest = np.quantile(known, [0, 0.5, 1]).tolist()
    return Numbers(float(known.mean()), float(known.std()), lowest, median, highest)


def _parts(table: Table, numbers: Numbers) -> dict[str, int]:
    """How many rows have a number in each of PARTS equal parts of the range."""
    known = numbers_of(table)
    rows, edges = np.histogram(known[~np.isnan(known)], bins=PARTS, range=(numbers.lowest, numbers.highest))
    names = [f"{in_figures(low)} to {in_figures(high)}" for low, high in pairwise(edges.tolist())]
    return dict(zip(names, rows.tolist(), strict=True))


def _about_numbers(split: str, table: Table, numbers: Numbers) -> Iterable[str]:
    """A warning where labels of a split are no numbers, or beyond those of training."""
    own = numbers_of(table)
    if strange := [cell for cell, number in zip(table.labels or (), own, strict=True) if np.isnan(number)]:
        told = f"{len(strange):,} of {len(own):,} {split} rows have labels that are no numbers"
        yield f"{told}: {_listed(dict.fromkeys(strange))}"
    beyond = int(((own < numbers.lowest) | (own > numbers.highest)).sum())
    if beyond:
        yield (
            f"{beyond:,} of {len(own):,} {split} rows have a number beyond those of training, "
            f"{in_figures(numbers.lowest)} to {in_figures(numbers.highest)}"
        )


def seen_in(train: Table, other: Table) -> NDArray[np.bool_]:
    """Which rows of `other` have a text that is also in `train`, (N of other,): leave them out for a clean score."""
    return np.isin(hashes(other.texts), hashes(train.texts))


def shares_a_side(train: Table, other: Table) -> NDArray[np.bool_]:
    """Which pairs of `other` have a text that is also in a pair of `train`, on whichever side; (N of other,)."""
    first, second = (hashes(sides(text)[number] for text in other.texts) for number in (0, 1))
    known = hashes(side for text in train.texts for side in sides(text))
    return np.isin(first, known) | np.isin(second, known)


def hashes(texts: Iterable[str]) -> Hashes:
    """An 8-byte hash of every text, (N,)."""
    digests = bytearray()
    for text in texts:
        digests += blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.frombuffer(digests, dtype=np.uint64)


_NO_WORD = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    """Letters and digits only, without case; texts without any, such as emoji, stay as they are."""
    if is_pair(text):
        return on_each_side(_plain, text)
    return _NO_WORD.sub("", text.casefold()) or text


def _overlap(
    other: str, split: str, exact: Mapping[str, Hashes], near: Mapping[str, Hashes], tables: Mapping[str, Table]
) -> Overlap:
    """How many rows of `split` are in `other` too, by the splits' hashes and near hashes."""
    same = np.isin(exact[split], exact[other])
    rows = int(same.sum())
    alike = int(np.isin(near[split], near[other]).sum())
    pairs = all(tables[name].layout.text_pair for name in (split, other))
    one_side = int((shares_a_side(tables[other], tables[split]) & ~same).sum()) if pairs else 0
    return Overlap(split, other, rows, rows / max(1, len(same)), alike - rows, one_side)


def _conflicts(labels: Sequence[str], keys: Hashes) -> list[list[int]]:
    """Indices of the rows that share a text but not a label, rising: one list per text, in the order of their first rows."""
    _, text, copies = np.unique(keys, return_inverse=True, return_counts=True)
    alike: dict[int, list[int]] = {}
    for index in np.flatnonzero(copies[text] > 1).tolist() if labels else ():
        alike.setdefault(int(text[index]), []).append(index)
    return [indices for indices in alike.values() if len({labels[index] for index in indices}) > 1]


def _example(table: Table, indices: list[int]) -> Conflict:
    labels = dict.fromkeys(" + ".join(tags) or "(none)" for tags in tags_of(table.take(np.array(indices))))
    return Conflict(shown(table.texts[indices[0]])[:SHOWN], tuple(labels), tuple(table.rows[indices[:SHOWN_ROWS]].tolist()))


def _label_words(table: Table, counts: Mapping[str, int]) -> tuple[LabelWord, ...]:
    """Labels that give themselves away: in a fifth of their class or more, and almost nowhere else."""
    holds = {label: _finder(label) for label in counts}
    own: Counter[str] = Counter()
    for text, several in zip(table.texts, tags_of(table), strict=False):
        folded = text.casefold()
        own.update(label for label in several if holds[label](folded))
    frequent = [label for label, rows in own.items() if rows >= max(5, 0.2 * counts[label])]
    everywhere: Counter[str] = Counter()
    for text in table.texts if frequent else ():
        folded = text.casefold()
        everywhere.update(label for label in frequent if holds[label](folded))
    return tuple(
        LabelWord(label, own[label] / counts[label], own[label] / everywhere[label])
        for label in frequent
        if own[label] / everywhere[label] >= 0.98
    )


def _finder(label: str) -> Callable[[str], bool]:
    """Whether a text without case holds a label as a word."""
    plain = label.strip().casefold()
    word = re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")
    return lambda text: plain in text and word.search(text) is not None  # the first is the quicker test


def _other_labels(split: str, table: Table, counts: Mapping[str, int]) -> Iterable[str]:
    """A warning where a split's labels are not those of training."""
    own = _label_counts(table)
    strange = [label for label in own if label not in counts]
    if strange and counts and not by_number(own, counts):
        rows = sum(own[label] for label in strange)
        lost = f"{rows:,} of {len(table.texts):,} {split} rows have labels that training lacks: {_listed(strange)}"
        yield f"every label of {table.layout.name} is {marker}: unlabelled" if (marker := unlabelled(own, counts)) else lost
    elif len(own) == 1 < len(counts) and len(table.texts) >= LEAST_OF_ONE:
        yield f"every {split} row is labelled {_listed(own)}; no score on them says how well classes are told apart"


def _other_scripts(split: str, table: Table, trained: Mapping[str, int]) -> str:
    """A warning where texts of a split are in scripts that no training text is in; empty where none is."""
    line = unseen_scripts(script_counts(table.texts), trained, len(table.texts))
    return f"{split}: {line}; what is learnt may not hold for them" if line else ""


_NOTHING = {"nan", "null", "none", "n/a", "na", "nil", "undefined"}
_SUSPICIOUS: Mapping[str, Callable[[str], object]] = {
    f"more than {LONG_TEXT:,} characters": lambda text: len(text) > LONG_TEXT,
    "fewer than 3 characters": lambda text: len(text.strip()) < 3,
    "a word that stands for nothing (nan, null, none, n/a)": lambda text: text.strip().casefold() in _NOTHING,
    "characters lost in conversion (�)": lambda text: "\ufffd" in text,
    "UTF-8 read as Latin-1 (Ã©, â€™)": re.compile("Ã[\x80-\xbf]|â€|â\x80").search,
    "HTML (--set 'data.clean=[html, whitespace]')": re.compile(r"&lt;| #\d\d+;|&[a-z]{2,6};|</?(?:br|p|b|a)\b").search,
}


def _suspicious(table: Table) -> dict[str, tuple[int, ...]]:
    suspects: dict[str, list[int]] = {name: [] for name in _SUSPICIOUS}
    for row, text in zip(table.rows, table.texts, strict=True):
        for name, looks in _SUSPICIOUS.items():
            if len(suspects[name]) < 5 and any(map(looks, sides(text))):
                suspects[name].append(int(row))
    return {name: tuple(rows) for name, rows in suspects.items() if rows}


def _warnings(counted: Audit, task: str) -> Iterable[str]:
    """One line on every thing that a person should look at, and what to do."""
    if len(counted.classes) == 1 and task != REGRESSION:
        yield f"all rows are labelled {_listed(tuple(counted.classes))}; a classifier needs two classes or more"
    if len(counted.classes) > max(MANY_CLASSES, counted.rows["train"] / 2) and task != REGRESSION:
        labels, rows = len(counted.classes), counted.rows["train"]
        estimate = f" To estimate a number, type --set data.task={REGRESSION}" * are_numbers(counted.classes)
        yield f"{labels:,} labels in {rows:,} rows look like names, not classes; is it the column?{estimate}"
    if counted.imbalance >= IMBALANCE and task in ONE_LABEL:
        yield (
            f"the largest class has {counted.imbalance:,.0f} times the rows of the smallest, and always answering it scores "
            f"{counted.majority:.1%}; look at macro-F1: --set train.select_by=macro_f1 --set train.class_weights=balanced"
        )
    for group in counted.alike_labels:
        names = ", ".join(map(spelled, group))
        unseen = " or in what can't be seen" if "\\u" in names else ""
        yield f"labels {names} differ only in case or space{unseen}; write them in one way if they mean the same"
    if counted.single_classes:
        yield f"one row only of {_listed(counted.single_classes)}; such a class cannot be split: add rows or remove it"
    for word in counted.label_words:
        yield (
            f"possible leakage: the word '{word.label}' stands in {word.share:.0%} of the texts of that class, and "
            f"{word.precision:.0%} of the texts that have it are of it; remove it if readers will not see it"
        )
    if counted.duplicates:
        yield f"{counted.duplicates:,} training rows repeat an earlier text; they count twice: remove them"
    if counted.near_duplicates:
        yield f"{counted.near_duplicates:,} training rows repeat one but for case, space or punctuation; look at them"
    if counted.conflicts:
        first = counted.conflict_examples[0]
        numbers = ", ".join(map(str, first.rows))
        have = "have several labels" if task in ONE_LABEL else "are labelled in several ways"
        have = "have numbers more than a standard deviation apart" if task == REGRESSION else have
        yield f"{counted.conflicts:,} texts {have}, such as rows {numbers} ({_listed(first.labels)}); decide"
    for name, suspects in counted.suspicious.items():
        more = ", …" if len(suspects) == 5 else ""
        yield f"training texts with {name}: row {', '.join(map(str, suspects))}{more}; look at them"
    for shared in counted.overlaps:
        if shared.rows:
            little = "; above 5 % a score says little" if shared.share > LEAK_LIMIT else ""
            yield (
                f"{shared.rows:,} {shared.split} rows ({shared.share:.1%}) have a text that is also in "
                f"{shared.other}{little}; remove them from {shared.other}"
            )
        if shared.near:
            yield (
                f"{shared.near:,} {shared.split} rows are in {shared.other} but for case, space or punctuation; look at them"
            )
        if shared.one_side:
            yield (
                f"{shared.one_side:,} {shared.split} pairs have one of their texts in a pair of {shared.other} too; of pairs "
                "of new texts, scores may say too much"
            )
    if counted.tokens and counted.tokens.coverage and counted.tokens.coverage["512"] < COVERED:
        longer = f"{1 - counted.tokens.coverage['512']:.1%} of the texts are longer than 512 tokens"
        yield f"{longer}; one pass cuts them, windows don't (data.windows)"


def _listed(labels: Iterable[str]) -> str:
    """Labels in a sentence: the first five, quoted, and how many more."""
    quoted = [f"'{label}'" for label in labels]
    return ", ".join(quoted[:5]) + (f" and {len(quoted) - 5:,} more" if len(quoted) > 5 else "")
