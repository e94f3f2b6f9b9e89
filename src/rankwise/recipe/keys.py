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


def known_keys(model: type[BaseModel], path: KeyPath = ()) -> set[str]:
    """The keys that a spec may have below `path`, of all members of a union."""
    models = [model]
    for part in path:
        fields = [model.model_fields[str(part)] for model in models if part in model.model_fields]
        models = [below for field in fields for below in _models_in(field.annotation)]
    return {name for model in models for name in model.model_fields}


def key_for(name: str, model: type[BaseModel]) -> str | None:
    """The dotted key that other tools call so, or that ends in this name."""
    return OTHER_TOOLS.get(name) or _keys_by_last_part(model).get(name)


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
