"""What each method trains and scores on the sample news, at the recipe's learning rate and at one that suits it better.

    rankwise train quickstart --fast --set adapter.method=ia3 --set train.learning_rate=1e-2 --out runs/ia3
    python benchmarks/methods.py runs/*

Reads finished runs and writes benchmarks/results/methods.csv, a row for each method and rate. Seconds are left out: they say
more about the machine than about the method.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from results_file import write

from rankwise import Run
from rankwise.recipe.methods import METHODS

RESULTS = Path(__file__).parent / "results" / "methods.csv"
ORDER = tuple(METHODS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    found = [row_of(Run.load(folder)) for folder in parser.parse_args().runs if (folder / "manifest.json").is_file()]
    found.sort(key=lambda row: (ORDER.index(str(row["method"])), float(str(row["learning_rate"]))))
    write(RESULTS, list(found[0]), found)
    print(table())


def row_of(run: Run) -> dict[str, object]:
    test = run.scores.test.accuracy
    return {
        "method": run.recipe.adapter.method,
        "learning_rate": f"{run.recipe.train.learning_rate:g}",
        "trained_parameters": run.facts.trained_parameters.counted,
        "rows": run.facts.rows.train,
        "updates": run.facts.steps,
        "validation_accuracy": round(run.scores.validation.accuracy, 4),
        "test_accuracy": round(test.value, 4),
        "low": round(test.low, 4),
        "high": round(test.high, 4),
    }


def table() -> str:
    """The results in Markdown, for the README."""
    lines = ["| method | learning rate | trained parameters | accuracy |", "|---|---:|---:|---|"]
    with RESULTS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            value, low, high = (f"{100 * float(row[key]):.1f}" for key in ("test_accuracy", "low", "high"))
            count = f"{int(row['trained_parameters']):,}"
            lines.append(f"| `{row['method']}` | {row['learning_rate']} | {count} | {value} [{low}, {high}] |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
