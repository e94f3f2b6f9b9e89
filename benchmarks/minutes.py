"""Runs with a budget of minutes: seconds given and taken, updates planned and made; appends to results/minutes.csv.

    python benchmarks/minutes.py --data ../shared/data
    python benchmarks/minutes.py --table

Fifteen runs, each a process of its own, one after the other: short, middling and long texts, three recipes, 0.3 to 2 minutes.
In one of them another process computes from the middle on. Taken is wall time from the process's start to its end; a run that
is refused takes what the refusal took. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

from results_file import append
from resumable import lines_of, missing

RESULTS = Path(__file__).parent / "results" / "minutes.csv"
COLUMNS = ("data", "recipe", "minutes", "load", "outcome", "taken_s", "updates", "planned")
RANK4 = ["rank4-adam", "--set", "base=minilm"]
FULL = [*RANK4, "--set", "adapter={method: full}", "--set", "budget.parameters=null", "--set", "train.learning_rate=5e-5"]
RECIPES = {"auto": ["auto"], "rank4-adam": RANK4, "full": FULL}
LENGTHS = {"tweet_emotion": [], "ag_news": [], "imdb": ["--set", "data.windows=4"]}
RUNS = [  # data, recipe, minutes, whether the machine is suddenly busy
    ("tweet_emotion", "auto", 1.0, False),
    ("tweet_emotion", "rank4-adam", 0.3, False),
    ("tweet_emotion", "rank4-adam", 0.5, False),
    ("tweet_emotion", "rank4-adam", 1.0, False),
    ("tweet_emotion", "full", 1.0, False),
    ("ag_news", "auto", 1.5, False),
    ("ag_news", "rank4-adam", 0.5, False),
    ("ag_news", "rank4-adam", 1.0, False),
    ("ag_news", "rank4-adam", 1.0, True),
    ("ag_news", "full", 1.0, False),
    ("imdb", "auto", 2.0, False),
    ("imdb", "rank4-adam", 0.5, False),
    ("imdb", "rank4-adam", 1.0, False),
    ("imdb", "rank4-adam", 2.0, False),
    ("imdb", "full", 1.5, False),
]
SCORED = ["--set", "data.test_rows=300", "--set", "data.classes=[]"]
BUSY = "while True: sum(range(10**6))"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of folders with train and test files")
    parser.add_argument("--threads", type=int, help="of training; as many as are fastest when left out")
    parser.add_argument("--only", nargs="*", choices=list(LENGTHS), default=list(LENGTHS))
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    for data, recipe, minutes, load in [] if options.table else RUNS:
        job: dict[str, Any] = {"data": data, "recipe": recipe, "minutes": minutes, "load": "sudden" if load else ""}
        if data in options.only and missing(RESULTS, [job]):
            row = {**job, **measure(options.data / data, recipe, minutes, load=load, threads=options.threads)}
            append(RESULTS, COLUMNS, row)
            print(*row.values(), flush=True)
    print("\n".join(table()))


def measure(data: Path, recipe: str, minutes: float, *, load: bool, threads: int | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "rankwise", "train", *RECIPES[recipe], "--data", str(data), "--out", str(run)]
        command += [*SCORED, *LENGTHS[data.name], "--minutes", str(minutes), "--json"]
        command += ["--set", f"train.threads={threads}"] if threads else []
        started = time.monotonic()
        with busy_from(30 * minutes if load else None):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        taken = round(time.monotonic() - started, 1)
        if done.returncode:
            return {"outcome": "refused" if done.returncode == 2 else "failed", "taken_s": taken, "updates": 0, "planned": 0}
        facts = json.loads(done.stdout)
        events = [json.loads(line) for line in (run / "events.jsonl").read_text("utf-8").splitlines()]
    planned = [event["planned_steps"] for event in events if event["event"] == "forecast"]
    rungs = [rung["rung"] for rung in (facts.get("ladder") or {}).get("rungs", [])]
    outcome = f"done: {' '.join(rungs)}" if rungs else "done"
    return {"outcome": outcome, "taken_s": taken, "updates": facts["steps"], "planned": planned[-1]}


@contextmanager
def busy_from(seconds: float | None) -> Iterator[None]:
    """Two processes that compute, from so many seconds on until the end; none where that is None."""
    others: list[subprocess.Popen[bytes]] = []
    timer = Timer(seconds or 0, lambda: others.extend(subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(2)))
    if seconds is not None:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        for other in others:
            other.kill()
            other.wait()


def table() -> list[str]:
    lines = [
        "| texts | recipe | given | taken | taken / given | updates made, of planned | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for row in lines_of(RESULTS):
        given, taken = 60 * float(row["minutes"]), float(row["taken_s"])
        cells = [row["data"], row["recipe"], f"{given:.0f} s", f"{taken:.0f} s", f"{taken / given:.2f}"]
        cells.append(f"{int(row['updates']):,} of {int(row['planned']):,}")
        cells.append(f"{row['outcome']}{', sudden load' * (row['load'] == 'sudden')}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
