"""How many wrong labels are found, and how many of those named are wrong: labels that follow the text, and random ones.

    python benchmarks/suspects.py --data ../shared/data/ag_news/train.csv

The file has a `label` and a `noisy_label`. Beside that, a fifth of the true labels is drawn anew at random (seed 0). Writes
benchmarks/results/suspects.csv.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from results_file import append

from rankwise.workflows.suspects import compare, find_suspects

RESULTS = Path(__file__).parent / "results" / "suspects.csv"
COLUMNS = ("noise", "wrong", "features", "list", "rows", "right", "precision", "precision_low", "precision_high")
COLUMNS += ("recall", "recall_low", "recall_high")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    options = parser.parse_args()
    with open(options.data, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["label"] for row in rows})
    truth, given = (np.array([names.index(row[column]) for row in rows]) for column in ("label", "noisy_label"))
    rng = np.random.default_rng(0)
    random = np.where(rng.random(len(truth)) < 0.2, (truth + rng.integers(1, len(names), len(truth))) % len(names), truth)
    texts = [row["text"] for row in rows]
    RESULTS.unlink(missing_ok=True)
    for features in ("tfidf", "encoder"):
        for noise, labels in (("noisy_label", given), ("drawn at random", random)):
            for line in measured(texts, labels, truth, len(names), features):
                append(RESULTS, COLUMNS, dict(zip(COLUMNS, [noise, *line], strict=True)))
                print(noise, *line, flush=True)


def measured(texts: list[str], labels: np.ndarray, truth: np.ndarray, classes: int, features: str) -> list[list[object]]:
    """Confident learning's list, and the whole one."""
    suspects = find_suspects(texts, labels, classes, features=features)
    wrong, known = labels != truth, np.ones(len(labels), dtype=bool)
    lines = []
    for name, places in (("probably wrong", suspects.indices[suspects.named]), ("all listed", suspects.indices)):
        found = compare(places, wrong, known)
        bounds = [getattr(score, bound) for score in (found.precision, found.recall) for bound in ("value", "low", "high")]
        lines.append([found.wrong, features, name, found.listed, found.right, *(round(bound, 4) for bound in bounds)])
    return lines


if __name__ == "__main__":
    main()
