"""A server of `rankwise serve` in a thread of the test's own process, on a free port; and runs that trained nothing."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import httpx
import numpy as np

from rankwise.data.tasks import SingleLabel
from rankwise.inference.predict import Prediction
from rankwise.serving.catalogue import LabelSet, Served
from rankwise.serving.server import Address, Server
from rankwise.serving.service import Service


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


class Drawn:
    """A predictor whose logits are drawn by a hash of a text and a label."""

    rule = None

    def __init__(self, labels):
        self.labels, self.task = labels, SingleLabel(labels)

    def read(self, texts):
        return list(texts)

    def sizes(self, read):
        return [len(str(text).split()) for text in read]

    def unread(self, texts, _read):
        return [0 for _ in texts]

    def logits(self, read):
        return np.array([[_drawn(text, label) for label in self.labels] for text in read], dtype=np.float32)

    def predictions(self, logits):
        for row in self.task.probabilities(logits):
            yield Prediction(self.labels[row.argmax()], float(row.max()), dict(zip(self.labels, row.tolist(), strict=True)))


def _drawn(text, label):
    return int.from_bytes(hashlib.sha256(f"{text}\n{label}".encode()).digest()[:2], "big") / 2**14


def stub(labels, name="stub", **about):
    """A run of these labels that trained nothing, the same on every machine."""
    known = {"classes": labels, "labels": labels, "task": None, "text": (), "text_pair": None, "reads_pairs": False}
    preprocessing = SimpleNamespace(**known | {"join": " . ", "columns": None, "max_length": 128, "windows": None} | about)
    run = SimpleNamespace(preprocessing=preprocessing, task=SimpleNamespace(name="single-label"), folder=f"runs/{name}")
    run.counts_words, run.base_folder = False, None
    return Served(name, run, Drawn(labels), "", "sha256:0", "stub", 1_795_000_000, f"{len(labels)} labels, stub + lora")


class AnyLabels:
    """What knows every label: a run of a question's own options."""

    def __init__(self):
        self.made = {}

    def with_options(self, _model, options, _places):
        return self._run(options), LabelSet({option: number for number, option in enumerate(options)})

    def with_label(self, _model, candidates, _place):
        return self._run([*candidates[:1], "something else"]), 0

    def _run(self, labels):
        key = tuple(labels)
        if key not in self.made:
            self.made[key] = stub(key)
        return self.made[key]
