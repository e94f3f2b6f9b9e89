"""What one part of a space can be: some values of a recipe key, a range of numbers, or groups of several keys.

Each draws its own value with an Optuna trial; those without a continuous range can be counted and listed. Where groups are,
Optuna's name of a key has the group's label with it, for its ranges may differ from group to group.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_LISTED = 100_000  # configurations that are enumerated; a grid has no more
Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Values:
    """One of some values of a recipe key."""

    values: tuple[Any, ...]

    @property
    def labels(self) -> list[Scalar]:
        """What stands for each value in Optuna: the value itself, or its JSON where that is a list or a mapping."""
        return [value if isinstance(value, Scalar) else json.dumps(value) for value in self.values]

    def points(self) -> list[Scalar]:
        return self.labels

    def suggest(self, trial: Any, name: str) -> Any:
        if len(self.values) == 1:
            return self.values[0]
        return self.values[self.labels.index(trial.suggest_categorical(name, self.labels))]


@dataclass(frozen=True)
class Range:
    """A number between two, both included."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def points(self) -> list[Scalar] | None:
        """All its numbers; None where they can't be listed, or are too many."""
        step = self.step or (1 if self.whole and not self.log else None)
        if step is None or (self.high - self.low) / step >= MOST_LISTED:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        return [self._stepped(self.low + index * step) for index in range(count)]

    def suggest(self, trial: Any, name: str) -> float:
        if self.whole:
            return int(trial.suggest_int(name, int(self.low), int(self.high), log=self.log, step=int(self.step or 1)))
        value = float(trial.suggest_float(name, self.low, self.high, log=self.log, step=self.step))
        return value if self.step is None else self._stepped(value)

    def _stepped(self, value: float) -> float:
        """0.3 where adding steps of 0.1 made 0.30000000000000004: drawn or listed, it is one configuration."""
        return int(value) if self.whole else round(float(value), 12)


@dataclass(frozen=True)
class Groups:
    """One of some groups, each with values or ranges of several keys."""

    options: Mapping[str, Mapping[str, Values | Range]]
    """The keys of every group, by its label, such as `adam`."""

    def suggest(self, trial: Any, name: str) -> dict[str, Any]:
        label = trial.suggest_categorical(name, list(self.options))
        return {key: domain.suggest(trial, inner_name(key, label)) for key, domain in self.options[label].items()}


Domain = Values | Range | Groups


def inner_name(key: str, label: str) -> str:
    """What Optuna calls a key within a group: its ranges may differ from group to group."""
    return f"{key} ({label})"


def is_drawn_as(name: str, key: str) -> bool:
    """Whether Optuna's parameter of that name is a recipe key, in a group or on its own."""
    return name == key or name.startswith(f"{key} (")


def keys_of(name: str, domain: Domain) -> list[str]:
    """The recipe keys that a part of a space varies."""
    return list(dict.fromkeys(key for key, _ in _varied(name, domain)))


def _varied(name: str, domain: Domain) -> list[tuple[str, Values | Range]]:
    """Every recipe key that a part of a space varies with its values; a key of several groups comes several times."""
    if isinstance(domain, Groups):
        return [pair for option in domain.options.values() for pair in option.items()]
    return [(name, domain)]


def size_of(domains: Mapping[str, Domain]) -> int | None:
    """How many configurations there are; None where a range has no end of them, or too many to list."""
    total = 1
    for domain in domains.values():
        if isinstance(domain, Groups):
            sizes = [size_of(option) for option in domain.options.values()]
            size = None if None in sizes else sum(filter(None, sizes))
        else:
            points = domain.points()
            size = None if points is None else len(points)
        if size is None or total * size > MOST_LISTED:
            return None
        total *= size
    return total


def listed(domains: Mapping[str, Domain]) -> Iterator[dict[str, Scalar]]:
    """Every configuration in the names and labels of Optuna's parameters; the domains have a size."""
    axes = [_axis(name, domain) for name, domain in domains.items()]
    for combination in itertools.product(*axes):
        yield {name: value for part in combination for name, value in part.items()}


def why_no_grid(domains: Mapping[str, Domain]) -> str:
    """What keeps domains without a size from having one, and what to write instead."""
    for key, part in (pair for name, domain in domains.items() for pair in _varied(name, domain)):
        if isinstance(part, Range) and part.points() is None and part.step is None:
            return f"a grid needs values, and '{key}' is a range; give a list, or a step"
    return f"this grid has over {MOST_LISTED:,} configurations; give fewer values"


def plain(domain: Domain) -> Any:
    """Plain values that say whether two domains are the same."""
    if isinstance(domain, Groups):
        return {label: {key: plain(part) for key, part in option.items()} for label, option in domain.options.items()}
    return list(domain.values) if isinstance(domain, Values) else vars(domain)


def _axis(name: str, domain: Domain) -> list[dict[str, Scalar]]:
    """What one part of a space can be, in Optuna's names and labels."""
    if not isinstance(domain, Groups):
        points = domain.points()
        assert points is not None, "listed() is asked of a space that has a size"
        return [{name: point} if len(points) > 1 else {} for point in points]
    axis: list[dict[str, Scalar]] = []
    for label, option in domain.options.items():
        inner = {inner_name(key, label): part for key, part in option.items()}
        axis += [{name: label, **labels} for labels in listed(inner)]
    return axis
