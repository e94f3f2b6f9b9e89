"""A classifier computed by torch: in eval mode for good, or with dropout on for Monte Carlo dropout."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import RLock

import torch
from numpy.typing import ArrayLike

from rankwise.data.batches import Batch
from rankwise.model.classifier import Classifier, to_array, to_tensors
from rankwise.system.device import Device


@dataclass(frozen=True)
class TorchScorer:
    """A classifier in eval mode, which it is put into once."""

    classifier: Classifier
    precision: str = "fp32"

    def __post_init__(self) -> None:
        self.classifier.model.eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.classifier.classes

    def logits(self, batch: Batch) -> ArrayLike:
        """Logits (B, C) in fp32 of padded inputs (B, T)."""
        with torch.inference_mode():
            return to_array(self.classifier.logits(to_tensors(batch, self.classifier.device), precision=self.precision))


@dataclass(frozen=True)
class DropoutScorer(TorchScorer):
    """A classifier of its own with dropout on: logits differ from pass to pass (Gal & Ghahramani, arXiv 1506.02142).

    torch's dropout draws from the process's generator, so passes run inside `seeded`, one thread at a time.
    """

    _lock: RLock = field(default_factory=RLock, repr=False)

    def __post_init__(self) -> None:
        self.classifier.model.train()

    @contextmanager
    def seeded(self, seed: int) -> Iterator[None]:
        """Passes inside are decided by the seed; afterwards torch's generators are as they were."""
        with self._lock, Device(self.classifier.device).own_generators():
            torch.manual_seed(seed)
            yield

    def logits(self, batch: Batch) -> ArrayLike:
        """Logits (B, C) in fp32 of one pass over padded inputs (B, T)."""
        with self._lock:
            return super().logits(batch)
