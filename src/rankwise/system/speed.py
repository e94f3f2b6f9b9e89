"""How fast this machine multiplies matrices, in GFLOP/s (10⁹ multiplications and additions a second), by numpy alone."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from threadpoolctl import threadpool_limits

SAMPLE_SECONDS = 0.02  # of matrix products: the best of some dozens is steady to 2 %, however busy the machine is
SAMPLE_SIZE = 256  # rows and columns: large enough for full speed, and over (0.3 ms) before another process cuts in


@dataclass(frozen=True)
class Throughput:
    """How fast a classifier runs."""

    training: float
    """Useful operations a second of updates."""
    inference: float
    testing: float
    """Of scoring the test rows, which is done in fp32."""
    loading_seconds: float = 0.0
    """Of the encoder, which each training of a ladder loads anew."""
    elapsed_seconds: float | None = None
    """Of the run before its first training, where they are over; None to predict them."""
    assumed: bool = False
    """Whether the speeds come from matrix products alone, so that what else an update does is to be added."""

    def after(self, seconds: float) -> Self:
        """The same, in a run whose first training begins after so many seconds."""
        return replace(self, elapsed_seconds=seconds)


def gflops(threads: int = 1, *, seconds: float = SAMPLE_SECONDS) -> float:
    """The best single-precision matrix product among those that fit into `seconds`, on `threads` threads, in GFLOP/s."""
    rng = np.random.default_rng(0)
    left, right = (rng.standard_normal((SAMPLE_SIZE, SAMPLE_SIZE), dtype=np.float32) for _ in range(2))
    product = np.empty_like(left)
    with threadpool_limits(limits=threads, user_api="blas"):
        np.matmul(left, right, out=product)  # the first call starts threads and fills caches
        best, end = math.inf, time.perf_counter() + seconds
        while (started := time.perf_counter()) < end:
            np.matmul(left, right, out=product)
            best = min(best, time.perf_counter() - started)
    return 2 * SAMPLE_SIZE**3 / best / 1e9 if best < math.inf else 0.0


def fastest_threads(cores: int, measure: Callable[[int], float] = gflops) -> tuple[int, dict[int, float]]:
    """(the threads to use, GFLOP/s by threads) among powers of two up to `cores`, and `cores`.

    More threads must be at least 15 % faster than fewer: on a busy or throttled machine two are often slower than one.
    """
    counts = sorted({2**power for power in range(cores.bit_length())} | {cores})
    measured = {count: measure(count) for count in counts}
    best = counts[0]
    for count in counts[1:]:
        if measured[count] > 1.15 * measured[best]:
            best = count
    return best, measured
