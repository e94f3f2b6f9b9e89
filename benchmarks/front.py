"""`auto` beside what people use, on the same rows: accuracy against seconds and parameters; appends to results/front.csv.

    python benchmarks/front.py --data ../shared/data --a-class 8 64 --seeds 0 1 2
    python benchmarks/front.py --data ../shared/data --rows 1000 --sets tweet_emotion sst5
    python benchmarks/front.py --table
    python benchmarks/front.py --pictures

A seed draws other training rows; all systems of a cell get the same ones, and the same 1,000 rows of the test file, or
all where it has fewer. Systems run one after the other, each in a process of its own, whose seconds hold imports,
loading, training and the test rows; those of `auto` hold its baselines, intervals and the saved run, too. What `auto` is
set to was chosen on training rows, drawn with other seeds. `front_peers.py` has the peers. What is in the CSV is not run
again; its last column says which test rows were right, a bit each in hexadecimal, for the intervals.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import lines_of, missing

from rankwise import Run
from rankwise.stats.intervals import Interval
from rankwise.stats.seeds import Sample, difference, resampled_scores

RESULTS = Path(__file__).parent / "results" / "front.csv"
HERE = Path(__file__).parent
SETS = ("ag_news", "imdb", "tweet_emotion", "tweet_irony", "sst5")
OURS = {"auto": [], "features": ["--rung", "features"]}
PEERS = ("tfidf", "script", "model2vec", "setfit", "rank4", "full")
HERE_TOO = ("rank4", "full")  # peers that run in this environment
TESTED = 1_000
ENOUGH_CELLS = 5  # for an interval over them
FIRST_SEED = 100  # rows were drawn with lower seeds where choices were made
COLUMNS = (
    "data",
    "rows",
    "seed",
    "system",
    "train_rows",
    "trained",
    "seconds",
    "cpu_seconds",
    "rung",
    "threads",
    "tested",
    "right",
)
Cell = tuple[str, str]
"""An amount of rows and a data set."""
Found = dict[str, dict[int, dict[str, str]]]
"""Lines of the CSV by system and seed."""


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
    parser.add_argument("--pictures", action="store_true", help="only draw what has been measured")
    options = parser.parse_args()
    if options.pictures:
        draw()
        return
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
            took = {"seconds": round(seconds, 1), "cpu_seconds": round(cpu, 1)}
            right = found.pop("right")
            row = {**job, "train_rows": train_rows, **took, **found, "tested": len(right)}
            row["right"] = np.packbits(right).tobytes().hex()
            append(RESULTS, COLUMNS, {"rung": "", "threads": 2, **row})
            print(*list(row.values())[:-1], flush=True)


def ours(system: str, folder: Path) -> dict[str, Any]:
    """`rankwise train auto` as it is typed."""
    command = [sys.executable, "-m", "rankwise", "train", "auto", "--data", str(folder), "--out", str(folder / system)]
    command += [*OURS[system], "--json"]
    facts = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    handed = next(rung["rung"] for rung in facts["ladder"]["rungs"] if rung["handed_over"])
    told = Run.load(folder / system).scored_rows()
    right = (told.probabilities.argmax(-1) == told.truth)[np.argsort(told.rows)]
    return {"trained": facts["trained_parameters"]["counted"], "rung": handed, "right": right}


def peer(system: str, folder: Path, seed: int, python: str) -> dict[str, Any]:
    from rankwise.encoders.base import locate

    python = sys.executable if system in HERE_TOO else python
    files = [str(folder / name) for name in ("train.csv", "test.csv")]
    command = [python, str(HERE / "front_peers.py"), system, *files, str(locate("minilm").location), str(seed)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    return {"trained": found["trained"], "right": np.array(found["right"], dtype=bool)}


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
    sources = sources_of(spec)
    table = read_table(sources.splits[split], spec)
    labels = list(table.labels or ())
    if sources.classes and all(label.isdigit() for label in labels):  # a file that counts the classes, from its least number
        first = min(map(int, labels))
        labels = [sources.classes[int(label) - first] for label in labels]
    return list(zip(table.texts, labels, strict=True))


def table() -> list[str]:
    """Accuracy and seconds of each system by cell, means over the seeds, in Markdown; and `auto` minus the best peer."""
    cells = measured()
    systems = [system for system in (*OURS, *PEERS) if any(system in found for found in cells.values())]
    lines = [f"| rows | data | seeds | {' | '.join(systems)} | `auto` minus the best peer |"]
    lines.append("|---|---|---:|" + "---:|" * (len(systems) + 1))
    ahead = []
    for (rows, data), found in cells.items():
        shown = [
            f"{100 * mean(accuracy(found[system])):.1f} ({mean(seconds(found[system])):.0f} s)" if system in found else ""
            for system in systems
        ]
        compared, text = minus_best_peer(found), ""
        if compared:
            best, interval = compared
            low, high = (100 * bound for bound in (interval.low or 0.0, interval.high or 0.0))
            text = f"{100 * (interval.value or 0.0):+.1f} [{low:+.1f}, {high:+.1f}] ({best})"
            ahead.append(100 * (interval.value or 0.0))
        lines.append(f"| {rows} | {data} | {max(map(len, found.values()))} | {' | '.join(shown)} | {text} |")
    if ahead:
        told = f"{mean(ahead):+.1f}"
        if len(ahead) >= ENOUGH_CELLS:
            drawn = np.random.default_rng(0).choice(ahead, size=(5000, len(ahead))).mean(1)
            low, high = np.quantile(drawn, (0.025, 0.975))
            told += f" [{low:+.1f}, {high:+.1f}]"
        lines.append(f"| mean | of {len(ahead)} cells | {' |' * len(systems)} {told} |")
    return lines


def minus_best_peer(found: Found) -> tuple[str, Interval] | None:
    """The peer with the highest mean on `auto`'s seeds, and `auto` minus it, with bounds for rows and seeds."""
    peers = [system for system in PEERS if system in found and found.get("auto", {}).keys() <= found[system].keys()]
    if "auto" not in found or not peers:
        return None
    seeds = sorted(found["auto"])
    best = max(peers, key=lambda system: mean(accuracy({seed: found[system][seed] for seed in seeds})))
    right = np.stack([bits(found[system][seed]) for system in ("auto", best) for seed in seeds]).astype(np.int64)
    truth = np.ones(right.shape[1], dtype=np.int64)  # so that a row that is right was told to be of class 1
    scores, draws = resampled_scores(right, truth, classes=2)
    one, other = (slice(0, len(seeds)), slice(len(seeds), None))
    samples = [Sample(scores[which, 0], draws[:, which, 0]) for which in (one, other)]
    return best, difference(*samples).interval


