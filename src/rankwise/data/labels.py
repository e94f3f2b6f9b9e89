"""Labels that are no class names: words for a row without a label, several labels in one cell, a number in two spellings.

Labels are strings and compared to the letter; what is written here only says what a person should look at.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

from rankwise.data.files.cells import Cells

MARKERS = frozenset(
    {"-1", "-1.0", "-100", "?", "-", "--", "none", "null", "nan", "na", "n/a", "nil", "undefined", "nat", "<na>", "(null)"}
    | {"<null>", "\\n", "(blank)", "#n/a", "#value!", "#ref!", "#name?", "unsup", "unlabelled", "unlabeled", "tbd"}
    | {"unknown", "not labelled", "not labeled", "no label"}
)
"""What stands for a row that nobody has labelled: in the hub's data sets, what pandas, R, SQL and Excel write, files of tasks
and competitions."""
MANY_NUMBERS = 20  # labels with fractions, above which they are taken for measured ones
SEPARATORS = (",", ";", "|")  # between labels in a cell; others stand in names: R&D, his/hers, C#
MORE_SEPARATORS = ("/", "+", "&", "#", " and ", " ")  # where somebody says that there are several; `#` is doccano's
_LIST = re.compile(r"\s*(?:\[.*\]|\{.*\}|\(.*,.*\))\s*", re.DOTALL)
_OBJECT = re.compile(r"\s*\{\s*[\"'][^\"']*[\"']\s*:")
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:e[-+]?\d{1,2})?", re.ASCII | re.IGNORECASE)
_WORD_TAG = re.compile(r"O|[BIESLUM]-\S+")
_ANSWERS = ({"yes", "y", "true", "t", "1", "1.0"}, {"no", "n", "false", "f", "0", "0.0"})
_SHOWN = 5


def is_list(label: str) -> bool:
    """Whether a cell looks like a list of labels: `["joy", "anger"]`, `{1, 2}`; an object with keys does not."""
    return _LIST.fullmatch(label) is not None and not _OBJECT.match(label)


def is_object(label: str) -> bool:
    """Whether a cell is an object with a label for each of several columns."""
    return _OBJECT.match(label) is not None


def is_marker(label: str) -> bool:
    """Whether a label is a usual word for none."""
    return label.strip().casefold() in MARKERS


def number_in(label: str) -> float:
    """The number that a label is, such as `3.5`, `-1` or `2e3`; NaN for one that is none."""
    try:
        number = float(label)
    except ValueError:
        return math.nan
    return number if math.isfinite(number) and "_" not in label else math.nan  # Python reads 1_000 as a number


def in_figures(number: float) -> str:
    """A number in four figures, or to the whole where it is larger: `3.472`, `34716`."""
    return f"{number:.0f}" if 1e4 <= abs(number) < 1e15 else f"{number:.4g}"


def is_no_number(label: str) -> bool:
    """Whether a label is a usual word for none, where others are numbers: -1 is one."""
    return is_marker(label) and math.isnan(number_in(label))


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether labels are numbers, words for none aside."""
    told = [label for label in labels if not is_no_number(label)]
    return bool(told) and all(map(_NUMBER.fullmatch, told))


def are_measured(labels: Iterable[str]) -> bool:
    """Whether labels are numbers that somebody has measured: more than MANY_NUMBERS different ones, some with a fraction.

    Whole numbers stay classes, however many; words for none are left aside.
    """
    told = {label for label in labels if not is_no_number(label)}
    return len(told) > MANY_NUMBERS and are_numbers(told) and any(map(_has_fraction, told))


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
        yield f"labels look like lists, such as {_listed(lists)}; each list is one class, or type --set data.task=multi-label"
    elif combined := _combinations(counts):
        yield (
            f"labels look like several in one cell, such as {_listed(combined)}; each combination is a class of "
            "its own, or type --set data.task=multi-label for several labels a text"
        )
    for twins in _same_numbers(counts):
        yield f"labels {_listed(twins)} are one number written in {len(twins)} ways, and stay {len(twins)} classes"
    for twins in _same_answers(counts):
        yield f"labels {_listed(twins)} may be one answer; write them in one way if they mean the same"
    alike = {label for group in alike_labels(counts) for label in group}
    if blanks := [label for label in counts if label != label.strip() and label not in alike]:
        yield f"labels begin or end with blanks, such as {_listed(blanks)}; they are kept, so other files need them too"
    yield from _no_classes(counts)


