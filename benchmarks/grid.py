"""A grid search with RankwiseClassifier beside the same with Trainer and peft in a loop; appends to results/grid.csv.

    python benchmarks/grid.py --data ../shared/data
    python benchmarks/grid.py --table

Five folds, four settings (two ranks, two learning rates): twenty fits; the table says how many of the loop's were measured,
if not all. LoRA stands in the query and value of the top third of the layers, under the stock head's last projection; batches
of 16, two epochs of a fold's training rows, as many updates on both sides. The loop is what a user would write: tokens made
anew in each fit, batches in random order padded to their longest text, fp32, the model's own dropout, the test fold predicted
by Trainer. Ours is GridSearchCV as it stands, in fp32 and as `auto` has it (bf16 where the processor multiplies it), of each
fold's rows a tenth set aside to choose the checkpoint and scored each epoch, which the loop does not do. CPU seconds are of
everything but imports, for which each side fits some other rows first, on one thread. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

RESULTS = Path(__file__).parent / "results" / "grid.csv"
LOOP, OURS = "Trainer + peft", "RankwiseClassifier"
KEY = ("data", "rows", "seed", "side", "precision", "rank", "rate")
COLUMNS = (*KEY, "fits", "updates", "cpu", "accuracy")
RANKS, RATES, FOLDS = (4, 16), (1e-3, 3e-3), 5
ALL = "all"
BATCH, EPOCHS = 16, 2
WARM = 50  # rows that are fitted first
TOP_THIRD = {
    "rungs": [],
    "adapter.allocate.policy": "last-k",
    "adapter.allocate.k": 2,
    "adapter.targets": ["query", "value"],
    "head": {"kind": "slim", "start": "random"},
    "train.early_stop": None,
    "train.epochs": EPOCHS,
    "train.batch_size": BATCH,
    "train.warmup": 0,
    "train.average": None,
    "train.rates": {},  # every weight has the rate of the grid, as in the loop
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that has ag_news and tweet_irony")
    parser.add_argument("--sets", nargs="*", default=["ag_news"], choices=["ag_news", "tweet_irony"])
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        wanted: list[dict[str, object]] = []
        for name in options.sets:
            about = {"data": name, "rows": options.rows, "seed": options.seed}
            ours = {"side": OURS, "rank": ALL, "rate": ALL}
            wanted += [{**about, **ours, "precision": precision} for precision in ("auto", "fp32")]
            wanted += [
                {**about, "side": LOOP, "precision": "fp32", "rank": rank, "rate": rate}
                for rank, rate in product(RANKS, RATES)
            ]
        jobs = [{**job, "folder": str(options.data)} for job in missing(RESULTS, wanted)]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            append(RESULTS, COLUMNS, {**{name: job[name] for name in KEY}, **found})
            print(*(job[name] for name in KEY), found, flush=True)
    print("\n".join(table()))


def measure(job: Job) -> dict[str, object]:
    """CPU seconds and accuracy of the fits of one side."""
    rows = int(str(job["rows"]))
    texts, labels = rows_of(Path(str(job["folder"])) / str(job["data"]), rows + WARM, int(str(job["seed"])))
    fits = ours if job["side"] == OURS else loop
    fits({**job, "rank": RANKS[0], "rate": RATES[0]}, texts[rows:], labels[rows:])
    return fits(job, texts[:rows], labels[:rows])


def folds_of(seed: object) -> Any:
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(FOLDS, shuffle=True, random_state=int(str(seed)))


def updates_of(rows: int) -> int:
    """Updates of a fit, which has four fifths of the rows."""
    return EPOCHS * math.ceil(round(rows * (1 - 1 / FOLDS)) / BATCH)


def ours(job: Job, texts: list[str], labels: list[str]) -> dict[str, object]:
    from sklearn.model_selection import GridSearchCV

    from rankwise import RankwiseClassifier
    from rankwise.integrations import estimator as estimators
    from rankwise.workflows.in_memory import Common

    estimators.COMMON = Common()  # nothing of another job's is at hand

    updates = updates_of(len(texts))
    fixed = {**TOP_THIRD, "train.min_updates": updates, "train.max_steps": updates, "train.precision": job["precision"]}
    estimator = RankwiseClassifier("auto", overrides=fixed, random_state=int(str(job["seed"])))
    grid: dict[str, list[Any]] = {"rank": list(RANKS), "learning_rate": list(RATES)}
    if job["rank"] != ALL:
        grid = {"rank": [job["rank"]]}
    began = time.process_time()
    search = GridSearchCV(estimator, grid, cv=folds_of(job["seed"]), refit=False, error_score="raise").fit(texts, labels)
    cpu = time.process_time() - began
    accuracy = [round(float(score), 4) for score in search.cv_results_["mean_test_score"]]
    return {"fits": FOLDS * len(accuracy), "updates": updates, "cpu": round(cpu, 1), "accuracy": " ".join(map(str, accuracy))}


def loop(job: Job, texts: list[str], labels: list[str]) -> dict[str, object]:
    import torch
    from peers import trainer_peft

    from rankwise import Recipe

    torch.set_num_threads(1)
    changes = {**TOP_THIRD, "adapter.rank": job["rank"], "train.learning_rate": job["rate"]}
    recipe = Recipe.load("auto", changes)
    names = sorted(set(labels))
    numbers = np.array([names.index(label) for label in labels])
    scores = []
    began = time.process_time()
    for train, test in folds_of(job["seed"]).split(texts, labels):
        sides = [([texts[row] for row in part], numbers[part].tolist()) for part in (train, test)]
        found = trainer_peft(recipe, names, sides[0], test=sides[1], pad_to_max=False, seed=int(str(job["seed"])))
        scores.append(found.test_accuracy)
    cpu = time.process_time() - began
    accuracy = round(float(np.mean(scores)), 4)
    return {"fits": FOLDS, "updates": updates_of(len(texts)), "cpu": round(cpu, 1), "accuracy": accuracy}


def rows_of(folder: Path, rows: int, seed: int) -> tuple[list[str], list[str]]:
    """So many rows of the training file, in an order drawn once."""
    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    chosen = np.random.default_rng(seed).permutation(len(found))[:rows]
    return [found[row]["text"] for row in chosen], [found[row]["label"] for row in chosen]


def table() -> list[str]:
    """A line for each set of rows: CPU seconds of twenty fits on each side, and how many times ours the loop's are.

    Where settings of the loop are yet to be measured, its seconds are the mean fit's times all fits, and the line says so.
    """
    lines = [
        "| data | rows | updates a fit | Trainer + peft | of its fits measured | `RankwiseClassifier` | ratio | in fp32 "
        "| ratio |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    found = lines_of(RESULTS)
    for key in sorted({(row["data"], row["rows"], row["seed"]) for row in found}):
        cell = [row for row in found if (row["data"], row["rows"], row["seed"]) == key]
        looped = [row for row in cell if row["side"] == LOOP]
        mine = {row["precision"]: row for row in cell if row["side"] == OURS}
        if not looped or "auto" not in mine:
            continue
        fits, all_fits = sum(int(row["fits"]) for row in looped), int(mine["auto"]["fits"])
        seconds = sum(float(row["cpu"]) for row in looped) * all_fits / fits
        timed: list[str] = []
        for precision in ("auto", "fp32"):
            cpu = float(mine[precision]["cpu"]) if precision in mine else math.nan
            timed += [f"{cpu:.0f}", f"{seconds / cpu:.1f}x"]
        shown = [key[0], f"{int(key[1]):,}", looped[0]["updates"], f"{seconds:.0f}", f"{fits} of {all_fits}", *timed]
        lines.append(f"| {' | '.join(shown)} |")
    return lines


if __name__ == "__main__":
    main()
