"""A saved classifier as the modules that the fast path reads, from the family's facts and the files alone: no transformers.

Every tensor's name and shape is known (encoders/), so a tree of plain linear layers, norms and embeddings with the same paths
holds the weights, with low-rank adapters already in them. It gives the logits of the classifier that transformers and peft
load, to the bit, and can't train. Shapes: B rows, T tokens, C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from rankwise.encoders.base import Base
from rankwise.encoders.encoder import Encoder, Part
from rankwise.model.classifier import ADAPTER_FILE, MODEL_FILE, Classifier, check_finite, copy_misaligned
from rankwise.model.methods import LiveAdapter, LowRankUpdate, SavedLowRank, live_method
from rankwise.model.pooled import read_head
from rankwise.planning.plan import Plan

ACTIVATIONS: dict[str, type[nn.Module]] = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU}
PEFT_COPIES = (".original_module.", ".modules_to_save.")  # in names of a head's biases that peft saves twice with `bias: all`
ACTIVATION, NORM_EPSILON = "gelu", 1e-12  # transformers' where a config has none


@dataclass(frozen=True)
class SavedParts:
    """What a run's folder holds beside the encoder that it was trained from."""

    updates: dict[str, LowRankUpdate]
    """By the linear layer's name."""
    others: dict[str, Tensor]
    """The head, and what else was trained, by the classification model's names."""


def read_folded(folder: Path, base: Base, plan: Plan, classes: tuple[str, ...]) -> Classifier | None:
    """The classifier saved in a run's folder, which can't train; None where transformers and peft must load it.

    That is so for families without a fast path, adapters that are more than a low-rank update, encoders in 4 bits, weights
    that are not in one safetensors file, activations that are not torch's own, and for files that do not hold what was
    planned, of which loading them says what is wrong. Raises ModelError for a tensor that is not finite.
    """
    tree = tree_of(plan.encoder)
    weights = None if tree is None else read_body(base, plan, folder)
    parts = None if weights is None else read_parts(folder, plan)
    if tree is None or weights is None or parts is None:
        return None
    weights |= parts.others
    for name, update in parts.updates.items():
        weights[f"{name}.weight"] = torch.addmm(weights[f"{name}.weight"], update.b, update.a, alpha=update.scale)
    names = plan.encoder.tensors()
    if not _holds(weights, names):
        return None
    tree.load_state_dict({name: weights[name] for name in names}, assign=True)
    classifier = Classifier(tree.requires_grad_(False).eval(), plan, classes)
    assert classifier.forward is not None
    classifier.forward.freeze()
    return classifier


def read_body(base: Base, plan: Plan, folder: Path) -> dict[str, Tensor] | None:
    """The encoder's tensors by the classification model's names, in the file's mapped pages; None as `read_folded` has it.

    `folder` is the run's, which its whole model lies in. Raises ModelError for a tensor that is not finite: that is looked at
    in pages that are given back, for of a vocabulary most is never read again.
    """
    source = Path(base.location) / MODEL_FILE
    if plan.encoder.traits.fast_path is None or plan.adapter.quantize != "none" or not source.is_file():
        return None
    body = {name: shape for part in plan.encoder.body for name, shape in part.tensors}
    weights, looked_at = _model_in(source, plan.encoder), _model_in(source, plan.encoder)
    if not _holds(weights, body):
        return None
    check_finite(((name, looked_at[name]) for name in body), base.name if plan.adapter.is_apart else folder.name)
    return {name: weights[name] for name in body}


def read_parts(folder: Path, plan: Plan) -> SavedParts | None:
    """What a run's folder holds beside the encoder; None as `read_folded` has it.

    Raises ModelError for a tensor that is not finite.
    """
    encoder, method = plan.encoder, live_method(plan)
    adapter = method if isinstance(method, SavedLowRank) and method.merges_exactly else None
    if adapter is None and isinstance(method, LiveAdapter):
        return None
    updates: dict[str, LowRankUpdate] = {}
    if adapter is not None:
        saved = _adapter_in(folder, encoder)
        own = {_plain(name) for name in saved if not any(copy in name for copy in PEFT_COPIES)}
        if own != _expected(adapter, plan):
            return None
        check_finite(saved.items(), folder.name)
        updates = {site.name: adapter.saved(saved, plan, site) for site in plan.sites}
        its_own = adapter.saved_names(plan)
        others = {_plain(name): tensor for name, tensor in saved.items() if name not in its_own}
    else:
        stored = {} if encoder.pools else _model_in(folder / MODEL_FILE, encoder)
        parts = (*encoder.pooler, *encoder.head)
        others = {name: stored[name] for part in parts for name, _ in part.tensors if name in stored}
    if encoder.pools:
        others |= read_head(folder)
    heads = {name: shape for part in encoder.head for name, shape in part.tensors}
    if not _holds(others, heads):
        return None
    check_finite(((name, others[name]) for name in heads), folder.name)
    return SavedParts(updates, others)


