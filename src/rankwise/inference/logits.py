"""Tokens → logits: the one loop over batches, for every scorer. Rows come back in their own order.

Texts of similar length run together, the longest first. Shapes: N texts, B rows of a batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rankwise.data.batches import Padding, Rows, padded_batches, scoring_batches
from rankwise.data.tokens import Tokens
from rankwise.inference.scorer import Scorer


def logits(scorer: Scorer, tokens: Tokens, *, padding: Padding, batch_size: int) -> NDArray[np.float32]:
    """Logits (N, C) of every text, in the texts' order."""
    rows = scoring_batches(tokens.lengths, batch_size)
    outputs = map(scorer.logits, padded_batches(tokens, rows, padding))
    return gathered(rows, outputs, shape=(len(tokens), len(scorer.classes)))


def gathered(rows: Sequence[Rows], outputs: Iterable[ArrayLike], *, shape: tuple[int, int]) -> NDArray[np.float32]:
    """What was computed for the rows of each batch (B, D), put together by row number (N, D); zeros where nothing was.

    Outputs are read only when all are on their way, so that a GPU is not waited for after each batch.
    """
    together = np.zeros(shape, dtype=np.float32)
    for batch, output in zip(rows, list(outputs), strict=True):
        together[batch] = output
    return together
