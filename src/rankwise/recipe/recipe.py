"""A recipe is a frozen description of one training run; this file reads it, changes it and names it.

`Recipe.load("quickstart")` takes a built-in name or a YAML file (YAML 1.2: `1e-4` is a number, `no` is a string) and dotted
overrides such as `train.epochs=2`. Errors carry file, line and the nearest known key. `fingerprint` is the sha256 of all
values that change what is computed, so equal fingerprints mean equal runs on the same data.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, field_validator
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from rankwise.errors import RecipeError, nearest
from rankwise.recipe.adapter import AdapterSpec, BudgetSpec, HeadSpec
from rankwise.recipe.data import DataSpec
from rankwise.recipe.train import EvaluateSpec, Published, TrainSpec
from rankwise.recipe.values import Spec

ELSEWHERE = {  # what other tools call a key
    "lr": "train.learning_rate",
    "r": "adapter.rank",
    "lora_r": "adapter.rank",
    "lora_rank": "adapter.rank",
    "lora_alpha": "adapter.alpha",
    "lora_dropout": "adapter.dropout",
    "target_modules": "adapter.targets",
    "lora_target": "adapter.targets",
    "model": "base",
    "model_name": "base",
    "model_name_or_path": "base",
    "base_model": "base",
    "max_seq_length": "data.max_length",
    "max_seq_len": "data.max_length",
    "cutoff_len": "data.max_length",
    "num_epochs": "train.epochs",
    "num_train_epochs": "train.epochs",
    "per_device_train_batch_size": "train.batch_size",
    "warmup_ratio": "train.warmup",
    "warmup_steps": "train.warmup",
    "lr_scheduler_type": "train.schedule",
    "optim": "train.optimizer",
    "dataset": "data.source",
    "text_column": "data.text",
    "label_column": "data.label",
    "target_column": "data.label",
}
LONGEST_SAID = 80  # characters of a value that a message quotes
DATA_PATHS = ("data.source", "data.train", "data.validation", "data.test")  # where the data lie
NOT_YAML = (YAMLError, ValueError, TypeError, RecursionError)  # what ruamel raises, for a broken number, tag or nesting too
SHIPPED = {"recipe": "recipe/builtin", "space": "sweep/spaces"}  # folders of the package that hold what ships
MAX_RECIPE_BYTES = 1_000_000  # a recipe is a page; anything this large is another kind of file


class Recipe(Spec):
    """Everything a run needs to be run again."""

    name: str = "recipe"
    """A short name, used for the run folder: no slash in it, no dot before it."""
    summary: str = ""
    """One line on what it is for."""
    published: Published | None = None
    base: str = "minilm"
    """The encoder: a known name (`rankwise plan --help` lists them), a Hugging Face id, or a local folder."""
    revision: str | None = None
    """The hub revision of `base`."""
    data: DataSpec = DataSpec()
    adapter: AdapterSpec = AdapterSpec()
    head: HeadSpec = HeadSpec()
    budget: BudgetSpec = BudgetSpec()
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not value.strip() or value.startswith(".") or set(value) & set("/\\\0"):
            raise ValueError(f"'{value}' can't name the run's folder; expected a name without slashes or a dot before it")
        return value

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: Iterable[str] = (), *, origin: str = "--set") -> Recipe:
        """A built-in recipe by name, or a YAML file by path, with `key.path=value` overrides applied.

        Raises RecipeError for a missing file, bad YAML, an unknown key or a value out of range, naming the line;
        an override is named after its `origin`.
        """
        where, text = text_of(name_or_path, kind="recipe", builtin=builtin_recipes())
        tree, lines = parse(where, text)
        if {"base", "space"} <= tree.keys():
            raise RecipeError(f"{where} is a space; type: rankwise sweep {where}")
        if isinstance(overrides, str | Mapping):
            raise RecipeError(f"overrides are {said(overrides)}; expected a list of 'key=value', such as ['train.epochs=2']")
        for override in overrides:
            _override(tree, lines, override, origin)
        return _validated(tree, lines, where)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Recipe:
        """A recipe from plain values, such as `Recipe.to_dict` gives. Raises RecipeError."""
        return _validated(dict(tree), {}, "recipe")

    def with_overrides(self, overrides: Iterable[str]) -> Recipe:
        """A copy with `key.path=value` overrides applied. Raises RecipeError."""
        tree = self.to_dict()
        lines: Lines = {}
        for override in overrides:
            _override(tree, lines, override)
        return _validated(tree, lines, self.name)

    def refusal(self, key: str, value: Any, where: str) -> str | None:
        """Why `key` can't have this value, whatever the other keys are; None when it may. The message begins with `where`."""
        tree = self.to_dict()
        lines: Lines = {}
        _override(tree, lines, f"{key}={json.dumps(value)}")
        keys = tuple(key.split("."))
        try:
            Recipe.model_validate(tree)
        except ValidationError as error:
            own = [problem for problem in error.errors() if _in_file(problem["loc"], lines)[: len(keys)] == keys]
            return "\n".join(_explained(own, dict.fromkeys(lines, where), where)) or None
        return None

    def with_paths(self, change: Callable[[str], str]) -> Recipe:
        """A copy with `change` applied to what may be a path: the encoder, and where data lies; names are among them."""
        tree = self.to_dict()
        data = tree["data"]
        sources = [(data[role], "path") for role in ("train", "validation", "test") if data[role]]
        for section, key in ((tree, "base"), (data, "source"), *sources):
            section[key] = section[key] and change(section[key])
        return Recipe.from_dict(tree)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, every default filled in."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        stream = io.StringIO()
        writer = YAML()
        writer.width = 110
        writer.default_flow_style = None
        writer.dump(_quoted(self.to_dict()), stream)
        return stream.getvalue()

    def identity(self) -> dict[str, Any]:
        """The values that change what is computed, by section: not the name, the summary or where events go.

        Nor where the data lie: whoever compares recipes compares the data's digest too.
        """
        tree = self.model_dump(mode="json", exclude={"name", "summary", "published"})
        del tree["train"]["trackers"]
        for key in DATA_PATHS:
            del tree["data"][key.removeprefix("data.")]
        return tree

    @property
    def fingerprint(self) -> str:
        """sha256 over the recipe's identity."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


def builtin_recipes() -> list[str]:
    """Names of the recipes that ship with rankwise, in the order of their reports."""
    folder = resources.files("rankwise.recipe") / "builtin"
    names = [entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    order = {name: place for place, name in enumerate(_ORDER)}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def source_text(name_or_path: str | Path) -> str:
    """A recipe's YAML as it was written, comments and all. Raises RecipeError."""
    return text_of(name_or_path, kind="recipe", builtin=builtin_recipes())[1]


