"""The process: where it listens, what its signals do, and how it ends.

SIGTERM and Ctrl-C drain: readiness says 503 at once, what was accepted is answered, what is new is refused, and the exit code
is 0; a second one ends it where it stands. SIGHUP looks the runs up again.
"""

import asyncio
import ipaddress
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rankwise.errors import DataError, RankwiseError
from rankwise.serving.app import App, log
from rankwise.serving.service import LOOPBACK, Service

DRAIN = 20.0  # seconds that what was accepted has, below the 30 that Kubernetes waits
FAREWELL = 0.5  # seconds
HEADERS = 10.0  # seconds that a request's headers have to come
HEADER_BYTES = 65_536
KEEP_ALIVE = 30  # seconds
HANGUP = getattr(signal, "SIGHUP", None)  # Windows has none


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str = "127.0.0.1"
    port: int = 8080

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine gets there."""
        if self.host in LOOPBACK:
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def names(self) -> frozenset[str] | None:
        """What requests may call it by: of a loopback address its own names, for a page elsewhere may resolve to it."""
        return frozenset({*LOOPBACK, self.host}) if self.is_loopback else None

    def bound(self) -> socket.socket:
        """A socket that is bound there. Raises DataError where that can't be."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        # By its number asyncio knows TCP, and turns off Nagle's algorithm, which holds the end of each reply back for 40 ms.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((self.host, self.port))
        except OSError as error:
            listening.close()
            where = f"{self.host}:{self.port}"
            raise DataError(f"can't listen on {where}: {error.strerror or error}; give another --host or --port") from error
        return listening


class PunctualProtocol(HttpToolsProtocol):
    """HTTP whose requests must have all their headers soon, and not too many of them."""

    _deadline: asyncio.TimerHandle | None = None
    _came = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._headers_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deadline is not None:
            self._came += len(data)
        super().data_received(data)
        if self._deadline is not None and self._came > HEADER_BYTES:
            self.transport.close()

    def on_message_begin(self) -> None:
        self._await_headers()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._headers_came()
        super().on_headers_complete()

    def _await_headers(self) -> None:
        self._headers_came()
        self._deadline = self.loop.call_later(HEADERS, self.transport.close)

    def _headers_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._came = None, 0


class Server(uvicorn.Server):
    """A server of a service, with the signals' meanings."""

    def __init__(self, service: Service, *, on_ready: Callable[[], object] = lambda: None) -> None:
        """`on_ready` is called once the runs are loaded."""
        config = uvicorn.Config(
            App(service),
            http=PunctualProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=2,  # for what is answered already and yet to be sent
        )
        super().__init__(config)
        self.service = service
        self.on_ready = on_ready
        self.problem: Exception | None = None
        """Why the runs could not be loaded, where they could not."""
        self._tasks = set[asyncio.Task[Any]]()
        self.loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self._start(self._load())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets=sockets)
        await self.service.close()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Inside, signals mean what is said above; a server on another thread gets none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handlers: dict[int, Callable[[], None]] = {signal.SIGINT: self.stop, signal.SIGTERM: self.stop}
        if HANGUP is not None:
            handlers[HANGUP] = self._reload
        before = {number: signal.signal(number, self._heard(handle)) for number, handle in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def stop(self) -> None:
        """Drain, and end; at once where it drains already."""
        if self.service.queue.draining:
            self.force_exit = self.should_exit = True
        else:
            self.service.queue.draining = True
            self._start(self._drain())

    def _heard(self, handle: Callable[[], None]) -> Callable[[int, Any], None]:
        def heard(*_: Any) -> None:
            if self.loop is not None:
                self.loop.call_soon_threadsafe(handle)

        return heard

    def _reload(self) -> None:
        self._start(self._look_again())

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self) -> None:
        if self.service.catalogue is None:
            try:
                await self.service.reload()
            except Exception as problem:  # noqa: BLE001 - `serve` raises it again, in the main thread
                self.problem, self.should_exit = problem, True
                return
        self.on_ready()

    async def _look_again(self) -> None:
        try:
            await self.service.reload()
        except (RankwiseError, OSError) as problem:
            log.warning("not reloaded, the models are as they were: %s", problem)

    async def _drain(self) -> None:
        """Wait until whatever is being answered has been, or until nobody would wait longer.

        A client that keeps its connection is then told with its next answer, for a moment, that there is none any more: a
        connection that closes as a request comes tells it nothing.
        """
        until = time.monotonic() + DRAIN
        while self.service.active and time.monotonic() < until:
            await asyncio.sleep(0.02)
        until = time.monotonic() + FAREWELL
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self.should_exit = True


def serve(service: Service, address: Address, *, on_ready: Callable[[str], object] = lambda _: None) -> bool:
    """Serve until a signal ends it; whether it drained. `on_ready` is called with its URL once the runs are loaded.

    Raises DataError for an address, and whatever loading the runs raises.
    """
    listening = address.bound()
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    server = Server(service, on_ready=lambda: on_ready(url))
    server.run(sockets=[listening])
    if server.problem is not None:
        raise server.problem
    return not server.force_exit
