"""A YAML file of costs → what each answer costs where each class is true, and what handing a text to a person costs.

    unsure: 1            # handing a text to a person
    wrong: 5             # a wrong answer, where nothing below says otherwise
    pairs:
      refund: {spam: 50}  # where refund is true and spam is answered

A right answer costs nothing, unless `pairs` says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rankwise.errors import DataError, nearest
from rankwise.inference.decision import Costs
from rankwise.recipe.yaml import Lines, line_of, parse

KEYS = ("unsure", "wrong", "pairs")
EXAMPLE = "unsure: 1"


def read_costs(path: Path, classes: Sequence[str]) -> Costs:
    """The costs in a file. Raises DataError or RecipeError, which name the line."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--costs {path}: can't be read ({error}); expected a YAML file such as '{EXAMPLE}'") from error
    values, lines = parse(str(path), text, example=EXAMPLE)
    for key in values:
        if key not in KEYS:
            where = line_of((key,), lines, str(path))
            raise DataError(f"{where}: unknown key '{key}'{nearest(key, KEYS) or ';'} expected {', '.join(KEYS)}")
    if "unsure" not in values:
        raise DataError(
            f"{path}: key 'unsure' is missing, which handing a text to a person costs; expected such as '{EXAMPLE}'"
        )
    asking, wrong = (_cost(values.get(key, 1.0), (key,), lines, path) for key in ("unsure", "wrong"))
    matrix = np.full((len(classes), len(classes)), wrong)
    np.fill_diagonal(matrix, 0.0)
    for truth, answers in _mapping(values.get("pairs", {}), ("pairs",), lines, path).items():
        row = _class(truth, ("pairs", truth), classes, lines, path)
        for answer, cost in _mapping(answers, ("pairs", truth), lines, path).items():
            at = ("pairs", truth, answer)
            matrix[row, _class(answer, at, classes, lines, path)] = _cost(cost, at, lines, path)
    return Costs(asking, tuple(tuple(row) for row in matrix.tolist()))


def _mapping(value: Any, at: tuple[str, ...], lines: Lines, path: Path) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        found = f"{line_of(at, lines, str(path))}: {'.'.join(at)} is {value!r}"
        raise DataError(f"{found}; expected a mapping of classes, such as {{spam: 50}}")
    return value


def _class(name: str, at: tuple[str, ...], classes: Sequence[str], lines: Lines, path: Path) -> int:
    if name not in classes:
        known = ", ".join(classes)
        raise DataError(f"{line_of(at, lines, str(path))}: no class '{name}' among {known}{nearest(name, classes)}")
    return classes.index(name)


def _cost(value: Any, at: tuple[str, ...], lines: Lines, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not np.isfinite(value):
        raise DataError(f"{line_of(at, lines, str(path))}: {'.'.join(at)} is {value!r}; expected a number, such as 5")
    return float(value)
