"""Tokens → logits: what computes them and can't train, and the one loop over batches, for every scorer.

Scorers are torch, torch in bf16, ONNX Runtime and torch with dropout; scoring and predicting take any. One is ready when it
is made, changes nothing while it computes, and may be called by several threads at once. Texts of similar length run
together, the longest first; rows come back in their own order. Shapes: N texts, B rows of a batch, T tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankwise.data.batches import Batch, Padding, Rows, padded_batches, scoring_batches
from rankwise.data.tokens import Tokens, text_means

if TYPE_CHECKING:
    from rankwise.system.events import Events


class Scorer(Protocol):
    """A classifier at work."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of the logits."""

    def logits(self, batch: Batch) -> ArrayLike:
        """Logits (B, C) in fp32 of padded inputs (B, T); reading them as an array may wait for a GPU to have them ready."""


def logits(
    scorer: Scorer, tokens: Tokens, *, padding: Padding, batch_size: int, events: Events | None = None
) -> NDArray[np.float32]:
    """Logits (N, C) of every text, in the texts' order: the mean of its windows'. `events` hear how far it is."""
    rows = scoring_batches(tokens.lengths, batch_size)
    told = rows if events is None else events.counting("scoring, batches of texts", rows)
    outputs = map(scorer.logits, padded_batches(tokens, told, padding))
    return text_means(gathered(rows, outputs, shape=(len(tokens), len(scorer.classes))), tokens.window_counts)


def gathered(rows: Sequence[Rows], outputs: Iterable[ArrayLike], *, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What was computed for the rows of each batch (B, D), put together by row number (N, D); zeros where nothing was.

    Outputs are read only when all are on their way, so that a GPU is not waited for after each batch.
    """
    together = np.zeros(shape, dtype=np.float32)
    for batch, output in zip(rows, list(outputs), strict=True):
        together[batch] = output
    return together
