"""An audit says what a person should know about labelled text before training: balance, repeats, leaks, lengths.

`check` refuses tables that no classifier can learn from; `audit` counts the rest and says in plain words what to do. Texts
stream past, never a list of them, and are compared by 8-byte hashes (blake2b): a million rows take megabytes, and fewer than
one such table in ten million has two texts with one hash. A repeat is a row whose text stood in an earlier row; a near
repeat differs from it in case, space or punctuation.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.files.table import Table
from rankwise.errors import DataError

Hashes = NDArray[np.uint64]

COVERED = 0.995  # share of texts that fit whole in the recommended max length
LEAK_LIMIT = 0.05  # share of test rows seen in training above which a score means little
LONG_TEXT = 20_000  # characters, some 4,000 tokens: many times what encoders read
MANY_CLASSES = 20  # labels, up to which they may be classes however few rows there are
IMBALANCE = 10  # largest class over smallest


@dataclass(frozen=True)
class Lengths:
    """How long texts are. `coverage` is the share of texts that fit whole in so many tokens."""

    unit: str
    quantiles: Mapping[str, int]
    histogram: tuple[tuple[int, int, int], ...]
    """(from, up to, rows) for each bar."""
    coverage: Mapping[str, float]
    recommended: int | None
    """The smallest multiple of 8 in which 99.5 % of the texts fit whole; None for characters."""


@dataclass(frozen=True)
class Overlap:
    """Rows of `split` whose text is also in `other`; `near` counts those alike but for case, space and punctuation."""

    split: str
    other: str
    rows: int
    share: float
    near: int


@dataclass(frozen=True)
class Conflict:
    """One text under several labels."""

    text: str
    labels: tuple[str, ...]
    rows: tuple[int, ...]


@dataclass(frozen=True)
class LabelWord:
    """A label that stands as a word in its texts. `share` of its class has it; `precision` of rows with it are its class."""

    label: str
    share: float
    precision: float


@dataclass(frozen=True)
class Audit:
    """Counts, and `warnings` in plain words."""

    rows: Mapping[str, int]
    dropped: Mapping[str, Mapping[str, int]]
    classes: Mapping[str, int]
    majority: float
    """Share of the largest class: the accuracy of always answering it."""
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
    """What looks wrong → the first rows that have it."""
    characters: Lengths
    tokens: Lengths | None
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def check(table: Table, *, needs_split: bool = False) -> None:
    """Raise DataError for labels that cannot be learned: none, one class only, an id or a measurement in each row.

    With `needs_split`, also for a class with a single row, which cannot stand on both sides.
    """
    name, column = table.layout.path, table.layout.label
    if table.labels is None:
        raise DataError(f"{name}: rows without labels; expected a label in each row: --set data.label=COLUMN")
    counts = Counter(table.labels)
    if len(counts) == 1:
        raise DataError(
            f"{name}, column '{column}': every row is '{table.labels[0]}'; expected two classes or more. Is it the right "
            "column? Name another: --set data.label=COLUMN"
        )
    if len(table.labels) >= 10 and len(counts) > len(table.labels) / 2:
        raise DataError(
            f"{name}, column '{column}': {len(counts):,} different labels in {len(table.labels):,} rows, such as "
            f"{_listed(counts)}; it looks like an id or a measurement, expected a few classes: --set data.label=COLUMN"
        )
    lonely = [label for label, count in counts.items() if count == 1]
    if needs_split and lonely:
        raise DataError(
            f"{name}, column '{column}': one row only of {_listed(lonely)}; a split needs two or more of each class: add "
            "rows, remove the class, or give validation and test files"
        )


def audit(
    train: Table,
    *,
    validation: Table | None = None,
    test: Table | None = None,
    lengths: NDArray[np.integer[Any]] | None = None,
) -> Audit:
    """What there is to know about these tables. `lengths` are the training texts' tokens, special ones included, (N,)."""
    given = {"train": train, "validation": validation, "test": test}
    tables = {name: table for name, table in given.items() if table is not None}
    exact = {name: hashes(table.texts) for name, table in tables.items()}
    near = {name: hashes(map(_plain, table.texts)) for name, table in tables.items()}
    counts = dict(Counter(train.labels or ()).most_common())
    groups = list(_conflicts(train, exact["train"]))
    duplicates = _repeats(exact["train"])
    found = Audit(
        rows={name: len(table.texts) for name, table in tables.items()},
        dropped={name: dict(table.dropped) for name, table in tables.items()},
        classes=counts,
        majority=max(counts.values(), default=0) / max(1, len(train.texts)),
        imbalance=max(counts.values(), default=1) / min(counts.values(), default=1),
        duplicates=duplicates,
        near_duplicates=_repeats(near["train"]) - duplicates,
        conflicts=len(groups),
        conflict_examples=tuple(_conflict(train, places) for places in sorted(groups)[:5]),
        overlaps=tuple(_overlap(one, two, exact, near) for one, two in combinations(tables, 2)),
        label_words=_label_words(train, counts),
        alike_labels=_alike(counts),
        single_classes=tuple(label for label, count in counts.items() if count == 1),
        suspicious=_suspicious(train),
        characters=lengths_of(np.fromiter(map(len, train.texts), dtype=np.int64), "characters"),
        tokens=None if lengths is None else lengths_of(np.asarray(lengths, dtype=np.int64), "tokens"),
        warnings=(),
    )
    return Audit(**{**vars(found), "warnings": tuple(_warnings(found))})


