"""Labels that are no class names: words for a row without a label, several labels in one cell, a number in two spellings.

Labels are strings and compared to the letter; what is written here only says what a person should look at.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

MARKERS = frozenset(
    {
        "-1",
        "-100",
        "?",
        "-",
        "none",
        "null",
        "nan",
        "na",
        "n/a",
        "nil",
        "undefined",
        "unsup",
        "unlabelled",
        "unlabeled",
        "tbd",
    }
    | {"unknown", "not labelled", "not labeled", "no label"}
)
"""What stands for a row that nobody has labelled: in the hub's data sets, pandas' output, files of tasks and competitions."""
_SEPARATORS = (",", ";", "|", "/", "+", "&", " and ")
_LIST = re.compile(r"\s*(?:\[.*\]|\{.*\}|\(.*,.*\))\s*", re.DOTALL)
_SHOWN = 5


def is_marker(label: str) -> bool:
    """Whether a label is a usual word for none."""
    return label.strip().casefold() in MARKERS


def unlabelled(labels: Iterable[str], known: Collection[str] = ()) -> str:
    """What every label is, where it is a usual word for none that is not among those known: `-1`; empty otherwise."""
    distinct = set(labels)
    if distinct and distinct.isdisjoint(known) and all(map(is_marker, distinct)):
        return " or ".join(sorted(distinct))
    return ""


def strange_labels(counts: Mapping[str, int]) -> Iterator[str]:
    """A warning for each way in which these labels, counted, may not be classes."""
    if nothing := [label for label in counts if is_marker(label) and not _may_be_a_class(label, counts)]:
        rows = sum(counts[label] for label in nothing)
        yield f"label {_listed(nothing)} ({rows:,} rows) often stands for none; if so, remove these rows"
    lists = [label for label in counts if _LIST.fullmatch(label)]
    if lists:
        yield f"labels look like lists, such as {_listed(lists)}; one label a text is supported, so each list is one class"
    elif combined := _combinations(counts):
        yield (
            f"labels look like several in one cell, such as {_listed(combined)}; one label a text is supported, so each "
            "combination is a class of its own"
        )
    for twins in _same_numbers(counts):
        yield f"labels {_listed(twins)} are one number written in {len(twins)} ways, and stay {len(twins)} classes"


def _may_be_a_class(label: str, counts: Mapping[str, int]) -> bool:
    """Whether -1 stands opposite 1, as in signs, or a word among words that a class may well have."""
    if label.strip() == "-1":
        return "1" in counts and set(counts) <= {"-1", "0", "1"}
    return label.strip().casefold() in {"unknown", "none", "na", "-"}


def _combinations(labels: Iterable[str]) -> list[str]:
    """Labels made of several, each of which is a label too or stands in another combination."""
    labels = list(labels)
    for separator in _SEPARATORS:
        parts = {label: [part.strip() for part in label.split(separator)] for label in labels}
        counts = Counter(part for several in parts.values() for part in set(several))
        combined = [
            label
            for label, several in parts.items()
            if len(several) > 1 and all(part and counts[part] > 1 for part in several)
        ]
        if combined:
            return combined
    return []


def _same_numbers(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that are exactly the same number, such as 7 and 007."""
    groups: dict[Decimal, list[str]] = {}
    for label in sorted(labels):
        if label.isascii() and label.replace(".", "", 1).removeprefix("-").isdecimal():
            try:
                groups.setdefault(Decimal(label), []).append(label)
            except InvalidOperation:  # longer than a Decimal takes
                continue
    return [group for group in groups.values() if len(group) > 1]


def _listed(labels: Sequence[str]) -> str:
    quoted = [f"'{label:.40}'" for label in labels]
    more = f" and {len(quoted) - _SHOWN:,} more" if len(quoted) > _SHOWN else ""
    return ", ".join(quoted[:_SHOWN]) + more
