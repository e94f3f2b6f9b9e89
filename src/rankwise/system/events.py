"""What happens during a training, as typed events: engines emit them, listeners print, write or track them.

events.jsonl holds one JSON object a line, `{"event": KIND, "seconds": S, …}` with the fields of that kind's class. A line is
flushed at once, so a killed run leaves every finished line readable.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TextIO

from rankwise.errors import RunError
from rankwise.stats.intervals import Interval
from rankwise.system.files import Stored, parse_json, to_json


class Event(Stored):
    """Base class of all events; a subclass names its kind: `class Tick(Event, kind="tick")`."""

    kind: ClassVar[str]
    kinds: ClassVar[dict[str, type[Event]]] = {}
    """Every event class by the name of its kind, once the module that defines it is imported."""

    def __init_subclass__(cls, *, kind: str) -> None:
        cls.kind = kind
        Event.kinds[kind] = cls


Listener = Callable[[Event], None]


# ------------------------------------------------------------------------------------------------------- before training


@dataclass(frozen=True, kw_only=True)
class PlanMade(Event, kind="plan"):
    """The recipe is planned: what will train, against the cap."""

    recipe: str
    classes: tuple[str, ...]
    trainable_parameters: int
    total_parameters: int
    budget: int | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class MachineMeasured(Event, kind="machine"):
    """The threads are chosen; `gflops` is the measured matmul speed by number of threads, empty where none was measured."""

    threads: int
    gflops: Mapping[int, float]
    precision: str
    processes: int


@dataclass(frozen=True, kw_only=True)
class DataPrepared(Event, kind="data"):
    """The texts are split, cleaned and tokenised; `train`, `validation` and `test` are numbers of rows."""

    train: int
    validation: int
    test: int
    max_length: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class HiddenStatesCached(Event, kind="prefix"):
    """Hidden states that enter `layer` are on disk for a split's texts, or are not, because the cache has no room."""

    split: str
    layer: int
    stored: bool
    reused: bool | None = None
    """Whether they were there already."""
    bytes: int | None = None
    took: float | None = None
    """Seconds."""


@dataclass(frozen=True, kw_only=True)
class HeadFitted(Event, kind="head"):
    """The head starts from a logistic regression on so many rows."""

    rows: int


# ------------------------------------------------------------------------------------------------------- during training


@dataclass(frozen=True, kw_only=True)
class TrainingStarted(Event, kind="start"):
    """Updates begin, or go on after `step` of `total`."""

    step: int
    total: int
    rows: int
    epochs: float


@dataclass(frozen=True, kw_only=True)
class UpdateLogged(Event, kind="step"):
    """Every so many updates: the mean loss since the last one, the learning rate, the length of the gradient."""

    step: int
    total: int
    loss: float
    rate: float
    norm: float


@dataclass(frozen=True, kw_only=True)
class UpdateMade(Event, kind="tick"):
    """An update that is not logged; for progress bars, not for the file."""

    step: int
    total: int


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """One evaluation during training: means over the training rows since the last one, scores of the validation rows."""

    step: int
    epoch: float
    train_loss: float
    train_accuracy: float
    accuracy: float
    macro_f1: float
    mcc: float
    log_loss: float
    shifts: Mapping[str, float] | None = None
    """Accuracy under each kind of shift, where the checkpoint is chosen by the worst of them."""
    worst_shift: float | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluated(HistoryEntry, Event, kind="evaluation"):
    """The validation rows were scored; `best` where no earlier checkpoint is better."""

    best: bool


@dataclass(frozen=True, kw_only=True)
class RanksPruned(Event, kind="ranks"):
    """AdaLoRA has pruned: `live` of the `start` ranks are left."""

    step: int
    live: int
    start: int


@dataclass(frozen=True, kw_only=True)
class MemoryRanOut(Event, kind="memory"):
    """Training goes on with smaller micro-batches."""

    micro_batch_size: int


@dataclass(frozen=True, kw_only=True)
class TrainingEnded(Event, kind="end"):
    """The last update is made; the weights are those of `best_step`."""

    step: int
    best_step: int
    training_seconds: float


# -------------------------------------------------------------------------------------------------------- after training


@dataclass(frozen=True, kw_only=True)
class RunScored(Event, kind="scores"):
    """The test rows are scored, once."""

    accuracy: Interval
    macro_f1: Interval
    log_loss: Interval


@dataclass(frozen=True, kw_only=True)
class AlreadyComplete(Event, kind="complete"):
    """The folder to resume holds a finished run, so nothing is trained."""

    folder: str


@dataclass(frozen=True, kw_only=True)
class ExperimentStarted(Event, kind="experiment"):
    """A reproduction comes to its training `number` of `total`."""

    name: str
    seed: int
    number: int
    total: int
    asked_by: str
    """The experiments that need this one, where it was not asked for itself."""
    done: bool
    """Whether it is finished already."""


# ------------------------------------------------------------------------------------------------- the bus, and the file


class Events:
    """Hands each event to every listener, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = list(listeners)

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)


class EventFile:
    """A listener that writes events.jsonl; `seconds` counts from its opening. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started = time.monotonic()
        self.file: TextIO | None = None

    def __enter__(self) -> EventFile:
        if self.path.exists():
            _drop_cut_line(self.path)
        self.file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def __call__(self, event: Event) -> None:
        if self.file is None:
            raise ValueError("the event file is not open; use it in a with block")
        if isinstance(event, UpdateMade):
            return
        seconds = round(time.monotonic() - self.started, 3)
        self.file.write(json.dumps({"event": event.kind, "seconds": seconds, **to_json(event)}) + "\n")
        self.file.flush()


def read_events(path: Path) -> list[Event]:
    """The events of a file; a last line cut short by a kill is left out. Raises RunError for a line that is no event."""
    return list(_parsed(path))


def _parsed(path: Path) -> Iterator[Event]:
    lines = path.read_text("utf-8").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
        except json.JSONDecodeError as error:
            if number == len(lines):
                return
            raise RunError(f"{path}, line {number}: not JSON; copy the run folder again") from error
        if not isinstance(values, dict) or values.get("event") not in Event.kinds:
            raise RunError(f"{path}, line {number}: no event that this rankwise knows; upgrade rankwise")
        event = Event.kinds[values.pop("event")]
        if "seconds" not in event.__annotations__:  # of a forecast, whose own stand in the line
            values.pop("seconds", None)
        try:
            yield parse_json(json.dumps(values), event)
        except ValueError as error:
            raise RunError(f"{path}, line {number}: {event.kind}{error}") from error


def _drop_cut_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that what is appended starts on a line of its own."""
    written = path.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        path.write_bytes(written[:whole])
