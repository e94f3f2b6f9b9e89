"""Where should rank go? Policies at the same caps, on validation rows; each run is a line of results/allocation.csv.

    python benchmarks/allocation.py --data ../shared/data/ag_news --rows 2000 --caps 50000 200000 --seeds 0 1 2
    python benchmarks/allocation.py --table

All are `auto` with another policy: every linear layer as a target, as much rank as the cap holds. Scores are of 2,000
validation rows set aside from the training file after the last epoch; the test file is not opened. What is in the CSV is not
run again, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

from rankwise import Recipe

RESULTS = Path(__file__).parent / "results" / "allocation.csv"
POLICIES = {
    "uniform": ["adapter.allocate=uniform"],
    "uniform, query and value": ["adapter.allocate=uniform", "adapter.targets=[query,value]"],
    "by-importance, energy": ["adapter.allocate={policy: by-importance, criterion: energy}"],
    "by-importance, sensitivity": ["adapter.allocate={policy: by-importance, criterion: sensitivity}"],
    "by-depth": ["adapter.allocate=by-depth"],
    "last third": ["adapter.allocate={policy: last-k, k: third}"],
}
COLUMNS = (
    "data",
    "train_rows",
    "validation_rows",
    "changes",
    "cap",
    "policy",
    "seed",
    "trained_parameters",
    "adapted_layers",
    "accuracy",
    "log_loss",
    "training_seconds",
)
VALIDATION_ROWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a train file")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--caps", type=int, nargs="*", default=[50_000, 200_000, 1_000_000])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--policies", nargs="*", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key in every run")
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        jobs = [
            {
                "data": str(options.data),
                "train_rows": options.rows,
                "changes": " ".join(options.set),
                "cap": cap,
                "policy": policy,
                "seed": seed,
            }
            for cap in options.caps
            for seed in options.seeds
            for policy in options.policies
        ]
        jobs = [job for job in jobs if missing(RESULTS, [named(job)])]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            append(RESULTS, COLUMNS, {**named(job), **found})
            print(*named(job).values(), found["accuracy"], found["log_loss"], flush=True)
    for line in table():
        print(line)


def named(job: Job) -> dict[str, object]:
    """A job as the CSV has it: the data by its name."""
    return {**job, "data": Path(str(job["data"])).name}


def measure(job: Job) -> dict[str, object]:
    changes = [f"budget.parameters={job['cap']}", *POLICIES[str(job["policy"])], *str(job["changes"]).split()]
    return on_validation(Path(str(job["data"])), int(str(job["train_rows"])), [*changes, f"train.seed={job['seed']}"])


def on_validation(data: Path, rows: int, changes: list[str], *, chosen_on: int = 0) -> dict[str, object]:
    """`auto` with changes, trained on rows of the training file and scored on 2,000 others of it.

    Scored after the last epoch, or after the epoch that does best on `chosen_on` rows that are neither.
    """
    from rankwise import train  # late: the table needs no torch

    parts = {"test": VALIDATION_ROWS, "validation": chosen_on} if chosen_on else {"test": 8, "validation": VALIDATION_ROWS}
    recipe = Recipe.load(
        "auto",
        [
            f"data.source={next(data.glob('train.*'))}",
            *(f"data.split.{part}={count}" for part, count in parts.items()),
            f"train.evaluate_every={'epoch' if chosen_on else 'end'}",
            f"data.rows={rows}",
            "train.min_updates=null",  # as many epochs as the changes say
            "evaluate.baselines=false",
            "evaluate.resamples=20",
            *changes,
        ],
    )
    with tempfile.TemporaryDirectory() as folder:
        run = train(recipe, Path(folder) / "run")
    part = "test" if chosen_on else "validation"
    test, best = run.scores.test, run.scores.validation
    accuracy, log_loss = (test.accuracy.value, test.log_loss.value) if chosen_on else (best.accuracy, best.log_loss)
    return {
        "validation_rows": getattr(run.facts.rows, part),
        "trained_parameters": run.plan_facts.trainable_parameters,
        "adapted_layers": len(run.plan_facts.ranks),
        "accuracy": round(accuracy, 4),
        "log_loss": round(log_loss, 4),
        "training_seconds": round(run.facts.seconds.training),
    }


def table() -> list[str]:
    """Means over the seeds, differences in points by seed, policies of one cap below each other, in Markdown."""
    lines = [
        "| data | rows | `auto` with | cap | policy | layers | trained | seeds | accuracy | minus uniform | log-loss |",
        "|---|---:|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, ...], dict[str, list[Mapping[str, str]]]] = {}
    for row in lines_of(RESULTS):
        at = groups.setdefault((row["data"], row["train_rows"], row["changes"], row["cap"]), {})
        at.setdefault(row["policy"], []).append(row)
    for (data, rows, changes, cap), policies in sorted(groups.items(), key=lambda group: (*group[0][:3], int(group[0][3]))):
        for policy, found in policies.items():
            accuracy = statistics.mean(float(row["accuracy"]) for row in found)
            lines.append(
                f"| {data} | {rows} | {changes} | {int(cap):,} | {policy} | {found[0]['adapted_layers']} "
                f"| {int(found[0]['trained_parameters']):,} | {len(found)} | {100 * accuracy:.1f} "
                f"| {_against(found, policies.get('uniform', []))} "
                f"| {statistics.mean(float(row['log_loss']) for row in found):.3f} |"
            )
    return lines


def _against(found: list[Mapping[str, str]], uniform: list[Mapping[str, str]]) -> str:
    """The difference for each seed that both have."""
    by_seed = {row["seed"]: float(row["accuracy"]) for row in uniform}
    pairs = [100 * (float(row["accuracy"]) - by_seed[row["seed"]]) for row in found if row["seed"] in by_seed]
    by_seed_told = ", ".join(f"{pair:+.1f}" for pair in pairs)
    return "" if found is uniform or not pairs else f"{statistics.mean(pairs):+.1f} ({by_seed_told})"


if __name__ == "__main__":
    main()
