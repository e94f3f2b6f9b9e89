"""Accuracy of the fast path beside Trainer + peft, on the same rows, for several seeds; appends to results/parity.csv.

    python benchmarks/accuracy_peers.py --data ../shared/data/ag_news --side peer
    python benchmarks/accuracy_peers.py --data ../shared/data/ag_news --side ours

`rank4-adam` on the embedded encoder, one epoch. `--set` changes our side only (a lever), and is written beside its rows.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from peers import trainer_peft
from results_file import append

from rankwise import Recipe, train
from rankwise.data.labelled import read_labelled
from rankwise.data.tasks import SingleLabel

RESULTS = Path(__file__).parent / "results" / "parity.csv"
COLUMNS = ("data", "side", "changes", "train_rows", "test_rows", "seed", "accuracy", "training_seconds", "cpu_seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--side", choices=("peer", "ours"), required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    changes = ["base=minilm", f"data.source={options.data}", "data.classes=[]", "evaluate.baselines=false"]
    changes += [f"data.rows={options.rows}"] if options.rows else []
    for seed in options.seeds:
        recipe = Recipe.load("rank4-adam", [*changes, f"train.seed={seed}", *(options.set if options.side == "ours" else [])])
        measured = peer(recipe, seed) if options.side == "peer" else ours(recipe)
        row = {
            "data": Path(options.data).name,
            "side": options.side,
            "changes": " ".join(options.set),
            "seed": seed,
            **measured,
        }
        append(RESULTS, COLUMNS, row)
        print(row, flush=True)


def peer(recipe: Recipe, seed: int) -> dict[str, object]:
    labelled = read_labelled(recipe.data)
    task = SingleLabel(labelled.classes)
    train_rows, test_rows = (
        (table.texts, task.parse(table, labelled.numbering, recipe.data)) for table in (labelled.train, labelled.test)
    )
    trained = trainer_peft(recipe, labelled.classes, train_rows, pad_to_max=False, seed=seed, test=test_rows)
    return {
        "train_rows": len(train_rows[0]),
        "test_rows": len(test_rows[0]),
        "accuracy": round(trained.test_accuracy or 0.0, 4),
        "training_seconds": round(trained.seconds, 1),
        "cpu_seconds": round(trained.cpu_seconds, 1),
    }


def ours(recipe: Recipe) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        cpu = time.process_time()
        run = train(recipe, Path(folder) / "run")
        return {
            "train_rows": run.facts.rows.train,
            "test_rows": run.scores.test.rows,
            "accuracy": round(run.scores.test.accuracy.value, 4),
            "training_seconds": round(run.facts.seconds.training, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }


if __name__ == "__main__":
    main()
