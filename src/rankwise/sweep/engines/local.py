"""Where trials run: an engine takes tasks, tells what happens to them, and carries the answer whether one goes on.

An engine knows nothing of sweeps. It has some `slots`, runs `work(task, report)` once in each, and turns what happens there
into events. `LocalEngine` keeps processes on this machine; another one only has to speak the same five words.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, cast

from rankwise.errors import RankwiseError
from rankwise.sweep.results import Report, Stop
from rankwise.system.cores import default_threads, usable_cores

Work = Callable[[Any, Report], Any]
MOST_STILLBORN = 3
GRACE_SECONDS = 3.0  # that a process has to end in, once asked to
_NO_START = (
    f"{MOST_STILLBORN} processes in a row ended before they could train anything; what they printed says why. A script that "
    "calls sweep() needs it under `if __name__ == '__main__':`, for each process reads the script again"
)


@dataclass(frozen=True)
class Reported:
    """A task has an evaluation to tell, and waits for `answer`."""

    number: int
    entry: Mapping[str, float]


@dataclass(frozen=True)
class Done:
    """A task returned `result`."""

    number: int
    result: Any


@dataclass(frozen=True)
class Stopped:
    """A task ended because the answer to its report was not to go on."""

    number: int


@dataclass(frozen=True)
class Failed:
    """A task raised; `kind` names the exception, which is the user's to mend where it is a RankwiseError."""

    number: int
    kind: str
    message: str
    is_mistake: bool


@dataclass(frozen=True)
class Died:
    """The process of a task is gone."""

    number: int


Event = Reported | Done | Stopped | Failed | Died


class Engine(Protocol):
    """Runs tasks; made with the work that they are for."""

    @property
    def slots(self) -> int:
        """How many tasks run at a time, for now."""

    def start(self, number: int, task: Any) -> None:
        """Begin a task in a free slot."""

    def events(self, timeout: float) -> Iterator[Event]:
        """What has happened, waiting up to `timeout` seconds for something to."""

    def answer(self, number: int, go_on: bool) -> None:
        """Say whether a task that reported is to go on."""

    def close(self) -> None:
        """End everything, running tasks included."""


def outcome(number: int, pickled: bytes, task: Any, report: Report) -> Event:
    """The event that a task ends with; `pickled` is the engine's work."""
    try:
        return Done(number, _unpickled(pickled)(task, report))
    except Stop:
        return Stopped(number)
    except Exception as error:  # noqa: BLE001 - it is sent to the driver, which raises it again
        is_mistake = isinstance(error, RankwiseError) and error.exit_code == 2
        message = str(error) if is_mistake else "".join(traceback.format_exception(error))
        return Failed(number, type(error).__name__, message, is_mistake)


@cache
def _unpickled(work: bytes) -> Work:
    """An engine's work, made once in each process."""
    return cast(Work, pickle.loads(work))  # noqa: S301 - our own bytes, from the driver


class LocalEngine:
    """Long-lived processes on this machine, each with its share of the cores; they end when this process does.

    A process is started when it is first needed and imports what the work needs once. One that dies is replaced: its task
    has died with it if it had taken it, else another process gets it.
    """

    def __init__(self, work: Work, *, jobs: int | None = None, threads: int | None = None) -> None:
        self.slots = jobs or usable_cores()
        self.threads = threads or max(1, min(default_threads(), usable_cores() // self.slots))
        self._work = pickle.dumps(work)
        self._context = multiprocessing.get_context("spawn")
        self._idle: list[_Process] = []
        self._busy: dict[int, _Process] = {}
        self._stillborn = 0  # processes in a row that ended before they took their task

    def start(self, number: int, task: Any) -> None:
        assert len(self._busy) < self.slots, "start() is for a free slot"
        self._idle = [process for process in self._idle if process.lives]
        self._busy[number] = process = self._idle.pop() if self._idle else self._fresh()
        process.give(number, task)

    def events(self, timeout: float) -> Iterator[Event]:
        by_connection = {process.connection: number for number, process in self._busy.items()}
        for connection in wait(list(by_connection), timeout):
            number = by_connection[connection]
            event = self._event(number)
            if event is None:
                continue
            if not isinstance(event, Reported):
                process = self._busy.pop(number)
                if isinstance(event, Died):
                    process.end()
                else:
                    self._idle.append(process)
            yield event

    def answer(self, number: int, go_on: bool) -> None:
        self._busy[number].send(go_on)

    def close(self) -> None:
        processes = (*self._busy.values(), *self._idle)
        for process in processes:
            process.ask_to_end()
        for process in processes:
            process.end()
        self._busy.clear()
        self._idle.clear()

    @property
    def processes(self) -> list[int]:
        """The ids of the processes that run."""
        return [process.id for process in (*self._busy.values(), *self._idle) if process.lives]

    def _event(self, number: int) -> Event | None:
        process = self._busy[number]
        try:
            event: Event | None = process.connection.recv()
        except (EOFError, OSError):  # at the end of the pipe, or within a message
            if process.taken:
                return Died(number)
            self._stillborn += 1
            if self._stillborn >= MOST_STILLBORN:
                return Failed(number, "RunError", _NO_START, True)
            process.end()
            self._busy[number] = self._fresh()
            self._busy[number].give(number, process.task)
            return None
        if event is None:
            process.taken, self._stillborn = True, 0
        return event

    def _fresh(self) -> _Process:
        return _Process(self._context, self._work, self.threads)


class _Process:
    """One process of a LocalEngine, and the pipe to it."""

    def __init__(self, context: Any, work: bytes, threads: int) -> None:
        self.task: Any = None
        self.taken = False  # whether it has said that the task reached it
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends when the process does

    @property
    def lives(self) -> bool:
        """Whether the process runs."""
        return bool(self._process.is_alive())

    @property
    def id(self) -> int:
        return int(self._process.pid)

    def give(self, number: int, task: Any) -> None:
        self.task, self.taken = task, False
        self.send((number, task))

    def send(self, value: Any) -> None:
        try:
            self.connection.send(value)
        except BrokenPipeError:
            return  # it has died, which the next event says

    def ask_to_end(self) -> None:
        self._process.terminate()

    def end(self) -> None:
        """End it, after a moment in which it removes its temporary files."""
        self.ask_to_end()
        self._process.join(GRACE_SECONDS)
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, pickled: bytes, threads: int) -> None:
    """What a process does: one task after another, until its parent is gone."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    signal.signal(signal.SIGTERM, _leave)
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before anything that counts cores is imported
    try:
        while True:
            number, task = connection.recv()
            connection.send(None)  # the task is taken
            connection.send(outcome(number, pickled, task, partial(_ask, connection, number)))
    except (EOFError, SystemExit):
        os._exit(0)  # at once: what a task held open is closed by now


def _leave(*_: Any) -> None:
    """Leave what is being done as an exception does, so that temporary folders go."""
    raise SystemExit


def _ask(connection: Connection, number: int, entry: Mapping[str, float]) -> None:
    """Report an evaluation, and wait to hear whether to go on."""
    connection.send(Reported(number, dict(entry)))
    if not connection.recv():
        raise Stop


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    sys.stderr.flush()
    os._exit(1)
