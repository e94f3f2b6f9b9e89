"""SICK's pairs read apart or as two segments, beside the same pairs joined into one text; appends to results/pairs.csv.

    python benchmarks/pairs.py --data ../shared/data/sick
    python benchmarks/pairs.py --table

Entailment as published: all 4,500 training rows, the 500 trial rows choose the checkpoint, 4,927 test rows are scored once a
run. `auto` is the whole climb. The others are a rung of it at its own settings, which were chosen on other data: adapters in
every layer at the same cap and the same updates, of which only what reads the pair differs, or a head on the frozen encoder,
and no update. Joined texts stand with the recipe's ` . ` between them. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from accuracy import RESAMPLES, packed, unpacked
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

from rankwise.recipe import Rung
from rankwise.stats.seeds import Sample, difference, resampled_scores

RESULTS = Path(__file__).parent / "results" / "pairs.csv"
KEY = ("read", "rows", "seed")
COLUMNS = (*KEY, "trained_parameters", "updates", "validation_accuracy", "accuracy", "tfidf_accuracy", "right")
FILES = {"train": "SICK_train.txt", "validation": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
READ: dict[str, tuple[Rung | None, list[str]]] = {
    "auto": (None, []),
    "apart": ("features", ["head.pooling=apart"]),
    "adapted": ("all", ["head.pooling=apart"]),
    "pair": ("all", ["head.pooling=mean"]),
    "joined": ("all", ["data.text=[sentence_A, sentence_B]"]),
}
NAMES = {
    "auto": "`auto`",
    "apart": "apart, encoder frozen",
    "adapted": "apart, adapters",
    "pair": "two segments, adapters",
    "joined": "joined text, adapters",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with SICK as published")
    parser.add_argument("--rows", type=int, default=4_500, help="train on so many rows")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--read", nargs="*", choices=list(READ), default=list(READ))
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        wanted = [{"read": read, "rows": options.rows, "seed": seed} for seed in options.seeds for read in options.read]
        jobs = [{**job, "folder": str(options.data)} for job in missing(RESULTS, wanted)]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            append(RESULTS, COLUMNS, {**{name: job[name] for name in KEY}, **found})
            print(*(job[name] for name in KEY), found["accuracy"], flush=True)
    print("\n".join(table()))


def measure(job: Job) -> dict[str, object]:
    """One run's scores, and whether it was right on each test row."""
    from rankwise import Recipe, train  # late: the table needs no torch

    files = [f"data.{role}={Path(str(job['folder'])) / name}" for role, name in FILES.items()]
    changes = [*files, "data.source=null", f"data.rows={job['rows']}", f"train.seed={job['seed']}"]
    rung, how = READ[str(job["read"])]
    recipe = Recipe.load("auto", [*changes, "evaluate.resamples=20", *how])
    recipe = recipe.rung(rung) if rung else recipe
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, Path(folder) / "run", progress=False)
        rows, scores, trained = run.scored_rows(), run.scores, run.plan_facts.trainable_parameters
        updates = run.facts.steps
    right = rows.probabilities.argmax(-1) == rows.truth
    return {
        "trained_parameters": trained,
        "updates": updates,
        "validation_accuracy": round(scores.validation.accuracy, 4),
        "accuracy": round(float(right.mean()), 4),
        "tfidf_accuracy": round(scores.baselines["TF-IDF + logistic"].accuracy.value or 0.0, 4),
        "right": packed(right),
    }


def table() -> list[str]:
    """A line for each way to read the pairs, and how far it is ahead of joined text over test rows and seeds, in Markdown."""
    lines = [
        "| rows | read | trained parameters | updates | seeds | test accuracy | minus joined text | TF-IDF |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    found = lines_of(RESULTS)
    for rows in sorted({row["rows"] for row in found}, key=int):
        runs = {read: [row for row in found if (row["rows"], row["read"]) == (rows, read)] for read in READ}
        for read, name in NAMES.items():
            values = [100 * float(row["accuracy"]) for row in runs[read]]
            if not values:
                continue
            spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
            updates = "/".join(sorted({row["updates"] for row in runs[read]}, key=int))
            lines.append(
                f"| {int(rows):,} | {name} | {int(runs[read][0]['trained_parameters']):,} | {updates} | {len(values)} "
                f"| {statistics.mean(values):.1f}{spread} | {ahead(runs[read], runs['joined']) if read != 'joined' else ''} "
                f"| {100 * float(runs[read][0]['tfidf_accuracy']):.1f} |"
            )
    return lines


def ahead(runs: list[dict[str, str]], joined: list[dict[str, str]]) -> str:
    """Their accuracy minus that of joined texts in points, with its 95 % interval over test rows and seeds."""
    if not joined:
        return ""
    right = [unpacked(row["right"]) for row in (*runs, *joined)]
    answers = np.array(right, dtype=np.int64)  # (K, N), 1 where right
    scores, draws = resampled_scores(answers, np.ones(answers.shape[1], dtype=np.int64), 2, resamples=RESAMPLES)
    parts = (slice(len(runs)), slice(len(runs), None))
    interval = difference(*(Sample(scores[part, 0], draws[:, part, 0]) for part in parts)).interval
    value, low, high = (100 * (bound or 0.0) for bound in (interval.value, interval.low, interval.high))
    return f"{value:+.1f} [{low:+.1f}, {high:+.1f}]"


if __name__ == "__main__":
    main()
