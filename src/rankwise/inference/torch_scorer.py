"""A classifier computed by torch: in eval mode for good, or with dropout on for Monte Carlo dropout.

Neither changes what other threads see: dropout has a classifier of its own, and draws from a generator of each caller's own.
"""

from dataclasses import dataclass

import torch
from numpy.typing import ArrayLike

from rankwise.data.batches import Batch
from rankwise.model.classifier import Classifier, to_array, to_tensors
from rankwise.model.dropout import DrawnFrom


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
        return _logits(self.classifier, batch, self.precision)


@dataclass(frozen=True)
class DropoutScorer:
    """A classifier of its own in train mode, which it is put into once: what makes scorers for Monte Carlo dropout."""

    classifier: Classifier
    precision: str = "fp32"

    def __post_init__(self) -> None:
        self.classifier.model.train()

    def seeded(self, seed: int) -> "SeededScorer":
        """A scorer whose logits differ from pass to pass (Gal & Ghahramani, arXiv 1506.02142), for one thread at a time."""
        generator = torch.Generator(self.classifier.device)
        return SeededScorer(self.classifier, self.precision, generator.manual_seed(seed))


@dataclass(frozen=True)
class SeededScorer:
    """A classifier with dropout on, its passes decided by a generator that nothing else draws from."""

    classifier: Classifier
    precision: str
    generator: torch.Generator

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""
        return self.classifier.classes

    def logits(self, batch: Batch) -> ArrayLike:
        """Logits (B, C) in fp32 of one pass over padded inputs (B, T)."""
        with DrawnFrom(self.generator):
            return _logits(self.classifier, batch, self.precision)


def _logits(classifier: Classifier, batch: Batch, precision: str) -> ArrayLike:
    with torch.inference_mode():
        return to_array(classifier.logits(to_tensors(batch, classifier.device), precision=precision))
