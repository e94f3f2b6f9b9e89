"""Predict the same rows with torch and with ONNX Runtime by turns; append a line to benchmarks/results/engines.csv.

    rankwise train quickstart --out runs/quickstart
    python benchmarks/engines.py --run runs/quickstart --data ../shared/data/ag_news/test.csv --rows 1000

Seconds are this process's CPU time, tokenising included, loading and exporting not; the median of the turns. CPU time is less
disturbed than the clock by what else a machine does, and on one thread says the same.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from results_file import append

from rankwise import Run
from rankwise.cli.options import spec_for
from rankwise.data.files.table import read_table
from rankwise.workflows.score_files import source_for, with_text_columns

ENGINES = ("torch", "onnx")  # what is compared
RESULTS = Path(__file__).parent / "results" / "engines.csv"
COMPARED = ("torch", "onnx")
COLUMNS = (
    "data",
    "rows",
    "mean_tokens",
    "base",
    "recipe",
    "threads",
    "turns",
    "torch_cpu_seconds",
    "onnx_cpu_seconds",
    "torch_over_onnx",
    "largest_difference",
    "same_labels",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rows", type=int, default=1_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    row = measure(parser.parse_args())
    append(RESULTS, COLUMNS, row)
    print(*(f"{key}={value}" for key, value in row.items()))


def measure(options: argparse.Namespace) -> dict[str, object]:
    torch.set_num_threads(options.threads)
    run = Run.load(options.run)
    spec = spec_for(run.recipe, options.data, None)
    source = with_text_columns(run, source_for(spec, labelled=True)[0], spec)
    texts = list(read_table(source, spec).texts[: options.rows])
    predictors = {engine: run.predictor_on(engine) for engine in COMPARED}
    seconds: dict[str, list[float]] = {engine: [] for engine in COMPARED}
    outputs = {}
    for predictor in predictors.values():
        predictor.probabilities(texts[:64])  # what is made at first use is no part of the speed
    for _ in range(options.turns):
        for engine, predictor in predictors.items():
            started = time.process_time()
            outputs[engine] = predictor.probabilities(texts)
            seconds[engine].append(time.process_time() - started)
    by_torch, by_onnx = (statistics.median(seconds[engine]) for engine in COMPARED)
    tokens = run.predictor.read(texts)
    return {
        "data": Path(options.data).parent.name,
        "rows": len(texts),
        "mean_tokens": round(float(tokens.lengths.mean()), 1),
        "base": run.recipe.base,
        "recipe": run.recipe.name,
        "threads": options.threads,
        "turns": options.turns,
        "torch_cpu_seconds": round(by_torch, 2),
        "onnx_cpu_seconds": round(by_onnx, 2),
        "torch_over_onnx": round(by_torch / by_onnx, 3),
        "largest_difference": f"{np.abs(outputs['torch'] - outputs['onnx']).max():.1e}",
        "same_labels": int((outputs["torch"].argmax(-1) == outputs["onnx"].argmax(-1)).sum()),
    }


if __name__ == "__main__":
    main()