_ORDER = (
    "quickstart",
    "auto",
    "tiered-rmsprop",
    "tiered-adamw",
    "uniform-qkv",
    "depth-scaled-query",
    "rank4-adam",
    "distilbert-full",
    "distilbert-lora",
    "distilbert-loraplus",
)

Lines = dict[tuple[str | int, ...], str]  # key path → "file.yaml:6" or "--set train.epochs=x"


def text_of(name_or_path: str | Path, *, kind: str, builtin: Sequence[str]) -> tuple[str, str]:
    """Where a YAML text came from, for messages, and the text: a file's, or that of what ships under this name.

    `kind` is what it holds, a recipe or a space; what ships lies in the package's folder of that name. Raises RecipeError.
    """
    name, known = str(name_or_path), ", ".join(builtin)
    if name in builtin:
        return f"{name}.yaml", (resources.files("rankwise") / SHIPPED[kind] / f"{name}.yaml").read_text("utf-8")
    other, verb = {"recipe": ("space", "sweep"), "space": ("recipe", "train")}[kind]
    if (resources.files("rankwise") / SHIPPED[other] / f"{name}.yaml").is_file():
        raise RecipeError(f"'{name}' is a {other}; type: rankwise {verb} {name}")
    path = Path(name)
    if path.is_dir():
        raise RecipeError(f"{name} is a folder; expected a YAML file or a built-in {kind}: {known}")
    if not path.exists():
        if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
            raise RecipeError(f"{name}: no such file; expected a YAML file or a built-in {kind}: {known}")
        raise RecipeError(f"no {kind} is called '{name}'{nearest(name, builtin) or '.'} Built in: {known}")
    if path.stat().st_size > MAX_RECIPE_BYTES:
        raise RecipeError(f"{name} has {path.stat().st_size:,} bytes; a {kind} has fewer than {MAX_RECIPE_BYTES:,}")
    try:
        return name, path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{name}: not UTF-8 at byte {error.start}; a {kind} is UTF-8 YAML") from error
    except PermissionError as error:
        raise RecipeError(f"{name}: no permission to read it") from error


