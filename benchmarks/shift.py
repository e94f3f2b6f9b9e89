"""What typos, letter case, lost words and the like cost a report's best recipe and `auto`; results/shift.csv.

    python benchmarks/shift.py --data ../shared/data/ag_news --rows 2000 --epochs 2 --test-rows 1000

Both on the embedded encoder with the same rows and epochs, `auto` also with `train.select_by: worst_shift`; every kind on the
same test rows, drops paired, 95 % intervals. What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

from results_file import append
from resumable import Job, finished, missing

from rankwise import Recipe

RESULTS = Path(__file__).parent / "results" / "shift.csv"
COLUMNS = (
    "recipe",
    "train_rows",
    "epochs",
    "test_rows",
    "seed",
    "kind",
    "changed",
    "accuracy",
    "accuracy_low",
    "accuracy_high",
    "drop",
    "drop_low",
    "drop_high",
)
SYSTEMS = ("tiered-adamw", "auto", "auto train.select_by=worst_shift")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.csv and test.csv")
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--test-rows", type=int, default=2000)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    jobs = [
        {
            "recipe": system,
            "train_rows": options.rows,
            "epochs": f"{options.epochs:g}",
            "test_rows": options.test_rows,
            "seed": seed,
        }
        for seed in options.seeds
        for system in options.systems
    ]
    jobs = [{**job, "folder": str(options.data.resolve())} for job in missing(RESULTS, jobs)]
    for job, lines in finished(jobs, measure, processes=options.processes):
        for line in lines:
            append(RESULTS, COLUMNS, {**{name: job[name] for name in COLUMNS if name in job}, **line})
        print(job["recipe"], job["seed"], *(f"{line['kind']} {line['accuracy']}" for line in lines), flush=True)


def measure(job: Job) -> list[dict[str, object]]:
    """A line for each kind, the rows as they are first."""
    from rankwise import train  # late: nothing else needs torch
    from rankwise.recipe import SourceSpec
    from rankwise.workflows.score_files import evaluate_file
    from rankwise.workflows.under_shift import shift_report

    data = Path(str(job["folder"]))
    name, *changes = str(job["recipe"]).split()
    with tempfile.TemporaryDirectory() as folder:
        test = Path(folder, "test.csv")
        with (data / "test.csv").open(encoding="utf-8", newline="") as file:
            test.write_text("".join(itertools.islice(file, int(str(job["test_rows"])))), "utf-8")
        recipe = Recipe.load(
            name,
            [
                "base=minilm",
                f"data.train={data / 'train.csv'}",
                f"data.test={test}",
                "data.source=null",
                "data.classes=[World, Sports, Business, Sci/Tech]",
                "data.split={validation: 500, seed: 42}",
                f"data.rows={job['train_rows']}",
                f"train.epochs={job['epochs']}",
                f"train.seed={job['seed']}",
                "train.precision=auto",
                "train.encoder_dropout=off",
                "evaluate.baselines=false",
                *changes,
            ],
        )
        run = train(recipe, Path(folder, "run"))
        scored = evaluate_file(run, SourceSpec(path=str(test)), recipe.data, numbering=recipe.data.classes)
        report = shift_report(run, *scored)
    return [
        {"kind": kind.kind, "changed": kind.changed, **_numbers("accuracy", kind.accuracy), **_numbers("drop", kind.drop)}
        for kind in report.kinds
    ]


def _numbers(name: str, interval: object) -> dict[str, float]:
    values = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
    return {key: round(getattr(interval, part), 4) for key, part in values.items()}


if __name__ == "__main__":
    main()