def hashes(texts: Iterable[str]) -> Hashes:
    """An 8-byte hash of each text, (N,)."""
    digests = bytearray()
    for text in texts:
        digests += blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
    return np.frombuffer(digests, dtype=np.uint64)


def seen_in(train: Table, other: Table) -> NDArray[np.bool_]:
    """Which rows of `other` have a text that is also in `train`, (N of other,): leave them out for a clean score."""
    return np.isin(hashes(other.texts), hashes(train.texts))


# ------------------------------------------------------------------------------------------------------------- repeats

_NO_WORD = re.compile(r"[\W_]+")


def _plain(text: str) -> str:
    """Letters and digits only, without case; texts without any, such as emoji, stay as they are."""
    return _NO_WORD.sub("", text.casefold()) or text


def _repeats(keys: Hashes) -> int:
    return len(keys) - len(np.unique(keys))


def _overlap(other: str, split: str, exact: Mapping[str, Hashes], near: Mapping[str, Hashes]) -> Overlap:
    same = np.isin(exact[split], exact[other])
    rows = int(same.sum())
    alike = int(np.isin(near[split], near[other]).sum())
    return Overlap(split, other, rows, rows / max(1, len(same)), alike - rows)


def _conflicts(table: Table, keys: Hashes) -> Iterator[list[int]]:
    """Places of the rows that share a text but not a label, rising, a list for each text."""
    if table.labels is None:
        return
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], keys[order][1:] != keys[order][:-1]]))  # of runs of one text
    counts = np.diff(starts, append=len(keys))
    repeated = counts > 1
    for start, count in zip(starts[repeated].tolist(), counts[repeated].tolist(), strict=True):
        places: list[int] = order[start : start + count].tolist()
        if len({table.labels[place] for place in places}) > 1:
            yield places


def _conflict(table: Table, places: list[int]) -> Conflict:
    assert table.labels is not None
    labels = dict.fromkeys(table.labels[place] for place in places)
    return Conflict(table.texts[places[0]][:200], tuple(labels), tuple(table.rows[places[:5]].tolist()))


# -------------------------------------------------------------------------------------------------------------- labels


def _label_words(table: Table, counts: Mapping[str, int]) -> tuple[LabelWord, ...]:
    """Labels that give themselves away: in a fifth of their class or more, and almost nowhere else."""
    words = {label: _word(label) for label in counts}
    own: Counter[str] = Counter()
    for text, label in zip(table.texts, table.labels or (), strict=False):
        own[label] += _has(text.casefold(), words[label])
    frequent = [label for label, rows in own.items() if rows >= max(5, 0.2 * counts[label])]
    everywhere: Counter[str] = Counter()
    for text in table.texts if frequent else ():
        folded = text.casefold()
        everywhere.update(label for label in frequent if _has(folded, words[label]))
    return tuple(
        LabelWord(label, own[label] / counts[label], own[label] / everywhere[label])
        for label in frequent
        if own[label] / everywhere[label] >= 0.98
    )


def _word(label: str) -> tuple[str, re.Pattern[str]]:
    plain = label.strip().casefold()
    return plain, re.compile(rf"(?<!\w){re.escape(plain)}(?!\w)")


def _has(text: str, word: tuple[str, re.Pattern[str]]) -> bool:
    return word[0] in text and word[1].search(text) is not None


