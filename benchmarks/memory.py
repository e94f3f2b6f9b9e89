"""Predicted beside actual peak memory and seconds of short runs, each in a process of its own.

    python benchmarks/memory.py --data ../shared/data/ag_news --long-data ../shared/data/imdb
    python benchmarks/memory.py --data ../shared/data/ag_news --only batch-64 full --threads 1

Writes results/memory.csv. A ratio above 1 means that the prediction was too high. Constants to re-fit: for memory the
upper-case names at the top of src/rankwise/planning/memory.py (PROCESS_BYTES from the smallest batch, KEPT_* and HELD_* from
how peaks grow with rows and tokens), for time those of src/rankwise/planning/forecast.py.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results_file import write

RESULTS = Path(__file__).parent / "results" / "memory.csv"
COLUMNS = ("setting", "changes", "predicted_gb", "actual_gb", "predicted_s", "actual_s")
SETTINGS = {  # name → changes to `quickstart` on minilm: all linear layers adapted at rank 8, batch 16, no encoder dropout
    "batch-16": [],
    "batch-64": ["train.batch_size=64"],
    "micro-8-of-64": ["train.batch_size=64", "train.micro_batch_size=8", "evaluate.batch_size=8"],
    "length-64": ["train.batch_size=64", "data.max_length=64"],
    "dropout": ["train.batch_size=64", "train.encoder_dropout=keep"],
    "query-value": ["train.batch_size=64", "adapter.targets=[query,value]"],
    "full": ["train.batch_size=32", "adapter.method=full", "budget.parameters=null"],
    "head": ["train.batch_size=64", "adapter.method=head"],
    "last-2": ["train.batch_size=64", "adapter.allocate={policy: last-k, k: 2}"],
    "fp32": ["train.batch_size=64", "train.precision=fp32"],
    "scoring-256": ["evaluate.batch_size=256"],
    "long-512": ["data.max_length=512", "evaluate.batch_size=16", "data.rows=64", "data.test_rows=32"],
}
COMMON = [  # rows that every batch size divides, or the longest texts would be alone in a small last batch
    "base=minilm",
    "data.max_length=128",
    "data.rows=384",
    "data.test_rows=192",
    "data.split.validation=192",
    "train.epochs=1",
    "evaluate.resamples=100",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="texts of a few sentences")
    parser.add_argument("--long-data", help="texts of some hundred words, for the settings called long")
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(json.loads(options.child))))
        return
    print(f"{'setting':<16}{'predicted GB':>13}{'actual GB':>11}{'ratio':>7}{'predicted s':>13}{'actual s':>10}{'ratio':>7}")
    rows: list[dict[str, object]] = []
    for name in options.only:
        source = options.long_data if name.startswith("long") else options.data
        if source is None:
            continue
        threads = [f"train.threads={options.threads}"] if options.threads else []
        changes = [*COMMON, f"data.source={json.dumps(source)}", *SETTINGS[name], *threads]
        command = [sys.executable, __file__, "--data", options.data, "--child", json.dumps(changes)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{name:<16} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        memory, seconds = (found["predicted_bytes"], found["actual_bytes"]), (found["predicted_s"], found["actual_s"])
        print(
            f"{name:<16}{memory[0] / 1e9:>13.2f}{memory[1] / 1e9:>11.2f}{memory[0] / memory[1]:>7.2f}"
            f"{seconds[0]:>13.1f}{seconds[1]:>10.1f}{seconds[0] / seconds[1]:>7.2f}",
            flush=True,
        )
        rows.append(
            {
                "setting": name,
                "changes": " ".join(SETTINGS[name]),
                "predicted_gb": round(memory[0] / 1e9, 3),
                "actual_gb": round(memory[1] / 1e9, 3),
                "predicted_s": round(seconds[0], 1),
                "actual_s": round(seconds[1], 1),
            }
        )
    write(RESULTS, COLUMNS, rows)


def measure(changes: list[str]) -> dict[str, float]:
    started = time.monotonic()
    from rankwise import Recipe, train
    from rankwise.data.labelled import read_labelled
    from rankwise.system.memory import peak_resident_bytes
    from rankwise.workflows.assemble import assemble, training_device

    recipe = Recipe.load("quickstart", changes)
    predicted = assemble(recipe, read_labelled(recipe.data), training_device()).forecast
    preparing = time.monotonic() - started
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RANKWISE_CACHE"] = folder
        again = time.monotonic()
        train(recipe, f"{folder}/run")
    return {
        "predicted_bytes": predicted.peak_bytes,
        "actual_bytes": peak_resident_bytes() or 0,
        "predicted_s": predicted.seconds,
        "actual_s": time.monotonic() - again + min(preparing, 5.0),  # importing torch is part of a run
    }


if __name__ == "__main__":
    main()
