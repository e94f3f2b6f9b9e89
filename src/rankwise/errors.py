"""What can go wrong, and whose mistake it is.

Every message says what was found, what was expected and what to type next. `exit_code` is what the command line returns:
2 for the user's mistake, 1 for ours.
"""

import importlib.util
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

NAME = "rankwise"


class RankwiseError(Exception):
    """Every error that rankwise raises on purpose."""

    exit_code = 2


class RecipeError(RankwiseError):
    """A recipe or an override that does not make sense: file, line, key, fix."""


class DataError(RankwiseError):
    """Text, labels or files that cannot be used: file, row, column, fix."""


class Unlabelled(DataError):
    """Rows none of which has a label, where labels are needed: what was found, and what to do about it."""

    def __init__(self, found: str, fix: str = "") -> None:
        super().__init__(f"{found}; {fix}" if fix else found)
        self.found = found


class PlanError(RankwiseError):
    """Adapters that cannot be placed on this encoder."""


class OverBudget(PlanError):
    """`trained` parameters do not fit under `cap`; `fixes` maps what to type to the parameters it would train."""

    def __init__(self, message: str, *, trained: int, cap: int, fixes: dict[str, int]) -> None:
        super().__init__(message)
        self.trained = trained
        self.cap = cap
        self.fixes = fixes


class OverMemory(PlanError):
    """Less memory than a single row needs."""


class OverTime(PlanError):
    """Less time than a few updates and saving need."""


class OverDeployment(PlanError):
    """Fewer megabytes or milliseconds than any way to hand a run over takes."""


class ModelError(RankwiseError):
    """A base encoder or tokenizer that cannot be loaded or used."""


class TrainingError(RankwiseError):
    """Training that cannot start or go on."""


class NonFiniteLoss(TrainingError):
    """The loss became NaN or infinite; names the step and the rows."""


class RunError(RankwiseError):
    """A run folder that is missing, damaged, finished or in the way."""


class Damaged(RunError):
    """A file that is not as it was written."""


class StorageError(RankwiseError):
    """A disk, a folder or a file that takes nothing: it is full, read-only, or its name is too long."""


class HubError(RankwiseError):
    """A hub that can't be reached or refuses, or a repository there that is something else."""


class MissingExtra(RankwiseError):
    """An optional dependency that is not installed; names the extra."""


class Defect(RankwiseError):
    """A promise of rankwise's own that did not hold: exit code 1."""

    exit_code = 1


class BudgetMismatch(Defect):
    """Planned, counted and saved parameters differ."""


class ReloadMismatch(Defect):
    """What was saved does not give the same logits when loaded."""


def nearest(word: str, known: Iterable[str], *, below: Iterable[object] = ()) -> str:
    """A hint such as `; did you mean 'epochs'?`, or nothing when no known word is close; `below` are the keys around it."""
    from difflib import get_close_matches  # only a mistake needs it

    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{'.'.join(map(str, (*below, close[0])))}'?" if close else ""


# Strings that YAML reads as they stand, but for its words.
_PLAIN = re.compile(r"(?:[^\W\d]|[/_]|~/|\.{1,2}/)(?:[\w./+~-]|:(?=\S)| (?=[\w./+~-]))*")
_YAML_WORDS = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def as_typed(word: object) -> str:
    """A path or another word as it is typed in a shell, quoted where it needs that; each that a message says to type."""
    return shlex.quote(str(word))


def as_set(key: str, value: object) -> str:
    """What sets a key of a recipe, to be typed: `--set data.label=topic`, `--set 'data.text=[title, body]'`."""
    written = f"[{', '.join(map(_in_yaml, value))}]" if isinstance(value, (list, tuple)) else _in_yaml(value)
    return f"--set {as_typed(f'{key}={written}')}"


def _in_yaml(value: object) -> str:
    """A string as YAML reads it back, and what is no string as JSON has it."""
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _YAML_WORDS
    return str(value) if is_plain else json.dumps(value, ensure_ascii=False, default=str)


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


def check_installed(module: str, *, extra: str) -> None:
    """Raises MissingExtra where an optional dependency is not installed, without the seconds that importing it takes."""
    package = module.split(".", maxsplit=1)[0]
    if importlib.util.find_spec(package) is None:
        raise MissingExtra(_advice(package, extra))


def install(extra: str) -> str:
    """What to type to install an extra, from where rankwise itself was installed: a clone, a repository, or an index."""
    from importlib.metadata import PackageNotFoundError, distribution  # only a mistake needs it
    from urllib.parse import unquote, urlsplit

    try:
        record = json.loads(distribution(NAME).read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # it runs from its clone
        record = {"url": Path(__file__).parents[2].as_uri(), "dir_info": {}}
    if "dir_info" in record:
        folder = Path(unquote(urlsplit(record["url"]).path))
        stays = "-e " if record["dir_info"].get("editable") else ""
        where = "." if folder == Path.cwd() else folder
        return f"pip install {stays}{as_typed(f'{where}[{extra}]')}"
    if vcs := record.get("vcs_info"):
        where = f"{NAME}[{extra}] @ {vcs['vcs']}+{record['url']}@{vcs['commit_id']}"
        return f"pip install {as_typed(where)}"
    return f"pip install {as_typed(f'{NAME}[{extra}]')}"


def _missing(error: ModuleNotFoundError, extra: str) -> MissingExtra:
    return MissingExtra(_advice(error.name or "", extra))


def _advice(module: str, extra: str) -> str:
    return f"'{module}' is not installed, and this needs it; type: {install(extra)}"
