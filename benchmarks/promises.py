"""Seconds that a run of `auto` was promised to take beside those that it took; appends to results/promises.csv.

    python benchmarks/promises.py --data ../shared/data
    python benchmarks/promises.py --table

Three kinds of text (about 16, 55 and 300 tokens; 20, 4 and 2 classes), fp32 and bf16, one and two threads: twelve settings,
each a process of its own, one after the other. What was taken is wall time from the process's start to its end; what was
promised, in run.json, is that of the rungs that were tried. Other work on the machine makes it late: run it on a quiet one.
What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import few_rows
from results_file import append
from resumable import lines_of, missing

RESULTS = Path(__file__).parent / "results" / "promises.csv"
TEXTS = {"go_emotions": 100, "ag_news": 400, "imdb": 150}  # training rows a class
CHANGES = {"imdb": ["--set", "train.epochs=1", "--set", "train.min_updates=1"]}  # of long texts a minute is enough
TESTED = 500
COLUMNS = ("data", "precision", "threads", "rungs", "promised", "took")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of folders with a train file")
    parser.add_argument("--texts", nargs="*", default=list(TEXTS), choices=list(TEXTS))
    parser.add_argument("--precisions", nargs="*", default=["fp32", "bf16"])
    parser.add_argument("--threads", nargs="*", type=int, default=[2, 1])
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if not options.table:
        for precision in options.precisions:
            for threads in options.threads:
                for name in options.texts:
                    job = {"data": name, "precision": precision, "threads": threads}
                    if missing(RESULTS, [job]):
                        row = {**job, **measure(options.data / name, precision, threads)}
                        append(RESULTS, COLUMNS, row)
                        print(*row.values(), flush=True)
    print("\n".join(table()))


def measure(data: Path, precision: str, threads: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few_rows.write_rows(data, TEXTS[data.name], 0, folder, scored=TESTED)
        command = [sys.executable, "-m", "rankwise", "train", "auto", "--data", str(folder), "--out", str(folder / "run")]
        command += ["--set", f"train.precision={precision}", "--set", f"train.threads={threads}", "--json"]
        command += CHANGES.get(data.name, [])
        started = time.monotonic()
        facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        took = time.monotonic() - started
    rungs = " ".join(rung["rung"] for rung in facts["ladder"]["rungs"])
    return {"rungs": rungs, "promised": facts["promised"]["seconds"], "took": round(took, 1)}


def table() -> list[str]:
    lines = [
        "| texts | products | threads | rungs tried | promised | took | promised / took |",
        "|---|---|---:|---|---:|---:|---:|",
    ]
    for row in lines_of(RESULTS):
        promised, took = float(row["promised"]), float(row["took"])
        cells = [row["data"], row["precision"], row["threads"], row["rungs"], f"{promised:.0f} s", f"{took:.0f} s"]
        lines.append(f"| {' | '.join(cells)} | {promised / took:.2f} |")
    return lines


if __name__ == "__main__":
    main()
