"""Several label columns on one adapter beside a run for each column; appends to results/columns.csv.

    python benchmarks/columns.py --data ../shared/data
    python benchmarks/columns.py --table

A row of AG News has a topic, the agency that it names (missing in four rows of five; the names are cut out of the texts) and
whether it tells of money, of percents or of neither; all rows are of its training file. A row of go_emotions with one emotion
has that emotion, and its group in each of the two coarser groupings that were published with it (arXiv 2005.00547). Both
sides are `auto`'s dearest rung at its own settings on the same rows, of which a run for one column gets those that have it.
CPU seconds are of training and scoring, on one thread. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import csv
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from accuracy import RESAMPLES, packed, unpacked
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

from rankwise.stats.seeds import Sample, difference, resampled_scores

RESULTS = Path(__file__).parent / "results" / "columns.csv"
TOGETHER = "together"
KEY = ("data", "rows", "seed", "column")
COLUMNS = (*KEY, "trained_parameters", "updates", "cpu", "right")
AGENCY = re.compile(r"\b(Reuters|AFP|AP)\b")
KEPT = {"validation": 500, "test": 4_000}  # rows of each, the first of an order drawn once
EKMAN = {
    "anger": "anger annoyance disapproval",
    "disgust": "disgust",
    "fear": "fear nervousness",
    "joy": "joy amusement approval excitement gratitude love optimism relief pride admiration desire caring",
    "sadness": "sadness disappointment embarrassment grief remorse",
    "surprise": "surprise realization confusion curiosity",
    "neutral": "neutral",
}
SENTIMENT = {"joy": "positive", "surprise": "ambiguous", "neutral": "neutral"}  # the other groups are negative
Row = dict[str, str]
"""A text, and a cell for each label column, empty where it is missing."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that has ag_news and go_emotions")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    parser.add_argument("--rows", type=int, default=3_000, help="train on so many rows")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        wanted = [
            {"data": name, "rows": options.rows, "seed": seed, "column": column}
            for seed in options.seeds
            for name in options.sets
            for column in (TOGETHER, *SETS[name][1])
        ]
        jobs = [{**job, "folder": str(options.data)} for job in missing(RESULTS, wanted)]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            append(RESULTS, COLUMNS, {**{name: job[name] for name in KEY}, **found})
            print(*(job[name] for name in KEY), found["trained_parameters"], found["cpu"], flush=True)
    print("\n".join(table()))


def measure(job: Job) -> dict[str, object]:
    """One run's parameters and seconds, and for each column whether it was right on the test rows that have it."""
    from rankwise import Recipe, train  # late: the table needs no torch

    read, columns = SETS[str(job["data"])]
    asked = list(columns) if job["column"] == TOGETHER else [str(job["column"])]
    splits = read(Path(str(job["folder"])) / str(job["data"]), int(str(job["rows"])), int(str(job["seed"])))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split, rows in splits.items():
            write(folder / f"{split}.csv", [row for row in rows if any(row[column] for column in asked)], asked)
        changes = [f"data.{split}={folder / split}.csv" for split in splits]
        changes += ["data.source=null", "data.text=text", f"train.seed={job['seed']}", "evaluate.resamples=20"]
        changes += [f"data.label=[{','.join(asked)}]" if len(asked) > 1 else f"data.label={asked[0]}"]
        changes += ["evaluate.baselines=false"]
        recipe = Recipe.load("auto", changes).rung("all")
        began = time.process_time()
        run = train(recipe, folder / "run", progress=False)
        cpu = time.process_time() - began
        scored, task, trained = run.scored_rows(), run.task, run.plan_facts.trainable_parameters
        decided, updates = task.decide(scored.probabilities.astype(np.float64)), run.facts.steps
    if len(asked) == 1:
        right = {asked[0]: decided == scored.truth}
    else:
        place = 0
        right = {}
        for column, size in (run.preprocessing.columns or {}).items():
            block = slice(place, place := place + size)
            known = scored.truth[:, block].min(axis=1) >= 0
            right[column] = (decided[:, block] == scored.truth[:, block]).all(axis=1)[known]
    answers = ";".join(f"{column}={packed(right[column])}" for column in asked)
    return {"trained_parameters": trained, "updates": updates, "cpu": round(cpu, 1), "right": answers}