def _holds(weights: Mapping[str, Tensor], names: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether all of these tensors are there, in their shapes."""
    return all(name in weights and weights[name].shape == shape for name, shape in names.items())


def _plain(name: str) -> str:
    """The name of a saved adapter's tensor as the classification model has it."""
    return name.removeprefix("base_model.model.").replace(".base_layer.", ".")


def _expected(adapter: SavedLowRank, plan: Plan) -> set[str]:
    """What a saved adapter holds, under the classification model's names: adapters, biases and a head that is not apart."""
    heads = () if plan.encoder.pools else (name for part in plan.encoder.head for name, _ in part.tensors)
    biases = (entry.item for entry in plan.ledger.entries if entry.section == "bias")
    return {*map(_plain, adapter.saved_names(plan)), *heads, *biases}


def _adapter_in(folder: Path, encoder: Encoder) -> dict[str, Tensor]:
    """A saved adapter's tensors by the classification model's names, which lack the encoder's where the head stands apart."""
    saved, top = _read(folder / ADAPTER_FILE, copy=True), "base_model.model."
    return {name.replace(top, f"{top}{encoder.root}.", 1): saved[name] for name in saved} if encoder.pools else saved


def tree_of(encoder: Encoder) -> nn.Module | None:
    """The modules without weights, under transformers' paths; None where there is no fast path, or an unknown activation."""
    fast_path = encoder.traits.fast_path
    if fast_path is None:
        return None
    activation = ACTIVATIONS.get(encoder.config.get(fast_path.activation_key, ACTIVATION))
    if activation is None:
        return None
    activations = {f"{layer}.{fast_path.activation}": activation() for layer in encoder.layer_paths}
    return _tree((*encoder.body, *encoder.head), encoder, activations)


def head_of(encoder: Encoder) -> nn.Module | None:
    """What stands above the layers alone, as `tree_of` has it."""
    return None if encoder.traits.fast_path is None else _tree((*encoder.pooler, *encoder.head), encoder, {})


def _tree(parts: Sequence[Part], encoder: Encoder, activations: Mapping[str, nn.Module]) -> nn.Module:
    """These parts and activations under their paths, and what a head has beside its tensors."""
    tree, fast_path = nn.Module(), encoder.traits.fast_path
    for part in parts:
        _put(tree, part.path, _module(part, encoder))
    for path, activation in activations.items():
        _put(tree, path, activation)
    assert fast_path is not None
    if fast_path.head_activation is not None:
        path, name = fast_path.head_activation
        _put(tree, path, ACTIVATIONS[name]())
    for module in list(tree.modules()):
        if type(module) is nn.Module and "0" not in module._modules:  # what holds other modules and is no list of layers
            module.add_module("dropout", nn.Dropout(0.0))
    return tree


def _module(part: Part, encoder: Encoder) -> nn.Module:
    """A linear layer, a norm or an embedding, on the meta device until its weights come."""
    shapes = {name.removeprefix(f"{part.path}."): shape for name, shape in part.tensors}
    shape = shapes["weight"]
    with torch.device("meta"):
        if len(shape) == 1:
            return nn.LayerNorm(shape[0], eps=encoder.config.get("layer_norm_eps", NORM_EPSILON))
        if "bias" in shapes:
            return nn.Linear(shape[1], shape[0])
        first = encoder.traits.first_position  # positions count on from the padding's number, where it is not 0
        padding = encoder.config.get("pad_token_id", first - 1) if 0 < first < shape[0] else None
        embedding: Any = nn.Embedding
        made: nn.Module = embedding.from_pretrained(torch.empty(shape), padding_idx=padding)
        return made  # its usual start would import half of torch


def _model_in(path: Path, encoder: Encoder) -> dict[str, Tensor]:
    """A whole model's tensors by the classification model's names, which lack the encoder's where it has no head."""
    stored = _read(path, copy=False)
    return {f"{encoder.root}.{name}": tensor for name, tensor in stored.items()} | stored


def _put(tree: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module under its path, with empty modules on the way where there is nothing yet."""
    *above, name = path.split(".")
    for step in above:
        if not hasattr(tree, step):
            tree.add_module(step, nn.Module())
        tree = getattr(tree, step)
    tree.add_module(name, module)


def _read(path: Path, *, copy: bool) -> dict[str, Tensor]:
    """A file's tensors in fp32, in its mapped pages or copied out of them.

    Where numbers lie decides in which order a matmul sums them, so each lies where transformers and peft have it: a model's
    tensors in its file's pages, an adapter's in memory of their own.
    """
    tensors = load_file(path)
    copy_misaligned(tensors.values())
    return {name: tensor.to(torch.float32, copy=copy) for name, tensor in tensors.items()}
