"""The settings that recipes differ in, and names of them that tell recipes of one name apart."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from importlib import resources
from typing import Any

from rankwise.recipe import Recipe

# What makes no system: it changes nothing that a run predicts, is the seed, or goes with the data, whose digest is compared.
NO_SETTING = frozenset((resources.files("rankwise") / "recipe/no_setting.txt").read_text("utf-8").split())
ABSENT = "-"  # where a recipe has no such key, as the rank of a full fine-tune
MOST_NAMED = 3  # settings in a name, unless more are needed to tell all apart


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """What a recipe computes with, by dotted key."""
    return {key: value for key, value in flat(recipe.to_dict()).items() if not is_under(key, NO_SETTING)}


def flat(tree: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The values of a nested mapping by their dotted keys."""
    values: dict[str, Any] = {}
    for key, value in tree.items():
        values |= flat(value, f"{path}{key}.") if isinstance(value, Mapping) and value else {f"{path}{key}": value}
    return values


def is_under(key: str, sections: Set[str]) -> bool:
    """Whether a dotted key is one of the sections or lies in one."""
    return any(f"{key}.".startswith(f"{section}.") for section in sections)


def differences(settings: Sequence[Mapping[str, Any]], digits: int = 12) -> list[dict[str, str]]:
    """The keys in which recipes are not all alike: one mapping per recipe, with its values as one types them, else ABSENT."""
    written = [{key: typed(value, digits) for key, value in own.items()} for own in settings]
    keys = dict.fromkeys(key for own in written for key in own)
    unlike = [key for key in keys if len({own.get(key) for own in written}) > 1]
    return [{key: own.get(key, ABSENT) for key in unlike} for own in written]


def names(plain: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The names of systems; one that several have is followed by settings that tell them apart, such as `rank=4`."""
    unique = list(plain)
    for name in set(plain):
        alike = [index for index, other in enumerate(plain) if other == name]
        if len(alike) > 1:
            for index, label in zip(alike, _labels([settings[index] for index in alike]), strict=True):
                unique[index] = f"{name} {label}"
    return unique


def typed(value: Any, digits: int = 12) -> str:
    """A setting as one would type it after --set, a number in as many `digits`; those of a list keep theirs."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(typed, value))}]"
    return value if isinstance(value, str) else json.dumps(value)


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """As much of a dotted key's end as tells it from the others; `optimizer` for `train.optimizer.name`."""
    ends = {key: key.removesuffix(".name").split(".") for key in keys}
    short: dict[str, str] = {}
    for words in range(1, 1 + max(map(len, ends.values()), default=0)):
        named = {key: ".".join(parts[-words:]) for key, parts in ends.items()}
        alike = Counter(named.values())
        short = {key: short.get(key) or name for key, name in named.items() if key in short or alike[name] == 1}
    return {key: short.get(key, key) for key in ends}


def _labels(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Labels of as few settings and digits as tell all apart, MOST_NAMED at least where there are as many; else numbers."""
    for digits in (4, 12):
        unlike = differences(settings, digits)
        short = short_keys(unlike[0])
        for count in range(MOST_NAMED, 1 + max(MOST_NAMED, len(unlike[0]))):
            shown = [[(key, value) for key, value in list(own.items())[:count] if value != ABSENT] for own in unlike]
            labels = [" ".join(f"{short[key]}={value}" for key, value in own) for own in shown]
            if len(set(labels)) == len(labels):
                return labels
    return [str(number) for number in range(1, 1 + len(settings))]
