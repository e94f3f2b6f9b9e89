"""What `auto` is set to, and what was tried beside it, on validation rows; each run is a line of results/tuning.csv.

    python benchmarks/tuning.py --data ../shared/data/ag_news --rows 2000 --seeds 0 1 --try "train.learning_rate=1e-3"
    python benchmarks/tuning.py --table

Each `--try` is a set of changes to `auto`, separated by spaces; an empty one is `auto` itself. Rows and scores are those of
benchmarks/allocation.py: 2,000 rows from the training file, after the last epoch; no test file is opened. With `--choose-on`
the epoch is chosen on so many rows more, for what changes how it is chosen. Rows are those asked for: of a file of 10,000,
what is left after validation, 7,992, are trained on.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from pathlib import Path

from allocation import on_validation
from results_file import append
from resumable import Job, finished, lines_of, missing

RESULTS = Path(__file__).parent / "results" / "tuning.csv"
COLUMNS = (
    "data",
    "train_rows",
    "chosen_on",
    "validation_rows",
    "changes",
    "seed",
    "trained_parameters",
    "adapted_layers",
    "accuracy",
    "log_loss",
    "training_seconds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a train file")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--try", dest="tries", action="append", default=[], metavar="CHANGES")
    parser.add_argument("--choose-on", type=int, default=0, help="rows to choose the epoch on; 0 takes the last")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if options.table:
        print("\n".join(table()))
        return
    jobs = [
        {
            "data": str(options.data),
            "train_rows": options.rows,
            "chosen_on": options.choose_on,
            "changes": " ".join(changes.split()),
            "seed": seed,
        }
        for seed in options.seeds
        for changes in options.tries or [""]
    ]
    jobs = [job for job in jobs if missing(RESULTS, [named(job)])]
    for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
        append(RESULTS, COLUMNS, {**named(job), **found})
        print(*named(job).values(), found["accuracy"], found["log_loss"], found["training_seconds"], flush=True)


def table() -> list[str]:
    """Means over the seeds, in Markdown; what was tried on the same rows stands together."""
    lines = ["| data | rows | chosen on | `auto` with | seeds | accuracy | log-loss |", "|---|---:|---:|---|---:|---:|---:|"]
    groups: dict[tuple[str, int, int, str], list[Mapping[str, str]]] = {}
    for row in lines_of(RESULTS):
        groups.setdefault((row["data"], int(row["train_rows"]), int(row["chosen_on"]), row["changes"]), []).append(row)
    for (data, rows, chosen_on, changes), found in sorted(groups.items(), key=lambda group: group[0][:3]):
        accuracy, log_loss = (statistics.mean(float(row[key]) for row in found) for key in ("accuracy", "log_loss"))
        lines.append(
            f"| {data} | {rows} | {chosen_on or ''} | {changes} | {len(found)} | {100 * accuracy:.1f} | {log_loss:.3f} |"
        )
    return lines


def named(job: Job) -> dict[str, object]:
    """A job as the CSV has it: the data by its name."""
    return {**job, "data": Path(str(job["data"])).name}


def measure(job: Job) -> dict[str, object]:
    changes = [*str(job["changes"]).split(), f"train.seed={job['seed']}"]
    rows, chosen_on = int(str(job["train_rows"])), int(str(job["chosen_on"]))
    return on_validation(Path(str(job["data"])), rows, changes, chosen_on=chosen_on)


if __name__ == "__main__":
    main()
