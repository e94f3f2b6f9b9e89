"""What a sweep's two stages share: trials of one study are run in an engine until none is wanted."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from rankwise.errors import RankwiseError, RunError
from rankwise.recipe import Recipe
from rankwise.sweep.engines.local import Died, Done, Engine, Event, Reported
from rankwise.sweep.results import ProcessDied, Rejected, Result, Task, TrialsAwaited
from rankwise.sweep.space import Space
from rankwise.sweep.storage import MOST_DEATHS, Board

TICK_SECONDS = 1.0  # that a stage waits for an event before it looks at the other drivers again
CLOSING_SECONDS = 2.0  # of `minutes`, for ending processes and writing tables
FINAL_FACTOR = 1.5  # a finalist's whole run, over a trial's training: scoring the test rows, saving, checking


@dataclass
class Timing:
    """The end of a sweep, and wall seconds of its trials: of those that ended here, or else of earlier ones."""

    engine: Engine
    ends_at: float
    """By the monotonic clock."""
    seeds: int
    """Trainings of a trial."""
    finals: int
    """Whole runs that follow the search."""
    earlier: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    cut_short: list[float] = field(default_factory=list)
    """Of trials that were pruned: they say nothing of how long a whole one takes."""

    def left(self) -> float:
        return self.ends_at - time.monotonic()

    def allows_trial(self) -> bool:
        """Whether a trial that starts now is over in time, and finalists can still be trained after it."""
        return self.left() > self.typical + self.reserved

    def allows_final(self) -> bool:
        """Whether a finalist's run that starts now is over in time."""
        return self.left() > FINAL_FACTOR * self.typical / self.seeds

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
        return FINAL_FACTOR * rounds * self.typical / self.seeds


@dataclass(frozen=True)
class Sweep:
    """What the search and the finalists' stage both work with."""

    base: Recipe
    space: Space
    engine: Engine
    folder: Path
    timing: Timing
    searched: optuna.Study
    """The search's, which also keeps what data its trials saw."""


@dataclass
class Running:
    """A trial that is in the engine."""

    trial: optuna.Trial
    started: float
    entries: list[Mapping[str, float]] = field(default_factory=list)


class Stage(ABC):
    """One driver's work on one study, which says what trial comes next and what its outcome means.

    `has_time` says whether one more trial is over in time.
    """

    def __init__(self, sweep: Sweep, board: Board, has_time: Callable[[], bool]) -> None:
        self.sweep, self.board, self.has_time = sweep, board, has_time
        self.running: dict[int, Running] = {}

    def run(self) -> None:
        """Run trials until none is wanted, or time is up."""
        engine = self.sweep.engine
        while self.sweep.timing.left() > 0:
            self.board.beat()
            self.board.recover()
            while len(self.running) < engine.slots and self.has_time() and self.start():
                pass
            if not self.running:
                elsewhere = sum(trial.state == TrialState.RUNNING for trial in self.board.trials())
                if not self.has_time() or not (elsewhere or self.is_wanting()):
                    return
                if elsewhere:
                    self.board.events.emit(TrialsAwaited(elsewhere))
                    time.sleep(self.board.patience_seconds / 20)
            for event in engine.events(TICK_SECONDS):
                self._heard(event)

    @abstractmethod
    def is_wanting(self) -> bool:
        """Whether a trial is still to be started."""

    @abstractmethod
    def start(self) -> bool:
        """Hand one more trial to the engine; False where there is none for now."""

    def goes_on(self, running: Running) -> bool:
        """Whether a trial that reported its latest entry is to go on."""
        raise AssertionError(f"trial {running.trial.number} reported, and nothing here is stopped early")

    @abstractmethod
    def finish(self, running: Running, end: list[Result] | Rejected | None) -> None:
        """Write what came of a trial; None where it was not to go on."""

    @abstractmethod
    def gives_up(self, running: Running) -> None:
        """A trial's process died, for its configuration once too often. May raise RunError."""

    def failed(self, running: Running, problem: RankwiseError) -> None:
        """A trial raised, which stops the sweep unless the problem is its configuration's alone."""
        del running
        raise problem

    def check_data(self, params: Mapping[str, Any], data_sha256: str) -> None:
        """Raises RunError where the texts or labels changed since a trial with the same settings of data."""
        varied = {key: value for key, value in params.items() if key.startswith("data.")}
        name = f"data_sha256 {json.dumps(varied, sort_keys=True)}" if varied else "data_sha256"
        known = self.sweep.searched.user_attrs.get(name)
        if known is None:
            self.sweep.searched.set_user_attr(name, data_sha256)
        elif known != data_sha256:
            raise RunError(
                f"{self.sweep.folder}: the texts or labels are not those that the sweep began with, so scores can't be "
                "compared; give the same data, or another --out"
            )

    def hand_over(self, trial: optuna.Trial, task: Task) -> None:
        self.running[trial.number] = Running(trial, time.monotonic())
        self.sweep.engine.start(trial.number, task)

    def give_back(self) -> int:
        """Let what was running here wait again, and say how much that was; for when the engine is closed."""
        for trial in self.board.trials():
            if trial.number in self.running:
                self.board.take_back(trial)
        interrupted = len(self.running)
        self.running.clear()
        self.board.recover()
        return interrupted

    def _heard(self, event: Event) -> None:
        """Act on an event. A trial runs here until its outcome is written: where that fails, it is given back."""
        running = self.running[event.number]
        match event:
            case Reported(entry=entry):
                running.entries.append(entry)
                self.sweep.engine.answer(event.number, go_on=self.goes_on(running))
                return
            case Done(result=RankwiseError() as problem):
                self.failed(running, problem)
            case Done(result=result):
                self.finish(running, result)
            case Died():
                deaths = running.trial.user_attrs.get("deaths", 0) + 1
                if deaths >= MOST_DEATHS:
                    self.gives_up(running)
                else:
                    with suppress(UpdateFinishedTrialError):  # taken for lost while this machine slept
                        running.trial.set_user_attr("deaths", deaths)
                    self.board.drop(event.number)
                    self.board.events.emit(ProcessDied(event.number))
        del self.running[event.number]


def waits(trials: Sequence[FrozenTrial]) -> bool:
    """Whether a trial waits for a driver that asks."""
    return any(trial.state == TrialState.WAITING for trial in trials)
