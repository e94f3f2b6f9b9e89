"""A server of `rankwise serve` in a thread of the test's own process, on a free port."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from rankwise.serving.app import Service
from rankwise.serving.server import Address, Server


class Live:
    """A service at work."""

    def __init__(self, service: Service, server: Server, url: str) -> None:
        self.service, self.server, self.url = service, server, url
        self.host, self.port = "127.0.0.1", int(url.rpartition(":")[2])
        self.http = httpx.Client(base_url=url, timeout=30)

    def post(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.http.post(path, json=body, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


@contextmanager
def live(service: Service) -> Iterator[Live]:
    """Inside, the service answers; afterwards nothing of it is left."""
    listening = Address(port=0).bound()
    url = "http://{}:{}".format(*listening.getsockname())
    ready = threading.Event()
    server = Server(service, on_ready=ready.set)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="rankwise-server")
    thread.start()
    try:
        assert ready.wait(60), server.problem
        one = Live(service, server, url)
        try:
            yield one
        finally:
            one.http.close()
    finally:
        server.should_exit = True
        thread.join(30)
        listening.close()
        service.queue.close()
        assert not thread.is_alive()


def eventually(holds, *, within: float = 5.0) -> bool:
    """Whether something comes to hold within so many seconds."""
    until = time.monotonic() + within
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True
