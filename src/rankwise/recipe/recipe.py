"""A recipe is a frozen description of one training run; this file reads it, changes it and names it."""

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, ValidationError, field_validator, model_validator

from rankwise.errors import RecipeError, as_typed
from rankwise.recipe.adapter import AdapterSpec, BudgetSpec, HeadSpec
from rankwise.recipe.data import DataSpec
from rankwise.recipe.methods import HEAD_ALONE, METHODS
from rankwise.recipe.problems import explain, known_keys, path_in_file
from rankwise.recipe.train import EvaluateSpec, Published, TrainSpec
from rankwise.recipe.values import Spec, one_or_many
from rankwise.recipe.yaml import KeyPath, Lines, dump, parse, parse_value, quote, read_text, shipped
from rankwise.system import html

Rung = Literal["tfidf", "features", "top", "all"]
RUNGS: tuple[Rung, ...] = get_args(Rung)
WHERE_ROWS_ARE_FEW = (
    "train.evaluate_every=end",  # no checkpoint is chosen: the last weights are kept
    "train.early_stop=null",
    "train.contrast=1",
    "train.refit_head=true",
)
"""What a rung's recipe is changed to where folds choose; pairs and the head's fit lower log-loss (results/rungs.csv)."""
COUNTED_WORDS: Rung = "tfidf"  # which has no encoder
ENCODED = ("base", "adapter", "head")  # keys of what a rung without an encoder does not have
AT_ONCE: tuple[Rung, ...] = ("tfidf", "features")  # which make no update
FITTED_HEAD: Rung = "features"  # whose folds are part of its fit, and whose head the others start from
ROLES = ("train", "validation", "test")
DATA_PATHS = ("data.source", *(f"data.{role}" for role in ROLES))  # where the data lie
ONE_STRING: dict[KeyPath, str] = {  # sections that may be a plain string, and the key that the string is the value of
    ("adapter", "allocate"): "policy",
    ("train", "optimizer"): "name",
    **{("data", role): "path" for role in ROLES},
    ("search", "pruner"): "name",  # of a space
}


