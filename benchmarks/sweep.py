"""A sweep of 16 trials beside the same 16 trainings one after another with Trainer + peft; results/sweep.csv.

    python benchmarks/sweep.py --data ../shared/data/ag_news --rows 640 --repeats 3

Adapters in the top third of the embedded encoder's layers, 5 epochs with an evaluation after each; rank, learning rate and
alpha differ. Our side is the whole command `rankwise sweep --fast` in a process of its own, from start to leaderboard, with
an empty cache, before, between and after the peers; the peers' side is the time inside `Trainer.train()` alone, in one
process that has already imported everything, on all cores. Same rows, batch size and updates.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import yaml
from peers import quiet, trainer_peft
from results_file import write

from rankwise import Recipe
from rankwise.data.prepare import prepare
from rankwise.encoders.base import locate
from rankwise.model.load import load_tokenizer
from rankwise.sweep.study import Study
from rankwise.system.cores import default_threads

RESULTS = Path(__file__).parent / "results" / "sweep.csv"
COLUMNS = (
    "side",
    "trials",
    "rows",
    "validation_rows",
    "epochs",
    "threads",
    "repeats",
    "seconds",
    "times_as_fast",
    "best_validation_accuracy",
)
GRID = {"adapter.rank": [4, 8], "adapter.alpha": [16, 32], "train.learning_rate": [3e-4, 1e-3, 2e-3, 4e-3]}
EPOCHS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=640, help="training rows; half as many are scored after each epoch")
    parser.add_argument("--repeats", type=int, default=3, help="sweeps; the peers run once, between them")
    parser.add_argument("--threads", type=int, default=default_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    settings = [
        "base=minilm",
        f"data.source={options.data.resolve()}",
        "data.classes=[]",
        f"data.rows={options.rows}",
        f"data.split.validation={options.rows // 2}",
        "adapter.allocate={policy: last-k, k: third}",
        f"train.epochs={EPOCHS}",
    ]
    recipe = Recipe.load("rank4-adam", settings)
    configurations = [dict(zip(GRID, values, strict=True)) for values in itertools.product(*GRID.values())]
    parts = max(1, options.repeats - 1)
    ours, theirs = [run_sweep(settings)], []
    for part in range(parts):
        theirs += [run_peer(recipe, each) for each in configurations[part::parts]]
        if len(ours) < options.repeats:
            ours.append(run_sweep(settings))
    seconds, total = statistics.median(seconds for seconds, _ in ours), sum(seconds for seconds, _ in theirs)
    shared = {
        "trials": len(configurations),
        "rows": options.rows,
        "validation_rows": options.rows // 2,
        "epochs": EPOCHS,
        "threads": options.threads,
    }
    write(
        RESULTS,
        COLUMNS,
        [
            {
                **shared,
                "side": "Trainer + peft, one by one",
                "repeats": 1,
                "seconds": round(total),
                "best_validation_accuracy": max(accuracy for _, accuracy in theirs),
            },
            {
                **shared,
                "side": "rankwise sweep --fast",
                "repeats": len(ours),
                "seconds": round(seconds, 1),
                "times_as_fast": round(total / seconds, 1),
                "best_validation_accuracy": max(accuracy for _, accuracy in ours),
            },
        ],
    )
    print(RESULTS.read_text("utf-8"))


def run_sweep(settings: list[str]) -> tuple[float, float]:
    """Wall seconds of the whole command, and the best validation accuracy."""
    search = {"sampler": "grid", "finalists": 0}
    space = {"name": "sixteen", "base": "rank4-adam", "set": settings, "search": search, "space": GRID}
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, "space.yaml"), Path(folder, "sweep")
        file.write_text(yaml.safe_dump(space), "utf-8")
        command = [sys.executable, "-m", "rankwise", "sweep", str(file), "--out", str(out), "--fast"]
        started = time.monotonic()
        cold = {**os.environ, "RANKWISE_CACHE": str(Path(folder, "cache"))}
        subprocess.run(command, check=True, env=cold, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        study = Study.load(out)
        assert study.count("finished") == 16, "every configuration has its trial"
        accuracy = study.finished[0].values["accuracy"]
    print(f"  rankwise sweep: {seconds:.1f} s, best {accuracy:.4f}", flush=True)
    return seconds, round(accuracy, 4)


def run_peer(recipe: Recipe, changes: dict[str, float]) -> tuple[float, float]:
    """Seconds in Trainer.train() for one configuration, and its validation accuracy after the last epoch."""
    changed = recipe.with_overrides([f"{key}={value}" for key, value in changes.items()])
    data = prepare(changed.data, load_tokenizer(locate("minilm")), longest=128)
    train, validation = ((list(split.texts), split.labels) for split in (data.train, data.validation))
    found = trainer_peft(
        changed, data.classes, train, pad_to_max=False, seed=0, validation=validation, test=validation
    )  # its score on the validation rows is made after the clock stopped
    print(f"  Trainer + peft {changes}: {found.seconds:.1f} s, {found.test_accuracy:.4f}", flush=True)
    return found.seconds, round(found.test_accuracy or 0.0, 4)


if __name__ == "__main__":
    main()