def alike_labels(labels: Iterable[str]) -> tuple[tuple[str, ...], ...]:
    """Groups of labels that differ in case, space or what can't be seen alone."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        seen = "".join(mark for mark in unicodedata.normalize("NFKC", label) if unicodedata.category(mark) != "Cf")
        groups.setdefault(" ".join(seen.casefold().split()), []).append(label)
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def spelled(label: str) -> str:
    """A label in quotes, with characters that can't be told from others by their looks written out: `'café\\u0301'`."""
    return f"'{''.join(map(_shown, label))}'"


def _shown(mark: str) -> str:
    plain = mark.isprintable() and not unicodedata.combining(mark) and unicodedata.category(mark) != "Cf"
    return mark if plain else f"\\u{ord(mark):04x}"


def _no_classes(counts: Mapping[str, int]) -> Iterator[str]:
    """A warning where labels are dates, measurements or tags of words."""
    cells = Cells(list(counts))
    if cells.kind == "dates":
        yield f"labels are dates, such as {cells.examples()}; is it the column?"
    elif are_measured(counts):
        yield (
            f"labels are {len(counts):,} numbers with fractions, such as {cells.examples()}; codes may be classes, but a "
            "classifier does not know the order of what is measured: to estimate it, type --set data.task=regression"
        )
    if len(counts) > 1 and all(map(_WORD_TAG.fullmatch, counts)) and (len(counts) > 2 or "O" in counts):
        yield f"labels are tags of single words, such as {cells.examples()}; rankwise classifies whole texts"


def _has_fraction(number: str) -> bool:
    return "." in number and float(number) % 1 != 0


def _may_be_a_class(label: str, counts: Mapping[str, int]) -> bool:
    """Whether a sign stands opposite the other one, or a word among words that are written in the same case."""
    plain = label.strip()
    if plain in ("-1", "-1.0"):
        size = plain.removeprefix("-")
        return not {size, f"+{size}"}.isdisjoint(counts) and all(_opposite(other) & counts.keys() for other in counts)
    if plain == "-":
        return "+" in counts
    written = next((case for case in (str.islower, str.isupper, str.istitle) if case(plain)), None)
    words = [other for other in counts if other != label and not is_marker(other)]
    return plain.casefold() in {"unknown", "none", "na"} and written is not None and any(map(written, words))


def _opposite(number: str) -> set[str]:
    """The ways to write the number of the other sign; of 0 itself."""
    size = number.strip().lstrip("+-")
    return {size, f"+{size}"} if number.startswith("-") or set(size) <= {"0", "."} else {f"-{size}"}


def _combinations(labels: Iterable[str]) -> list[str]:
    """Labels made of several, each of which is a label too or stands in another combination."""
    labels = list(labels)
    for separator in (*SEPARATORS, *MORE_SEPARATORS[:-1]):  # not blanks, which stand in many names
        parts = {label: [part.strip() for part in label.split(separator)] for label in labels}
        counts = Counter(part for several in parts.values() for part in set(several))
        combined = [
            label
            for label, several in parts.items()
            if len(several) > 1 and all(part and counts[part] > 1 for part in several)
        ]
        if combined:
            return combined
    alone = {label for label in labels if not label.isspace()}
    return [label for label in labels if len(words := label.split()) > 1 and alone.issuperset(words)]


def _same_numbers(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that are exactly the same number, such as 7 and 007."""
    groups: dict[Decimal, list[str]] = {}
    for label in sorted(labels):
        if _NUMBER.fullmatch(label):
            try:
                groups.setdefault(Decimal(label), []).append(label)
            except InvalidOperation:  # longer than a Decimal takes
                continue
    return [group for group in groups.values() if len(group) > 1]


def _same_answers(labels: Iterable[str]) -> list[list[str]]:
    """Groups of labels that say yes or no in several ways, such as `y` and `yes`, where all labels do."""
    folded = {label: label.strip().casefold() for label in labels}
    if not set(folded.values()) <= set.union(*_ANSWERS):
        return []
    groups = [{label: plain for label, plain in folded.items() if plain in answers} for answers in _ANSWERS]
    several = (group for group in groups if len(set(group.values())) > 1)
    return [list(group) for group in several if any(map(str.isalpha, group.values()))]


def _listed(labels: Sequence[str]) -> str:
    quoted = [f"'{label:.40}'" for label in labels]
    more = f" and {len(quoted) - _SHOWN:,} more" if len(quoted) > _SHOWN else ""
    return ", ".join(quoted[:_SHOWN]) + more
