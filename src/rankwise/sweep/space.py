"""A space is what a sweep tries: a YAML file that names a base recipe, the values of some of its keys, and how to search.

    base: rank4-adam
    objectives: [accuracy]
    search: {sampler: grid, pruner: none}
    space:
      adapter.rank: [2, 4, 8]                                  # a list: one of these values
      train.warmup: {low: 0.0, high: 0.2}                      # a range; log: true, step: 0.05
      optimiser:                                               # no recipe key: one of these groups of keys
        - {train.optimizer.name: adam, train.learning_rate: {low: 1e-4, high: 1e-2, log: true}}
        - {train.optimizer.name: sgd, train.learning_rate: [1e-2, 1e-1]}

A range between whole numbers has whole numbers where its key takes no others. Every value is held against the recipe's own
rules when the file is read; errors carry file, line and the nearest known key.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from rankwise.errors import RecipeError, nearest
from rankwise.recipe.problems import expectation, known_keys
from rankwise.recipe.recipe import DATA_PATHS, Recipe, override
from rankwise.recipe.values import Count, Spec, one_or_many
from rankwise.recipe.yaml import KeyPath, Lines, line_of, parse, quote, read_text
from rankwise.stats.score_names import OF_NUMBERS
from rankwise.sweep.domains import MOST_LISTED, Domain, Groups, Range, Scalar, Values, keys_of, listed, plain, why_no_grid
from rankwise.sweep.results import COSTS, OBJECTIVES, OF_CLASSES

ELSEWHERE = {"acc": "accuracy", "f1": "macro_f1", "f1_macro": "macro_f1", "loss": "log_loss"}  # what other tools call one
TRIALS = 20  # where nothing says how many
EXAMPLES: Mapping[str, str] = json.loads((resources.files("rankwise") / "sweep/examples.json").read_text("utf-8"))
"""What a setting looks like, by its key."""


class PrunerSpec(Spec):
    """Which trials are stopped before their end. A plain string is its name."""

    name: Literal["none", "halving", "hyperband"] = "none"
    """halving: only the best share of those that came as far goes on (arXiv 1810.05934). hyperband: several such races, that
    begin to stop trials sooner or later (arXiv 1603.06560).
    """
    keep: Annotated[int, Field(ge=2)] = 3
    """One in this many goes on, and then for this many times as long."""
    least: Count = 1
    """Evaluations that every trial gets."""


class SearchSpec(Spec):
    """How the space is searched."""

    sampler: Literal["grid", "random", "tpe"] = "tpe"
    """grid: every configuration, in a shuffled order. random. tpe: where scores were good so far (NeurIPS 2011, 4443)."""
    trials: Count | None = None
    """Configurations to train; all of a grid, else 20, when left out. What is over the cap is not counted."""
    seeds: Count = 1
    """Training seeds of each configuration; scores are their means."""
    pruner: Annotated[PrunerSpec, BeforeValidator(lambda v: {"name": v} if isinstance(v, str) else v)] = PrunerSpec()
    finalists: Annotated[int, Field(ge=0)] = 3
    """The best configurations, trained again as whole runs."""
    finalist_seeds: Count = 3
    """Seeds of each finalist, none of them used in the search."""
    seed: int = 0
    """Seed of the order of a grid and of what is drawn."""


class SpaceFile(Spec):
    """What stands in a space's file."""

    name: str
    summary: str = ""
    base: str
    set: tuple[str, ...] = ()
    search: SearchSpec = SearchSpec()
    objectives: Annotated[tuple[str, ...], BeforeValidator(one_or_many), Field(min_length=1)] = ("accuracy",)
    space: dict[str, Any]

    @field_validator("objectives")
    @classmethod
    def _known_once(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        for name in objectives:
            if name not in OBJECTIVES:
                meant = f"; did you mean '{ELSEWHERE[name]}'?" if name in ELSEWHERE else nearest(name, OBJECTIVES)
                hint = meant or f"; expected some of {', '.join(OBJECTIVES)}"
                raise ValueError(f"'{name}' is no objective{hint}")
        if len(set(objectives)) < len(objectives):
            raise ValueError(f"objectives {list(objectives)} name one twice")
        return objectives

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if len(self.objectives) > 1 and self.search.pruner.name != "none":
            raise ValueError(
                f"{self.search.pruner.name} compares one score, and there are {len(self.objectives)} objectives; set "
                "search.pruner: none"
            )
        if not self.space:
            raise ValueError("space is empty; name a key and its values, such as adapter.rank: [2, 4, 8]")
        return self


class Space(SpaceFile):
    """The configurations that a sweep tries, and how it searches them."""

    domains: Mapping[str, Domain]

    @classmethod
    def load(cls, name_or_path: str | Path, search: Iterable[str] = ()) -> Self:
        """A built-in space by name, or a YAML file, with `search` settings such as `sampler=random` on top.

        Raises RecipeError naming the line.
        """
        where, text = read_text(name_or_path, "space")
        tree, lines = parse(where, text, example="base: auto")
        for setting in search if isinstance(tree.get("search"), Mapping | None) else ():  # what else stands there is refused
            override(tree, lines, f"search.{setting}")
        tree.setdefault("name", Path(where).stem)  # and so sweeps/NAME, where nothing else is said
        try:
            file = SpaceFile.model_validate(tree)
        except ValidationError as error:
            raise RecipeError("\n".join(_explained(error, lines, where))) from None
        try:
            read_text(file.base, "recipe")
        except RecipeError as problem:
            raise RecipeError(f"{line_of(('base',), lines, where)}: base: {problem}") from None
        base = Recipe.load(file.base, file.set, origin=f"{line_of(('set',), lines, where)}: set:")
        space = cls(**dict(file), domains=_Reader(base, lines, where).domains(file.space))
        if space.search.sampler == "grid" and space.size is None:
            raise RecipeError(f"{where}: {why_no_grid(space.domains)}; or search.sampler: random")
        return space

    def without(self, keys: Iterable[str]) -> Self:
        """The space with these recipe keys no longer varied, as `--set` wants it. Raises RecipeError for a key in a group."""
        keys = tuple(keys)
        gone = {name for key in keys for name in self.domains if _overlap(name, key)}
        left = {name: domain for name, domain in self.domains.items() if name not in gone}
        grouped = {key: name for name, domain in left.items() if isinstance(domain, Groups) for key in keys_of(name, domain)}
        for key in keys:
            if within := next((name for inner, name in grouped.items() if _overlap(inner, key)), None):
                raise RecipeError(
                    f"--set {key}: the space varies it in the group '{within}'; copy the space and change it there"
                )
        if not left:
            raise RecipeError(f"--set {', '.join(sorted(gone))}: then the space varies nothing; type rankwise train instead")
        return self.model_copy(update={"domains": left})

    def check(self, base: Recipe) -> None:
        """Raises RecipeError where the search asks of every configuration what the base does not give."""
        train, pruner = base.train, self.search.pruner.name
        at_the_end = train.evaluate_every == "end" or (train.evaluate_every == "epoch" and train.epochs <= 1)
        varied = any(_overlap(key, timed) for key in self.keys for timed in ("train.evaluate_every", "train.epochs"))
        if pruner != "none" and at_the_end and not varied:
            raise RecipeError(
                f"{pruner} compares trials while they train, but here each is evaluated only at its end; type "
                "--set train.evaluate_every=10%, or --set search.pruner=none"
            )
        if any(_overlap(key, "rungs") for key in self.keys):
            raise RecipeError("a sweep trains one rung, the same for all, so rungs can't vary; type --set rungs=features")
        sets_rates = any(_overlap(key, "train.rates") for key in self.keys)
        if train.rate_is_idle and "train.learning_rate" in self.keys and not sets_rates:
            raise RecipeError(train.IDLE_RATE)
        if "worst_shift" in self.objectives and (train.select_by != "worst_shift" or "train.select_by" in self.keys):
            raise RecipeError("the objective worst_shift needs --set train.select_by=worst_shift")

    def suited(self, *, has_classes: bool) -> Self:
        """The space for such a task: where numbers are estimated, accuracy alone stands for the root mean squared error.

        Raises RecipeError for an objective that the task does not have.
        """
        if self.objectives == ("accuracy",) and not has_classes:
            return self.model_copy(update={"objectives": ("root_mean_squared_error",)})
        own = (*((*OF_CLASSES, "worst_shift") if has_classes else OF_NUMBERS), *COSTS)
        if strange := next((name for name in self.objectives if name not in own), None):
            there = "has classes" if has_classes else "has numbers to estimate"
            raise RecipeError(f"{strange} is no objective of data that {there}; expected some of {', '.join(own)}")
        return self

    @property
    def keys(self) -> tuple[str, ...]:
        """The recipe keys that it varies."""
        return tuple(dict.fromkeys(key for name, domain in self.domains.items() for key in keys_of(name, domain)))

    @property
    def size(self) -> int | None:
        """How many configurations; None where they can't be listed."""
        size = math.prod(domain.size for domain in self.domains.values())
        return int(size) if size <= MOST_LISTED else None

    @property
    def wanted(self) -> int:
        """How many configurations are to be trained: what the search says, else a whole grid, else some."""
        wanted = self.search.trials or (MOST_LISTED if self.search.sampler == "grid" else TRIALS)
        return wanted if self.size is None else min(wanted, self.size)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """Recipe keys and their values, drawn by an Optuna trial."""
        params: dict[str, Any] = {}
        for name, domain in self.domains.items():
            params |= domain.suggest(trial, name) if isinstance(domain, Groups) else {name: domain.suggest(trial, name)}
        return params

    def listed(self) -> Iterator[dict[str, Scalar]]:
        """Every configuration in the names and labels of Optuna's parameters; the space has a `size`."""
        return listed(self.domains)

    def as_dict(self) -> dict[str, Any]:
        """Plain values that say whether two spaces are the same."""
        return {name: plain(domain) for name, domain in self.domains.items()}


class _Reader:
    """What stands under `space`, held against the base recipe's rules."""

    def __init__(self, base: Recipe, lines: Lines, where: str) -> None:
        self.base, self.lines, self.where = base, lines, where

    def domains(self, space: Mapping[str, Any]) -> dict[str, Domain]:
        """Every part of a space. Raises RecipeError, also where two of them set the same key."""
        domains: dict[str, Domain] = {}
        owners: dict[str, str] = {}
        for name, values in space.items():
            grouped = isinstance(values, list) and any(isinstance(option, dict) for option in values)
            read = self._groups if grouped and not self._is_key(name) else self._part
            domains[name] = read(name, values, ("space", name))
            for key, (other, owner) in itertools.product(keys_of(name, domains[name]), owners.items()):
                if _overlap(key, other):
                    clash = f"{_within(name, key)} is also set by {_within(owner, other)}"
                    raise self._error(("space", name), f"{clash}; name a key once")
            owners.update(dict.fromkeys(keys_of(name, domains[name]), name))
        return domains

    def _groups(self, name: str, groups: list[Any], path: KeyPath) -> Groups:
        options: dict[str, Mapping[str, Values | Range]] = {}
        for index, option in enumerate(groups):
            if not isinstance(option, dict):
                expected = "expected a mapping such as {train.optimizer.name: adam}"
                raise self._error(path, f"{name}: option {index + 1} is {quote(option)}, {expected}")
            inner: dict[str, Values | Range] = {}
            for key, value in option.items():
                several = isinstance(value, list) or (isinstance(value, dict) and "low" in value)
                inner[key] = self._part(key, value if several else [value], (*path, index, key))
            single = [part for part in inner.values() if isinstance(part, Values) and len(part.values) == 1]
            label = ", ".join(str(part.points()[0]) for part in single) or f"option {index + 1}"
            options[label if label not in options else f"{label} ({index + 1})"] = inner
        return Groups(options)

    def _part(self, key: str, values: Any, path: KeyPath) -> Values | Range:
        """What a recipe key may be, by a list of values or a range."""
        if key == "train.seed":
            raise self._error(path, "train.seed: a configuration is trained with several seeds where search.seeds says so")
        if key in DATA_PATHS:
            message = "scores on other data can't be compared; sweep each in a folder of its own, --data"
            raise self._error(path, f"{key}: {message}")
        if not self._is_key(key):
            self._check(key, None, path)
        if isinstance(values, dict):
            return self._range(key, values, path)
        if not isinstance(values, list):
            raise self._error(path, f"{key}: found {values!r}, expected a list of values or a range {{low: …, high: …}}")
        if not values:
            raise self._error(path, f"{key}: an empty list leaves nothing to try")
        for value in values:
            self._check(key, value, path)
        part = Values(tuple(values))
        if len(set(map(json.dumps, part.points()))) < len(values):
            raise self._error(path, f"{key}: {values} names a value twice")
        return part

    def _range(self, key: str, settings: dict[str, Any], path: KeyPath) -> Range:
        if not {"low", "high"} <= set(settings) <= {"low", "high", "log", "step"}:
            raise self._error(path, f"{key}: a range is {{low: 1e-5, high: 1e-2}}, with log: true or step: 0.1 if wanted")
        low, high, log, step = settings["low"], settings["high"], settings.get("log", False), settings.get("step")
        numbers = [low, high, *([step] if step is not None else [])]
        if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
            raise self._error(path, f"{key}: low, high and step are numbers; found {settings}")
        if not isinstance(log, bool):
            raise self._error(path, f"{key}: log is true or false; found {log!r}")
        if not low < high:
            raise self._error(path, f"{key}: low {low} is not below high {high}")
        if log and low <= 0:
            raise self._error(path, f"{key}: low {low} is not above 0, as log: true wants it")
        if step is not None and not 0 < step <= high - low:
            raise self._error(path, f"{key}: step {step} does not fit between low {low} and high {high}")
        if log and step is not None:
            raise self._error(path, f"{key}: log and step don't go together; give a list of values")
        for number in (low, high, *([low + step] if step is not None else [])):
            self._check(key, number, path)
        takes_fractions = not self.base.refusal(key, low + 0.5, self.where)  # as a learning rate does, and a rank does not
        whole = all(isinstance(number, int) for number in numbers) and not takes_fractions
        return Range(low, high, log, step, whole)

    def _is_key(self, name: str) -> bool:
        return "unknown key" not in (self.base.refusal(name, None, self.where) or "")

    def _check(self, key: str, value: Any, path: KeyPath) -> None:
        if problem := self.base.refusal(key, value, line_of(path, self.lines, self.where)):
            raise RecipeError(problem)

    def _error(self, path: KeyPath, message: str) -> RecipeError:
        return RecipeError(f"{line_of(path, self.lines, self.where)}: {message}")


def _explained(error: ValidationError, lines: Lines, where: str) -> Iterator[str]:
    """One line for each wrong setting outside `space`."""
    for problem in error.errors():
        path = problem["loc"]
        at, dotted = line_of(path, lines, where), ".".join(map(str, path))
        if problem["type"] == "extra_forbidden":
            known = known_keys(SpaceFile, path[:-1])
            yield f"{at}: unknown key '{dotted}'{nearest(str(path[-1]), known, below=path[:-1])}"
        elif problem["type"] == "missing":
            yield f"{at}: '{dotted}' is missing; a space names a base recipe and, under space, keys with their values"
        elif problem["type"] == "value_error":
            yield f"{at}: {problem['msg'].removeprefix('Value error, ')}"
        else:
            such = f" such as {EXAMPLES[dotted]}" if dotted in EXAMPLES else ""
            yield f"{at}: {dotted}: found {quote(problem['input'])}, expected {expectation(problem)}{such}"


def _overlap(one: str, other: str) -> bool:
    """Whether setting one key changes the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _within(name: str, key: str) -> str:
    """A key, and the group it is in where the part of the space that has it is one."""
    return f"'{key}'" if name == key else f"'{key}' in the group '{name}'"
