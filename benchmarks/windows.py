"""Long texts read whole in windows of several lengths, beside one pass over an end of them; appends to results/windows.csv.

    python benchmarks/windows.py --data ../shared/data/imdb --rung features
    python benchmarks/windows.py --data ../shared/data/imdb --rung all --lengths 128 256
    python benchmarks/windows.py --table

2,000 rows of the training file train, a tenth of them chooses, 1,500 others are scored; no test file is opened. One draw, so
a difference of a point is within chance. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from front import labelled
from results_file import append
from resumable import lines_of, missing

RESULTS = Path(__file__).parent / "results" / "windows.csv"
TRAINED, SCORED, SEED = 2_000, 1_500, 7
COLUMNS = ("rung", "max_length", "windows", "accuracy", "low", "high", "log_loss", "tfidf_accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a train file of long texts")
    parser.add_argument("--rung", default="features", choices=["features", "top", "all"])
    parser.add_argument("--lengths", nargs="*", type=int, default=[128, 256, 512])
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if not options.table:
        with tempfile.TemporaryDirectory() as name:
            write_rows(options.data, Path(name))
            for length in options.lengths:
                for windows in (1, 4096 // length) if options.rung == "features" else (4096 // length,):
                    job = {"rung": options.rung, "max_length": length, "windows": windows}
                    if missing(RESULTS, [job]):
                        row = {**job, **measure(Path(name), options.rung, length, windows)}
                        append(RESULTS, COLUMNS, row)
                        print(*row.values(), flush=True)
    print("\n".join(table()))


def write_rows(data: Path, folder: Path) -> None:
    rows = list(dict.fromkeys(labelled(data, "train")))
    order = np.random.default_rng(SEED).permutation(len(rows))
    for name, part in (("train", order[:TRAINED]), ("test", order[TRAINED : TRAINED + SCORED])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("text", "label"), *(rows[place] for place in part)])


def measure(folder: Path, rung: str, length: int, windows: int) -> dict[str, str]:
    command = [sys.executable, "-m", "rankwise", "train", "auto", "--rung", rung, "--data", str(folder), "--json"]
    command += ["--set", f"data.max_length={length}", "--set", f"data.windows={windows}", "--out", str(folder / "run")]
    scores = json.loads(subprocess.run([*command, "--overwrite"], check=True, capture_output=True, text=True).stdout)[
        "scores"
    ]
    accuracy, beside = scores["test"]["accuracy"], scores["baselines"]["TF-IDF + logistic"]["accuracy"]["value"]
    values = {"accuracy": accuracy["value"], "low": accuracy["low"], "high": accuracy["high"]}
    values |= {"log_loss": scores["test"]["log_loss"]["value"], "tfidf_accuracy": beside}
    return {key: f"{value:.4f}" for key, value in values.items()}


def table() -> list[str]:
    lines = ["| rung | tokens of a window | windows | accuracy | log-loss | TF-IDF |", "|---|---:|---:|---:|---:|---:|"]
    for row in lines_of(RESULTS):
        accuracy, low, high, beside = (
            f"{100 * float(row[key]):.1f}" for key in ("accuracy", "low", "high", "tfidf_accuracy")
        )
        read, loss = "one pass" if row["windows"] == "1" else f"up to {row['windows']}", f"{float(row['log_loss']):.3f}"
        lines.append(f"| {row['rung']} | {row['max_length']} | {read} | {accuracy} [{low}, {high}] | {loss} | {beside} |")
    return lines


if __name__ == "__main__":
    main()
