"""What happens in a run before and after its classifier is fitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from rankwise.run.format import RungFacts
from rankwise.stats.intervals import Interval
from rankwise.stats.scores import Scores
from rankwise.system.events import Event


@dataclass(frozen=True)
class PlanMade(Event, kind="plan"):
    """The recipe is planned: what will train, against the cap."""

    recipe: str
    classes: tuple[str, ...]
    trainable_parameters: int
    total_parameters: int
    budget: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class MachineMeasured(Event, kind="machine"):
    """The threads are chosen; `gflops` is the measured matmul speed by number of threads, empty where none was measured."""

    threads: int
    gflops: Mapping[int, float]
    precision: str
    processes: int


@dataclass(frozen=True)
class DataPrepared(Event, kind="data"):
    """The texts are split, cleaned and tokenised; `train`, `validation` and `test` are numbers of rows."""

    train: int
    validation: int
    test: int
    max_length: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class RungStarted(Event, kind="rung_start"):
    """A rung of the ladder is tried."""

    rung: str
    trained_parameters: int


@dataclass(frozen=True, kw_only=True)
class RungReached(RungFacts, Event, kind="rung"):
    """A rung was tried."""


@dataclass(frozen=True)
class RungFileDamaged(Event, kind="rung_damage"):
    """What an earlier process found out about a rung is not as it was written, so it is found out again."""

    rung: str
    problem: str

    def __str__(self) -> str:
        return f"what was known of the rung {self.rung} is damaged ({self.problem}), so it is tried again"


@dataclass(frozen=True)
class RunScored(Event, kind="scores"):
    """The test rows are scored, once."""

    accuracy: Interval
    macro_f1: Interval
    log_loss: Interval
    more: Mapping[str, Interval] | None = None
    """Those of a number, where one is estimated, which has none of the others."""

    @classmethod
    def of(cls, scores: Scores) -> Self:
        return cls(scores.accuracy, scores.macro_f1, scores.log_loss, None if scores.per_class else scores.more)


@dataclass(frozen=True)
class AlreadyComplete(Event, kind="complete"):
    """The folder to resume holds a finished run, so nothing is trained."""

    folder: str
