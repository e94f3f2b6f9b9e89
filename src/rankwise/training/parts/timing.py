"""Time: how long updates and evaluations take, told to the pace, which makes as many as fit before a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from rankwise.model.hidden_cache import HiddenStates
from rankwise.training.job import Job
from rankwise.training.pace import Pace
from rankwise.training.parts import Part, Step
from rankwise.training.validation import Validation

PROBE_STEP = 3  # the update after which a few texts are scored, to learn what an evaluation takes
PROBE_SHARE = 50  # of so many validation texts one is scored then
PROBE_BATCH = 16


class Timing(Part):
    """Measures seconds from one note to the next, so that nothing between two updates goes uncounted. It comes first."""

    def __init__(
        self, job: Job, pace: Pace, hidden: HiddenStates | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.job, self.pace, self.hidden, self.clock = job, pace, hidden, clock
        self.noted = clock()

    def after_update(self, step: Step) -> None:
        self.pace.note_update(float(self.job.data.train.tokens.lengths[step.rows].sum()), self._passed())
        if self.pace.has_deadline and step.number == PROBE_STEP:
            self.pace.note_probe(*self._probe())
            self.noted = self.clock()

    def after_scoring(self) -> None:
        self.pace.note_evaluation(self._passed())

    def _passed(self) -> float:
        """Seconds since the last note."""
        before, self.noted = self.noted, self.clock()
        return self.noted - before

    def _probe(self) -> tuple[float, float]:
        """(share of an evaluation's tokens, seconds) of scoring a few validation texts."""
        job, split = self.job, self.job.data.validation
        rows = np.linspace(0, len(split) - 1, max(1, len(split) // PROBE_SHARE)).astype(np.int64)
        some = split.tokens.take(rows)
        hidden = None if self.hidden is None else self.hidden.of(rows)
        started = self.clock()
        Validation(job.classifier, job.padding, PROBE_BATCH, job.precision).logits(some, hidden)
        whole = split.tokens.lengths.sum() + sum(kind.tokens.lengths.sum() for kind in job.shifted)
        return float(some.lengths.sum() / whole), self.clock() - started
