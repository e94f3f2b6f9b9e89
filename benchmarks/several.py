"""`auto` on texts with several labels beside what people use: macro-F1 on the same rows; appends to results/several.csv.

    python benchmarks/several.py --data ../shared/data/go_emotions --rows 4000
    python benchmarks/several.py --data ../shared/data/go_emotions --rows 43410 --epochs 1 --systems auto tfidf frozen
    python benchmarks/several.py --table

A seed draws the training rows; all systems get the same ones, and all rows of the published dev and test files. Systems run
one after the other, each in a process of its own (`several_peers.py`), on one thread; on a busy machine only CPU seconds say
something, so they are what is kept: of the training alone, and of the whole process. Each system's decisions are scored with
a threshold of a half for every class, and with a threshold for each class chosen on the dev rows, for all in the same way.
Intervals are of `auto` minus the other, the same test rows resampled for both. What is in the CSV is not run again; its last
columns have what was decided of each test row.

With `--keep FOLDER` probabilities are kept, too, which `thresholds.py` reads.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import lines_of, missing
from several_peers import SYSTEMS, read

from rankwise.stats.several import best_thresholds, paired_macro_f1

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "several.csv"
LABELS = "labels"  # the line that has the truth in the place of decisions
FIRST_SEED = 100  # rows were drawn with lower seeds where choices were made
COLUMNS = (
    "rows",
    "epochs",
    "seed",
    "system",
    "threads",
    "trained",
    "rung",
    "rungs",
    "updates",
    "training_cpu",
    "cpu",
    "classes",
    "tested",
    "half",
    "chosen",
)
Answers = NDArray[np.int64]
"""1 for a class that a text has, else 0, (N, C)."""
Cell = tuple[int, float, int]
"""Training rows, epochs and seed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder of go_emotions as published")
    parser.add_argument("--rows", type=int, nargs="*", default=[4000])
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=None, help="begin no further run after so many")
    parser.add_argument("--budget", type=float, default=None, help="minutes that `auto` may train, as budget.minutes says")
    parser.add_argument("--keep", type=Path, default=None, help="a folder that keeps rows, runs and probabilities")
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    ends = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    if not options.table:
        for rows in options.rows:
            for seed in options.seeds:
                cell = {"rows": rows, "epochs": f"{options.epochs:g}", "seed": seed}
                with tempfile.TemporaryDirectory() as scratch:
                    folder = (options.keep or Path(scratch)) / "-".join(map(str, cell.values()))
                    run_cell(cell, options, folder, ends)
    print("\n".join(table()))


def run_cell(cell: dict[str, Any], options: argparse.Namespace, folder: Path, ends: float) -> None:
    """Every system that the CSV lacks, on one draw of rows."""
    jobs = missing(RESULTS, [{**cell, "system": system} for system in (LABELS, *options.systems)])
    if not jobs:
        return
    write_rows(options.data, int(cell["rows"]), int(cell["seed"]), folder)
    dev, test = (read(folder, split)[1] for split in ("dev", "test"))
    for job in jobs:
        if time.monotonic() > ends:
            return
        facts: dict[str, Any] = {}
        half = chosen = test
        if job["system"] != LABELS:
            of_dev, of_test, facts = run(str(job["system"]), cell, folder, options.threads, options.budget)
            limits = np.array(facts.pop("thresholds", best_thresholds(of_dev, dev)))
            half, chosen = (np.asarray(of_test >= limit).astype(np.int64) for limit in (0.5, limits))
        row = {
            **job,
            "threads": options.threads,
            **facts,
            "classes": test.shape[1],
            "tested": len(test),
            "half": packed(half),
            "chosen": packed(chosen),
        }
        append(RESULTS, COLUMNS, row)
        print(*list(row.values())[:-2], flush=True)