def _alike(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for label in labels:
        groups.setdefault(" ".join(label.casefold().split()), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


# --------------------------------------------------------------------------------------------------- lengths and looks

_NOTHING = {"nan", "null", "none", "n/a", "na", "nil", "undefined"}
_SUSPICIOUS: Mapping[str, Callable[[str], object]] = {
    f"more than {LONG_TEXT:,} characters": lambda text: len(text) > LONG_TEXT,
    "fewer than 3 characters": lambda text: len(text.strip()) < 3,
    "a word that stands for nothing (nan, null, none, n/a)": lambda text: text.strip().casefold() in _NOTHING,
    "characters lost in conversion (�)": lambda text: "\ufffd" in text,
    "UTF-8 read as Latin-1 (Ã©, â€™)": re.compile("Ã[\x80-\xbf]|â€|â\x80").search,
    "HTML (--set data.clean=[html,whitespace])": re.compile(r"&lt;| #\d\d+;|&[a-z]{2,6};|</?(?:br|p|b|a)\b").search,
}


def _suspicious(table: Table) -> dict[str, tuple[int, ...]]:
    """What looks wrong → the first five rows that do, where any does."""
    found: dict[str, list[int]] = {name: [] for name in _SUSPICIOUS}
    for place, text in enumerate(table.texts):
        for name, looks in _SUSPICIOUS.items():
            if len(found[name]) < 5 and looks(text):
                found[name].append(int(table.rows[place]))
    return {name: tuple(rows) for name, rows in found.items() if rows}


def lengths_of(lengths: NDArray[np.int64], unit: str, *, bars: int = 15, width: int = 8) -> Lengths:
    """Quantiles and a histogram of N lengths, (N,); of tokens also what a max length would cover.

    Up to `bars` bars, each a multiple of `width` wide, and one for what is longer than nearly all.
    """
    if not len(lengths):
        return Lengths(unit, {}, (), {}, None)
    shares = {"min": 0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "90%": 0.9, "95%": 0.95, "99%": 0.99, "max": 1}
    quantiles = {name: int(np.quantile(lengths, share, method="inverted_cdf")) for name, share in shares.items()}
    rows, edges = np.histogram(lengths, bins=_edges(lengths, bars, width))
    histogram = tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), rows.tolist(), strict=True))
    if unit == "characters":
        return Lengths(unit, quantiles, histogram, {}, None)
    coverage = {str(size): float((lengths <= size).mean()) for size in (64, 128, 256, 512)}
    covering = int(np.quantile(lengths, COVERED, method="inverted_cdf"))
    return Lengths(unit, quantiles, histogram, coverage, 8 * math.ceil(covering / 8))


def _edges(lengths: NDArray[np.int64], bars: int, width: int) -> list[int]:
    """Equal bars up to the 99th percentile; one more takes what is longer."""
    top = int(np.quantile(lengths, 0.99, method="inverted_cdf"))
    step = max(width, width * math.ceil(top / bars / width))
    edges = list(range(0, top + step, step))
    return edges if lengths.max() < edges[-1] else [*edges, int(lengths.max()) + 1]


# ------------------------------------------------------------------------------------------------------------ warnings


def _warnings(found: Audit) -> Iterable[str]:
    yield from _label_warnings(found)
    yield from _text_warnings(found)
    for overlap in found.overlaps:
        if overlap.rows:
            little = "; above 5 % a score says little" if overlap.share > LEAK_LIMIT else ""
            yield (
                f"{overlap.rows:,} {overlap.split} rows ({overlap.share:.1%}) have a text that is also in "
                f"{overlap.other}{little}; remove them from {overlap.other}"
            )
        if overlap.near:
            yield (
                f"{overlap.near:,} {overlap.split} rows are in {overlap.other} but for case, space or punctuation; look "
                "at them"
            )
    if found.tokens and found.tokens.coverage and found.tokens.coverage["512"] < COVERED:
        yield f"{1 - found.tokens.coverage['512']:.1%} of the texts are longer than 512 tokens; their ends are cut"


def _label_warnings(found: Audit) -> Iterable[str]:
    if len(found.classes) == 1:
        yield f"all rows are labelled {_listed(tuple(found.classes))}; a classifier needs two classes or more"
    if len(found.classes) > max(MANY_CLASSES, found.rows["train"] / 2):
        yield f"{len(found.classes):,} labels in {found.rows['train']:,} rows look like names, not classes; is it the column?"
    if found.imbalance >= IMBALANCE:
        yield (
            f"the largest class has {found.imbalance:,.0f} times the rows of the smallest, and always answering it scores "
            f"{found.majority:.1%}; look at macro-F1: --set train.select_by=macro_f1 --set train.class_weights=balanced"
        )
    for group in found.alike_labels:
        yield f"labels {_listed(group)} differ only in case or space; write them in one way if they mean the same"
    if found.single_classes:
        yield f"one row only of {_listed(found.single_classes)}; such a class cannot be split: add rows or remove it"
    for word in found.label_words:
        yield (
            f"possible leakage: the word '{word.label}' stands in {word.share:.0%} of the texts of that class, and "
            f"{word.precision:.0%} of the texts that have it are of it; remove it if readers will not see it"
        )


def _text_warnings(found: Audit) -> Iterable[str]:
    if found.duplicates:
        yield f"{found.duplicates:,} training rows repeat an earlier text; they count twice: remove them"
    if found.near_duplicates:
        yield f"{found.near_duplicates:,} training rows repeat one but for case, space or punctuation; look at them"
    if found.conflicts:
        first = found.conflict_examples[0]
        rows = ", ".join(map(str, first.rows))
        yield f"{found.conflicts:,} texts have several labels, such as rows {rows} ({_listed(first.labels)}); decide"
    for name, places in found.suspicious.items():
        more = ", …" if len(places) == 5 else ""
        yield f"training texts with {name}: row {', '.join(map(str, places))}{more}; look at them"


def _listed(labels: Iterable[str]) -> str:
    quoted = [f"'{label}'" for label in labels]
    return ", ".join(quoted[:5]) + (f" and {len(quoted) - 5:,} more" if len(quoted) > 5 else "")
