"""How many updates there is time for, asked again after each one, and how far along its schedule training stands.

Seconds of updates and evaluations are measured as they pass; what is left until the deadline, less a reserve for scoring
the test texts and saving, is divided by them. When the count changes, the updates still to make share what is left of the
schedule, so the fraction of progress only rises and is 1 exactly after the last update. Without a deadline the count is the
recipe's. Pure arithmetic on a clock that is handed in; seconds throughout.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Self

from rankwise.planning.forecast import Forecast, affordable_steps

MARGIN = 0.01  # of the whole time, kept back: a run had better end a little early than late
WINDOW = 60  # updates behind the current speed: enough to even out lengths, few enough to notice a change
OUTLIER = 6.0  # times the median: a pause (the machine slept, the disk stalled) that is not the speed of what comes
LANDING = 0.02  # of the updates made may still be made late, to bring the schedule down, when time runs out at once
LANDS_FROM = 20  # updates; before that one of them takes too large a part of the time


@dataclass(frozen=True)
class Deadline:
    """When a run is to be over, and how long what is not measured yet is taken to last."""

    seconds: float
    """From now on, for all that is left of the run: the loop, the reserve, and a pass over the test texts."""
    reserve_seconds: float = 0.0
    """After the loop, beside the pass over the test texts."""
    reserve_evaluations: float = 0.0
    """How many evaluations a pass over the test texts takes as long as."""
    evaluation_updates: float = 0.0
    """How many updates an evaluation lasts, until one is measured."""
    update_seconds: float | None = None
    """Of an update, until the second is measured."""
    mean_tokens: float | None = None
    """Of an average update; None for that of the updates measured."""

    @classmethod
    def of(cls, forecast: Forecast, seconds: float) -> Self:
        """A deadline for a run that has been forecast."""
        work, evaluation = forecast.work, forecast.evaluation_seconds
        scales = evaluation > 0.02 * forecast.test_seconds  # else an evaluation says little about the test's own pass
        return cls(
            seconds,
            reserve_seconds=forecast.end_seconds - (forecast.test_seconds if scales else 0.0),
            reserve_evaluations=forecast.test_seconds / evaluation if scales else 0.0,
            evaluation_updates=evaluation / forecast.update_seconds if forecast.update_seconds else 0.0,  # where none is made
            update_seconds=forecast.update_seconds,
            mean_tokens=work.train_tokens / max(1, forecast.epoch_steps),
        )


NO_DEADLINE = Deadline(math.inf)


class Pace:
    """The number of updates of a run, which shrinks to what time allows, never above the recipe's.

    An evaluation comes after `every` updates and after the last. Several processes settle on one count through `agree`, such
    as the least of theirs, which is called once a note.
    """

    def __init__(
        self,
        planned_steps: int,
        *,
        every: int | None = None,
        deadline: Deadline = NO_DEADLINE,
        agree: Callable[[int], int] = int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.planned = planned_steps
        self.every = every
        self.deadline = deadline
        self.agree = agree
        self.clock = clock
        self._ends_at = clock() + deadline.seconds
        self._recent: deque[tuple[float, float]] = deque(maxlen=WINDOW)  # (tokens, seconds) of each update
        self._measured = 0
        self._evaluations: list[float] = []
        self._probed: float | None = None
        self.resume(0, 0.0)

    def resume(self, step: int, fraction: float) -> None:
        """Go on from now after `step` updates, which had reached `fraction` of the schedule."""
        self.step = step
        self._noted = self.clock()
        self.total = self.planned
        """Updates of the whole run, as planned now."""
        self._was_cut = fraction not in (0.0, step / max(1, self.planned))
        self._fraction = fraction or step / max(1, self.planned)
        self._plan()

    @property
    def has_deadline(self) -> bool:
        """Whether time may cut the number of updates."""
        return self.deadline.seconds < math.inf

    @property
    def done(self) -> bool:
        """Whether the last update has been made."""
        return self.step >= self.total

    @property
    def evaluates(self) -> bool:
        """Whether an evaluation comes after the update just made."""
        return self.done or (self.every is not None and self.step > 0 and self.step % self.every == 0)

    @property
    def fraction(self) -> float:
        """How much of the schedule is behind: 0 before the first update, 1 after the last."""
        if self.done:
            return 1.0
        return self._fraction if self._was_cut else self.step / self.total

    @property
    def position(self) -> float:
        """The fraction in the recipe's updates, what `schedule_factor` takes as `step` with the recipe's `total`.

        The update number itself as long as no update was cut, so that a schedule without a deadline stays as it is.
        """
        return self.fraction * self.planned if self._was_cut else self.step

    def note_update(self, tokens: float) -> None:
        """An update of so many tokens was made since the last note."""
        seconds, before = self._since_last_note(), self.fraction
        self.step += 1
        self._measured += 1
        if self._measured == 2:
            self._recent.clear()  # of the first
        self._recent.append((tokens, seconds))
        # what is left is shared by the updates that were planned when this one began
        self._fraction = before + (1 - before) / max(1, self.total - (self.step - 1))
        self._plan()

    def note_probe(self, share: float) -> None:
        """This share of the validation tokens was scored since the last note, for the first evaluation may come late."""
        self._probed = self._since_last_note() / share / (self._update_seconds() or math.inf)
        self._plan()

    def note_evaluation(self) -> None:
        """An evaluation was made since the last note, its checkpoint included."""
        seconds = self._since_last_note()
        self._evaluations.append(seconds / (self._update_seconds() or seconds))
        self._plan()

    def _since_last_note(self) -> float:
        """Seconds from one note to the next, so that nothing between two updates goes uncounted."""
        before, self._noted = self._noted, self.clock()
        return self._noted - before

    def _plan(self) -> None:
        if not self.has_deadline or self.done:
            return
        update, evaluation = self._update_seconds(), self._evaluation_seconds()
        reserve = self.deadline.reserve_seconds + self.deadline.reserve_evaluations * evaluation
        left = self._ends_at - self.clock() - reserve - MARGIN * max(0.0, self.deadline.seconds)
        if update is not None:
            total = affordable_steps(left, update, evaluation, every=self.every, most=self.planned, done=self.step)
        else:
            total = self.step if left <= 0 else self.planned
        # at least one update; and those that bring a high rate down when time has run out at once
        lands = self.step >= LANDS_FROM and self.fraction <= 1 - LANDING
        least = min(self.total, self.step + math.ceil(LANDING * self.step)) if lands else max(1, self.step)
        self.total = self.agree(max(total, least))
        self._was_cut = self._was_cut or self.total != self.planned

    def _update_seconds(self) -> float | None:
        """Of an average update from now on; None where nothing is known: the first update also starts threads."""
        if self._measured < 2:
            return self.deadline.update_seconds
        rates = [seconds / max(1.0, tokens) for tokens, seconds in self._recent]
        limit = OUTLIER * median(rates)
        seconds = sum(min(seconds, limit * max(1.0, tokens)) for tokens, seconds in self._recent)
        tokens = sum(max(1.0, tokens) for tokens, _ in self._recent)
        return seconds / tokens * (self.deadline.mean_tokens or tokens / len(self._recent))

    def _evaluation_seconds(self) -> float:
        """Of the next evaluation: the slower of the last two measured, else as probed, else as forecast.

        Each is known in updates, so that a machine that has become slower is believed to be so for evaluations too.
        """
        if self._evaluations:
            updates = max(self._evaluations[-2:])
        else:
            updates = self.deadline.evaluation_updates if self._probed is None else self._probed
        return updates * (self._update_seconds() or 0.0)
