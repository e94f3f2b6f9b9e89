"""How long texts are: quantiles, a histogram, and what a max length would cover."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COVERED = 0.995  # share of texts that fit whole in the recommended max length


@dataclass(frozen=True)
class Lengths:
    """How long texts are. `coverage` is the share of texts that fit whole in so many tokens."""

    unit: str
    quantiles: Mapping[str, int]
    histogram: tuple[tuple[int, int, int], ...]
    """(from, up to, rows) for each bar."""
    coverage: Mapping[str, float]
    recommended: int | None
    """The smallest multiple of 8 in which 99.5 % of the texts fit whole; None for characters."""


def lengths_of(lengths: NDArray[np.int64], unit: str, *, bars: int = 15, width: int = 8) -> Lengths:
    """Quantiles and a histogram of N lengths, (N,); of tokens also what a max length would cover.

    Up to `bars` bars, each a multiple of `width` wide, and one for what is longer than the 99th percentile.
    """
    if not len(lengths):
        return Lengths(unit, {}, (), {}, None)
    shares = {"min": 0, "25%": 0.25, "50%": 0.5, "75%": 0.75, "90%": 0.9, "95%": 0.95, "99%": 0.99, "max": 1}
    quantiles = {name: int(np.quantile(lengths, share, method="inverted_cdf")) for name, share in shares.items()}
    top = int(np.quantile(lengths, 0.99, method="inverted_cdf"))
    step = max(width, width * math.ceil(top / bars / width))
    bounds = list(range(0, top + step, step))
    if lengths.max() >= bounds[-1]:
        bounds.append(int(lengths.max()) + 1)
    rows, edges = np.histogram(lengths, bins=bounds)
    histogram = tuple(zip(edges[:-1].tolist(), edges[1:].tolist(), rows.tolist(), strict=True))
    if unit == "characters":
        return Lengths(unit, quantiles, histogram, {}, None)
    coverage = {str(size): float((lengths <= size).mean()) for size in (64, 128, 256, 512)}
    return Lengths(unit, quantiles, histogram, coverage, covering(lengths, COVERED))


def covering(lengths: NDArray[np.int64], share: float) -> int:
    """The smallest multiple of 8 that so large a share of the lengths (N,) does not pass."""
    return 8 * math.ceil(int(np.quantile(lengths, share, method="inverted_cdf")) / 8)
