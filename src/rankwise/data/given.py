"""What Python hands over as texts or labels: lists, generators, arrays, tensors, columns and whole frames.

Nothing is guessed. A frame's text columns are those that are asked for; labels keep their type beside their name, so that
predictions give back what was given. Libraries are known by the methods of their values, and none is imported.
"""

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from numbers import Integral, Real
from typing import Any

from rankwise.data.pairs import BETWEEN
from rankwise.data.several import as_list
from rankwise.errors import DataError

Label = str | int | float | bool
"""A class as a person names it: most are strings."""

KINDS = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a string"}
"""In words, by the name of a label's type."""


def texts_in(
    given: Any, columns: Sequence[str | int], join: str, *, call: str, pair: Sequence[str | int] = ()
) -> Iterable[Any]:
    """The texts that were given, in order: of a frame those of its text `columns`, joined as a file's are.

    Where a frame's `pair` columns hold a second text, both are a tuple. A generator is handed on as it is; what each value is
    is for `text_of` to see. `call` is what to type, such as `predict`. Raises DataError for a single string, a frame without
    these columns, and what has no texts in an order.
    """
    if isinstance(given, (str, bytes)):
        what = "one string" if isinstance(given, str) else "bytes"
        raise DataError(f"{call} takes a list of texts, found {what}; type {call}([text])")
    if (names := column_names(given)) is not None:
        sides = [[str(column) for column in side] for side in (columns, pair)]
        _check_columns(names, sides, call)
        first, second = (_joined(given, side, join) if side else [] for side in sides)
        return list(zip(first, second, strict=True)) if pair else first
    if isinstance(given, Set) or not isinstance(given, Iterable):
        kind = "a set, which has no order" if isinstance(given, Set) else f"a {type(given).__name__}"
        raise DataError(f"{call} takes a list of texts, found {kind}; type {call}([text, …])")
    if columns and _is_row(given, columns):
        one = f"(row['{columns[0]}'], row['{pair[0]}'])" if pair else f"row['{columns[0]}']"
        raise DataError(f"{call} takes many texts, found one row of a frame; type {call}([{one}])")
    return listed(given)


def text_of(value: Any, name: str, *, pairs: bool) -> str:
    """One of the texts that were given; of `pairs` two of them, as one string (pairs.py).

    Raises DataError for another value, which it calls by its `name`, and for a NUL character, which no text has.
    """
    sides = [value] if isinstance(value, str) else list(value) if pairs and isinstance(value, (tuple, list)) else []
    if len(sides) != 1 + pairs or not all(isinstance(side, str) for side in sides):
        expected = "a pair of texts: (first, second)" if pairs else "a string"
        raise DataError(f"{name} is a {type(value).__name__} ({value!r:.40}); expected {expected}")
    if any(BETWEEN in side for side in sides):
        raise DataError(f"{name} holds a NUL character; no text has one, remove it")
    return BETWEEN.join(sides)


def labels_in(given: Any) -> tuple[list[str], str | None]:
    """(the labels' names in order, the type they were given in where that is not `str`): True is `true`, 3.0 `3`, 3.5 `3.5`.

    Where a text has a list of labels, each label is a list, as `several.as_list` writes it.
    Raises DataError naming the position of a value that is no label.
    """
    if isinstance(given, (str, bytes, Set)) or column_names(given) is not None or not isinstance(given, Iterable):
        raise DataError(f"labels are a {type(given).__name__}; expected a list with one label for each text")
    if getattr(given, "ndim", 1) > 1:
        raise DataError(
            "labels are an array of several columns; expected a list of labels for each text, such as [['a', 'b'], ['b'], []]"
        )
    found, kinds = list[list[str] | str](), dict[str, None]()
    for index, value in enumerate(listed(given)):
        several = _several(value)
        names = []
        for one in [value] if several is None else several:
            label = one.item() if hasattr(one, "item") and getattr(one, "ndim", 0) == 0 else one  # numpy's and torch's
            kind = _kind(label)
            if kind is None:
                raise DataError(f"labels[{index}] is {_found(label)}; expected a string, a whole number, or true or false")
            kinds[kind] = None
            if len(kinds) > 1 and not kinds.keys() <= {"int", "float"}:
                raise DataError(f"labels[{index}] is {KINDS[kind]} ({label!r:.40}) among others; expected labels of one type")
            names.append(name_of(label))
        found.append(names[0] if several is None else names)
    if any(isinstance(names, list) for names in found):
        return [as_list(names if isinstance(names, list) else [names]) for names in found], None
    kind = "float" if "float" in kinds else next(iter(kinds), "str")
    return [name for name in found if isinstance(name, str)], None if kind == "str" else kind


def check_fractions(labels: Sequence[str]) -> None:
    """Raise DataError for the first label that is a number with a fraction, which no class is called."""
    for index, label in enumerate(labels):
        if not label.removeprefix("-").isdecimal():
            raise DataError(
                f"labels[{index}] is {label}, which no class is called; to estimate a number, give "
                "overrides=['data.task=regression']"
            )


