"""Training state on disk: trained tensors, optimiser, generator and position, in safetensors and JSON, never pickle.

    checkpoints/step-120/   weights.safetensors  optimizer.safetensors  state.json

A checkpoint is written beside its name and then renamed, so one that has its name is whole. Loading one puts training
where it was, to the bit.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rankwise.errors import RunError
from rankwise.model.classifier import Classifier
from rankwise.system.device import Device
from rankwise.system.files import Stored, read_json, write_json
from rankwise.training.optimizers import Optimizers
from rankwise.training.parts import Parts
from rankwise.training.progress import Progress


@dataclass(frozen=True)
class State(Stored):
    """state.json: whose checkpoint it is, where training stands, and the optimiser's numbers that are no tensors."""

    fingerprint: str
    progress: Progress
    optimizer: list[Any]


class Checkpoints:
    """The checkpoints of one run: the last `keep`, and the best."""

    def __init__(self, folder: Path, *, keep: int, fingerprint: str) -> None:
        self.folder = folder
        self.keep = keep
        self.fingerprint = fingerprint

    def save(self, classifier: Classifier, optimizers: Optimizers, parts: Parts, progress: Progress) -> Path:
        """Write the state after `progress.step` updates, then drop what need not be kept."""
        target = self.folder / f"step-{progress.step}"
        draft = self.folder / f".step-{progress.step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        weights = {name: weight.detach().cpu().contiguous() for name, weight in classifier.trainable().items()}
        save_file(weights, draft / "weights.safetensors")
        tensors, numbers = optimizers.state()
        generators = Device(classifier.device).generator_states()
        save_file({**tensors, **parts.state(), **generators}, draft / "optimizer.safetensors")
        write_json(draft / "state.json", State(self.fingerprint, progress, numbers))
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
        for step in self.steps()[: -self.keep]:
            if not progress.best or step != progress.best.step:
                shutil.rmtree(self.folder / f"step-{step}")
        return target

    def steps(self) -> list[int]:
        """Steps that have a whole checkpoint, rising."""
        return sorted(int(path.name.removeprefix("step-")) for path in self.folder.glob("step-*"))

    def resume(self, classifier: Classifier, optimizers: Optimizers, parts: Parts) -> Progress | None:
        """Put everything back as the newest checkpoint has it; None when there is none. Raises RunError."""
        newest = max(self.steps(), default=None)
        if newest is None:
            return None
        folder = self.folder / f"step-{newest}"
        state = read_json(folder / "state.json", State)
        if state.fingerprint != self.fingerprint:
            raise RunError(
                f"{folder.name} was made by another recipe or other data, or on another base, than given now; resume with "
                "the same ones, or type --overwrite to start again"
            )
        self.load_weights(classifier, newest)
        tensors = _read(folder / "optimizer.safetensors")
        Device(classifier.device).restore_generators(tensors)
        parts.load(tensors)
        optimizers.load(tensors, state.optimizer)
        return state.progress

    def load_weights(self, classifier: Classifier, step: int) -> None:
        """Put the trained tensors back as they were after `step` updates."""
        folder = self.folder / f"step-{step}"
        saved, live = _read(folder / "weights.safetensors"), classifier.trainable()
        if set(saved) != set(live):
            raise RunError(f"{folder.name}: its tensors are not the ones that train now")
        with torch.no_grad():
            for name, weight in live.items():
                weight.copy_(saved[name])


def _read(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, FileNotFoundError) as error:
        raise RunError(f"{path.parent.name}/{path.name} is damaged or missing; type --overwrite to start again") from error
