"""A process of its own: where it listens, what signals do to it, what it says and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest

pytest.importorskip("starlette", reason="rankwise[serve] is not installed")
pytest.importorskip("httpx", reason="httpx is not installed: rankwise[dev]")

import httpx
from servers import eventually

from rankwise.errors import DataError
from rankwise.serving.server import Address

pytestmark = pytest.mark.long
BODY = {"inputs": "apple and zinc near the rhine"}


class Process:
    """`rankwise serve` at work."""

    def __init__(self, process, url, said):
        self.process, self.url, self.said = process, url, said

    def send(self, number):
        os.kill(self.process.pid, number)

    def ended(self):
        """(exit code, what it has written on standard error)."""
        _, problems = self.process.communicate(timeout=60)
        return self.process.returncode, problems


@contextmanager
def process(*words):
    """`rankwise serve` in a process, killed in the end if it has not ended."""
    command = [sys.executable, "-m", "rankwise", "serve", *map(str, words), "--port", "0", "--max-wait", "60"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    running = subprocess.Popen(command, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}, **pipes)
    try:
        said = running.stdout.readline()
        found = re.search(r" on (http://\S+);", said)
        assert found, said + running.stderr.read()
        yield Process(running, found[1], said)
    finally:
        running.kill()
        running.communicate()


@pytest.fixture
def words(served_folders, tmp_path):
    """A folder with a run, which loads fast."""
    shutil.copytree(served_folders["words"], tmp_path / "runs" / "words")
    return tmp_path / "runs"


def ask_until_refused(url, replies, stop):
    """Ask until a connection is refused; what came of each request."""
    with httpx.Client(base_url=url, timeout=30) as client:
        while not stop.is_set():
            try:
                reply = client.post("/predict", json=BODY)
            except httpx.ConnectError:
                return
            except httpx.TransportError as lost:
                replies.append(lost)
                return
            replies.append(reply)
            if reply.status_code != 200:
                time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_under_load_everything_that_was_accepted_is_answered_and_the_exit_code_is_0(words, number):
    with process(words) as served:
        replies, stop = [], threading.Event()
        threads = [threading.Thread(target=ask_until_refused, args=(served.url, replies, stop)) for _ in range(8)]
        for thread in threads:
            thread.start()
        assert eventually(lambda: len(replies) > 100, within=30)
        served.send(number)
        code, problems = served.ended()
        stop.set()
        for thread in threads:
            thread.join(30)
    wanted = next(reply for reply in replies).json()
    lost = [one for one in replies if isinstance(one, Exception)]
    answered = [one for one in replies if not isinstance(one, Exception)]
    assert {one.status_code for one in answered} <= {200, 503}
    assert all(one.json() == wanted for one in answered if one.status_code == 200)
    assert all(isinstance(one, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError) for one in lost), lost
    assert (code, problems) == (0, "")


def test_while_it_drains_readiness_is_503_liveness_200_and_a_second_signal_ends_it(words):
    with process(words) as served:
        host, port = served.url.removeprefix("http://").split(":")
        slow = socket.create_connection((host, int(port)))
        slow.sendall(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")  # keeps it waiting
        time.sleep(0.2)
        with httpx.Client(base_url=served.url) as client:
            assert client.get("/readyz").status_code == 200
            served.send(signal.SIGTERM)
            assert eventually(lambda: client.get("/readyz").status_code == 503)
            assert client.get("/livez").status_code == 200
            assert client.post("/predict", json=BODY).status_code == 503
        served.send(signal.SIGTERM)
        code, _ = served.ended()
        assert code == 1
        slow.close()


def test_a_hangup_has_new_runs_answer_and_forgets_those_that_are_gone(words):
    with process(words) as served, httpx.Client(base_url=served.url) as client:
        shutil.copytree(words / "words", words / "more")
        served.send(signal.SIGHUP)
        assert eventually(
            lambda: [one["id"] for one in client.get("/v1/models").json()["data"]] == ["more", "words"], within=20
        )
        shutil.rmtree(words / "more")
        (words / "words" / "decision.json").write_text("{}", "utf-8")
        served.send(signal.SIGHUP)
        time.sleep(1)
        assert [one["id"] for one in client.get("/v1/models").json()["data"]] == ["more", "words"], (
            "a failure changes nothing"
        )
        assert client.post("/predict", json={**BODY, "model": "more"}).status_code == 200
        served.send(signal.SIGTERM)
        code, problems = served.ended()
        assert code == 0
        assert "not reloaded, the models are as they were: " in problems
        assert "decision.json" in problems


def test_what_was_typed_wrong_is_told_in_a_line(typed, words, tmp_path):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    for arguments, message in [
        (["nothing"], "nothing: no such folder; expected a run folder, such as rankwise train writes"),
        (
            [words, "--host", "0.0.0.0"],
            "lets other machines in; give --api-key KEY (or RANKWISE_API_KEY=KEY), or say --no-auth",
        ),
        ([words, "--default", "other"], "--default other: no such run; expected one of words"),
        ([words, "--port", port], f"can't listen on 127.0.0.1:{port}: Address already in use; give another --host or --port"),
        ([words, "--host", "no.such.host.invalid"], "can't listen on"),
        ([words, "--api-key", ""], "--api-key is empty"),
    ]:
        code, _, said = typed("serve", *arguments, *(["--no-auth"] if "no.such.host.invalid" in arguments else []))
        assert code == 2, said
        assert message in said
    taken.close()


def test_a_run_that_can_not_be_loaded_ends_it_with_a_line(typed, words):
    (words / "words" / "words.skops").write_bytes(b"damaged")
    code, _, said = typed("serve", words, "--port", 0)
    assert code == 2
    assert "words.skops is not what was saved" in said


@pytest.mark.parametrize(
    ("host", "inside"), [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("0.0.0.0", False), ("h", False)]
)
def test_loopback_is_told_from_what_others_reach(host, inside):
    assert Address(host).is_loopback is inside
    assert (Address(host).names is not None) is inside


def test_what_it_accepts_sends_at_once_and_waits_for_no_acknowledgement(server):
    server.get("/health")
    connections = [one.transport.get_extra_info("socket") for one in server.server.server_state.connections]
    assert connections
    assert all(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for one in connections)


def test_a_port_that_is_taken_is_told():
    with Address(port=0).bound() as first:
        first.listen()
        with pytest.raises(DataError, match="Address already in use; give another --host or --port"):
            Address(port=first.getsockname()[1]).bound()
