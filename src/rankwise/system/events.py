"""Typed events: engines emit them, listeners print, write or track them. Each is defined beside what emits it.

events.jsonl holds one JSON object a line, `{"event": KIND, "seconds": S, …}` with the fields of that kind's class. A line is
flushed at once, so a killed run leaves every finished line readable.
"""

import json
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from rankwise.errors import RunError
from rankwise.system.files import Stored, parse_json, to_json

MOST_BYTES = 2**28  # of a file of events, a hundred for each update


class Event(Stored):
    """Base class of all events; `class Tick(Event, kind="tick")` names a kind, and says whether files hold it."""

    kind: ClassVar[str]
    in_file: ClassVar[bool]

    def __init_subclass__(cls, *, kind: str, in_file: bool = True) -> None:
        cls.kind, cls.in_file = kind, in_file


Listener = Callable[[Event], None]
E = TypeVar("E", bound=Event)
T = TypeVar("T")


@dataclass(frozen=True)
class WorkDone(Event, kind="work", in_file=False):
    """So much is done of something that may take a while, from 0 on; for whoever shows that it goes on."""

    what: str
    """In words, such as `fitting the head`."""
    done: int
    total: int
    """0 where nobody knows."""


class Events:
    """Hands each event to every listener, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self.listeners = listeners

    def emit(self, event: Event) -> None:
        for listener in self.listeners:
            listener(event)

    def counting(self, what: str, items: Collection[T]) -> Iterator[T]:
        """The items one by one; before the first and after each one, how much is done."""
        self.emit(WorkDone(what, 0, len(items)))
        for number, item in enumerate(items, start=1):
            yield item
            self.emit(WorkDone(what, number, len(items)))


@contextmanager
def event_file(path: Path) -> Iterator[Listener]:
    """A listener that writes events.jsonl inside the context; `seconds` counts from its opening."""
    written = path.read_bytes() if path.exists() else b""
    whole = written.rfind(b"\n") + 1
    if whole < len(written):  # a kill cut the last line short; what is appended starts on a line of its own
        path.write_bytes(written[:whole])
    started = time.monotonic()
    with path.open("a", encoding="utf-8") as file:

        def write(event: Event) -> None:
            if event.in_file:
                seconds = round(time.monotonic() - started, 3)
                file.write(json.dumps({"event": event.kind, "seconds": seconds, **to_json(event)}) + "\n")
                file.flush()

        yield write


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > MOST_BYTES:
            raise RunError(f"{path} has {size:,} bytes, expected at most {MOST_BYTES:,}")
        return path.read_text("utf-8")
    except FileNotFoundError as error:
        raise RunError(f"{path.parent}: {path.name} is missing; copy the folder again") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: not UTF-8 at byte {error.start:,}; copy the run folder again") from error


def read_events(path: Path, *schemas: type[E]) -> list[E]:
    """A file's events of some classes, in order; a last line cut short by a kill is left out.

    Raises RunError for a line that is no event, or is one of these kinds with other fields.
    """
    by_kind = {schema.kind: schema for schema in schemas}
    events = []
    lines = _text(path).split("\n")
    for number, line in enumerate(lines, 1):
        try:
            values = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            if number == len(lines):
                break
            raise RunError(f"{path}, line {number}: not JSON; copy the run folder again") from error
        if not isinstance(values, dict) or not {"event", "seconds"} <= values.keys():
            raise RunError(f"{path}, line {number}: no event; copy the run folder again")
        if schema := by_kind.get(values.pop("event")):
            if "seconds" not in schema.__annotations__:  # of a forecast, whose own stand in the line
                del values["seconds"]
            try:
                events.append(parse_json(json.dumps(values), schema))
            except ValueError as error:
                raise RunError(f"{path}, line {number}: {schema.kind}{error}") from error
    return events