def run(
    system: str, cell: dict[str, Any], folder: Path, threads: int, budget: float | None
) -> tuple[NDArray[Any], NDArray[Any], dict[str, Any]]:
    """Probabilities of the dev and the test rows, and facts for the CSV."""
    from rankwise.encoders.base import locate

    out = folder / f"{system}.npz"
    command = [sys.executable, str(HERE / "several_peers.py"), system, str(folder), str(locate("minilm").location)]
    command += [str(cell["seed"]), str(cell["epochs"]), str(out), *([] if budget is None else [str(budget)])]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "passive",
        "RANKWISE_CACHE": str(folder / "cache"),
    }
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    facts = json.loads(told.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    facts |= {"training_cpu": round(facts.pop("training"), 1), "cpu": round(cpu, 1)}
    found = np.load(out)
    return found["dev"].astype(np.float64), found["test"].astype(np.float64), facts


def write_rows(data: Path, rows: int, seed: int, folder: Path) -> None:
    """train.tsv with so many of the rows, and the other files as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("dev.tsv", "test.tsv", "labels.txt"):
        (folder / name).write_bytes((data / name).read_bytes())
    lines = [line for line in (data / "train.tsv").read_text("utf-8").split("\n") if line]
    order = np.random.default_rng(FIRST_SEED + seed).permutation(len(lines))[:rows]
    (folder / "train.tsv").write_text("".join(f"{lines[place]}\n" for place in order), "utf-8")


def table() -> list[str]:
    """Macro-F1 of each system, and `auto` minus it, in Markdown."""
    lines = [
        "| rows | epochs | seed | system | trained | updates | CPU s, training | CPU s, process | macro-F1, 0.5 "
        "| `auto` minus it | macro-F1, chosen | `auto` minus it |",
        "|---:|---:|---:|---|---:|---:|---:|---:|---:|---|---:|---|",
    ]
    for (rows, epochs, seed), found in measured().items():
        truth = unpacked(found[LABELS], "half")
        for system in [system for system in SYSTEMS if system in found]:
            line = found[system]
            name = f"`{system}`" + (f" ({line['rung']})" if system == "auto" else "")
            cells = [f"{rows:,}", f"{epochs:g}", seed, name, f"{int(line['trained']):,}", f"{int(line['updates']):,}"]
            cells += [f"{of_updates(line):,.0f}", f"{float(line['cpu']):,.0f}"]
            for how in ("half", "chosen"):
                decided = unpacked(line, how)
                nothing = paired_macro_f1(decided, np.zeros_like(truth), truth, resamples=0)
                cells.append(f"{100 * (nothing.value or 0.0):.1f}")
                cells.append(behind(found["auto"], decided, truth, how) if "auto" in found and system != "auto" else "")
            lines.append(f"| {' | '.join(map(str, cells))} |")
    return lines


def of_updates(line: dict[str, str]) -> float:
    """CPU seconds of training; of `auto` those of the rung that it handed over, which scores the dev rows, too."""
    rungs = dict(rung.split(":", 1) for rung in line["rungs"].split())
    return float(rungs[line["rung"]].split(":")[1]) if rungs else float(line["training_cpu"])


def behind(auto: dict[str, str], decided: Answers, truth: Answers, how: str) -> str:
    """How far a system is behind `auto`, in points."""
    interval = paired_macro_f1(unpacked(auto, how), decided, truth)
    value, low, high = (100 * (number or 0.0) for number in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


def measured() -> dict[Cell, dict[str, dict[str, str]]]:
    """Lines of the CSV by system, the fewest rows first."""
    cells: dict[Cell, dict[str, dict[str, str]]] = {}
    for line in lines_of(RESULTS):
        cells.setdefault((int(line["rows"]), float(line["epochs"]), int(line["seed"])), {})[line["system"]] = line
    return dict(sorted(cells.items()))


def packed(answers: Answers) -> str:
    """(N, C) bits as text, which `unpacked` reads."""
    return base64.b64encode(zlib.compress(np.packbits(answers.astype(np.uint8)).tobytes(), 9)).decode()


def unpacked(line: dict[str, str], how: str) -> Answers:
    rows, classes = int(line["tested"]), int(line["classes"])
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(line[how])), np.uint8))
    return bits[: rows * classes].reshape(rows, classes).astype(np.int64)


if __name__ == "__main__":
    main()
