"""What one part of a space can be: some values of a recipe key, a range of numbers, or groups of several keys.

Each draws its own value with an Optuna trial; those without a continuous range can be counted and listed.
"""

import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_LISTED = 100_000  # configurations that are enumerated; a grid has no more
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Values:
    """One of some values of a recipe key."""

    values: tuple[Any, ...]

    @property
    def size(self) -> float:
        return len(self.values)

    def points(self) -> list[Scalar]:
        """What stands for each value in Optuna: the value itself, or its JSON where that is a list or a mapping."""
        return [value if isinstance(value, Scalar) else json.dumps(value) for value in self.values]

    def suggest(self, trial: Any, name: str) -> Any:
        if len(self.values) == 1:
            return self.values[0]
        return self.values[self.points().index(trial.suggest_categorical(name, self.points()))]


@dataclass(frozen=True)
class Range:
    """A number between two, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def size(self) -> float:
        """How many numbers it has: infinitely many where they don't stand at equal steps."""
        return math.floor((self.high - self.low) / self._spacing + 1e-9) + 1 if self._spacing else math.inf

    def points(self) -> list[Scalar]:
        return [self._stepped(self.low + index * (self._spacing or 0)) for index in range(int(self.size))]

    def suggest(self, trial: Any, name: str) -> float:
        if self.whole:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log, step=int(self.step or 1)))
        value = float(trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step))
        return value if self.step is None else self._stepped(value)

    @property
    def _spacing(self) -> float | None:
        return self.step or (1 if self.whole and not self.log else None)

    def _stepped(self, value: float) -> float:
        """0.3 where adding steps of 0.1 made 0.30000000000000004: drawn or listed, it is one configuration."""
        return int(value) if self.whole else round(float(value), 12)


@dataclass(frozen=True)
class Groups:
    """One of some groups, each with values or ranges of several keys."""

    options: Mapping[str, Mapping[str, Values | Range]]
    """The keys of every group, by its label, such as `adam`."""

    @property
    def size(self) -> float:
        return sum(math.prod(part.size for part in option.values()) for option in self.options.values())

    def suggest(self, trial: Any, name: str) -> dict[str, Any]:
        label = trial.suggest_categorical(name, list(self.options))
        return {key: part.suggest(trial, inner_name(key, label)) for key, part in self.options[label].items()}


Domain = Values | Range | Groups


def inner_name(key: str, label: str) -> str:
    """What Optuna calls a key within a group: its ranges may differ from group to group."""
    return f"{key} ({label})"


def is_drawn_as(name: str, key: str) -> bool:
    """Whether Optuna's parameter of that name is a recipe key, in a group or on its own."""
    return name == key or name.startswith(f"{key} (")


def keys_of(name: str, domain: Domain) -> list[str]:
    """The recipe keys that a part of a space varies."""
    return list(dict.fromkeys(key for option in _options(name, domain) for key in option))


def listed(domains: Mapping[str, Domain]) -> Iterator[dict[str, Scalar]]:
    """Every configuration in the names and labels of Optuna's parameters; the domains have a size."""
    for combination in itertools.product(*(_axis(name, domain) for name, domain in domains.items())):
        yield {name: value for part in combination for name, value in part.items()}


def why_no_grid(domains: Mapping[str, Domain]) -> str:
    """What keeps domains without a size from having one, and what to write instead."""
    parts = (item for name, domain in domains.items() for option in _options(name, domain) for item in option.items())
    for key, part in parts:
        if isinstance(part, Range) and part.size > MOST_LISTED and part.step is None:
            return f"a grid needs values, and '{key}' is a range; give a list, or a step"
    return f"this grid has over {MOST_LISTED:,} configurations; give fewer values"


def plain(domain: Domain) -> Any:
    """Plain values that say whether two domains are the same."""
    if isinstance(domain, Groups):
        return {label: {key: plain(part) for key, part in option.items()} for label, option in domain.options.items()}
    return list(domain.values) if isinstance(domain, Values) else vars(domain)


def _options(name: str, domain: Domain) -> Iterable[Mapping[str, Values | Range]]:
    """The recipe keys that are varied together, and their parts: those of each group, or the one key."""
    return domain.options.values() if isinstance(domain, Groups) else [{name: domain}]


def _axis(name: str, domain: Domain) -> list[dict[str, Scalar]]:
    """What one part of a space can be, in Optuna's names and labels."""
    if not isinstance(domain, Groups):
        return [{name: point} if domain.size > 1 else {} for point in domain.points()]
    return [
        {name: label, **labels}
        for label, option in domain.options.items()
        for labels in listed({inner_name(key, label): part for key, part in option.items()})
    ]
