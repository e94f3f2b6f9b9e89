"""Training state on disk: trained tensors, optimiser, generator and position, in safetensors and JSON, never pickle.

    checkpoints/step-120/   weights.safetensors  optimizer.safetensors  state.json

A checkpoint is written beside its name and then renamed, so one that has its name is whole. Loading one puts training
where it was, to the bit.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rankwise.errors import RunError
from rankwise.model.classifier import Classifier
from rankwise.system.device import DEVICE_GENERATOR, GENERATOR, Device


@dataclass
class Progress:
    """Where training stands."""

    step: int = 0
    """Updates made."""
    epoch: int = 0
    batch: int = 0
    """Updates made within the epoch."""
    fraction: float = 0.0
    """How much of the schedule is behind."""
    plateau_factor: float = 1.0
    stale: int = 0
    """Evaluations since the best."""
    best: dict[str, Any] = field(default_factory=dict)
    """The best evaluation so far, with its step."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Every evaluation so far."""
    training_seconds: float = 0.0


class Part(Protocol):
    """What else training remembers: tensors that put it back where it was, once the weights are back."""

    def state(self) -> dict[str, torch.Tensor]: ...

    def load(self, state: Mapping[str, torch.Tensor], /) -> None: ...


NO_PARTS: Mapping[str, Part] = MappingProxyType({})


class Checkpoints:
    """The checkpoints of one run: the last `keep`, and the best."""

    def __init__(self, folder: Path, *, keep: int, fingerprint: str) -> None:
        self.folder = folder
        self.keep = keep
        self.fingerprint = fingerprint

    def save(
        self,
        classifier: Classifier,
        optimizers: Sequence[torch.optim.Optimizer],
        progress: Progress,
        *,
        parts: Mapping[str, Part] = NO_PARTS,
    ) -> Path:
        """Write the state after `progress.step` updates, that of `parts` by name too, then drop what need not be kept."""
        target = self.folder / f"step-{progress.step}"
        draft = self.folder / f".step-{progress.step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        save_file(_weights(classifier), draft / "weights.safetensors")
        tensors, numbers = _optimizer_state(optimizers)
        for name, part in parts.items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in part.state().items()}
        save_file({**tensors, **Device(classifier.device).generator_states()}, draft / "optimizer.safetensors")
        state = {"fingerprint": self.fingerprint, "progress": asdict(progress), "optimizer": numbers}
        (draft / "state.json").write_text(json.dumps(state, indent=1), "utf-8")
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        self._drop(keep_step=progress.best.get("step"))
        return target

    def steps(self) -> list[int]:
        """Steps that have a whole checkpoint, rising."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def resume(
        self, classifier: Classifier, optimizers: Sequence[torch.optim.Optimizer], *, parts: Mapping[str, Part] = NO_PARTS
    ) -> Progress | None:
        """Put everything back as the newest checkpoint has it; None when there is none. Raises RunError."""
        if not self.steps():
            return None
        folder = self.folder / f"step-{self.steps()[-1]}"
        state = json.loads((folder / "state.json").read_text("utf-8"))
        if state["fingerprint"] != self.fingerprint:
            raise RunError(
                f"{folder.name} was made by another recipe or other data than the ones given now; resume with the same "
                "ones, or type --overwrite to start again"
            )
        _load_weights(classifier, folder / "weights.safetensors")
        tensors = _read(folder / "optimizer.safetensors")
        generators = {name: tensors.pop(name) for name in (GENERATOR, DEVICE_GENERATOR) if name in tensors}
        Device(classifier.device).restore_generators(generators)
        for name, part in parts.items():
            keys = [key for key in tensors if key.startswith(f"{name}.")]
            part.load({key.removeprefix(f"{name}."): tensors.pop(key) for key in keys})
        _load_optimizer_state(optimizers, tensors, state["optimizer"])
        return Progress(**state["progress"])

    def load_weights(self, classifier: Classifier, step: int) -> None:
        """Put the trained tensors back as they were after `step` updates."""
        _load_weights(classifier, self.folder / f"step-{step}" / "weights.safetensors")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _drop(self, *, keep_step: int | None) -> None:
        for step in self.steps()[: -self.keep]:
            if step != keep_step:
                shutil.rmtree(self.folder / f"step-{step}")


def _weights(classifier: Classifier) -> dict[str, torch.Tensor]:
    return {name: weight.detach().cpu().contiguous() for name, weight in classifier.trainable().items()}


def _load_weights(classifier: Classifier, path: Path) -> None:
    saved = _read(path)
    live = classifier.trainable()
    if set(saved) != set(live):
        raise RunError(f"{path.parent.name}: its tensors are not the ones that train now")
    with torch.no_grad():
        for name, weight in live.items():
            weight.copy_(saved[name])


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise RunError(f"{path.parent.name}/{path.name} is damaged or missing; type --overwrite to start again") from error


def _optimizer_state(optimizers: Sequence[torch.optim.Optimizer]) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Tensors under `optimizer.parameter.key`, and the numbers that are no tensors."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: list[Any] = []
    for place, optimizer in enumerate(optimizers):
        plain: dict[str, dict[str, Any]] = {}
        for index, values in optimizer.state_dict()["state"].items():
            for key, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{place}.{index}.{key}"] = value.detach().cpu().contiguous().clone()
                elif value is not None:
                    plain.setdefault(str(index), {})[key] = value
        numbers.append(plain)
    return tensors, numbers


def _load_optimizer_state(
    optimizers: Sequence[torch.optim.Optimizer], tensors: dict[str, torch.Tensor], numbers: list[Any]
) -> None:
    for place, optimizer in enumerate(optimizers):
        state: dict[int, dict[str, Any]] = {int(index): dict(values) for index, values in numbers[place].items()}
        for name, tensor in tensors.items():
            owner, index, key = name.split(".", 2)
            if int(owner) == place:
                state.setdefault(int(index), {})[key] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
