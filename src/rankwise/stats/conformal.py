"""Sets of classes that hold the true one with a wanted probability, whatever the classifier (split conformal prediction).

A set holds every class whose probability is at least a threshold, which is the k-th largest of the true classes' own
probabilities on rows that were held out; of all rules that reach a coverage, sets of this kind are the smallest on average
(LAC: Sadinle, Lei & Wasserman, arXiv 1609.00451). With k = ⌈(N + 1) · coverage⌉, as MAPIE and crepes take it, the coverage is
reached on the average over held-out rows, so every other time it is missed a little. Here k is the smallest for which it is
missed one time in 20: with N rows, the coverage of the k-th is Beta(k, N + 1 - k) (Wilks 1941; Vovk, arXiv 1209.2673).
"""

import numpy as np
from scipy.special import bdtr

from rankwise.stats.intervals import Floats

RISK = 0.05  # of a coverage that is not reached


def set_threshold(of_truth: Floats, coverage: float, *, risk: float | None = RISK) -> float:
    """The probability from which on a class is in the set, by the true classes' own (N,) on rows held out.

    0, for every class, where the rows are too few to promise the coverage. Without a `risk` it is reached on the average.
    """
    rank = set_rank(len(of_truth), coverage, risk=risk)
    return 0.0 if rank > len(of_truth) else float(-np.sort(-of_truth)[rank - 1])


def set_rank(rows: int, coverage: float, *, risk: float | None = RISK) -> int:
    """Which of so many probabilities, the largest first, is the threshold; one more than there are where none can be."""
    if risk is None:
        return min(rows + 1, int(np.ceil((rows + 1) * coverage - 1e-9)))
    ranks = np.arange(1, rows + 1)
    missed = 1 - bdtr(ranks - 1, rows, coverage)  # P(Beta(k, N + 1 - k) < coverage) = P(Binomial(N, coverage) >= k)
    return int(np.searchsorted(-missed, -risk)) + 1


def fewest_rows(coverage: float, *, risk: float = RISK) -> int:
    """The fewest held-out rows that can promise a coverage: coverage ** N <= risk."""
    return int(np.ceil(np.log(risk) / np.log(coverage)))
