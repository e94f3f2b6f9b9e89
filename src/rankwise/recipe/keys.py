"""The keys that a spec may have, dotted, and the one that somebody may have meant by another name."""

from __future__ import annotations

import types
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from rankwise.errors import nearest
from rankwise.recipe.yaml import KeyPath

OTHER_TOOLS = {  # what other tools call a recipe's key
    "adapter.alpha": ("lora_alpha",),
    "adapter.dropout": ("lora_dropout",),
    "adapter.rank": ("r", "lora_r", "lora_rank"),
    "adapter.targets": ("target_modules", "lora_target"),
    "base": ("model", "model_name", "model_name_or_path", "base_model"),
    "data.label": ("label_column", "target_column"),
    "data.max_length": ("max_seq_length", "max_seq_len", "cutoff_len"),
    "data.source": ("dataset",),
    "data.text": ("text_column",),
    "train.batch_size": ("per_device_train_batch_size",),
    "train.epochs": ("num_epochs", "num_train_epochs"),
    "train.learning_rate": ("lr",),
    "train.optimizer": ("optim",),
    "train.schedule": ("lr_scheduler_type",),
    "train.warmup": ("warmup_ratio", "warmup_steps"),
}


def known_keys(model: type[BaseModel], path: KeyPath = ()) -> set[str]:
    """The keys that a spec may have below `path`, of all members of a union."""
    models = [model]
    for part in path:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [below for field in fields for below in _models_in(field.annotation)]
    return {name for model in models for name in model.model_fields}


def key_for(name: str, model: type[BaseModel]) -> str | None:
    """The dotted key that other tools call so, or that ends in this name."""
    elsewhere = (key for key, names in OTHER_TOOLS.items() if name in names)
    return next(elsewhere, None) or _keys_by_last_part(model).get(name)


def hint_for(path: KeyPath, model: type[BaseModel]) -> str:
    """A hint for a key that there is not: its name with other tools, the same one elsewhere, else one that is spelt so."""
    last = str(path[-1])
    beside = known_keys(model, path[:-1]) - {last}
    if ".".join(map(str, path)) in _all_keys(model):  # a key of another policy is known, but not here
        return nearest(last, beside, below=path[:-1])
    if key := key_for(last, model):
        return f"; did you mean '{key}'?"
    if hint := nearest(last, beside, below=path[:-1]):
        return hint
    anywhere = _keys_by_last_part(model)
    close = get_close_matches(last, anywhere, n=1, cutoff=0.75)
    return f"; did you mean '{anywhere[close[0]]}'?" if close else "; rankwise recipes show auto --full lists all"


@cache
def _keys_by_last_part(model: type[BaseModel]) -> dict[str, str]:
    """The shortest dotted key for every last part."""
    keys: dict[str, str] = {}
    for key in sorted(_all_keys(model), key=len):
        keys.setdefault(key.split(".")[-1], key)
    return keys


@cache
def _all_keys(model: type[BaseModel], path: KeyPath = ()) -> tuple[str, ...]:
    """Every key that a spec may have, dotted, in the alphabet's order."""
    keys: list[str] = []
    for key in known_keys(model, path):
        keys += [".".join(map(str, (*path, key))), *_all_keys(model, (*path, key))]
    return tuple(sorted(keys))


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """The specs among an annotation's members."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [model for part in get_args(annotation) for model in _models_in(part)]
    return []
