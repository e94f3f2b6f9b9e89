"""The Dockerfile: what it says, and its steps taken one by one in a clean folder, which takes no Docker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from rankwise.run.deployed import FILES
from rankwise.run.folder import Run

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
FIXTURE = ROOT / "tests" / "fixtures" / "run-0.1.0"
TEXT = "Profits rise as shares of the bank gain 5% today"
OURS = "/opt/rankwise", "/build", "/cache", "/runs"  # folders of the image, which lie in a folder of the test's instead


def steps() -> list[tuple[str, str]]:
    """(instruction, what follows it) of each step, comments aside."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines()) if word]


def step(instruction: str) -> str:
    """The last of its kind."""
    return [rest for word, rest in steps() if word == instruction][-1]


def command(instruction: str) -> list[str]:
    """The words of a command in exec form."""
    rest = step(instruction)
    words: list[str] = json.loads(rest[rest.index("[") :])
    return words


def settings() -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in shlex.split(step("ENV")))


# ------------------------------------------------------------------------------------------------------- what it says


def test_its_base_is_named_by_version_and_nobody_in_it_is_root():
    bases = {rest.split()[0] for word, rest in steps() if word == "FROM"}
    assert all(re.fullmatch(r"python:3\.\d+-slim-\w+", base) for base in bases)
    assert len(bases) == 1  # the environment is copied from one stage to the other
    assert all(int(number) >= 1000 for number in step("USER").split(":"))


def test_it_installs_what_serves_and_nothing_that_trains_and_keeps_no_secret():
    (install,) = [rest for word, rest in steps() if word == "RUN" and " install " in rest]
    assert shlex.split(install)[-1] == ".[onnx,serve]"
    assert not any(word in DOCKERFILE.read_text("utf-8") for word in ("torch==", "[train", "[export", "[all"))
    assert "RANKWISE_API_KEY" not in settings()


def test_what_it_copies_is_there_and_let_through_by_its_ignore_file():
    through = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    copied = [rest.split()[:-1] for word, rest in steps() if word == "COPY" and not rest.startswith("--from")]
    for name in (name for names in copied for name in names):
        assert (ROOT / name).exists()
        assert f"!{name}" in through
    assert through[0] == "*"


def test_its_health_is_asked_of_a_route_that_serve_has_and_its_command_is_one_that_serve_takes():
    path = re.search(r"http://127\.0\.0\.1:8080(/\w+)'", step("HEALTHCHECK"))
    assert path is not None
    assert path[1] in (ROOT / "docs" / "serving.md").read_text("utf-8")
    words = command("ENTRYPOINT")
    assert words[1:] == ["serve", "--host", "0.0.0.0", "--port", "8080", "--engine", "onnx"]
    assert step("EXPOSE") == "8080"
    assert command("CMD") == ["/runs"]


# ------------------------------------------------------------------------------------------------------ taken in a folder


class Image:
    """What the steps leave in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = _free_port()

    def at(self, text: str) -> str:
        """A step's words with the image's folders in the test's, and with an address that only this machine reaches."""
        for name in OURS:
            text = re.sub(rf"(?<![\w.]){name}\b", f"{self.folder}{name}", text)
        return text.replace("8080", str(self.port)).replace("0.0.0.0", "127.0.0.1")

    def build(self) -> None:
        """Take every step that leaves something."""
        work = self.folder
        (self.folder / "opt").mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}  # how pip is set up here
        own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        for word, rest in steps():
            if word == "WORKDIR":
                work = Path(self.at(rest))
                work.mkdir()
            elif word == "COPY" and not rest.startswith("--from"):
                *names, target = rest.split()
                for name in names:
                    _copy(ROOT / name, work / target / name if target == "./" else work / target)
            elif word == "RUN":
                done = subprocess.run(
                    self.at(rest), shell=True, cwd=work, env=own, capture_output=True, text=True, timeout=1_200, check=False
                )
                if "No matching distribution" in done.stderr and "Failed to establish a new connection" in done.stderr:
                    pytest.skip("no package index can be reached")
                assert done.returncode == 0, done.stderr

    def start(self) -> subprocess.Popen[str]:
        """The image's command with the image's settings and a key."""
        words = [self.at(word) for word in (*command("ENTRYPOINT"), *command("CMD"))]
        own = {name: self.at(value) for name, value in settings().items()} | {"RANKWISE_API_KEY": "key", "PATH": "/usr/bin"}
        return subprocess.Popen(words, env=own, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def is_healthy(self) -> bool:
        words = [self.at(word) for word in command("HEALTHCHECK")]
        return subprocess.run(words, capture_output=True, check=False, timeout=30).returncode == 0

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        words = [self.at("/opt/rankwise/bin/python"), "-c", code]
        return subprocess.run(words, capture_output=True, text=True, check=False, cwd=self.folder)

    def ask(self, path: str, body: object = None) -> object:
        headers = {"authorization": "Bearer key", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urlopen(Request(f"http://127.0.0.1:{self.port}{path}", data, headers), timeout=30) as reply:
            return json.load(reply)


@pytest.mark.slow
def test_its_steps_leave_a_server_without_torch_that_answers_as_the_run_does(tmp_path):
    """Prints the size of what is installed, the seconds until it is ready and its memory then: `-s` shows them."""
    image = Image(tmp_path)
    runs = tmp_path / "runs"
    shutil.copytree(FIXTURE, runs / "news")
    run = Run.load(FIXTURE)
    exported = runs / "news" / "onnx" / FILES["onnx"]  # where `rankwise export` writes it
    exported.parent.mkdir(parents=True)
    run.exported(exported)
    image.build()
    files_before = sorted(runs.rglob("*"))
    for name in ("torch", "transformers", "sklearn", "pip"):
        assert "ModuleNotFoundError" in image.python(f"import {name}").stderr

    assert not image.is_healthy()
    begun = time.monotonic()
    process = image.start()
    try:
        while not _is_ready(image):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < begun + 120
            time.sleep(0.02)
        seconds = time.monotonic() - begun
        memory = _memory(process.pid)
        assert image.is_healthy()
        scores = {one["label"]: one["score"] for one in image.ask("/predict", {"inputs": TEXT})}
        assert scores == pytest.approx(run.predict([TEXT])[0].probabilities, abs=1e-4)
        (told,) = image.ask("/page/answers", {"text": TEXT, "models": ["news"]})["answers"]
        assert "--engine onnx" in told["no_words"]
        maps = Path(f"/proc/{process.pid}/maps").read_text("utf-8")
        assert "onnxruntime" in maps
        assert "torch" not in maps
        assert sorted(runs.rglob("*")) == files_before
        process.send_signal(signal.SIGTERM)
        _, problems = process.communicate(timeout=60)
        assert (process.returncode, problems) == (0, "")
    finally:
        process.kill()
        process.communicate()
    installed = _size(image.at("/opt/rankwise"))
    print(f"\n{installed / 1e6:.0f} MB installed, ready after {seconds:.1f} s, {memory / 1e6:.0f} MB in memory")


def _is_ready(image: Image) -> bool:
    try:
        image.ask("/readyz")
    except (URLError, ConnectionError):
        return False
    return True


def _memory(pid: int) -> int:
    """Resident bytes."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def _size(folder: str) -> int:
    """Bytes on disk, as `du` counts them."""
    return int(subprocess.run(["du", "-sk", folder], capture_output=True, text=True, check=True).stdout.split()[0]) * 1024


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
