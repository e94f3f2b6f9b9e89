"""A forward pass on numpy's batches: tensors in, arrays out, eval mode while it lasts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from rankwise.system.device import on_cpu


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
