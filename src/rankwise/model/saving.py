"""A classifier → files that the rest of the ecosystem loads: an adapter as peft saves one, or a whole transformers model.

What is saved is held against the plan, from the file's header.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from rankwise.encoders.base import Base
from rankwise.errors import BudgetMismatch, ModelError
from rankwise.model.classifier import ADAPTER_FILE, MODEL_FILE, Classifier
from rankwise.model.load import quiet


def save(classifier: Classifier, folder: Path, *, base: Base) -> None:
    """Write the adapter, or the whole model where none stands apart, and hold the file against the plan.

    The adapter's config names the base by its hub id, or by its folder's name: never by a path of this machine. Ranks that
    were pruned stay in the file as zeros. Raises BudgetMismatch when the file does not hold what was planned.
    """
    if classifier.plan.adapter.is_apart:
        classifier.method.before_saving(classifier.model)
        classifier.model.save_pretrained(folder, save_embedding_layers=False)
        _rewrite_adapter_config(folder / "adapter_config.json", base)
        shutil.copymode(folder / "adapter_config.json", folder / ADAPTER_FILE)  # safetensors ignores the umask: 0600
        (folder / "README.md").unlink(missing_ok=True)  # peft's template card; the run writes its own
    else:
        with quiet():
            classifier.model.save_pretrained(folder)
        _drop_path(folder / "config.json")
        shutil.copymode(folder / "config.json", folder / MODEL_FILE)
    saved, planned = saved_parameters(folder, classifier), classifier.plan.ledger.trainable_parameters
    if saved != planned:
        raise BudgetMismatch(f"planned {planned:,} trained parameters, the saved file has {saved:,}")


def saved_parameters(folder: Path, classifier: Classifier) -> int:
    """Trained parameters in the saved file, counted from its header."""
    name = ADAPTER_FILE if classifier.plan.adapter.is_apart else MODEL_FILE
    trained = {classifier.method.saved_name(parameter) for parameter in classifier.trainable()}
    with safe_open(folder / name, framework="pt") as file:
        names = trained.intersection(file.keys())
        return sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in names)


def merged(classifier: Classifier) -> Any:
    """A transformers model with the adapters in its weights, on the CPU; `classifier` stays as it is.

    Raises ModelError for a method that changes more than weights.
    """
    if classifier.method.unmergeable:
        raise ModelError(classifier.method.unmergeable)
    model = copy.deepcopy(classifier.model).cpu()
    if not classifier.plan.adapter.is_apart:
        return model
    model.base_model.merge_adapter()
    whole = model.get_base_model()
    for name, module in list(whole.named_modules()):  # not merge_and_unload, which fails on IA3 under heads of two layers
        heads = getattr(module, "modules_to_save", None)
        inner = heads["default"] if heads is not None else getattr(module, "base_layer", None)
        if inner is not None:
            parent, _, child = name.rpartition(".")
            setattr(whole.get_submodule(parent), child, inner)
    return whole


def _rewrite_adapter_config(path: Path, base: Base) -> None:
    config = json.loads(path.read_text("utf-8"))
    config["base_model_name_or_path"] = base.hub or Path(base.location).name
    config["revision"] = base.revision
    path.write_text(json.dumps(_sorted_lists(config), indent=2, sort_keys=True) + "\n", "utf-8")


def _drop_path(path: Path) -> None:
    config = json.loads(path.read_text("utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")


def _sorted_lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """peft keeps module names in sets; sorted, the same run writes the same bytes."""
    return {
        key: sorted(set(value)) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value
        for key, value in config.items()
    }
