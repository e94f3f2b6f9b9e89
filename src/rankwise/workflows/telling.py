"""What becomes of a training, told in lines on standard error to whoever calls it from Python; in a notebook on standard
output, for what is on the other looks like a mistake there.

A terminal and a notebook get one line that changes as updates are made, anything else, such as a log, a line now and then.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rankwise.system.events import Event, Listener, WorkDone
from rankwise.system.visible import visible
from rankwise.training import events
from rankwise.workflows.events import AlreadyComplete, DataPrepared, RungFileDamaged, RungReached, RungStarted, RunScored

NOTEBOOK = "ipykernel.iostream"  # where a stream is from that a notebook shows, which obeys "\r" and is no terminal
SECONDS = 10.0  # between two lines about updates where a line can't change
REDRAWS = 0.2  # seconds between two states of one that can


@contextmanager
def told(stream: TextIO | None = None) -> Iterator[list[Listener]]:
    """A listener, in a list, that tells what it hears; the line that changes ends with the context."""
    telling = Telling(stream or (sys.stdout if _in_notebook(sys.stdout) else sys.stderr))
    try:
        yield [telling]
    finally:
        telling.end_line()


class Telling:
    """A listener that writes to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.changes = stream.isatty() or _in_notebook(stream)
        self._width = 0
        self._last = time.monotonic()
        self._loss = ""

    def __call__(self, event: Event) -> None:
        match event:
            case AlreadyComplete():
                self.line(f"{event.folder} is already complete")
            case DataPrepared():
                self.line(f"{event.train:,} train, {event.validation:,} validation, {event.test:,} test rows")
                for warning in event.warnings:
                    self.line(f"note: {warning}")
            case RungStarted():
                self.line(f"rung {event.rung}: {event.trained_parameters:,} parameters")
            case RungReached():
                self.line(f"rung {event.rung}: {event.reached} on rows held out, {event.took:.0f} s")
            case WorkDone():
                how_far = f": {event.done:,} of {event.total:,}" if event.total else ""
                self.passing(f"{event.what}{how_far}", at_once=event.done == 0)
            case events.HeadFitted():
                self.line(f"head fitted on {event.rows:,} texts")
            case events.TrainingStarted():
                self.passing(f"training: {event.total:,} updates on {event.rows:,} rows", at_once=True)
            case events.UpdateMade():
                if isinstance(event, events.UpdateLogged):
                    self._loss = f", loss {event.loss:.3f}"
                self.passing(f"training: update {event.step:,} of {event.total:,}{self._loss}")
            case events.Evaluated():
                error = f"root mean squared error {event.loss:.3g}"
                told = error if event.accuracy is None else f"accuracy {event.accuracy:.1%}, log-loss {event.loss:.3f}"
                self.line(f"epoch {event.epoch:g}: validation {told}")
            case events.Collapsed() | events.CheckpointDamaged() | RungFileDamaged():
                self.line(f"note: {event}")
            case events.MemoryRanOut():
                self.line(f"note: memory ran out; {event.micro_batch_size} rows at a time from here on")
            case events.TrainingEnded():
                self.passing("scoring", at_once=True)
            case RunScored() if event.accuracy.value is not None:
                self.line(f"test accuracy {event.accuracy.value:.1%}")
            case RunScored() if event.more is not None and event.more["pearson"].value is not None:
                self.line(f"test Pearson {event.more['pearson'].value:.3f}")

    def line(self, text: str) -> None:
        """A line that stays."""
        self.end_line()
        self.stream.write(f"rankwise: {visible(text)}\n")
        self.stream.flush()

    def passing(self, text: str, *, at_once: bool = False) -> None:
        """A line that the next one replaces, where it can, and where not one that comes now and then, unless `at_once`."""
        now = time.monotonic()
        if not at_once and now - self._last < (REDRAWS if self.changes else SECONDS):
            return
        self._last = now
        if not self.changes:
            self.line(text)
            return
        shown = f"rankwise: {visible(text)}"
        self.stream.write(f"\r{shown.ljust(self._width)}")
        self.stream.flush()
        self._width = len(shown)

    def end_line(self) -> None:
        """Take away the line that changes, if there is one."""
        if self._width:
            self.stream.write(f"\r{' ' * self._width}\r")
            self.stream.flush()
            self._width = 0


def _in_notebook(stream: TextIO) -> bool:
    return type(stream).__module__ == NOTEBOOK
