"""Where trials run: an engine takes tasks, tells what happens to them, and carries the answer whether one goes on.

An engine knows nothing of sweeps: it runs `work(task, report)` in each of its slots.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from rankwise.errors import Defect, RankwiseError, RunError
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
class Event:
    """What happened to the task of this number; one that is no `Reported` is the task's last."""

    number: int


@dataclass(frozen=True)
class Reported(Event):
    """It has an evaluation to tell, and waits for `answer`."""

    entry: Mapping[str, float]


@dataclass(frozen=True)
class Done(Event):
    """It is over."""

    result: Any
    """What it returned, or raised: a mistake of the user's as it was, anything else as a Defect with its traceback.

    None where the answer to its report was not to go on.
    """


@dataclass(frozen=True)
class Died(Event):
    """Its process is gone."""


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


def perform(number: int, work: Work, task: Any, *, send: Callable[[Event], Any], receive: Callable[[], bool]) -> None:
    """Do a task where it runs: send its events, and receive the answer to each report."""

    def report(entry: Mapping[str, float]) -> None:
        send(Reported(number, dict(entry)))
        if not receive():
            raise Stop

    try:
        event: Event = Done(number, work(task, report))
    except Stop:
        event = Done(number, None)
    except Exception as error:  # noqa: BLE001 - it is sent to the driver, which raises it
        event = Done(number, _problem(number, error))
    send(event)


def _problem(number: int, error: Exception) -> RankwiseError:
    """What a task raised, made again so that it can be sent to another process."""
    if not isinstance(error, RankwiseError) or error.exit_code != 2:
        return Defect(f"trial {number} raised {type(error).__name__}:\n{''.join(traceback.format_exception(error))}")
    takes_a_message = type(error).__init__ is RankwiseError.__init__
    return type(error)(str(error)) if takes_a_message else RankwiseError(str(error))


class _Worker:
    """One process of a LocalEngine, and the pipe to it."""

    def __init__(self, work: bytes, threads: int) -> None:
        self.task: Any = None
        self.taken = False  # whether it has said that the task reached it
        spawning = multiprocessing.get_context("spawn")
        self.connection, theirs = spawning.Pipe()
        self.process = spawning.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        self.process.start()
        theirs.close()  # so that the pipe ends when the process does

    def send(self, value: Any) -> None:
        with suppress(BrokenPipeError):  # it has died, which the next event says
            self.connection.send(value)

    def end(self) -> None:
        """End it, after a moment in which it removes its temporary files."""
        self.process.terminate()
        self.process.join(GRACE_SECONDS)
        self.process.kill()
        self.process.join()
        self.connection.close()


class LocalEngine:
    """Long-lived processes on this machine, each with its share of the cores; they end when this process does.

    A process is started when it is first needed and imports what the work needs once. One that dies is replaced: its task
    has died with it if it had taken it, else another process gets it.
    """

    def __init__(self, work: Work, *, jobs: int | None = None) -> None:
        self.slots = jobs or usable_cores()
        self.threads = max(1, min(default_threads(), usable_cores() // self.slots))
        self._work = pickle.dumps(work)
        self._idle: list[_Worker] = []
        self._busy: dict[int, _Worker] = {}
        self._stillborn = 0  # processes in a row that ended before they took their task

    def start(self, number: int, task: Any) -> None:
        assert len(self._busy) < self.slots, "start() is for a free slot"
        self._idle = [worker for worker in self._idle if worker.process.is_alive()]
        self._give(self._idle.pop() if self._idle else _Worker(self._work, self.threads), number, task)

    def events(self, timeout: float) -> Iterator[Event]:
        by_connection: dict[Any, int] = {worker.connection: number for number, worker in self._busy.items()}
        for connection in wait(list(by_connection), timeout):
            number = by_connection[connection]
            event = self._event(number)
            if isinstance(event, Died):
                self._busy.pop(number).end()
            elif isinstance(event, Done):
                self._idle.append(self._busy.pop(number))
            if event is not None:
                yield event

    def answer(self, number: int, go_on: bool) -> None:
        self._busy[number].send(go_on)

    def close(self) -> None:
        workers = (*self._busy.values(), *self._idle)
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.end()
        self._busy.clear()
        self._idle.clear()

    def _give(self, worker: _Worker, number: int, task: Any) -> None:
        self._busy[number] = worker
        worker.task, worker.taken = task, False
        worker.send((number, task))

    def _event(self, number: int) -> Event | None:
        """What a task's process says; None where it took the task, or ended before that and is replaced."""
        worker = self._busy[number]
        try:
            event: Event | None = worker.connection.recv()
        except (EOFError, OSError):  # at the end of the pipe, or within a message
            if worker.taken:
                return Died(number)
            self._stillborn += 1
            if self._stillborn >= MOST_STILLBORN:
                return Done(number, RunError(_NO_START))
            worker.end()
            self._give(_Worker(self._work, self.threads), number, worker.task)
            return None
        if event is None:
            worker.taken, self._stillborn = True, 0
        return event


def _serve(connection: Connection, pickled: bytes, threads: int) -> None:
    """What a process does: one task after another, until its parent is gone."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to answer
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as an exception does, so that temporary folders go
    os.environ["OMP_NUM_THREADS"] = str(threads)  # before anything that counts cores is imported
    work: Work = pickle.loads(pickled)  # noqa: S301 - our own bytes, from the driver
    try:
        while True:
            number, task = connection.recv()
            connection.send(None)  # the task is taken
            perform(number, work, task, send=connection.send, receive=connection.recv)
    except (EOFError, SystemExit):
        os._exit(0)  # at once: what a task held open is closed by now


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker has a parent"
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    sys.stderr.flush()
    os._exit(1)
