"""What `auto` is set to, and what was tried beside it, on validation rows; each run is a line of results/tuning.csv.

    python benchmarks/tuning.py --data ../shared/data/ag_news --rows 2000 --seeds 0 1 --try "train.learning_rate=1e-3"

Each `--try` is a set of changes to `auto`, separated by spaces; an empty one is `auto` itself. Rows and scores are those of
benchmarks/allocation.py: 2,000 validation rows from the training file after the last epoch; no test file is opened.
Rows are those asked for: of a file of 10,000, what is left after validation, 7,992, are trained on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from allocation import on_validation
from results_file import append
from resumable import Job, finished, missing

RESULTS = Path(__file__).parent / "results" / "tuning.csv"
COLUMNS = (
    "data", "train_rows", "validation_rows", "changes", "seed", "trained_parameters", "maps", "accuracy", "log_loss",
    "training_seconds",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with a train file")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="CHANGES")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=None)
    options = parser.parse_args()
    jobs = [
        {"data": str(options.data), "train_rows": options.rows, "changes": " ".join(changes.split()), "seed": seed}
        for seed in options.seeds for changes in options.tries or [""]
    ]  # fmt: skip
    jobs = [job for job in jobs if missing(RESULTS, [named(job)])]
    for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
        append(RESULTS, COLUMNS, {**named(job), **found})
        print(*named(job).values(), found["accuracy"], found["log_loss"], found["training_seconds"], flush=True)


def named(job: Job) -> dict[str, object]:
    """A job as the CSV has it: the data by its name."""
    return {**job, "data": Path(str(job["data"])).name}


def measure(job: Job) -> dict[str, object]:
    changes = [*str(job["changes"]).split(), f"train.seed={job['seed']}"]
    return on_validation(Path(str(job["data"])), int(str(job["train_rows"])), changes)


if __name__ == "__main__":
    main()
