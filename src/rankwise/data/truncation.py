"""Which end of long texts to keep: the one whose words tell the classes apart better, by training rows alone.

A quick stand-in for the encoder decides: TF-IDF of token ids and logistic regression, cross-validated on beginnings and on
ends of the texts that are cut. Reviews come to their point at the end, news at the beginning: of IMDB's reviews the last 128
tokens gave the encoder 86.5 % where the first gave 80.2 (benchmarks/results/tuning.csv).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rankwise.data.tokens import Tokens

LEAST_SHARE = 0.01  # of texts that are cut, below which the side hardly matters
LEAST_ROWS = 100  # that are cut, below which a comparison says nothing
MOST_ROWS = 4_000  # that are compared: seconds, whatever the number of texts
FOLDS = 3


def better_side(tokens: Tokens, labels: NDArray[np.int64], max_length: int) -> tuple[str, str]:
    """(the side to cut, `right` or `left`; a line about it, empty where no text is longer).

    `tokens` are those of N whole texts, `labels` their class numbers (N,).
    """
    long = np.flatnonzero(tokens.lengths > max_length)
    if not len(long):
        return "right", ""
    if len(long) < LEAST_ROWS or len(long) < LEAST_SHARE * len(tokens):
        return "right", "the few longer texts lose their end"
    rows = np.sort(np.random.default_rng(0).permutation(long)[:MOST_ROWS])
    counts = np.bincount(labels[rows])
    rows = rows[counts[labels[rows]] >= FOLDS]
    if len(np.unique(labels[rows])) < 2:
        return "right", "longer texts lose their end; too few of them to tell which end says more"
    starts, ends = tokens.offsets[rows], tokens.offsets[rows + 1]
    beginnings = _accuracy([tokens.ids[start : start + max_length] for start in starts], labels[rows])
    endings = _accuracy([tokens.ids[end - max_length : end] for end in ends], labels[rows])
    side, kept, other = ("left", "end", "beginning") if endings > beginnings else ("right", "beginning", "end")
    high, low = max(beginnings, endings), min(beginnings, endings)
    return (
        side,
        f"longer texts keep their {kept}, which tells classes apart better ({high:.1%}, their {other} {low:.1%}, TF-IDF)",
    )


def _accuracy(pieces: list[NDArray[np.integer]], labels: NDArray[np.int64]) -> float:
    """Cross-validated accuracy of TF-IDF with logistic regression on bags of token ids."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    ids = np.concatenate(pieces).astype(np.int64)
    offsets = np.cumsum([0, *map(len, pieces)])
    counts = csr_matrix((np.ones(len(ids)), ids, offsets))
    counts.sum_duplicates()
    model = make_pipeline(TfidfTransformer(sublinear_tf=True), LogisticRegression(C=10.0, max_iter=1000))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0)
    return float(cross_val_score(model, counts, labels, cv=folds).mean())
