"""Training state on disk: trained tensors, optimiser, generator and position, in safetensors and JSON, never pickle.

    checkpoints/step-120/   weights.safetensors  optimizer.safetensors  state.json  sha256.json

A checkpoint is a sealed folder, so one that has its name was whole, and damage since then is noticed: training then goes on
from the one before, or starts again. Loading one puts training where it was, to the bit.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from rankwise.errors import RunError, StorageError
from rankwise.model.classifier import Classifier
from rankwise.system.device import Device
from rankwise.system.events import Events
from rankwise.system.files import Stored, json_bytes, read_json
from rankwise.system.sealed import damage, sealed_folder
from rankwise.training.events import CheckpointDamaged
from rankwise.training.optimizers import Optimizers
from rankwise.training.parts import Parts
from rankwise.training.progress import Progress


@dataclass(frozen=True)
class State(Stored):
    """state.json: whose checkpoint it is, where training stands, and the optimiser's numbers that are no tensors."""

    fingerprint: str
    progress: Progress
    optimizer: list[Any]


@dataclass(frozen=True)
class Newest:
    """Where training goes on from."""

    step: int | None
    """Of the newest whole checkpoint; None where there is none."""
    state: State | None
    """What it holds of that."""
    damaged: Mapping[str, str]
    """Newer checkpoints, and what is wrong with each."""

    @property
    def recomputes(self) -> bool | None:
        """Whether frozen layers ran for every update; None where nothing says."""
        return None if self.state is None else self.state.progress.recomputes


FALLBACKS = 2  # checkpoints at least: from the earlier one training goes on where the newest is damaged
NO_EVENTS = Events()  # heard by nobody


class Checkpoints:
    """The checkpoints of one run: the last `keep`, at least two, and of each the best one so far."""

    def __init__(self, folder: Path, *, keep: int, fingerprint: str) -> None:
        self.folder = folder
        self.keep = keep
        self.fingerprint = fingerprint

    def save(self, classifier: Classifier, optimizers: Optimizers, parts: Parts, progress: Progress) -> Path:
        """Write the state after `progress.step` updates, then drop what need not be kept or comes after it.

        Nothing is dropped before what was written has been read back. Raises StorageError where that is not what was meant.
        """
        target = self._path(progress.step)
        with sealed_folder(target) as draft:
            weights = {name: weight.detach().cpu().contiguous() for name, weight in classifier.trainable().items()}
            save_file(weights, draft / "weights.safetensors")
            tensors, numbers = optimizers.state()
            generators = Device(classifier.device).generator_states()
            save_file({**tensors, **parts.state(), **generators}, draft / "optimizer.safetensors")
            (draft / "state.json").write_bytes(json_bytes(State(self.fingerprint, progress, numbers)))
        if problem := damage(target):
            shutil.rmtree(target)
            raise StorageError(f"{target}: just written, and {problem}; check the disk")
        steps = self.steps()
        recent = [step for step in steps if step <= progress.step][-max(FALLBACKS, self.keep) :]  # later ones are damaged
        kept = {*recent, *map(self._best_of, recent)}  # from each of which training could go on
        for step in set(steps) - kept:
            shutil.rmtree(self._path(step))
        return target

    def steps(self) -> list[int]:
        """Steps that have a checkpoint, rising."""
        steps = (path.name.removeprefix("step-") for path in self.folder.glob("step-*") if path.is_dir())
        return sorted(int(step) for step in steps if step.isdecimal())

    def newest(self) -> Newest:
        """The newest whole checkpoint, for which files of every one are read until it is found."""
        damaged: dict[str, str] = {}
        for step in reversed(self.steps()):
            folder = self._path(step)
            problem = self._problem(step)
            if problem is None:
                return Newest(step, read_json(folder / "state.json", State), damaged)
            damaged[folder.name] = problem
        return Newest(None, None, damaged)

    def resume(
        self, classifier: Classifier, optimizers: Optimizers, parts: Parts, newest: Newest, *, events: Events = NO_EVENTS
    ) -> Progress | None:
        """Put everything back as the newest whole checkpoint has it, and tell of newer ones, which are damaged.

        None when there is none to go on from. Raises RunError for one of another recipe or other data.
        """
        for name, problem in newest.damaged.items():
            events.emit(CheckpointDamaged(checkpoint=name, problem=problem, goes_on_from=newest.step))
        if newest.step is None or newest.state is None:
            return None
        folder, state = self._path(newest.step), newest.state
        if state.fingerprint != self.fingerprint:
            raise RunError(
                f"{folder.name} was made by another recipe or other data, or on another base, than given now; resume with "
                "the same ones, or type --overwrite to start again"
            )
        self._put_back(classifier, folder)
        tensors = load_file(folder / "optimizer.safetensors")
        Device(classifier.device).restore_generators(tensors)
        parts.load(tensors)
        optimizers.load(tensors, state.optimizer)
        return state.progress

    def load_weights(self, classifier: Classifier, step: int) -> None:
        """Put the trained tensors back as they were after `step` updates."""
        folder = self._path(step)
        if problem := damage(folder):
            raise RunError(f"{folder}: {problem}; type the same command with --resume, which goes on from a whole one")
        self._put_back(classifier, folder)

    def _put_back(self, classifier: Classifier, folder: Path) -> None:
        """Put the trained tensors back as a whole checkpoint has them."""
        saved, live = load_file(folder / "weights.safetensors"), classifier.trainable()
        if set(saved) != set(live):
            raise RunError(f"{folder.name}: its tensors are not the ones that train now")
        with torch.no_grad():
            for name, weight in live.items():
                weight.copy_(saved[name])

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step}"

    def _problem(self, step: int) -> str | None:
        """Why training can't go on from a checkpoint, which needs the best one so far too; None where it can."""
        if problem := damage(self._path(step)):
            return problem
        best = self._best_of(step)
        problem = None if best == step else damage(self._path(best))
        return problem and f"the best one before it is step {best}, whose {problem}"

    def _best_of(self, step: int) -> int:
        """The step of the best checkpoint up to this one; this one where none is the best yet, or it is damaged."""
        try:
            best = read_json(self._path(step) / "state.json", State).progress.best
        except RunError:  # which is told where training would go on from it
            return step
        return step if best is None else best.step
