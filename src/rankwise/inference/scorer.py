"""What gives logits and can't train: torch, torch in bf16, ONNX Runtime, torch with dropout; scoring and predicting take any.

A scorer is ready when it is made, changes nothing while it computes, and may be called by several threads at once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol

from numpy.typing import ArrayLike

from rankwise.data.batches import Batch


class Scorer(Protocol):
    """A classifier at work."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""

    def logits(self, batch: Batch) -> ArrayLike:
        """Logits (B, C) in fp32 of padded inputs (B, T); reading them as an array may wait for a GPU to have them ready."""


class StochasticScorer(Scorer, Protocol):
    """A scorer that draws its logits, such as Monte Carlo dropout's; a pass is repeated by its seed."""

    def seeded(self, seed: int) -> AbstractContextManager[None]:
        """Passes inside are decided by the seed, and one thread at a time makes them."""
