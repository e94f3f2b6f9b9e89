"""Class names that the description beside a hub repository's files gives the numbers in them, column by column."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from typing import Any

from rankwise.data.files.rows import Row, Rows
from rankwise.errors import DataError, RecipeError
from rankwise.recipe.yaml import parse

CARDS = ("README.md", "dataset_infos.json", "dataset_info.json")
MAX_CARD = 1_000_000  # bytes of a file that describes data

_LISTS = ("sequence", "list")  # what a card calls the features of a list's items
_FRONT = re.compile(r"---[ \t]*\n(.*?\n)---[ \t]*(?:\n|$)", re.DOTALL)
_WHOLE = re.compile(r"(-?)0*(\d+)(?:\.0+)?")


def with_names(rows: Rows, path: Path) -> Rows:
    """The rows with the class names that a file in the folder, or in the one above `data`, has for the numbers in them.

    What the format says of its own goes before. Cells stay numbers: where they count from is for tasks.py to find out, which
    sees all of them. Raises DataError for a file that has class names and is broken.
    """
    folder = path if path.is_dir() else path.parent
    for place in (folder, *([folder.resolve().parent] if folder.resolve().name == "data" else ())):
        for name in CARDS:
            if classes := _classes_in(place / name):
                columns = rows.columns or tuple(
                    cell.strip() for cell in next(filter(None, map(itemgetter(1), rows.read())), ())
                )
                names = [None if column in rows.classes else classes.get(column) for column in columns]
                return _named(rows, columns, names, name) if any(names) else rows
    return rows


def _named(rows: Rows, columns: Sequence[str], names: Sequence[Sequence[str] | None], card: str) -> Rows:
    """The rows with the names of classes for those columns that have any, in whose cells a number is written in one way."""
    known = {column: tuple(listed) for column, listed in zip(columns, names, strict=True) if listed}

    def read() -> Iterator[Row]:
        for location, cells in rows.read():
            if cells is None or len(cells) != len(names):
                yield location, cells
            else:
                yield location, [cell if listed is None else _plain(cell) for cell, listed in zip(cells, names, strict=True)]

    return replace(rows, format=f"{rows.format}, class names of {card}", read=read, classes={**known, **rows.classes})


def _plain(cell: Any) -> Any:
    """A cell as it is, a whole number without zeros around it; nothing for -1, the hub's way to say unlabelled."""
    if isinstance(cell, str) and (whole := _WHOLE.fullmatch(cell.strip())):
        cell = f"{whole[1]}{whole[2]}"
    return None if cell in (-1, [-1]) else "" if cell == "-1" else cell


def _classes_in(path: Path) -> Mapping[str, tuple[str, ...]]:
    """The class names by column, of those columns for which all configurations give the same; empty where it has none."""
    try:
        if not path.is_file() or path.stat().st_size > MAX_CARD:
            return {}
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError:  # the data beside it can be read all the same
        return {}
    if not any(word in text for word in ("class_label", "ClassLabel")):
        return {}
    try:
        features = list(_features_of_json(text) if path.suffix == ".json" else _features_of_card(path.name, text))
    except (ValueError, RecursionError, RecipeError) as error:
        raise DataError(f"{path}: its class names can't be read ({error}); correct them, or move the file away") from error
    named: dict[str, set[tuple[str, ...]]] = {}
    for column, names in features:
        named.setdefault(column, set()).add(names)
    return {column: alike.pop() for column, alike in named.items() if len(alike) == 1}


def _features_of_card(name: str, text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(column, its class names) of what stands under dataset_info at the top of a card."""
    front = _FRONT.match(text)
    if front is None or "class_label" not in front[1]:
        return
    infos = parse(name, f"\n{front[1]}")[0].get("dataset_info")
    for info in infos if isinstance(infos, list) else [infos]:
        features = info.get("features") if isinstance(info, dict) else None
        for feature in features if isinstance(features, list) else ():
            kinds = [feature.get(key) for key in ("dtype", *_LISTS)] if isinstance(feature, dict) else []
            kind = next(filter(None, kinds), None)
            names = (kind.get("class_label") or {}).get("names") if isinstance(kind, dict) else None
            if listed := _listed(names):
                yield str(feature.get("name")), listed


def _features_of_json(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(column, its class names) of what the datasets library writes beside its data, also by configuration."""
    infos = json.loads(text)
    for info in (infos, *infos.values()) if isinstance(infos, dict) else ():
        features = info.get("features") if isinstance(info, dict) else None
        for column, feature in features.items() if isinstance(features, dict) else ():
            one = feature.get("feature", feature) if isinstance(feature, dict) else None
            if isinstance(one, dict) and one.get("_type") == "ClassLabel" and (listed := _listed(one.get("names"))):
                yield column, listed


def _listed(names: Any) -> tuple[str, ...]:
    """Names in the order of their numbers, of a list or of an object that counts from 0; none where one can't be read."""
    if isinstance(names, dict):
        names = [names.get(str(number)) for number in range(len(names))]
    listed = tuple(map(str, names)) if isinstance(names, list) and None not in names else ()
    return () if any("\ufffd" in name for name in listed) else listed
