"""What becomes of a training while it runs, on standard error: a bar, and a line for each evaluation."""

from __future__ import annotations

from typing import Any, Self

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from rankwise.cli.console import dim, err, note
from rankwise.system.events import (
    AlreadyComplete,
    DataPrepared,
    Evaluated,
    Event,
    HeadFitted,
    HiddenStatesCached,
    MachineMeasured,
    MemoryRanOut,
    TrainingEnded,
    TrainingStarted,
    UpdateLogged,
    UpdateMade,
)

BAR = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn())  # with which every progress bar begins


class Bar:
    """A listener that draws a progress bar on standard error, from `with` to its end; none where that is no terminal."""

    def __init__(self, *columns: ProgressColumn, disable: bool = False) -> None:
        disable = disable or not err.is_terminal
        self.progress = Progress(*columns, console=err, transient=True, disable=disable)
        self.task: Any = None

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()


class TrainingProgress(Bar):
    """A bar with loss, speed and ETA, and a line for each evaluation."""

    def __init__(self) -> None:
        loss, eta = TextColumn("{task.fields[loss]}"), TextColumn("ETA")
        super().__init__(*BAR, loss, TimeElapsedColumn(), eta, TimeRemainingColumn())

    def __call__(self, event: Event) -> None:
        if isinstance(event, AlreadyComplete):
            dim(f"{event.folder} is already complete")
        elif isinstance(event, DataPrepared):
            for warning in event.warnings:
                note(warning)
        if not err.is_terminal:
            return
        self._draw(event)
        if line := _line(event):
            err.print(line)

    def _draw(self, event: Event) -> None:
        """Move the bar as an event says."""
        if isinstance(event, TrainingStarted):
            self.task = self.progress.add_task("training", total=event.total, completed=event.step, loss="")
        elif self.task is None:
            return
        elif isinstance(event, UpdateLogged):
            self.progress.update(self.task, completed=event.step, loss=f"loss {event.loss:.3f}")
        elif isinstance(event, UpdateMade):
            self.progress.update(self.task, completed=event.step)
        elif isinstance(event, TrainingEnded):
            self.progress.update(self.task, description="scoring")


def _line(event: Event) -> str:
    """The line that an event of a training prints above the bar, if any."""
    match event:
        case MachineMeasured():
            return f"[dim]{_machine(event)}[/]"
        case DataPrepared():
            rows = f"{event.train:,} train, {event.validation:,} validation, {event.test:,} test rows"
            return f"[dim]{rows}; at most {event.max_length} tokens[/]"
        case HiddenStatesCached():
            return f"[dim]{_hidden_states(event)}[/]"
        case HeadFitted():
            return f"[dim]head fitted on {event.rows:,} texts[/]"
        case MemoryRanOut():
            return f"memory ran out: going on with micro-batches of {event.micro_batch_size}"
        case Evaluated():
            best = "  [green]best[/]" if event.best else ""
            worst = "" if event.worst_shift is None else f", under the worst shift {event.worst_shift:.1%}"
            return (
                f"[dim]epoch {event.epoch:g}  training loss {event.train_loss:.3f}  validation[/] "
                f"{event.accuracy:.1%}[dim], loss {event.log_loss:.3f}{worst}[/]{best}"
            )
    return ""


def _machine(event: MachineMeasured) -> str:
    """`2 threads (1: 92, 2: 168 GFLOP/s; train.threads sets another number), bf16`."""
    speeds = ", ".join(f"{count}: {speed:.0f}" for count, speed in event.gflops.items())
    because = f" ({speeds} GFLOP/s; train.threads sets another number)" if speeds else ""
    processes = f"{event.processes} processes of " if event.processes > 1 else ""
    return f"{processes}{event.threads} {'thread' if event.threads == 1 else 'threads'}{because}, {event.precision}"


def _hidden_states(event: HiddenStatesCached) -> str:
    """What became of the hidden states cache for one split."""
    if event.bytes is None or event.took is None:
        return "frozen layers: no room in the cache (RANKWISE_CACHE_GB), so they run every time"
    how = "read from" if event.reused else "run once into"
    return (
        f"frozen layers below {event.layer}, {event.split}: {how} the cache, {event.bytes / 1e9:.2f} GB, {event.took:.1f} s"
    )
