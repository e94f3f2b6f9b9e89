"""What a sweep's time allows: how long trials take, and whether one that starts now is over in time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from statistics import fmean, median

from rankwise.sweep.engines.local import Engine

CLOSING_SECONDS = 2.0  # of `minutes`, for ending processes and writing tables
FINAL_FACTOR = 1.5  # a finalist's whole run, over a trial's training: scoring the test rows, saving, checking


class Timing:
    """The end of a sweep, and wall seconds of its trials: of those that ended here, or else of `earlier` ones.

    A trial trains `seeds` times; `finals` whole runs follow the search.
    """

    def __init__(
        self, engine: Engine, *, seeds: int, finals: int, ends_at: float | None, earlier: Iterable[float] = ()
    ) -> None:
        self.engine, self.seeds, self.finals = engine, seeds, finals
        self.ends_at = None if ends_at is None else ends_at - CLOSING_SECONDS
        self.earlier = list(earlier)
        self.took: list[float] = []
        self.cut_short: list[float] = []
        """Of trials that were pruned: they say nothing of how long a whole one takes."""

    @property
    def is_late(self) -> bool:
        return self.ends_at is not None and time.monotonic() >= self.ends_at

    def allows_trial(self) -> bool:
        """Whether a trial that starts now is over in time, and finalists can still be trained after it."""
        return self._left() > self.typical + self.reserved

    def allows_final(self) -> bool:
        """Whether a finalist's run that starts now is over in time."""
        return self._left() > FINAL_FACTOR * self._one_seed

    def remaining(self, trials: int) -> float | None:
        """Seconds that so many trials and the finalists will take; None before a trial has ended."""
        seconds = fmean([*self.took, *self.cut_short] or [self.typical])
        return trials * seconds / self.engine.slots + self.reserved if seconds else None

    @property
    def typical(self) -> float:
        """Wall seconds of a trial that is not pruned; 0 where none has ended."""
        return median(self.took or self.earlier or self.cut_short or [0.0])

    @property
    def reserved(self) -> float:
        """Wall seconds that are kept for the finalists."""
        rounds = -(-self.finals // self.engine.slots)
        return FINAL_FACTOR * rounds * self._one_seed

    @property
    def _one_seed(self) -> float:
        return self.typical / self.seeds

    def _left(self) -> float:
        return float("inf") if self.ends_at is None else self.ends_at - time.monotonic()
