"""How well texts of a class that nobody trained on are told from others: by energy, confidence, or distance.

    python benchmarks/unlike.py --data FOLDER/ag_news --out runs/unlike

Writes results/unlike.csv. Each class of AG News is held out once: `auto`'s rung `features` on 2,000 rows of the other three,
then 300 test texts of these and 300 of the class that is held out. Distances are in the frozen encoder's mean hidden states,
to 350 training texts a class, which a run folder and an export do not have. AUROC: 0.5 is chance.
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

import numpy as np
from results_file import write
from scipy.stats import rankdata

from rankwise import Recipe, Run, train
from rankwise.inference.decision import energy
from rankwise.inference.features import mean_features
from rankwise.stats.scaling import Scaling

RESULTS = Path(__file__).parent / "results" / "unlike.csv"
TRAIN, SCORED, NEAR = 2000, 300, 350
COLUMNS = ("held_out", "energy", "confidence", "nearest", "tenth_nearest", "mahalanobis")

Rows = list[tuple[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train.csv, test.csv and classes.txt")
    parser.add_argument(
        "--out", type=Path, required=True, help="where the runs go; those that are there are not trained again"
    )
    options = parser.parse_args()
    names = options.data.joinpath("classes.txt").read_text("utf-8").split("\n")[:4]
    with options.data.joinpath("train.csv").open(encoding="utf-8", newline="") as file:
        trained = [(row["text"], row["label"]) for row in csv.DictReader(file)]
    with options.data.joinpath("test.csv").open(encoding="utf-8", newline="") as file:
        tested = [(f"{title} . {text}", names[int(label) - 1]) for label, title, text in csv.reader(file)]
    rng = random.Random(0)
    for rows in (trained, tested):
        rng.shuffle(rows)
    near = {name: mean_features(of_class(trained, name, NEAR), "minilm") for name in names}
    far = {name: mean_features(of_class(tested, name, SCORED // 3), "minilm") for name in names}
    lines = []
    for name in names:
        others = [other for other in names if other != name]
        run = run_without(options.out / name.replace("/", "-"), trained, others)
        line = {"held_out": name, **by_logits(run, tested, name, others), **by_distance(near, far, name, others)}
        lines.append(line)
        print(*line.values(), flush=True)
        write(RESULTS, COLUMNS, lines)


def of_class(rows: Rows, name: str, count: int) -> list[str]:
    return [text for text, label in rows if label == name][:count]


def run_without(folder: Path, rows: Rows, others: list[str]) -> Run:
    """A run on the other classes."""
    if (folder / "manifest.json").exists():
        return Run.load(folder)
    kept = [(text, name) for name in others for text in of_class(rows, name, TRAIN // len(others))]
    texts, labels = zip(*kept, strict=True)
    return train(Recipe.load("auto").rung("features"), folder, texts=list(texts), labels=list(labels))


def by_logits(run: Run, rows: Rows, name: str, others: list[str]) -> dict[str, float]:
    """AUROC of what logits tell."""
    texts = [text for other in others for text in of_class(rows, other, SCORED // 3)] + of_class(rows, name, SCORED)
    predictor = run.predictor
    logits = predictor._logits(predictor.read(texts), batch_size=32)
    outside = np.arange(len(texts)) >= len(texts) - SCORED
    confidence = Scaling().probabilities(logits).max(axis=1)
    return {"energy": auroc(energy(logits), outside), "confidence": auroc(-confidence, outside)}


def by_distance(near: dict[str, np.ndarray], far: dict[str, np.ndarray], name: str, others: list[str]) -> dict[str, float]:
    """AUROC of the distance to the nearest and tenth nearest training text (cosine), and Mahalanobis's to a class's mean."""
    texts = np.concatenate([*(far[other] for other in others), far[name]])
    outside = np.arange(len(texts)) >= len(texts) - len(far[name])
    known = np.concatenate([near[other] for other in others])
    alike = np.sort(unit(texts) @ unit(known).T, axis=1)
    means = [near[other].mean(axis=0) for other in others]
    within = sum(np.cov((near[other] - mean).T) for other, mean in zip(others, means, strict=True)) / len(others)
    inverse = np.linalg.inv(within + 1e-3 * np.trace(within) / len(within) * np.eye(len(within)))
    apart = np.min([np.einsum("ij,jk,ik->i", texts - mean, inverse, texts - mean) for mean in means], axis=0)
    return {
        "nearest": auroc(-alike[:, -1], outside),
        "tenth_nearest": auroc(-alike[:, -10], outside),
        "mahalanobis": auroc(apart, outside),
    }


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def auroc(score: np.ndarray, outside: np.ndarray) -> float:
    """The probability that a text from outside has a higher score than one from inside."""
    ranks, count = rankdata(score), int(outside.sum())
    return round(float((ranks[outside].sum() - count * (count + 1) / 2) / (count * (len(score) - count))), 3)


def table() -> list[str]:
    """AUROC by the class that is held out, from unlike.csv."""
    heads = ("energy", "confidence", "nearest text", "tenth nearest", "Mahalanobis")
    lines = [f"| class held out | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    if not RESULTS.exists():
        return lines
    with RESULTS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        lines.append(f"| {row['held_out']} | {' | '.join(f'{float(row[key]):.2f}' for key in COLUMNS[1:])} |")
    means = (np.mean([float(row[key]) for row in rows]) for key in COLUMNS[1:])
    return [*lines, f"| mean | {' | '.join(f'{mean:.2f}' for mean in means)} |"]


if __name__ == "__main__":
    main()
