"""What a fitted head start gives: validation accuracy by updates made, and test accuracy under shift; results/warm_start.csv.

    python benchmarks/warm_start.py --data ../shared/data/ag_news

Rank 8 on query and value of the embedded encoder, the last projection at random or as a logistic regression on the frozen
features (`head.start: fitted`), same rows, seeds and updates. Shifts: everything lower-cased, the first sentence only.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from results_file import write

from rankwise import Recipe, train
from rankwise.data.labelled import read_labelled

RESULTS = Path(__file__).parent / "results" / "warm_start.csv"
MOMENTS = (5, 10, 25, 50)
SHIFTS = {"as it is": str, "lower case": str.lower, "first sentence": lambda text: text.split(". ")[0].split(" - ")[0]}
COLUMNS = (
    "head",
    "train_rows",
    "seeds",
    *(f"validation_after_{step}" for step in MOMENTS),
    "test_rows",
    *(f"test_{name.replace(' ', '_')}" for name in SHIFTS),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--test-rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = [measure(start, options) for start in ("identity", "fitted")]
    write(RESULTS, COLUMNS, rows)
    for row in rows:
        print(*(f"{key}={value}" for key, value in row.items()))


def measure(start: str, options: argparse.Namespace) -> dict[str, object]:
    seen: dict[int, list[float]] = {step: [] for step in MOMENTS}
    shifted: dict[str, list[float]] = {name: [] for name in SHIFTS}
    for seed in range(options.seeds):
        recipe = Recipe.load(
            "auto",
            [
                f"data.source={options.data}",
                "data.classes=[]",
                f"data.rows={options.rows}",
                f"data.test_rows={options.test_rows}",
                "data.split.validation=500",
                "adapter.targets=[query,value]",
                "adapter.rank=8",
                f"head.start={start}",
                f"train.max_steps={max(MOMENTS)}",
                "train.evaluate_every=5",
                f"train.seed={seed}",
                "evaluate.baselines=false",
                "train.average=null",
                "train.select_by=accuracy",
                "train.early_stop=null",
            ],
        )
        texts = read_labelled(recipe.data).test.texts
        with tempfile.TemporaryDirectory() as folder:
            run = train(recipe, Path(folder) / "run")
            for entry in run.scores.history:
                if entry.step in seen:
                    seen[entry.step].append(entry.accuracy)
            truth, predictor = run.scored_rows().truth, run.predictor_on("fast")
            for name, change in SHIFTS.items():
                found = predictor.probabilities([change(text) or "-" for text in texts]).argmax(-1)
                shifted[name].append(float(np.mean(found == truth)))
        print(f"  {start}, seed {seed}: {shifted['as it is'][-1]:.3f}", flush=True)
    return {
        "head": "fitted" if start == "fitted" else "random",
        "train_rows": options.rows,
        "seeds": options.seeds,
        **{f"validation_after_{step}": round(statistics.mean(found), 4) for step, found in seen.items()},
        "test_rows": options.test_rows,
        **{f"test_{name.replace(' ', '_')}": round(statistics.mean(found), 4) for name, found in shifted.items()},
    }


if __name__ == "__main__":
    main()