Overrides = Iterable[str] | Mapping[str, Any]
"""Changes to a recipe: `train.epochs=2` each, its value in YAML, or keys with their values."""


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
    rungs: Annotated[tuple[Rung, ...], BeforeValidator(one_or_many)] = ()
    """What is tried, each rung dearer than the one before, until one does not pay; the best is handed over. tfidf: words
    and word pairs counted, without an encoder. features: the head alone, fitted to the frozen encoder's features. top:
    adapters in the upper half of the layers. all: the recipe as it is. Left out, that alone. Where an override names another
    `base`, `adapter` or `head`, tfidf is left out, unless rungs are named, too.
    """
    train: TrainSpec = TrainSpec()
    evaluate: EvaluateSpec = EvaluateSpec()

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not value.strip() or value.startswith(".") or set(value) & set("/\\\0"):
            raise ValueError(f"'{value}' can't name the run's folder; expected a name without slashes or a dot before it")
        return value

    @model_validator(mode="after")
    def _rungs_start_from_a_fitted_head(self) -> Self:
        if list(self.rungs) != [rung for rung in RUNGS if rung in self.rungs]:
            raise ValueError(f"rungs are {', '.join(self.rungs)}; expected each once, in the order {', '.join(RUNGS)}")
        if self.rungs and self.head.start != "fitted":
            raise ValueError(
                f"rungs start from a fitted head, and head.start is '{self.head.start}'; type --set head.kind=pooled "
                "--set head.start=fitted, or take the recipe auto"
            )
        if self.rungs and not self.climbed():
            other = FITTED_HEAD if self.adapter.method == HEAD_ALONE else "all"
            same = f"which for adapter.method '{self.adapter.method}' are the same as {other}"
            raise ValueError(f"rungs are {', '.join(self.rungs)}, {same}; type --rung {other}")
        return self

    def climbed(self, *, few: bool = False) -> tuple[Rung, ...]:
        """The rungs that are not the same for this way to adapt: without ranks none are in upper layers alone.

        Where rows are `few` every layer trains nearly as quickly as the upper half, so both are not tried.
        """
        adapter = self.adapter
        apart = {
            "tfidf": True,
            "features": True,
            "top": adapter.has_ranks
            and adapter.allocate.policy in ("uniform", "last-k")
            and not (few and "all" in self.rungs),
            "all": adapter.method != HEAD_ALONE,
        }
        return tuple(rung for rung in self.rungs if apart[rung])

    @property
    def starts_at_once(self) -> bool:
        """Whether its first rung makes no update, so that there is soon something to hand over."""
        return bool(self.rungs) and self.rungs[0] in AT_ONCE

    @property
    def makes_updates(self) -> bool:
        """Whether anything of it is trained in updates."""
        return self.train.max_steps != 0 and (not self.rungs or not set(AT_ONCE) >= set(self.climbed()))

    @property
    def dearest(self) -> Self:
        """What is trained at most: the recipe itself, or where it has one rung alone that rung's."""
        return self.rung(self.rungs[0]) if len(self.rungs) == 1 else self

    @property
    def without_climb(self) -> Self:
        """The recipe of its dearest rung without a climb, for trials that are compared.

        Raises RecipeError for words alone, which have no encoder.
        """
        if not self.rungs:
            return self
        if self.rungs[-1] == COUNTED_WORDS:
            raise RecipeError(f"rungs is {COUNTED_WORDS} alone, which trains no encoder; name another: --set rungs=all")
        return self.rung(self.rungs[-1]).with_overrides(["rungs=[]"])

    def rung(self, name: Rung, *, few: bool = False) -> Self:
        """The recipe of one rung; where rows are `few`, with what trains on all of them asks for."""
        frozen = [
            *(f"adapter.{key}=null" for row in METHODS.values() for key in row.options),
            f"adapter.method={HEAD_ALONE}",
            "adapter.bias=none",
            "adapter.quantize=none",
            "train.max_steps=0",
            "train.average=null",
            "train.refit_head=false",
        ]
        changes: dict[str, list[str]] = {
            "tfidf": frozen,
            "features": frozen,
            "top": ["adapter.allocate.policy=last-k", "adapter.allocate.k=half"],
            "all": [],
        }
        more = WHERE_ROWS_ARE_FEW if few and name not in (COUNTED_WORDS, FITTED_HEAD) else ()
        return self.with_overrides([*changes[name], f"rungs=[{name}]", *more])

    @classmethod
    def load(cls, name_or_path: str | Path, overrides: Overrides = (), *, origin: str = "--set") -> Self:
        """A built-in recipe by name, or a YAML file by path, with overrides applied: `key.path=value`, or keys and values.

        Raises RecipeError for a missing file, bad YAML, an unknown key or a value out of range, naming the line;
        an override is named after its `origin`.
        """
        file, text = read_text(name_or_path, "recipe")
        tree, lines = parse(file, text)
        if {"base", "space"} <= tree.keys():
            raise RecipeError(f"{file} is a space; type: rankwise sweep {as_typed(file)}")
        _override_all(tree, lines, overrides, origin)
        return cls._validated(tree, lines, file)

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Self:
        """A recipe from plain values, such as `Recipe.to_dict` gives. Raises RecipeError."""
        return cls._validated(dict(tree), {}, "recipe")

    def with_overrides(self, overrides: Overrides) -> Self:
        """A copy with overrides applied, as `load` takes them. Raises RecipeError."""
        tree = self.to_dict()
        lines: Lines = {}
        _override_all(tree, lines, overrides, "--set")
        return self._validated(tree, lines, self.name)

    def refusal(self, key: str, value: Any, where: str) -> str | None:
        """Why `key` can't have this value, whatever the other keys are; None when it may. The message begins with `where`."""
        tree = self.to_dict()
        lines: Lines = {}
        override(tree, lines, f"{key}={json.dumps(value)}")
        keys = tuple(key.split("."))
        try:
            Recipe.model_validate(tree)
        except ValidationError as error:
            own = [one for one in error.errors() if _is_about(keys, path_in_file(one["loc"], Recipe, lines))]
            return "\n".join(explain(own, Recipe, dict.fromkeys(lines, where), where)) or None
        return None

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """A copy with `change` applied to what may be a path: the encoder, and where data lies; names are among them."""
        tree = self.to_dict()
        data = tree["data"]
        sources = [(data[role], "path") for role in ROLES if data[role]]
        for section, key in ((tree, "base"), (data, "source"), *sources):
            section[key] = section[key] and change(section[key])
        return self.from_dict(tree)

    def _repr_html_(self) -> str:
        """What it trains on what, and its whole YAML folded, in a notebook."""
        cap, data = (
            self.budget.parameters,
            self.data.source or (self.data.train and self.data.train.path) or "given from Python",
        )
        rows = [
            ("base", self.base),
            ("data", data),
            ("adapter", self.adapter.method),
            ("head", self.head.kind),
            ("cap", "none" if cap is None else f"{cap:,} parameters"),
            *([("rungs", ", ".join(self.rungs))] if self.rungs else []),
        ]
        return html.card(
            self.name, html.line(self.summary), html.table(rows, words=True), html.folded("every key", self.to_yaml())
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, every default filled in."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """The recipe as a YAML file holds it, every default filled in."""
        return dump(self.to_dict())

    def identity(self) -> dict[str, Any]:
        """The values that change what is computed, by section: not the name, the summary, where events go, what is kept.

        Nor where the data lie: whoever compares recipes compares the data's digest too.
        """
        paths = {"source", *ROLES}
        apart = {"train": {"trackers"}, "evaluate": {"keep_texts"}, "data": paths}
        return self.model_dump(mode="json", exclude={"name": True, "summary": True, "published": True, **apart})

    @property
    def fingerprint(self) -> str:
        """sha256 over the recipe's identity: equal fingerprints mean equal runs on the same data."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    @classmethod
    def _validated(cls, tree: dict[str, Any], lines: Lines, origin: str) -> Self:
        try:
            return cls.model_validate(tree)
        except ValidationError as error:
            raise RecipeError("\n".join(explain(error.errors(), cls, lines, origin))) from None


def builtin_recipes() -> list[str]:
    """Names of the recipes that ship with rankwise, in the order of their reports."""
    return shipped("recipe")


def override(tree: dict[str, Any], lines: Lines, change: str, origin: str = "--set") -> None:
    """Apply `a.b.c=value` to the tree and its lines, in place."""
    dotted, equals, text = change.partition("=")
    keys = _keys_of(dotted)
    if not equals or not all(keys):
        raise RecipeError(f"{origin} {change}: expected key=value, such as train.epochs=2")
    source = f"{origin} {change}"
    _put(tree, lines, keys, parse_value(source, text), source)


def _override_all(tree: dict[str, Any], lines: Lines, overrides: Overrides, origin: str) -> None:
    """Apply overrides in their order. Who names another encoder, adapter or head gets one: no rung is without them then.

    Raises RecipeError for what is neither a list of overrides nor a mapping.
    """
    overrides = overrides if isinstance(overrides, str | Mapping) else list(overrides)
    before = copy.deepcopy({key: tree.get(key) for key in ENCODED})
    _apply_all(tree, lines, overrides, origin)
    rungs, names_rungs = tree.get("rungs"), any(str(change).lstrip().startswith("rungs") for change in overrides)
    names_one = any(tree.get(key) != before[key] for key in ENCODED)
    if names_one and not names_rungs and isinstance(rungs, (list, tuple)) and len(rungs) > 1:
        tree["rungs"] = [rung for rung in rungs if rung != COUNTED_WORDS]


def _apply_all(tree: dict[str, Any], lines: Lines, overrides: Overrides, origin: str) -> None:
    if isinstance(overrides, Mapping):
        for keys, value in _flat(overrides):
            _put(tree, lines, keys, value, f"{origin} {'.'.join(keys)}={quote(value)}")
        return
    if isinstance(overrides, str):
        raise RecipeError(
            f"overrides are {quote(overrides)}; expected a list of 'key=value', such as ['train.epochs=2'], or a mapping, "
            "such as {'train.epochs': 2}"
        )
    for change in overrides:
        override(tree, lines, change, origin)


def _flat(overrides: Mapping[Any, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Keys and values; a section in a section stands for its keys, so that the others of it stay as they are."""
    for dotted, value in overrides.items():
        keys = (*above, *_keys_of(str(dotted)))
        if not all(keys):
            raise RecipeError(f"overrides have the key {quote(dotted)}; expected one such as 'train.epochs'")
        is_whole = keys in ONE_STRING and isinstance(value, Mapping) and ONE_STRING[keys] in value
        if isinstance(value, Mapping) and value and not is_whole and set(map(str, value)) <= known_keys(Recipe, keys):
            yield from _flat(value, keys)
        else:
            yield keys, os.fspath(value) if isinstance(value, os.PathLike) else value


def _keys_of(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.strip().split("."))


def _put(tree: dict[str, Any], lines: Lines, keys: tuple[str, ...], value: Any, source: str) -> None:
    """Put a value into the tree, in place, and the line `source` beside its keys."""
    node = tree
    for depth, key in enumerate(keys[:-1], start=1):
        section = node.get(key)
        if isinstance(section, str) and keys[:depth] in ONE_STRING:
            section = {ONE_STRING[keys[:depth]]: section}
        if not isinstance(section, Mapping):  # nothing, or a value, which validation misses
            section, lines[keys[:depth]] = {}, source
        node[key] = dict(section)
        node = node[key]
    node[keys[-1]] = value
    for path in [path for path in lines if path[: len(keys)] == keys]:
        del lines[path]  # what stood below is gone
    lines[keys] = source
    for depth in range(1, len(keys)):
        lines.setdefault(keys[:depth], source)  # a section that only the override names


def _is_about(keys: KeyPath, wrong: KeyPath) -> bool:
    """Whether what is wrong stands at these keys or below them, or is a value above them, which has no keys."""
    return wrong[: len(keys)] == keys or (keys[: len(wrong)] == wrong and not known_keys(Recipe, wrong))
