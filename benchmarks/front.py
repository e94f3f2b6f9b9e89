"""`auto` beside what people use, on the same rows: accuracy against seconds; appends to results/front.csv.

    python benchmarks/front.py --data ../shared/data --a-class 8 64 --seeds 0 1 2
    python benchmarks/front.py --data ../shared/data --rows 1000 --sets tweet_emotion sst5
    python benchmarks/front.py --table

A seed draws other training rows; all systems of a cell get the same ones, and the same 1,000 rows of the test file. Systems
run one after the other, each in a process of its own, whose seconds hold imports, loading, training and the test rows; those
of `auto` hold its baselines, intervals and the saved run, too. What `auto` is set to was chosen on training rows, drawn with
other seeds. `front_peers.py` has the peers. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results_file import append
from resumable import lines_of, missing

RESULTS = Path(__file__).parent / "results" / "front.csv"
HERE = Path(__file__).parent
SETS = ("ag_news", "imdb", "tweet_emotion", "tweet_irony", "sst5")
OURS = {"auto": [], "features": ["--rung", "features"]}
PEERS = ("tfidf", "script", "model2vec", "setfit")
TESTED = 1_000
FIRST_SEED = 100  # rows were drawn with lower seeds where choices were made
COLUMNS = ("data", "rows", "seed", "system", "train_rows", "accuracy", "trained", "seconds", "cpu_seconds", "rung", "threads")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of folders with a train and a test file")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--a-class", type=int, nargs="*", default=[])
    parser.add_argument("--rows", type=int, nargs="*", default=[])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--systems", nargs="*", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter that has the peers")
    parser.add_argument("--minutes", type=float, default=None, help="begin no further run after so many")
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    ends = time.monotonic() + 60 * options.minutes if options.minutes else float("inf")
    if not options.table:
        amounts = [*(f"{count} a class" for count in options.a_class), *map(str, options.rows)]
        for seed in options.seeds:
            for amount in amounts:
                for name in options.sets:
                    cell = {"data": name, "rows": amount, "seed": seed}
                    run_cell(cell, options.data / name, options.systems, options.peer_python, ends)
    print("\n".join(table()))


def run_cell(cell: dict[str, Any], data: Path, systems: Sequence[str], peer_python: str, ends: float) -> None:
    """Every system that the CSV lacks, on one draw of rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_rows = write_rows(data, str(cell["rows"]), int(cell["seed"]), folder)
        for system in systems:
            job = {**cell, "system": system}
            if not missing(RESULTS, [job]) or time.monotonic() > ends:
                continue
            before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
            found = ours(system, folder) if system in OURS else peer(system, folder, int(cell["seed"]), peer_python)
            seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            row = {**job, "train_rows": train_rows, **found, "seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
            append(RESULTS, COLUMNS, {"rung": "", "threads": 2, **row})
            print(*row.values(), flush=True)


def ours(system: str, folder: Path) -> dict[str, object]:
    """`rankwise train auto` as it is typed."""
    command = [sys.executable, "-m", "rankwise", "train", "auto", "--data", str(folder), "--out", str(folder / system)]
    command += [*OURS[system], "--json"]
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    handed = next(rung["rung"] for rung in facts["ladder"]["rungs"] if rung["handed_over"])
    accuracy, trained = facts["scores"]["test"]["accuracy"]["value"], facts["trained_parameters"]["counted"]
    return {"accuracy": f"{accuracy:.4f}", "trained": trained, "rung": handed}


def peer(system: str, folder: Path, seed: int, python: str) -> dict[str, object]:
    from rankwise.encoders.base import locate

    files = [str(folder / name) for name in ("train.csv", "test.csv")]
    command = [python, str(HERE / "front_peers.py"), system, *files, str(locate("minilm").location), str(seed)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return {"accuracy": f"{found['accuracy']:.4f}", "trained": found["trained"]}


def write_rows(data: Path, amount: str, seed: int, folder: Path) -> int:
    """train.csv and test.csv in a folder; returns the number of training rows."""
    rows = list(dict.fromkeys(labelled(data, "train")))
    rng = np.random.default_rng(FIRST_SEED + seed)
    rows = [rows[place] for place in rng.permutation(len(rows))]
    if amount.endswith("a class"):
        taken: Counter[str] = Counter()
        most, train = int(amount.split(maxsplit=1)[0]), []
        for text, label in rows:
            if taken[label] < most:
                taken[label] += 1
                train.append((text, label))
    else:
        train = rows[: int(amount)]
    test = labelled(data, "test")
    test = [test[place] for place in np.random.default_rng(0).permutation(len(test))[:TESTED]]
    for name, part in (("train", train), ("test", test)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("text", "label"), *part])
    return len(train)


def labelled(data: Path, split: str) -> list[tuple[str, str]]:
    """(text, label) of a split."""
    from rankwise.data.files.table import read_table
    from rankwise.data.sources import sources_of
    from rankwise.recipe import DataSpec

    if data.name == "sst5":  # __label__NAME TEXT
        lines = (data / f"{split}.txt").read_text("utf-8").splitlines()
        pairs = [line.removeprefix("__label__").split(maxsplit=1) for line in lines]
        return [(text, label) for label, text in pairs]
    spec = DataSpec(source=str(data))
    table = read_table(sources_of(spec).splits[split], spec)
    return list(zip(table.texts, table.labels or (), strict=True))


def table() -> list[str]:
    """Accuracy and seconds of each system by cell, means over the seeds, in Markdown; and `auto` minus the best peer."""
    cells: dict[tuple[str, str], dict[str, list[dict[str, str]]]] = {}
    for row in lines_of(RESULTS):
        cells.setdefault((row["rows"], row["data"]), {}).setdefault(row["system"], []).append(row)
    systems = [system for system in (*OURS, *PEERS) if any(system in cell for cell in cells.values())]
    lines = [f"| rows | data | seeds | {' | '.join(systems)} | `auto` minus the best peer |"]
    lines.append("|---|---|---:|" + "---:|" * (len(systems) + 1))
    for (rows, data), found in sorted(
        cells.items(), key=lambda cell: (cell[0][0].isdigit(), int(cell[0][0].split()[0]), cell[0])
    ):
        shown = [
            f"{100 * mean(found[system], 'accuracy'):.1f} ({mean(found[system], 'seconds'):.0f} s)" if system in found else ""
            for system in systems
        ]
        peers = [mean(found[system], "accuracy") for system in PEERS if system in found]
        ahead = f"{100 * (mean(found['auto'], 'accuracy') - max(peers)):+.1f}" if peers and "auto" in found else ""
        lines.append(f"| {rows} | {data} | {max(map(len, found.values()))} | {' | '.join(shown)} | {ahead} |")
    return lines


def mean(rows: Sequence[dict[str, str]], key: str) -> float:
    return statistics.mean(float(row[key]) for row in rows)


if __name__ == "__main__":
    main()
