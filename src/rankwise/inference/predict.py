"""Raw texts → labels and probabilities, through the same cleaning and tokens as in training.

Texts come in any number and are taken in windows, so memory stays bounded; rows are sorted by length inside a window. While
the classifier works on one window, a thread cleans and tokenises the next. Shapes: N texts, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rankwise.data.batches import Padding
from rankwise.data.files.text import has_surrogate
from rankwise.data.preprocessing import Preprocessing
from rankwise.data.tokens import Tokens, tokenize
from rankwise.errors import DataError
from rankwise.inference.evaluation import logits, softmax
from rankwise.model.adapters import Classifier
from rankwise.system.device import own_generators

FIRST = 256  # texts in the first window, so that the first predictions come soon; each further one is twice as large
CHUNK = 4_096  # texts in a window at most: 1 % of what news takes to compute is padding then, and larger ones halve that


@dataclass(frozen=True)
class Prediction:
    """The likeliest class, its probability, and every class's."""

    label: str
    score: float
    probabilities: dict[str, float]


class Predictor:
    """A loaded classifier with all that it needs to take raw text."""

    def __init__(
        self, classifier: Classifier, tokenizer: Any, preprocessing: Preprocessing, *, precision: str = "fp32"
    ) -> None:
        self.classifier = classifier
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing
        self.precision = precision
        self.padding = Padding.of(tokenizer)
        self.one_at_a_time = Lock()  # a tokenizer that two streams use at once says "Already borrowed"

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
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="rankwise-tokens") as worker:
            for number, tokens in enumerate(self._ahead(worker, iter(texts))):
                found = self._probabilities(tokens, batch_size=batch_size, mc_dropout=mc_dropout, seed=seed + number)
                yield from map(self._prediction, found)

    def probabilities(
        self, texts: Sequence[str], *, batch_size: int = 32, mc_dropout: int = 0, seed: int = 0
    ) -> NDArray[np.float64]:
        """(N, C), in the order of `preprocessing.classes`."""
        return self._probabilities(self._tokens(texts, 0), batch_size=batch_size, mc_dropout=mc_dropout, seed=seed)

    def _ahead(self, worker: ThreadPoolExecutor, source: Iterator[str]) -> Iterator[Tokens]:
        """The tokens of each window, made by `worker` while the caller works on the window before.

        The source is read by the caller's thread, for a reader of files need not bear another. What stops it, or a text that
        can't be used, is raised after the windows before it, where it would be without a thread.
        """
        size, taken = min(FIRST, CHUNK), 0
        pending: Future[Tokens] | None = None
        problem: Exception | None = None
        while problem is None:
            window, problem = _take(source, size)
            if not window:
                break
            ahead = worker.submit(self._tokens, window, taken)
            if pending is not None:
                yield pending.result()
            pending = ahead
            taken += len(window)
            size = min(2 * size, CHUNK)
        if pending is not None:
            yield pending.result()
        if problem is not None:
            raise problem

    def _tokens(self, texts: Sequence[str], first: int) -> Tokens:
        """Clean texts' tokens; `first` is the place of the first text among all. Raises DataError."""
        for place, text in enumerate(texts, start=first):
            if not isinstance(text, str):
                raise DataError(f"text {place} is {type(text).__name__}, expected a string")
            if has_surrogate(text):
                raise DataError(f"text {place} holds half of a character; expected valid Unicode, such as UTF-8 gives")
        clean = [self.preprocessing.apply(text) for text in texts]
        with self.one_at_a_time:
            return tokenize(self.tokenizer, clean, max_length=self.preprocessing.max_length)

    def _probabilities(self, tokens: Tokens, *, batch_size: int, mc_dropout: int, seed: int) -> NDArray[np.float64]:
        how: dict[str, Any] = {"padding": self.padding, "batch_size": batch_size, "precision": self.precision}
        if mc_dropout == 0:
            return softmax(logits(self.classifier, tokens, **how))
        total = np.zeros((len(tokens), len(self.classifier.classes)))
        with own_generators(self.classifier.device):
            torch.manual_seed(seed)
            for _ in range(mc_dropout):  # Gal & Ghahramani, arXiv 1506.02142
                total += softmax(logits(self.classifier, tokens, dropout=True, **how))
        return total / mc_dropout

    def _prediction(self, row: NDArray[np.float64]) -> Prediction:
        best = int(row.argmax())
        named = {name: float(value) for name, value in zip(self.classifier.classes, row, strict=True)}
        return Prediction(self.classifier.classes[best], float(row[best]), named)


def _take(source: Iterator[str], size: int) -> tuple[list[str], Exception | None]:
    """Up to `size` texts, and what stopped the source, if it was an error."""
    window: list[str] = []
    try:
        for text in islice(source, size):
            window.append(text)  # what came before an error is kept
    except Exception as problem:  # noqa: BLE001 - whatever it is, it is raised after the predictions of the texts before it
        return window, problem
    return window, None
