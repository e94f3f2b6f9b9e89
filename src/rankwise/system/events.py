"""What happens during a run, as plain events: engines emit, listeners print, write or track.

An event is a kind and JSON values. `EventFile` appends one JSON object a line to events.jsonl, flushed at once, so a killed
run leaves every finished line readable.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

Listener = Callable[[str, dict[str, Any]], None]


class Events:
    """Hands each event to every listener, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = list(listeners)

    def emit(self, kind: str, **values: Any) -> None:
        for listener in self.listeners:
            listener(kind, values)


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

    def __call__(self, kind: str, values: dict[str, Any]) -> None:
        if self.file is None:
            raise ValueError("the event file is not open; use it in a with block")
        if kind == "tick":  # one for each update, for progress bars; the file holds the logged ones
            return
        seconds = round(time.monotonic() - self.started, 3)
        self.file.write(json.dumps({"event": kind, "seconds": seconds, **values}) + "\n")
        self.file.flush()


def _drop_cut_line(path: Path) -> None:
    """Remove a last line that a kill cut short, so that what is appended starts on a line of its own."""
    written = path.read_bytes()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        path.write_bytes(written[:whole])


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file; a last line cut short by a kill is left out."""
    events = []
    for line in path.read_text("utf-8").splitlines():
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return events
