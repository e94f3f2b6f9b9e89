"""Every report's recipe beside `auto` at the same cap and the same epochs, on the test rows: results/accuracy.csv.

    python benchmarks/accuracy.py --data ../shared/data --ag-rows 10000 --imdb-rows 5000 --processes 2 --minutes 90
    python benchmarks/accuracy.py --table

All on the embedded encoder, with one cap of a million trained parameters (but for the full fine-tune, which has none), the
same training, validation (500 of the file's rows) and test rows, each recipe at its own epochs and `auto` at each of them;
TF-IDF with logistic regression beside them. IMDB at 128 tokens. Whether a run was right on each test row is kept in
results/accuracy_rows.csv, so that differences are paired. A run scores the test rows once, and no choice is made on them:
choices are in tuning.csv and allocation.csv. What is in the CSVs is not run again.
"""

from __future__ import annotations

import argparse
import base64
import csv
import statistics
import sys
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import Job, finished, lines_of, missing

from rankwise import Recipe, builtin_recipes
from rankwise.stats.seeds import Sample, difference, resampled_scores

RESULTS = Path(__file__).parent / "results" / "accuracy.csv"
ROWS = RESULTS.with_name("accuracy_rows.csv")
TFIDF = "TF-IDF + logistic"
KEY = ("data", "train_rows", "test_rows", "changes", "recipe", "epochs", "seed")
COLUMNS = (*KEY, "trained_parameters", "validation_accuracy", "accuracy", "training_seconds")
RESAMPLES = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with ag_news and imdb")
    parser.add_argument("--ag-rows", type=int, default=10_000, help="0 leaves AG News out")
    parser.add_argument("--imdb-rows", type=int, default=5_000, help="0 leaves IMDB out")
    parser.add_argument("--test-rows", type=int, default=0, help="score so many test rows; all when 0")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--recipes", nargs="*", default=None, help="those of the reports when left out")
    parser.add_argument("--auto", action=argparse.BooleanOptionalAction, default=True, help="`auto` at their epochs too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key in every run")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if not options.table:
        jobs = [{**job, "folder": str(options.data)} for job in missing(RESULTS, all_jobs(options))]
        for job, (found, right) in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            key = {name: job[name] for name in KEY}
            append(ROWS, (*KEY, "right"), {**key, "right": packed(right)})
            append(RESULTS, COLUMNS, {**key, **found})
            print(*key.values(), found["accuracy"], found["training_seconds"], flush=True)
    for line in table():
        print(line)


def all_jobs(options: argparse.Namespace) -> list[dict[str, object]]:
    """One seed of everything first, so that what there is time for can be compared; TF-IDF has no seed."""
    recipes = options.recipes or [name for name in builtin_recipes() if Recipe.load(name).published]
    epochs = {name: Recipe.load(name).train.epochs for name in recipes}
    jobs: list[dict[str, object]] = []
    for data, rows in (("ag_news", options.ag_rows), ("imdb", options.imdb_rows)):
        if rows:
            shared = {
                "data": data,
                "train_rows": rows,
                "test_rows": options.test_rows or "all",
                "changes": " ".join(options.set),
            }
            jobs.append({**shared, "recipe": TFIDF, "epochs": "", "seed": ""})
            for seed in options.seeds:
                for count in sorted(set(epochs.values())):
                    names = [*(["auto"] if options.auto else []), *(name for name in recipes if epochs[name] == count)]
                    jobs += [{**shared, "recipe": name, "epochs": f"{count:g}", "seed": seed} for name in names]
    order = {str(seed): place for place, seed in enumerate(["", *options.seeds])}
    return sorted(jobs, key=lambda job: order[str(job["seed"])])


def measure(job: Job) -> tuple[dict[str, object], NDArray[np.bool_]]:
    """The numbers of one run, and whether it was right on each test row."""
    from rankwise import train  # late: the table needs no torch

    recipe = recipe_of(job)
    if job["recipe"] == TFIDF:
        return tfidf(recipe)
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, Path(folder) / "run")
        rows = run.scored_rows()
    right = rows.probabilities.argmax(-1) == rows.truth
    return {
        "trained_parameters": run.plan_facts.trainable_parameters,
        "validation_accuracy": round(run.scores.validation.accuracy, 4),
        "accuracy": round(float(right.mean()), 4),
        "training_seconds": round(run.facts.seconds.training),
    }, right


