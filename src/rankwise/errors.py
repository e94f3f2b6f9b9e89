"""What can go wrong, and whose mistake it is.

    RankwiseError                 every error that rankwise raises on purpose
    ├── RecipeError               a recipe or an override that does not make sense: file, line, key, fix
    ├── DataError                 text, labels or files that cannot be used: file, row, column, fix
    ├── PlanError                 adapters that cannot be placed on this encoder
    │   ├── OverBudget            a plan that costs more than the cap; carries the cheapest ways to fit
    │   ├── OverMemory            less memory than a single row needs
    │   └── OverTime              less time than a few updates and saving need
    ├── ModelError                a base encoder or tokenizer that cannot be loaded or used
    ├── TrainingError             training that cannot start or go on
    │   └── NonFiniteLoss         the loss became NaN or infinite; names the step and the rows
    ├── RunError                  a run folder that is missing, damaged, finished or in the way
    ├── MissingExtra              an optional dependency that is not installed; names the extra
    └── Defect                    a promise of rankwise's own that did not hold: exit code 1
        ├── BudgetMismatch        planned, counted and saved parameters differ
        └── ReloadMismatch        what was saved does not give the same logits when loaded

Every message says what was found, what was expected and what to type next. `exit_code` is what the command line returns:
2 for the user's mistake, 1 for ours.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from types import ModuleType


class RankwiseError(Exception):
    exit_code = 2


class RecipeError(RankwiseError):
    pass


class DataError(RankwiseError):
    pass


class PlanError(RankwiseError):
    pass


class OverBudget(PlanError):
    """`trained` parameters do not fit under `cap`; `fixes` maps what to type to the parameters it would train."""

    def __init__(self, message: str, *, trained: int, cap: int, fixes: dict[str, int]) -> None:
        super().__init__(message)
        self.trained = trained
        self.cap = cap
        self.fixes = fixes


class OverMemory(PlanError):
    pass


class OverTime(PlanError):
    pass


class ModelError(RankwiseError):
    pass


class TrainingError(RankwiseError):
    pass


class NonFiniteLoss(TrainingError):
    pass


class RunError(RankwiseError):
    pass


class MissingExtra(RankwiseError):
    pass


class Defect(RankwiseError):
    exit_code = 1


class BudgetMismatch(Defect):
    pass


class ReloadMismatch(Defect):
    pass


def nearest(word: str, known: Iterable[str], *, below: Iterable[object] = ()) -> str:
    """A hint such as `; did you mean 'epochs'?`, or nothing when no known word is close; `below` are the keys around it."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{'.'.join(map(str, (*below, close[0])))}'?" if close else ""


TRAIN = frozenset(["torch", "transformers", "peft", "accelerate", "safetensors", "pyarrow", "sklearn", "scipy"])
"""The packages of the extra `train`, whose absence is told wherever they are first imported."""


def require(module: str, *, extra: str) -> ModuleType:
    """An optional dependency, or a module of ours that imports some; MissingExtra names the extra that brings what lacks."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing, ours = (error.name or "").split(".")[0], __name__.split(".")[0]
        if missing in ("", ours) or module.split(".", maxsplit=1)[0] not in (missing, ours):
            raise
        raise _missing(error, extra) from error


@contextmanager
def told_extras() -> Iterator[None]:
    """Inside, a package of the extra `train` that is not installed is a MissingExtra."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in TRAIN:
            raise
        raise _missing(error, "train") from error


def _missing(error: ModuleNotFoundError, extra: str) -> MissingExtra:
    return MissingExtra(f"'{error.name}' is not installed, and this needs it; type: pip install 'rankwise[{extra}]'")