def write(path: Path, rows: list[Row], columns: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["text", *columns], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def ag_news(folder: Path, rows: int, seed: int) -> dict[str, list[Row]]:
    def row(line: Mapping[str, str]) -> Row:
        text, agency = line["text"], AGENCY.search(line["text"])
        figures = "money" if "$" in text else "percent" if re.search("percent|%", text) else "neither"
        return {
            "text": AGENCY.sub(" ", text),
            "topic": line["label"],
            "agency": agency[0] if agency else "",
            "figures": figures,
        }

    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        train = [row(line) for line in csv.DictReader(file)]
    validation, train = drawn(train, KEPT["validation"])
    test, train = drawn(train, KEPT["test"])
    return {"train": drawn(train, rows, seed)[0], "validation": validation, "test": test}


def go_emotions(folder: Path, rows: int, seed: int) -> dict[str, list[Row]]:
    names = (folder / "labels.txt").read_text("utf-8").split()
    group = {emotion: ekman for ekman, emotions in EKMAN.items() for emotion in emotions.split()}

    def read(split: str) -> list[Row]:
        found = []
        for line in filter(None, (folder / f"{split}.tsv").read_text("utf-8").split("\n")):
            text, ids = line.split("\t")[:2]
            if "," not in ids:
                ekman = group[names[int(ids)]]
                sentiment = SENTIMENT.get(ekman, "negative")
                found.append({"text": text, "emotion": names[int(ids)], "ekman": ekman, "sentiment": sentiment})
        return found

    sizes = {"validation": KEPT["validation"], "test": KEPT["test"]}
    others = {split: drawn(read({"validation": "dev"}.get(split, split)), size)[0] for split, size in sizes.items()}
    return {"train": drawn(read("train"), rows, seed)[0], **others}


def drawn(rows: list[Row], count: int, seed: int = 1_000) -> tuple[list[Row], list[Row]]:
    """So many rows, and the others."""
    order = np.random.default_rng(seed).permutation(len(rows))
    return [rows[place] for place in order[:count]], [rows[place] for place in order[count:]]


SETS: dict[str, tuple[Callable[[Path, int, int], dict[str, list[Row]]], tuple[str, ...]]] = {
    "ag_news": (ag_news, ("topic", "agency", "figures")),
    "go_emotions": (go_emotions, ("emotion", "ekman", "sentiment")),
}


def table() -> list[str]:
    """A line for each set and column: both accuracies, and how far one adapter for all is ahead over rows and seeds."""
    lines = [
        "| data | rows | seeds | column | a run each | together | together minus it | CPU seconds | trained parameters |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    found = lines_of(RESULTS)
    for name, rows in sorted({(row["data"], row["rows"]) for row in found}):
        cell = [row for row in found if (row["data"], row["rows"]) == (name, rows)]
        columns = SETS[name][1]
        runs = {column: {row["seed"]: row for row in cell if row["column"] == column} for column in (TOGETHER, *columns)}
        seeds = sorted(set.intersection(*(set(of_column) for of_column in runs.values())))
        if not seeds:
            continue
        for place, column in enumerate(columns):
            apart = [right(runs[column][seed], column) for seed in seeds]
            joined = [right(runs[TOGETHER][seed], column) for seed in seeds]
            ratios = ["", ""]
            if not place:
                ratios = [f"{ratio(runs, columns, seeds, key):.2f}x of three runs" for key in ("cpu", "trained_parameters")]
            accuracies = (f"{100 * np.mean(side):.1f}" for side in (apart, joined))
            line = [name, f"{int(rows):,}", len(seeds), column, *accuracies, ahead(joined, apart), *ratios]
            lines.append(f"| {' | '.join(map(str, line))} |")
    return lines


def ratio(runs: dict[str, dict[str, dict[str, str]]], columns: tuple[str, ...], seeds: list[str], key: str) -> float:
    """The median over seeds of one run for all columns over a run for each."""
    return float(
        np.median(
            [float(runs[TOGETHER][seed][key]) / sum(float(runs[column][seed][key]) for column in columns) for seed in seeds]
        )
    )


def right(line: dict[str, str], column: str) -> np.ndarray:
    return unpacked(dict(part.split("=", 1) for part in line["right"].split(";"))[column])


def ahead(joined: list[np.ndarray], apart: list[np.ndarray]) -> str:
    """Accuracy of one minus that of the other in points, with its 95 % interval over test rows and seeds."""
    answers = np.array([*joined, *apart], dtype=np.int64)  # (K, N), 1 where right
    scores, draws = resampled_scores(answers, np.ones(answers.shape[1], dtype=np.int64), 2, resamples=RESAMPLES)
    parts = slice(len(joined)), slice(len(joined), None)
    interval = difference(*(Sample(scores[part, 0], draws[:, part, 0]) for part in parts)).interval
    value, low, high = (100 * (bound or 0.0) for bound in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