def recipe_of(job: Job) -> Recipe:
    """Its recipe on the embedded encoder, with the rows that all recipes get."""
    name = "auto" if job["recipe"] == TFIDF else str(job["recipe"])
    changes = [
        "base=minilm",
        f"data.source={Path(str(job['folder'])) / str(job['data'])}",
        "data.classes=[]",
        "data.split={validation: 500, seed: 42}",
        f"data.rows={job['train_rows']}",
        "evaluate.baselines=false",
        "evaluate.resamples=20",
        *(["data.max_length=128"] if job["data"] == "imdb" else []),
        *str(job["changes"]).split(),
    ]
    changes += [f"data.test_rows={job['test_rows']}"] if job["test_rows"] != "all" else []
    changes += [f"train.epochs={job['epochs']}", f"train.seed={job['seed']}"] if job["seed"] != "" else []
    return Recipe.load(name, changes)


def tfidf(recipe: Recipe) -> tuple[dict[str, object], NDArray[np.bool_]]:
    from rankwise.data.prepare import prepare
    from rankwise.encoders.base import locate
    from rankwise.inference.baselines import fitted_baselines
    from rankwise.model.load import load_tokenizer

    data = prepare(recipe.data, load_tokenizer(locate(recipe.base)), longest=512)
    (found,) = (values for name, values in fitted_baselines(data).items() if name.startswith("TF-IDF"))
    right = found.argmax(-1) == data.test.labels
    empty = dict.fromkeys(("trained_parameters", "validation_accuracy", "training_seconds"), "")
    return {**empty, "accuracy": round(float(right.mean()), 4)}, right


# ----------------------------------------------------------------------------------------------------------- the table


def table() -> list[str]:
    """A line a recipe: its mean over the seeds, and `auto` at its epochs minus it, in Markdown."""
    lines = [
        "| data | rows | recipe | epochs | trained parameters | seeds | accuracy | `auto` minus it | `auto`'s epochs |",
        "|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    runs: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for row in _lines(RESULTS):
        runs.setdefault(tuple(row[key] for key in KEY[:-1]), []).append(row)
    right = {tuple(row[key] for key in KEY): unpacked(row["right"]) for row in _lines(ROWS)}
    everywhere = set.intersection(*(set(changes.split()) for _, _, _, changes, *_ in runs)) if runs else set()
    for (*where, recipe, epochs), found in sorted(runs.items(), key=lambda item: (item[0][:4], float(item[0][5] or 0))):
        values = [100 * float(row["accuracy"]) for row in found]
        spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
        count = found[0]["trained_parameters"]
        own = [change for change in where[3].split() if change not in everywhere]
        lines.append(
            f"| {where[0]} | {where[1]} | {' '.join([recipe if recipe == TFIDF else f'`{recipe}`', *own])} | {epochs} "
            f"| {f'{int(count):,}' if count else ''} | {len(found) if epochs else ''} "
            f"| {statistics.mean(values):.1f}{spread} | {ahead(where, recipe, epochs, right, bool(own))} |"
        )
    return lines


def ahead(
    where: list[str], recipe: str, epochs: str, right: Mapping[tuple[str, ...], NDArray[np.bool_]], changed: bool
) -> str:
    """`auto` at no more epochs minus a recipe in points, with its 95 % interval over test rows and seeds.

    It is the longest `auto` that was run within the recipe's epochs; TF-IDF, which has none, meets the longest of all.
    `changed` recipes have settings of their own among `where`; theirs is the `auto` without.
    """
    ours: dict[str, list[NDArray[np.bool_]]] = {}
    theirs: list[NDArray[np.bool_]] = []
    for (*place, name, count, _), values in right.items():
        if (place, name, count) == (where, recipe, epochs):
            theirs.append(values)
        elif name == "auto" and place[:3] == where[:3] and (where[3] == place[3] or (changed and place[3] in where[3])):
            ours.setdefault(count, []).append(values)
    within = [count for count in ours if float(count) <= float(epochs or "inf")]
    if not within or (recipe == "auto" and not changed):
        return " | "
    count = max(within, key=float)
    mine = ours[count]
    answers = np.array([*mine, *theirs], dtype=np.int64)  # (K, N), 1 where right
    scores, draws = resampled_scores(answers, np.ones(answers.shape[1], dtype=np.int64), 2, resamples=RESAMPLES)
    parts = (slice(len(mine)), slice(len(mine), None))
    interval = difference(*(Sample(scores[part, 0], draws[:, part, 0]) for part in parts)).interval
    value, low, high = (100 * (bound or 0.0) for bound in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}] | {count}"


def packed(right: NDArray[np.bool_]) -> str:
    """Right or wrong by row as a short text."""
    return f"{len(right)}:{base64.b64encode(zlib.compress(np.packbits(right).tobytes(), 9)).decode()}"


def unpacked(text: str) -> NDArray[np.bool_]:
    count, _, rest = text.partition(":")
    bits = np.unpackbits(np.frombuffer(zlib.decompress(base64.b64decode(rest)), dtype=np.uint8))
    return bits[: int(count)].astype(np.bool_)


def _lines(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(sys.maxsize)
    return lines_of(path)


if __name__ == "__main__":
    main()
