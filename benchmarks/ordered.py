"""Is an ordered task better at stars than plain classes? Quadratic kappa and mean absolute error on sst5, seed by seed.

Run: python benchmarks/ordered.py --data FOLDER_OF_SST5 [--rows 2000] [--seeds 0 1 2]; finished runs are not trained again.
Rows of the same recipe, but for `data.task`; differences are over rows and seeds, as `rankwise compare` has them.
"""

import argparse
import csv
from pathlib import Path

import numpy as np

from rankwise.errors import RunError
from rankwise.recipe import Recipe
from rankwise.run.folder import Run
from rankwise.stats.ordered import kappas
from rankwise.stats.scores import confusion_matrix
from rankwise.stats.seeds import Sample, difference, mean_score
from rankwise.workflows.train import train

RESULTS = Path(__file__).with_name("results") / "ordered.csv"
COLUMNS = ("rows", "seed", "task", "decided", "accuracy", "quadratic_kappa", "mean_absolute_error", "seconds")
RESAMPLES = 2_000


def trained(data: Path, rows: int, seed: int, task: str, runs: Path) -> Run:
    """A run on so many rows, trained where it is not there yet."""
    folder = runs / f"{task}-{rows}-{seed}"
    try:
        return Run.load(folder)
    except RunError:
        pass
    files = {"train": "train.txt", "validation": "dev.txt", "test": "test.txt"}
    changes = [f"data.{name}={data / file}" for name, file in files.items()]
    changes += [f"data.task={task}", f"data.rows={rows}", f"train.seed={seed}", "evaluate.baselines=false", "rungs=[top]"]
    return train(Recipe.load("auto").with_overrides(changes), folder, existing="overwrite")


def matrices(run: Run, decided: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Confusion matrices of the test rows, (1 + resamples, C, C), the first of the rows as they are."""
    truth, classes = run.scored_rows().truth, len(run.preprocessing.classes)
    whole = confusion_matrix(truth, decided, classes)[None]
    cells = np.eye(classes * classes)[truth * classes + decided]  # (N, C * C)
    return np.concatenate([whole, (weights @ cells).reshape(-1, classes, classes)])


def scores(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(quadratic kappa, mean absolute error) of confusion matrices (R, C, C)."""
    numbers = np.arange(found.shape[1])
    off = np.abs(numbers[:, None] - numbers)
    return kappas(found), (found * off).sum(axis=(1, 2)) / found.sum(axis=(1, 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--runs", type=Path, default=Path("runs/ordered"))
    asked = parser.parse_args()
    samples: dict[tuple[str, str], list[np.ndarray]] = {}
    written = []
    for seed in asked.seeds:
        for task in ("single-label", "ordered"):
            run = trained(asked.data, asked.rows, seed, task, asked.runs)
            scored = run.scored_rows()
            probabilities = scored.probabilities.astype(np.float64)
            rng, count = np.random.default_rng(0), len(scored.truth)  # the same rows for every run
            weights = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES).astype(np.float64)
            medians = (probabilities.cumsum(axis=1) >= 0.5 - 1e-9).argmax(axis=1)
            ways = {"likeliest": probabilities.argmax(axis=1), "median": medians}
            for way, decided in ways.items():
                kappa, error = scores(matrices(run, decided, weights))
                accuracy = (decided == scored.truth).mean()
                samples.setdefault((f"{task}, {way}", "kappa"), []).append(kappa)
                samples.setdefault((f"{task}, {way}", "error"), []).append(error)
                seconds = run.facts.seconds.training
                written.append((asked.rows, seed, task, way, accuracy, kappa[0], error[0], seconds))
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([[f"{value:.6f}" if isinstance(value, float) else value for value in row] for row in written])
    pooled = {key: Sample(np.stack(rows)[:, 0], np.stack(rows)[:, 1:].T) for key, rows in samples.items()}
    plain = {score: pooled["single-label, likeliest", score] for score in ("kappa", "error")}
    print("| trained as, decided by | quadratic kappa | gained | mean absolute error | gained |")
    print("|---|---:|---:|---:|---:|")
    for name in dict.fromkeys(name for name, _ in pooled):
        kappa, error = pooled[name, "kappa"], pooled[name, "error"]
        gains = ["", ""]
        if name != "single-label, likeliest":
            gains = [
                difference(a, b).interval.bracketed("+.3f") for a, b in ((kappa, plain["kappa"]), (error, plain["error"]))
            ]
        shown = mean_score(kappa).bracketed(".3f"), mean_score(error).bracketed(".3f")
        print(f"| {name} | {shown[0]} | {gains[0]} | {shown[1]} | {gains[1]} |")


if __name__ == "__main__":
    main()
