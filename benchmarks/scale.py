"""Memory and seconds of `rankwise train` by rows of data; write benchmarks/results/scale.csv anew, a line each.

    python benchmarks/scale.py --data ../shared/data/ag_news/train.csv

Rows are real ones, repeated: each time with its words in another order and one of them replaced by the row's number, so
lengths stay as they are and no two texts are equal. Every size trains the same 60 updates and scores the same number of
rows, each in a process of its own, so what grows is what the data costs. Peak memory is the process's largest resident
set, as the kernel counts it. Stages: read (with imports), prepare (clean, tokenise, audit), build (the baselines and the
classifier), train, score, save. Seconds depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from results_file import write

RESULTS = Path(__file__).parent / "results" / "scale.csv"
STAGES = ("read", "prepare", "build", "train", "score", "save")
COLUMNS = ("data", "rows", "base", "recipe", "updates", "threads", "peak_mb", "seconds", *STAGES)
RECIPE, BASE, UPDATES = "rank4-adam", "minilm", 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a CSV with the columns text and label")
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    options = parser.parse_args()
    found: list[dict[str, object]] = []
    for rows in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            repeat(options.data, rows, Path(folder) / "train.csv")
            found.append(measure(Path(folder), rows, options))
        write(RESULTS, COLUMNS, found)
        show(found[-1], found[0])


def repeat(source: Path, rows: int, target: Path) -> None:
    """Write so many rows, no two of them equal."""
    with source.open(newline="", encoding="utf-8") as file:
        real = [(row["text"].split(), row["label"]) for row in csv.DictReader(file)]
    rng = random.Random(0)
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            words, label = real[number % len(real)]
            words = rng.sample(words, len(words))
            words[rng.randrange(len(words))] = str(number)
            writer.writerow([" ".join(words), label])


def measure(folder: Path, rows: int, options: argparse.Namespace) -> dict[str, object]:
    """One training in a process of its own."""
    changes = [
        f"base={BASE}",
        "data.split.validation=500",
        "data.split.test=500",
        f"train.max_steps={UPDATES}",
        "evaluate.baselines=true",
        *options.set,
    ]
    command = [
        str(Path(sys.executable).with_name("rankwise")),
        "train",
        RECIPE,
        "--data",
        str(folder / "train.csv"),
        "--out",
        str(folder / "run"),
        "--json",
        *(word for change in changes for word in ("--set", change)),
    ]
    events, opened = folder / "run" / "events.jsonl", 0.0
    started = time.monotonic()
    threads = {"OMP_NUM_THREADS": str(options.threads), "RAYON_NUM_THREADS": str(options.threads)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **threads})
    while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
        opened = opened or (time.monotonic() - started if events.exists() else 0.0)
        time.sleep(0.05)
    seconds = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(ended[1])
    if process.returncode:
        sys.exit(f"rankwise train ended with exit code {process.returncode}")
    moments = {event["event"]: event["seconds"] for event in map(json.loads, events.read_text("utf-8").splitlines())}
    ends = [0.0, opened, *(opened + moments[kind] for kind in ("data", "start", "end", "scores")), seconds]
    stages = [round(end - start, 1) for start, end in pairwise(ends)]
    return {
        "data": options.data.parent.name,
        "rows": rows,
        "base": BASE,
        "recipe": RECIPE,
        "updates": UPDATES,
        "threads": options.threads,
        "peak_mb": round(ended[2].ru_maxrss / 1024),
        "seconds": round(seconds, 1),
        **dict(zip(STAGES, stages, strict=True)),
    }


def show(row: dict[str, object], first: dict[str, object]) -> None:
    if row is first:
        print(f"{'rows':>10} {'peak MB':>8} {'ratio':>6} {'seconds':>8} " + " ".join(f"{stage:>8}" for stage in STAGES))
    ratio = float(str(row["peak_mb"])) / float(str(first["peak_mb"]))
    print(
        f"{row['rows']:>10,} {row['peak_mb']:>8,} {ratio:>6.2f} {row['seconds']:>8} "
        + " ".join(f"{row[stage]:>8}" for stage in STAGES),
        flush=True,
    )


if __name__ == "__main__":
    main()
