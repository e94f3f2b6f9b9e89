"""Trials on the machines of a Ray cluster: the engine of `rankwise sweep --engine ray`.

Each slot is an actor: a process that keeps what it has imported from trial to trial. Rankwise must be installed on every
machine, and all of them see the data and the sweep's folder. With a machine its trials die, which then run elsewhere.
"""

import os
import socket
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import ray

from rankwise.errors import RunError
from rankwise.sweep.engines.local import Died, Done, Event, Work, perform

CONNECT_SECONDS = 5.0


class RayEngine:
    """Actors on an existing cluster, each with one of its cores; as many as there is room for, or `jobs`.

    `address` is Ray's HOST:PORT; left out, RAY_ADDRESS or the cluster that this machine belongs to. Raises RunError where
    there is none.
    """

    def __init__(self, work: Work, *, jobs: int | None = None, address: str | None = None) -> None:
        self._connected_here = not ray.is_initialized()
        if self._connected_here:
            _connect(address or os.environ.get("RAY_ADDRESS") or "auto")
        self._jobs = jobs
        self._work = work
        self._idle: list[Any] = []
        self._busy: dict[int, Any] = {}
        self._births: dict[int, Any] = {}  # by task: a future that is there once its new actor has found room
        self._awaited: dict[Any, int] = {}  # a future of the next message → the task that it is about

    @property
    def slots(self) -> int:
        """What the machines that are there now have room for: some may have left, others joined."""
        room = int(ray.cluster_resources().get("CPU", 0))  # type: ignore[no-untyped-call]
        return max(1, min(room, self._jobs or room))

    def start(self, number: int, task: Any) -> None:
        if self._idle:
            actor = self._idle.pop()
        else:  # three calls run in one at a time: the task, the wait for its next message, an answer to it
            environment = {"env_vars": {"OMP_NUM_THREADS": "1"}}
            made: Any = ray.remote(_Worker).options(num_cpus=1, max_concurrency=3, runtime_env=environment)
            actor = made.remote(self._work)
            self._births[number] = actor.__ray_ready__.remote()
        self._busy[number] = actor
        actor.run.remote(number, task)
        self._listen(number)

    def events(self, timeout: float) -> Iterator[Event]:
        ready, _ = ray.wait(list(self._awaited), timeout=timeout)
        for future in ready:
            number = self._awaited.pop(future)
            try:
                event: Event = ray.get(future)
            except ray.exceptions.RayActorError as problem:  # the process or its whole machine is gone
                ray.kill(self._busy.pop(number))  # where its machine is merely out of reach, it would go on
                self._births.pop(number, None)
                if "creation task" in str(problem):
                    raise RunError(
                        f"a process on the cluster could not start; is rankwise installed there?\n{problem}"
                    ) from None
                event = Died(number)
            if isinstance(event, Done):
                self._free(self._busy.pop(number), number)
            yield event

    def answer(self, number: int, go_on: bool) -> None:
        self._busy[number].answer.remote(go_on)
        self._listen(number)

    def close(self) -> None:
        for actor in (*self._busy.values(), *self._idle):
            ray.kill(actor)
        self._busy.clear()
        self._idle.clear()
        self._awaited.clear()
        if self._connected_here:
            ray.shutdown()

    def _free(self, actor: Any, number: int) -> None:
        """Keep an actor whose task is over, unless another one waits for its cores, as after the loss of a machine."""
        self._births.pop(number, None)
        births = list(self._births.values())
        if births and len(ray.wait(births, num_returns=len(births), timeout=0)[0]) < len(births):
            ray.kill(actor)
        else:
            self._idle.append(actor)

    def _listen(self, number: int) -> None:
        self._awaited[self._busy[number].message.remote()] = number


def _connect(address: str) -> None:
    """Join a cluster. Raises RunError at once where none answers: Ray itself would wait for minutes."""
    if "://" in address:
        raise RunError(
            f"{address} is an address for Ray's client; start this on a machine of the cluster, with the address that ray "
            "start printed there, such as RAY_ADDRESS=HOST:6379"
        )
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False)
    except (OSError, ValueError) as problem:  # ConnectionError is an OSError
        raise RunError(
            f"no Ray cluster answers at {'this machine' if address == 'auto' else address}; start one: ray start --head, "
            "and on each further machine: ray start --address=HOST:PORT"
        ) from problem


class _Worker:
    """The actor that is one process of a RayEngine."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._answers: SimpleQueue[bool] = SimpleQueue()

    def run(self, number: int, task: Any) -> None:
        perform(number, self._work, task, send=self._events.put, receive=self._answers.get)

    def message(self) -> Event:
        return self._events.get()

    def answer(self, go_on: bool) -> None:
        self._answers.put(go_on)
