"""A live classifier: a transformers model with what its plan trains, which gives logits; tensors in, arrays out.

Shapes: B rows, T tokens, H hidden, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from rankwise.errors import ModelError
from rankwise.model.forward import ALL_ON, PRECISIONS, Entering, Forward
from rankwise.model.methods import LiveAdapter, LiveMethod, live_method
from rankwise.model.pooled import PooledClassifier
from rankwise.planning.operations import has_fast_path
from rankwise.planning.plan import Plan
from rankwise.recipe import SpeedSpec
from rankwise.system.device import on_cpu

ADAPTER_FILE = "adapter_model.safetensors"
MODEL_FILE = "model.safetensors"


@dataclass(frozen=True)
class Classifier:
    """A live model that gives logits (B, C), and the plan it was made from."""

    model: Any
    """A PeftModel where an adapter stands beside the encoder, else the plain transformers model or what skeleton.py makes."""
    plan: Plan
    classes: tuple[str, ...]

    @property
    def method(self) -> LiveMethod:
        return live_method(self.plan)

    def to(self, device: torch.device) -> Classifier:
        """The same classifier, its model moved to `device`."""
        self.model.to(device)
        return self

    def trainable(self) -> dict[str, nn.Parameter]:
        """Trained parameters by name, in the model's order."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def logits(
        self,
        inputs: Mapping[str, torch.Tensor],
        *,
        precision: str = "fp32",
        speed: SpeedSpec = ALL_ON,
        entering: Entering | None = None,
    ) -> torch.Tensor:
        """Logits (B, C) in fp32 of padded inputs (B, T), on the fast path where the family has one.

        `entering` are hidden states of layers that have run before. Products are made in `precision`: fp32, bf16 or fp16.
        """
        if self.forward is not None:
            return self.forward.logits(inputs, precision=precision, speed=speed, entering=entering)
        assert entering is None, f"{self.plan.encoder.family} has no forward pass in parts"
        dtype = PRECISIONS[precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            return torch.as_tensor(self.model(**inputs).logits.float())

    def encoder_modules(self) -> Iterator[tuple[str, nn.Module]]:
        """(path in the transformers model, module) of everything in the encoder but what its method has added."""
        root, marker = f"{self.plan.encoder.root}.", self.method.marker
        for name, module in self.model.named_modules():
            path = base_name(name)
            if f"{path}.".startswith(root) and not (marker and marker in path):
                yield path, module

    @property
    def wrapper(self) -> Any:
        """peft's wrapper, where an adapter stands beside the encoder."""
        return wrapper_of(self.model)

    @property
    def transformers_model(self) -> Any:
        """The model without peft's wrapper around it; adapters stand in its linear layers."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def saved_name(self, name: str) -> str:
        """A live parameter's name → its name in the saved file, where a pooled head has a file of its own."""
        encoder, saved = self.plan.encoder, self.method.saved_name(name)
        if not encoder.pools or saved.startswith("base_model."):
            return saved
        return f"{'base_model.model.' * self.plan.adapter.is_apart}{saved.removeprefix(f'{encoder.root}.')}"

    @property
    def last_projection(self) -> Any:
        """The head's live projection to classes, an nn.Linear."""
        path = self.plan.encoder.head[-1].path
        if self.plan.encoder.pools or not self.plan.adapter.is_apart:
            return self.model.get_submodule(path)
        top, _, rest = path.partition(".")
        saved = self.model.get_base_model().get_submodule(top).modules_to_save["default"]
        return saved.get_submodule(rest) if rest else saved

    @cached_property
    def forward(self) -> Forward | None:
        """The forward pass in parts; None where the family's layers are built otherwise, or get keys from a prefix."""
        if not has_fast_path(self.plan):
            return None
        return Forward(
            self.transformers_model, self.plan.encoder, self.method if isinstance(self.method, LiveAdapter) else None
        )

    @property
    def device(self) -> torch.device:
        device: torch.device = next(iter(self.model.parameters())).device
        return device


def quiet_dropout(classifier: Classifier, *, below: int | None = None) -> int:
    """Turn the encoder's own dropout off (adapters and head keep theirs); returns how many modules changed.

    With `below`, only in the embeddings and in the layers below that one.
    """
    encoder = classifier.plan.encoder
    spared = () if below is None else tuple(f"{path}." for path in encoder.layer_paths[below:])
    changed = 0
    for path, module in classifier.encoder_modules():
        if f"{path}.".startswith(spared):
            continue
        if isinstance(module, nn.Dropout) and module.p > 0:
            module.p = 0.0
            changed += 1
        if isinstance(getattr(module, "attention_dropout", None), float):  # of attention without a Dropout module
            setattr(module, "attention_dropout", 0.0)  # noqa: B010 - mypy takes a module's attributes for tensors
    return changed


def wrapper_of(model: Any) -> Any:
    """peft's wrapper in a live model: the model itself, or what holds the encoder of a pooled one."""
    return model.adapter[0] if isinstance(model, PooledClassifier) else model


def base_name(name: str) -> str:
    """A live module's or parameter's name → its name in the transformers model, which a prefix wraps once, others twice."""
    return name.removeprefix("base_model.model.").removeprefix("base_model.")


def copy_misaligned(tensors: Iterable[torch.Tensor]) -> None:
    """Move tensors that don't begin at a multiple of their element's size into memory of their own; others stay in place.

    A safetensors header may have any length, and its tensors stay in the file's mapped pages, where torch on arm64 crashes on
    misaligned weights or computes NaN (pytorch issue 191238). Copying all would change bits: sums go by where numbers lie.
    """
    for tensor in tensors:
        if tensor.data_ptr() % tensor.element_size():
            tensor.data = tensor.data.clone()


@torch.no_grad()
def check_finite(tensors: Iterable[tuple[str, torch.Tensor]], where: str) -> None:
    """Raises ModelError naming the first tensor that holds NaN or infinity, and `where` it is from."""
    for name, tensor in tensors:
        if tensor.is_floating_point() and not math.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
            raise ModelError(
                f"{where}: {name} holds numbers that are not finite (NaN or infinity), so every answer would be NaN; "
                "copy it again, or take another"
            )


def to_tensors(batch: Mapping[str, NDArray[np.int64]], device: torch.device | None = None) -> dict[str, torch.Tensor]:
    """A batch's arrays as tensors on a device, or where the arrays are."""
    tensors = {name: torch.from_numpy(values) for name, values in batch.items()}
    return tensors if device is None else {name: tensor.to(device) for name, tensor in tensors.items()}


def to_array(tensor: torch.Tensor) -> ArrayLike:
    """A tensor as an array; one on a device is fetched when it is read, so that the device can go on meanwhile."""
    return tensor.numpy() if on_cpu(tensor) else _OnDevice(tensor)


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """No dropout and no gradients inside; the mode that the model was in is put back, whatever happens."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


@dataclass(frozen=True)
class _OnDevice:
    tensor: torch.Tensor

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        del copy  # fetching is one
        return np.asarray(self.tensor.cpu().numpy(), dtype)
