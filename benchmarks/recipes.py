"""Train built-in recipes side by side on one base and one data set; append a line each to benchmarks/results/recipes.csv.

    python benchmarks/recipes.py --data ../shared/data/ag_news --rows 2000 --test-rows 2000
    python benchmarks/recipes.py --data ../shared/data/imdb --rows 2000 --test-rows 2000 --recipes distilbert-lora

Seconds depend on the machine and on what else it does; parameters do not, and scores are the same for the same versions.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from results_file import append

from rankwise import Recipe, builtin_recipes, train
from rankwise.system.events import Event
from rankwise.training.events import Evaluated

RESULTS = Path(__file__).parent / "results" / "recipes.csv"
COLUMNS = (
    "data",
    "train_rows",
    "test_rows",
    "base",
    "recipe",
    "changes",
    "trained_parameters",
    "epochs",
    "accuracy",
    "low",
    "high",
    "macro_f1",
    "tfidf_accuracy",
    "training_seconds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--test-rows", type=int, default=None)
    parser.add_argument("--base", default="minilm")
    parser.add_argument(
        "--recipes", nargs="*", default=[name for name in builtin_recipes() if name not in ("quickstart", "kaggle-decoder")]
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key in every recipe")
    options = parser.parse_args()
    for name in options.recipes:
        row = measure(name, options)
        append(RESULTS, COLUMNS, row)
        print(*(f"{key}={value}" for key, value in row.items() if value != ""), flush=True)


def measure(name: str, options: argparse.Namespace) -> dict[str, object]:
    changes = [f"base={options.base}", f"data.source={options.data}", "data.classes=[]", *options.set]
    changes += [f"data.rows={options.rows}"] if options.rows else []
    changes += [f"data.test_rows={options.test_rows}"] if options.test_rows else []
    recipe = Recipe.load(name, changes)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        run = train(recipe, Path(folder) / "run", listeners=[lambda event: watch(name, started, event)])
        test = run.scores.test
        tfidf = next(scores for name, scores in run.scores.baselines.items() if name.startswith("TF-IDF"))
        return {
            "data": Path(options.data).name,
            "train_rows": options.rows or "all",
            "test_rows": test.rows,
            "base": options.base,
            "recipe": name,
            "changes": " ".join(options.set),
            "trained_parameters": run.plan_facts.trainable_parameters,
            "epochs": f"{recipe.train.epochs:g}",
            "accuracy": round(test.accuracy.value, 4),
            "low": round(test.accuracy.low, 4),
            "high": round(test.accuracy.high, 4),
            "macro_f1": round(test.macro_f1.value, 4),
            "tfidf_accuracy": round(tfidf.accuracy.value, 4),
            "training_seconds": round(run.facts.seconds.training),
        }


def watch(name: str, started: float, event: Event) -> None:
    if isinstance(event, Evaluated):
        seconds = time.monotonic() - started
        print(f"  {name}: {seconds:.0f} s, epoch {event.epoch}, validation {event.accuracy}", flush=True)


if __name__ == "__main__":
    main()
