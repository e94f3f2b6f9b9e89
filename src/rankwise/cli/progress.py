"""What becomes of a training while it runs, on standard error: a bar, and a line for each evaluation."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

from rich import progress
from rich.progress import Progress, ProgressColumn, TextColumn

from rankwise.cli.console import dim, err, note
from rankwise.planning.forecast import Forecast
from rankwise.system.events import Event, WorkDone
from rankwise.training import events
from rankwise.workflows.events import (
    AlreadyComplete,
    DataPrepared,
    MachineMeasured,
    RungFileDamaged,
    RungReached,
    RungStarted,
)

T = TypeVar("T")


class Bar(Progress):
    """A progress bar on standard error, to be used in a `with`; none where that is no terminal."""

    def __init__(self, *columns: ProgressColumn, disable: bool = False) -> None:
        begin = (TextColumn("[bold]{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn())
        super().__init__(*begin, *columns, console=err, transient=True, disable=disable or not err.is_terminal)
        self.task: Any = None


def counted(what: str, rows: Iterable[T]) -> Iterator[T]:
    """The rows as they come, with their number so far on a terminal."""
    with Bar(progress.TimeElapsedColumn()) as bar:
        bar.task = bar.add_task(what, total=None)
        for row in rows:
            yield row
            bar.advance(bar.task)


class WorkProgress(Bar):
    """A listener that draws a bar of what is being done, until something else happens."""

    def __init__(self, *columns: ProgressColumn) -> None:
        super().__init__(*columns, progress.TimeElapsedColumn(), TextColumn("ETA"), progress.TimeRemainingColumn())
        self.work: Any = None

    def __call__(self, event: Event) -> None:
        now = event if isinstance(event, WorkDone) else None
        if self.work is not None and (now is None or now.done == 0):
            self.remove_task(self.work)
            self.work = None
        if now is not None and self.work is None:
            self.work = self.add_task(now.what, total=now.total or None, loss="")
        if now is not None:
            self.update(self.work, completed=now.done)


class TrainingProgress(WorkProgress):
    """A listener that draws a bar with loss, speed and ETA, and a line for each evaluation."""

    def __init__(self) -> None:
        super().__init__(TextColumn("{task.fields[loss]}"))

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        match event:
            case AlreadyComplete():
                dim(f"{event.folder} is already complete")
            case DataPrepared():
                for warning in event.warnings:
                    note(warning)
                rows = f"{event.train:,} train, {event.validation:,} validation, {event.test:,} test rows"
                self._say(f"[dim]{rows}; at most {event.max_length} tokens[/]")
            case MachineMeasured():
                self._say(f"[dim]{_machine(event)}[/]")
            case Forecast() if event.measured:  # which the plan, shown before, could only predict
                dim(event.lines()[0])
            case events.HiddenStatesCached():
                self._say(f"[dim]{_hidden_states(event)}[/]")
            case events.HeadFitted():
                self._say(f"[dim]head fitted on {event.rows:,} texts[/]")
            case events.MemoryRanOut():
                self._say(f"memory ran out: going on with micro-batches of {event.micro_batch_size}")
            case events.Evaluated():
                self._say(_scores(event))
            case RungStarted():
                self._say(f"[bold]rung {event.rung}[/], {event.trained_parameters:,} parameters")
            case RungReached():
                gain = f", {event.gained} points" if event.gained else ""
                self._say(f"{event.reached}[dim] on rows held out{gain}, {event.took:.0f} s[/]")
            case events.TrainingStarted():
                if self.task is not None:
                    self.remove_task(self.task)
                self.task = self.add_task("training", total=event.total, completed=event.step, loss="")
            case events.UpdateLogged() if self.task is not None:
                self.update(self.task, completed=event.step, loss=f"loss {event.loss:.3f}")
            case events.UpdateMade() if self.task is not None:
                self.update(self.task, completed=event.step)
            case events.Collapsed() | events.CheckpointDamaged() | RungFileDamaged():
                note(str(event))
            case events.TrainingEnded() if self.task is not None:
                self.update(self.task, description="scoring")

    def _say(self, line: str) -> None:
        if err.is_terminal:
            err.print(line)


def _scores(event: events.Evaluated) -> str:
    best = "  [green]best[/]" if event.best else ""
    worst = "" if event.worst_shift is None else f", under the worst shift {event.worst_shift:.1%}"
    epoch = f"[dim]epoch {event.epoch:g}  training loss {event.train_loss:.3f}  validation[/] "
    if event.accuracy is None:  # a number
        pearson = "n/a" if event.pearson is None else f"{event.pearson:.3f}"
        return f"{epoch}Pearson {pearson}[dim], root mean squared error {event.loss:.3g}[/]{best}"
    return f"{epoch}{event.accuracy:.1%}[dim], loss {event.loss:.3f}{worst}[/]{best}"


def _machine(event: MachineMeasured) -> str:
    """`2 threads (1: 92, 2: 168 GFLOP/s; train.threads sets another number), bf16`."""
    speeds = ", ".join(f"{count}: {speed:.0f}" for count, speed in event.gflops.items())
    because = f" ({speeds} GFLOP/s; train.threads sets another number)" if speeds else ""
    processes = f"{event.processes} processes of " if event.processes > 1 else ""
    return f"{processes}{event.threads} {'thread' if event.threads == 1 else 'threads'}{because}, {event.precision}"


def _hidden_states(event: events.HiddenStatesCached) -> str:
    if event.as_before:
        return "frozen layers: they run every time, as they did before this training was resumed"
    if event.bytes is None or event.took is None:
        return "frozen layers: no room in the cache (RANKWISE_CACHE_GB) or in memory, so they run every time"
    how = f"read from {event.where}" if event.reused else f"run once into {event.where}"
    return f"frozen layers below {event.layer}, {event.split}: {how}, {event.bytes / 1e9:.2f} GB, {event.took:.1f} s"