def draw() -> None:
    """An SVG file for each amount of rows and each cost: means over the cells that every system in it has."""
    from rankwise.report.blocks import Column  # which needs the extra `report`
    from rankwise.report.figures.composed import trade_off_figure
    from rankwise.report.figures.writing import file_svg

    costs = {"seconds": Column("seconds", "time", "seconds"), "trained": Column("trained", "trained parameters", "count")}
    for amount in dict.fromkeys(rows for rows, _ in measured()):
        cells = {data: found for (rows, data), found in measured().items() if rows == amount and "auto" in found}
        if not cells:
            continue
        systems = [s for s in (*OURS, *PEERS) if all(f["auto"].keys() <= f.get(s, {}).keys() for f in cells.values())]
        for cost, column in costs.items():
            points = []
            for system in systems:
                lines = [found[system][seed] for found in cells.values() for seed in found["auto"]]
                scores = [float(bits(line).mean()) for line in lines]
                points.append((system, mean([float(line[cost]) for line in lines]), mean(scores)))
            titles = (Column("system", "system"), column, Column("accuracy", "accuracy", "share"))
            figure = trade_off_figure("front", titles, points, many=False)
            rows = amount.replace("a class", "rows a class") if " " in amount else f"{int(amount):,} rows"
            path = RESULTS.parent / f"front-{amount.replace(' ', '-')}-{cost}.svg"
            path.write_text(file_svg(figure.picture, f"Accuracy at {rows}", figure.summary), "utf-8")
            print(path.name, "mean of", ", ".join(cells))


def measured() -> dict[Cell, Found]:
    """What the CSV has, the fewest rows first."""
    cells: dict[Cell, Found] = {}
    for line in lines_of(RESULTS):
        cells.setdefault((line["rows"], line["data"]), {}).setdefault(line["system"], {})[int(line["seed"])] = line
    order = sorted(cells, key=lambda cell: (cell[0].isdigit(), int(cell[0].split()[0]), SETS.index(cell[1])))
    return {cell: cells[cell] for cell in order}


def bits(line: dict[str, str]) -> NDArray[np.bool_]:
    """Which of the test rows were right."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(line["right"]), np.uint8))[: int(line["tested"])].astype(bool)


def accuracy(lines: dict[int, dict[str, str]]) -> list[float]:
    return [float(bits(line).mean()) for line in lines.values()]


def seconds(lines: dict[int, dict[str, str]]) -> list[float]:
    return [float(line["seconds"]) for line in lines.values()]


if __name__ == "__main__":
    main()