def parse(where: str, text: str, *, example: str = "base: minilm") -> tuple[dict[str, Any], Lines]:
    """YAML text → plain values, and the line of each key. Raises RecipeError, which begins with `where`."""
    lines: Lines = {}
    try:
        loaded = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark else ""
        raise RecipeError(f"{where}{line}: {(error.problem or 'not YAML').splitlines()[0]}") from error
    except NOT_YAML as error:
        raise RecipeError(f"{where}: {error}") from error
    if not isinstance(loaded, dict):
        found = "a list" if isinstance(loaded, list) else said(loaded)
        raise RecipeError(f"{where}: expected a mapping such as '{example}', found {found}")
    return _plain(loaded, (), where, lines), lines


def _plain(node: Any, path: tuple[str | int, ...], where: str, lines: Lines) -> Any:
    tag = getattr(getattr(node, "tag", None), "value", None)
    if (tag and not str(tag).startswith("tag:yaml.org,2002:")) or "python/" in str(tag or ""):
        raise RecipeError(f"{where}: the tag {tag} is not allowed; a recipe holds plain values")
    if isinstance(node, dict):
        plain = {}
        for key, value in node.items():
            if isinstance(node, CommentedMap) and (mark := (node.lc.data or {}).get(key)):  # merged keys have no mark
                lines[(*path, str(key))] = f"{where}:{mark[0] + 1}"
            plain[str(key)] = _plain(value, (*path, str(key)), where, lines)
        return plain
    if isinstance(node, list):
        return [_plain(value, (*path, place), where, lines) for place, value in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            return kind(node)
    raise RecipeError(f"{where}: {node!r} ({type(node).__name__}) is not a value that a recipe holds; quote it")


def _quoted(node: Any) -> Any:
    """Plain values, with quotes around strings that ruamel would write bare and read back as another value: `[?]`, `[:)]`."""
    if isinstance(node, dict):
        return {_quoted(key): _quoted(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_quoted(value) for value in node]
    if isinstance(node, str) and (node.startswith(("?", ":")) or "\x85" in node):
        return DoubleQuotedScalarString(node)
    return node


def _override(tree: dict[str, Any], lines: Lines, override: str, origin: str = "--set") -> None:
    """Apply `a.b.c=value` to the tree in place."""
    dotted, equals, text = override.partition("=")
    keys = tuple(dotted.strip().split("."))
    if not equals or not all(keys):
        raise RecipeError(f"{origin} {override}: expected key=value, such as train.epochs=2")
    source = f"{origin} {override}"
    try:
        value = _plain(YAML(typ="rt").load(text) if text.strip() else "", (), source, {})
    except MarkedYAMLError as error:
        raise RecipeError(f"{source}: the value is not YAML ({error.problem})") from error
    except NOT_YAML as error:
        raise RecipeError(f"{source}: {error}") from error
    node: dict[str, Any] = tree
    for depth, key in enumerate(keys[:-1], start=1):
        below = node.get(key)
        if isinstance(below, str) and (shorthand := _SHORTHAND.get(keys[:depth])):
            below = {shorthand: below}
        node[key] = dict(below) if isinstance(below, Mapping) else {}
        node = node[key]
    node[keys[-1]] = value
    for path in [path for path in lines if path[: len(keys)] == keys]:
        del lines[path]  # what stood below is gone
    lines[keys] = source
    for depth in range(1, len(keys)):
        lines.setdefault(keys[:depth], source)  # a section that only the override names


_SHORTHAND: dict[tuple[str, ...], str] = {
    ("adapter", "allocate"): "policy",
    ("train", "optimizer"): "name",
    ("data", "train"): "path",
    ("data", "validation"): "path",
    ("data", "test"): "path",
}


def _validated(tree: dict[str, Any], lines: Lines, where: str) -> Recipe:
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError("\n".join(_explained(error.errors(), lines, where))) from None


def _explained(problems: Iterable[Any], lines: Lines, where: str) -> list[str]:
    """One line for each wrong key; what the members of a union expected is joined by `or`."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        key, message = _explain(problem, lines, where)
        found.setdefault(key, []).append(message)
    return [f"{key}{', or '.join(messages)}" for key, messages in found.items()]


def _explain(problem: Any, lines: Lines, where: str) -> tuple[str, str]:
    """Of one pydantic problem: where it stands with its key, and what was found and expected."""
    path = _in_file(problem["loc"], lines)
    place = _place(path, lines, where)
    dotted = ".".join(map(str, path))
    if problem["type"] == "extra_forbidden":
        return f"{place}: ", f"unknown key '{dotted}'{_nearest_key(path)}"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"].startswith("union_tag"):
        policies = problem["ctx"].get("expected_tags", "'uniform', 'by-depth', 'last-k' and so on")
        return f"{place}: {dotted}: ", f"its policy is one of {policies}{_hint(problem['ctx'].get('tag'), policies)}"
    if problem["type"] in ("value_error", "missing"):
        return f"{place}: {dotted}: ", message
    expected = wanted(problem)
    hint = _hint(problem["input"], expected) if problem["type"] == "literal_error" else ""
    return f"{place}: {dotted}: found {said(problem['input'])}, expected ", expected + hint


def _nearest_key(path: tuple[str | int, ...]) -> str:
    """A hint for a key that there is not: its name with other tools, the same one elsewhere, else one that is spelt so."""
    last, others = str(path[-1]), _known_keys(path[:-1]) - {str(path[-1])}
    if ".".join(map(str, path)) in _all_keys():  # a key of another policy is known, but not here
        return nearest(last, others, below=path[:-1])
    if key := key_called(last):
        return f"; did you mean '{key}'?"
    by_name = _keys_by_name()
    if hint := nearest(last, others, below=path[:-1]):
        return hint
    close = get_close_matches(last, by_name, n=1, cutoff=0.75)
    return f"; did you mean '{by_name[close[0]]}'?" if close else "; rankwise recipes show auto --full lists all"


def key_called(name: str) -> str | None:
    """The dotted key that ends in `name`, or that other tools call so."""
    return ELSEWHERE.get(name) or _keys_by_name().get(name)


@cache
def _keys_by_name() -> dict[str, str]:
    """The shortest dotted key for each last part."""
    found: dict[str, str] = {}
    for key in sorted(_all_keys(), key=len):
        found.setdefault(key.split(".")[-1], key)
    return found


@cache
def _all_keys() -> tuple[str, ...]:
    """Every key that a recipe may have, dotted."""
    found: list[str] = []
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        path = waiting.pop()
        below = _known_keys(path)
        found += [".".join((*path, key)) for key in below]
        waiting += [(*path, key) for key in below if _known_keys((*path, key))]
    return tuple(sorted(found))


def _hint(given: Any, quoted: str) -> str:
    """The nearest of the values that a message quotes."""
    return nearest(given, re.findall(r"'([^']+)'", quoted)) if isinstance(given, str) else ""


def said(value: Any) -> str:
    """A value as a message quotes it."""
    text = repr(value)
    return "nothing" if value is None else text if len(text) <= LONGEST_SAID else f"{text[:LONGEST_SAID]}…"


def wanted(problem: Any) -> str:
    """What pydantic expected, in the words of YAML where its own are Python's."""
    kinds = {"model_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}
    return kinds.get(problem["type"]) or str(problem["msg"]).removeprefix("Input should be ")


def _in_file(loc: tuple[str | int, ...], lines: Lines) -> tuple[str | int, ...]:
    """pydantic's location without the names of union members, which are no keys of the file."""
    path: tuple[str | int, ...] = ()
    for part in loc:
        is_key = (*path, part) in lines or part in _known_keys(path) or isinstance(part, int)
        if is_key or (part == loc[-1] and not any(mark in str(part) for mark in "[-(")):
            path = (*path, part)
    return path or loc


def _place(path: tuple[str | int, ...], lines: Lines, where: str) -> str:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, where)


def _known_keys(path: tuple[str | int, ...]) -> set[str]:
    """The keys that a recipe may have below `path`."""
    models: list[type[BaseModel]] = [Recipe]
    for part in path:
        models = [
            found
            for model in models
            if part in model.model_fields
            for found in _models_in(model.model_fields[str(part)].annotation)
        ]
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [found for part in get_args(annotation) for found in _models_in(part)]
    return []
