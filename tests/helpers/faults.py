"""Kills trainings, each in a fork of one process that has loaded what trains, and tells what became of their folders.

    python faults.py save RECIPE FOLDER EVERY       killed before every so many writes of the save, then resumed
    python faults.py training RECIPE FOLDER COUNT   killed so often at random moments, then left alone

It prints one JSON object: how many kills there were, and a line for each that lost something.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from rankwise.errors import RunError
from rankwise.run.folder import Run
from rankwise.run.manifest import DRAFTS
from rankwise.system.files import sha256
from rankwise.workflows.train import train

CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}
OF_A_PROCESS = {"run.json", "events.jsonl", "scores.json", "manifest.json"}  # which tell seconds


class Killer:
    """An audit hook that kills its process before the n-th change of a file once the save has begun."""

    def __init__(self, number: int) -> None:
        self.left = number
        self.begun = False

    def __call__(self, event: str, arguments: tuple) -> None:
        changes = event in CHANGES or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        self.begun = self.begun or (event == "os.mkdir" and os.fspath(arguments[0]).endswith(DRAFTS))
        if self.begun and changes:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], object], *, kill_at: int | None = None) -> int:
    """Start work in a fork; its process."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        if kill_at is not None:
            sys.addaudithook(Killer(kill_at))
        work()
        code = 0
    finally:  # whatever was raised, a fork never goes on as its parent does
        if code:
            traceback.print_exc()
        os._exit(code)


def ended(process: int) -> int:
    """The exit code of a fork, negative where a signal has ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def content(folder: Path) -> dict[str, str]:
    """The digests of a run's files, and the names of those that tell seconds."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): "" if path.name in OF_A_PROCESS else sha256(path) for path in paths}


def half_run(folder: Path) -> str:
    """What is wrong with a folder after a kill: it is a run and damaged; empty where it is whole, or no run."""
    if not (folder / "manifest.json").exists():
        return ""
    try:
        Run.load(folder)
    except RunError as problem:
        return str(problem)
    return ""


def saves(recipe: Path, folder: Path, every: int, reference: dict[str, str]) -> tuple[int, list[str]]:
    """Kill before every so many writes of the save."""
    ready, problems = folder / "ready", []
    assert ended(forked(lambda: train(recipe, ready), kill_at=1)) == -signal.SIGKILL, "it is killed as its save begins"
    for kills, number in enumerate(range(2, 10_000, every)):
        killed = folder / f"killed-{number}"
        shutil.copytree(ready, killed)
        resume = lambda killed=killed: train(recipe, killed, existing="resume")  # noqa: E731
        code = ended(forked(resume, kill_at=number))
        if code == 0:
            return kills, problems
        problem = half_run(killed)
        if code != -signal.SIGKILL or problem or ended(forked(resume)) != 0:
            problems.append(f"write {number}: ended with {code}; {problem or 'it could not be resumed'}")
        elif content(killed) != reference:
            problems.append(f"write {number}: {sorted(set(content(killed).items()) ^ set(reference.items()))}")
        shutil.rmtree(killed)
    raise AssertionError("a save has fewer writes")


def trainings(recipe: Path, folder: Path, count: int, reference: dict[str, str]) -> tuple[int, list[str]]:
    """Kill so often at random moments of a training, from its start to its end in a process that has loaded what it needs."""
    killed, problems, rng = folder / "killed", [], random.Random(0)
    resume = lambda: train(recipe, killed, existing="resume")  # noqa: E731
    started = time.monotonic()
    assert ended(forked(lambda: train(recipe, folder / "timed"))) == 0
    seconds = time.monotonic() - started
    kills = 0
    while kills < count:
        process = forked(resume)
        time.sleep(rng.uniform(0, seconds))
        os.kill(process, signal.SIGKILL)
        kills += ended(process) == -signal.SIGKILL
        if problem := half_run(killed):
            problems.append(problem)
        if (killed / "manifest.json").exists():
            if ended(forked(resume)) != 0:  # killed between its last rename and its tidying, it has only that to do
                problems.append(f"kill {kills}: the run that was there could not be gone on with")
            elif content(killed) != reference:
                problems.append(f"kill {kills}: {sorted(set(content(killed).items()) ^ set(reference.items()))}")
            shutil.rmtree(killed)
    if ended(forked(resume)) != 0 or content(killed) != reference:
        problems.append("what was left alone at last is not what was never killed")
    return kills, problems


def main(kind: str, recipe: str, folder: str, number: str) -> None:
    reference = content(train(recipe, Path(folder) / "reference").folder)
    if kind == "save":
        kills, problems = saves(Path(recipe), Path(folder), int(number), reference)
    else:
        kills, problems = trainings(Path(recipe), Path(folder), int(number), reference)
    print(json.dumps({"kills": kills, "problems": problems}))


if __name__ == "__main__":
    main(*sys.argv[1:])
