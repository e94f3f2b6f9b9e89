"""Parts of training: what a recipe may add to the loop, each in a file of its own.

The loop calls every part after each update and around each scoring; its state is stored in checkpoints.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch


@dataclass(frozen=True)
class Step:
    """An update that was just made; its gradients are still there."""

    applied: bool
    """False where fp16 overflowed and the optimisers left the weights alone."""
    settled: bool
    """Whether before this update every part had `settled`."""


class Part:
    """A part of training; hooks that it has no use for do nothing."""

    name: ClassVar[str]
    """What its state is called in a checkpoint."""
    settled: bool = True
    """False while what trains still changes its shape: no evaluation before that can be the best."""

    def penalty(self) -> torch.Tensor | None:
        """What is added to each update's loss, (); None for nothing."""
        return None

    def after_update(self, step: Step) -> None:
        """Called after the optimisers' step, before gradients are cleared."""

    def before_scoring(self) -> None:
        """Called before the validation texts are scored and a checkpoint is written."""

    def after_scoring(self) -> None:
        """Called when the checkpoint is written."""

    def state(self) -> dict[str, torch.Tensor]:
        """Tensors that `load` goes on from, to the bit, once the weights are back."""
        return {}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from what `state` gave."""


class Parts:
    """Several parts, called in their order."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts

    @property
    def settled(self) -> bool:
        return all(part.settled for part in self.parts)

    def penalties(self) -> list[torch.Tensor]:
        """What the parts add to an update's loss, () each."""
        return [penalty for part in self.parts if (penalty := part.penalty()) is not None]

    def after_update(self, step: Step) -> None:
        for part in self.parts:
            part.after_update(step)

    def before_scoring(self) -> None:
        for part in self.parts:
            part.before_scoring()

    def after_scoring(self) -> None:
        for part in self.parts:
            part.after_scoring()

    def state(self) -> dict[str, torch.Tensor]:
        """The state of every part, as `part.key`."""
        return {f"{part.name}.{key}": tensor for part in self.parts for key, tensor in part.state().items()}

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        for part in self.parts:
            prefix = f"{part.name}."
            part.load({key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)})
