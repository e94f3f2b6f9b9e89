"""Raw texts → labels and probabilities, through the same cleaning and tokens as in training.

Shapes: N texts, C classes. Texts come in any number; tokens and logits are made in chunks, so memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.batches import Padding
from rankwise.data.prepare import Preprocessing, tokenize
from rankwise.errors import DataError
from rankwise.evaluation import logits, softmax
from rankwise.model.adapters import Classifier

CHUNK = 2_048  # texts tokenised and sorted by length together


@dataclass(frozen=True)
class Prediction:
    """The likeliest class, its probability, and every class's."""

    label: str
    score: float
    probabilities: dict[str, float]


class Predictor:
    """A loaded classifier with all that it needs to take raw text."""

    def __init__(self, classifier: Classifier, tokenizer: Any, preprocessing: Preprocessing) -> None:
        self.classifier = classifier
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.padding = Padding.of(tokenizer)

    def predict(self, texts: Sequence[str], *, mc_dropout: int = 0, seed: int = 0) -> list[Prediction]:
        """One prediction per text, in order. `mc_dropout=n` averages n passes with dropout on.

        Raises DataError for anything that is not a sequence of strings.
        """
        if isinstance(texts, str):
            raise DataError("predict takes a list of texts, found one string; type predict([text])")
        return list(self.stream(texts, mc_dropout=mc_dropout, seed=seed))

    def stream(
        self, texts: Iterable[str], *, batch_size: int = 32, mc_dropout: int = 0, seed: int = 0
    ) -> Iterator[Prediction]:
        """Predictions one by one, from texts that need not fit in memory."""
        source = iter(texts)
        chunk_number = 0
        while chunk := list(islice(source, CHUNK)):
            found = self.probabilities(chunk, batch_size=batch_size, mc_dropout=mc_dropout, seed=seed + chunk_number)
            yield from map(self._prediction, found)
            chunk_number += 1

    def probabilities(
        self, texts: Sequence[str], *, batch_size: int = 32, mc_dropout: int = 0, seed: int = 0
    ) -> NDArray[np.float64]:
        """(N, C), in the order of `preprocessing.classes`."""
        for place, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(f"text {place} is {type(text).__name__}, expected a string")
        clean = [self.preprocessing.apply(text) for text in texts]
        tokens = tokenize(self.tokenizer, clean, max_length=self.preprocessing.max_length)
        if mc_dropout == 0:
            return softmax(logits(self.classifier, tokens, padding=self.padding, batch_size=batch_size))
        total = np.zeros((len(texts), len(self.classifier.classes)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            for _ in range(mc_dropout):  # Gal & Ghahramani, arXiv 1506.02142
                total += softmax(logits(self.classifier, tokens, padding=self.padding, batch_size=batch_size, dropout=True))
        return total / mc_dropout

    def _prediction(self, row: NDArray[np.float64]) -> Prediction:
        best = int(row.argmax())
        named = {name: float(value) for name, value in zip(self.classifier.classes, row, strict=True)}
        return Prediction(self.classifier.classes[best], float(row[best]), named)
