"""Jobs that a benchmark still lacks: each finished one is a line of a CSV and is not made again; several may run at once.

A job is a mapping of columns, such as data, recipe and seed; a line of the CSV with the same values is that job, done.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

Job = Mapping[str, object]
Result = TypeVar("Result")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of every script that makes such jobs."""
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--table", action="store_true", help="only print what has been measured")


def missing(path: Path, jobs: Sequence[Job]) -> list[Job]:
    """The jobs that the CSV at `path` has no line of."""
    lines = lines_of(path)
    return [job for job in jobs if not any(all(line[key] == str(value) for key, value in job.items()) for line in lines)]


def lines_of(path: Path) -> list[dict[str, str]]:
    """A CSV's lines; none where there is no such file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def finished(
    jobs: Sequence[Job], work: Callable[[Job], Result], *, processes: int = 1, minutes: float | None = None
) -> Iterator[tuple[Job, Result]]:
    """Each job with its result, as it is done; none is begun after `minutes`. A process computes on one thread."""
    ends = time.monotonic() + 60 * minutes if minutes is not None else float("inf")
    waiting = list(jobs)
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=_one_thread) as pool:
        running: dict[Future[Result], Job] = {}
        while waiting or running:
            while waiting and len(running) < processes and time.monotonic() < ends:
                job = waiting.pop(0)
                running[pool.submit(work, job)] = job
            if not running:
                print(f"time is up; {len(waiting)} to go, which the same command makes", file=sys.stderr)
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done.result()


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