def check_order(texts: Any, labels: Any) -> None:
    """Raise DataError for columns of pandas with one index in two orders: only who made them knows which belong together."""
    one: Any = getattr(texts, "index", None)
    other: Any = getattr(labels, "index", None)
    if callable(one) or not (hasattr(one, "equals") and hasattr(other, "equals")) or one.equals(other):
        return
    if len(one) == len(other) and one.is_unique and other.is_unique and set(one) == set(other):
        raise DataError(
            "texts and labels have one index in two orders, and are taken by position; where the index says which belong "
            "together, give labels=labels.loc[texts.index], and where they are in one order already, labels=list(labels)"
        )


def name_of(label: Label) -> str:
    """The name of a class as files and messages have it."""
    if isinstance(label, str):
        return str.__str__(label)
    if isinstance(label, bool):
        return str(label).lower()
    return repr(float(label)) if isinstance(label, float) and not label.is_integer() else str(int(label))


def as_given(name: str, kind: str | None) -> Label:
    """The label that has this name, in the type that `labels_in` found."""
    match kind:
        case "bool":
            return name == "true"
        case "int":
            return int(name)
        case "float":
            return float(name)
    return name


def type_of(classes: Iterable[str], kind: str | None) -> str | None:
    """The type that labels were given in, where all classes are named as labels of it; a numbering has names of its own."""
    match kind:
        case "bool":
            return kind if set(classes) <= {"true", "false"} else None
        case "int" | "float":
            return kind if all(name.removeprefix("-").isdecimal() for name in classes) else None
    return None


def _several(value: Any) -> Sequence[Any] | None:
    """The labels of a text that has a list of them; None for one label."""
    if isinstance(value, (list, tuple)):
        return value
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=str)
    return list(listed(value)) if getattr(value, "ndim", 0) == 1 else None


def _kind(label: Any) -> str | None:
    """The name of a label's type; None for what is no label."""
    if isinstance(label, str):
        return "str"
    if isinstance(label, bool):
        return "bool"
    if isinstance(label, Integral):
        return "int"
    return "float" if isinstance(label, Real) and math.isfinite(label) else None


def _found(label: Any) -> str:
    """What stands where a label should, in words."""
    if label is None or (isinstance(label, float) and math.isnan(label)):
        return f"missing ({label})"
    return f"a {type(label).__name__} ({label!r:.40})"


def column_names(given: Any) -> list[Any] | None:
    """The names of a frame's columns, also of a mapping of columns; None for what has none."""
    if isinstance(given, Mapping):
        return list(given)
    for attribute in ("column_names", "columns"):  # of datasets and Arrow; of pandas and Polars
        names = getattr(given, attribute, None)
        if names is not None and hasattr(given, "__getitem__"):
            return list(names)
    return None


def _is_row(given: Any, columns: Sequence[str | int]) -> bool:
    """Whether this is one row of a frame, as pandas gives it: cells under the columns' names."""
    index = getattr(given, "index", None)
    if index is None or callable(index):
        return False
    return all(isinstance(column, str) and column in index for column in columns)


def _check_columns(names: list[Any], sides: Sequence[Sequence[str]], call: str) -> None:
    """Raise DataError where a frame lacks text columns, those of a pair's second text too, or two have one name."""
    known = set(map(str, names))
    if not sides[0] or not known.issuperset(column for side in sides for column in side) or len(known) < len(names):
        have = ", ".join(map(str, names)) or "none"
        expected = f"the text columns {', '.join(' + '.join(side) for side in sides if side)}: rename its columns"
        if not sides[0]:
            expected = "to be told its text columns: overrides={'data.text': [NAME, …]}"
        raise DataError(
            f"{call} was given a table with the columns {have}; expected {expected}, or give the texts themselves, such as "
            f"{call}(table['{names[0] if names else 'text'}'])"
        )


def _joined(given: Any, wanted: Sequence[str], join: str) -> list[Any]:
    """The texts of a frame's columns: one as it is, several joined, blank cells left out."""
    by_name = {str(name): name for name in column_names(given) or ()}
    columns = [list(listed(given[by_name[name]])) for name in wanted]
    if len(columns) == 1:
        return columns[0]
    joined = []
    for row, cells in enumerate(zip(*columns, strict=True)):
        parts = [cell for cell in cells if not is_missing(cell)]
        if strange := [part for part in parts if not isinstance(part, str)]:
            raise DataError(f"row {row} of the table has {_found(strange[0])} in a text column; expected strings")
        joined.append(join.join(part for part in parts if part and not part.isspace()))
    return joined


def is_missing(cell: Any) -> bool:
    """Whether a cell is None, not a number, or what pandas writes for nothing."""
    return cell is None or (isinstance(cell, float) and math.isnan(cell)) or type(cell).__name__ in ("NAType", "NaTType")


def listed(given: Any) -> Iterable[Any]:
    """The values of an array, a tensor or a column as a list; what iterates as its values do, as it is."""
    for method in ("tolist", "to_pylist", "to_list"):  # of numpy, torch and pandas; of Arrow; of Polars
        if hasattr(given, method):
            values = getattr(given, method)()
            return values if isinstance(values, list) else [values]
    as_it_is: Iterable[Any] = given
    return as_it_is
