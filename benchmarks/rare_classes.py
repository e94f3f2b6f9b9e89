"""A rare class, 5 of 100 rows: class weights and focal loss beside neither; appends to results/rare_classes.csv.

    python benchmarks/rare_classes.py --data ../shared/data/tweet_irony --seeds 0 1 2
    python benchmarks/rare_classes.py --table

A seed draws which rows of the rarer label are left in the training and the validation file, 5 of 100, and what is random in
training. Checkpoints are chosen by macro-F1 on the validation rows, as `rankwise data` advises. All rows of the test file are
scored, and weighed: recall is of the rare class's rows, all of them, and macro-F1 what it would be if 5 of 100 were of that
class. Intervals are for test rows and seeds. What is in the CSV is not run again; its last column says which test rows were
right, a bit each in hexadecimal.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from front import bits, labelled
from numpy.typing import NDArray
from results_file import append
from resumable import lines_of, missing

from rankwise import Run
from rankwise.stats.seeds import Sample, difference, mean_score

RESULTS = Path(__file__).parent / "results" / "rare_classes.csv"
RARE = 0.05
RESAMPLES = 2_000
SYSTEMS = {
    "TF-IDF": ["--rung", "tfidf"],
    "TF-IDF, balanced": ["--rung", "tfidf", "--set", "train.class_weights=balanced"],
    "adapters": ["--rung", "top"],
    "adapters, balanced": ["--rung", "top", "--set", "train.class_weights=balanced"],
    "adapters, focal": ["--rung", "top", "--set", "train.focal=2"],
    "adapters, balanced and focal": ["--rung", "top", "--set", "train.class_weights=balanced", "--set", "train.focal=2"],
}
AGAINST = {name: name.partition(",")[0] for name in SYSTEMS}
COLUMNS = ("data", "seed", "system", "train_rows", "rare_rows", "tested", "rare", "right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a train, a validation and a test file")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--table", action="store_true", help="only print what has been measured")
    options = parser.parse_args()
    if not options.table:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory() as name:
                train_rows = write_rows(options.data, seed, Path(name))
                for system in SYSTEMS:
                    job = {"data": options.data.name, "seed": seed, "system": system}
                    if missing(RESULTS, [job]):
                        append(RESULTS, COLUMNS, {**job, **train_rows, **measure(Path(name), system, seed)})
                        print(*job.values(), flush=True)
    print("\n".join(table()))


def write_rows(data: Path, seed: int, folder: Path) -> dict[str, Any]:
    """The files in a folder, all but the test file cut; returns how many rows train."""
    rng, train = np.random.default_rng(seed), Counter[str]()
    for split in ("train", "validation", "test"):
        rows = list(dict.fromkeys(labelled(data, split)))
        if split != "test":
            rows = cut(rows, rng)
            train = train or Counter(label for _, label in rows)
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("text", "label"), *rows])
    return {"train_rows": train.total(), "rare_rows": min(train.values())}


def cut(rows: list[tuple[str, str]], rng: np.random.Generator) -> list[tuple[str, str]]:
    """All rows but those of the label 'irony' that would be more than the rare class's share, in a drawn order."""
    others = [row for row in rows if row[1] != "irony"]
    rare = [row for row in rows if row[1] == "irony"]
    kept = others + [rare[place] for place in rng.permutation(len(rare))[: round(len(others) * RARE / (1 - RARE))]]
    return [kept[place] for place in rng.permutation(len(kept))]


def measure(folder: Path, system: str, seed: int) -> dict[str, Any]:
    """Which test rows are right, and which are rare."""
    command = [sys.executable, "-m", "rankwise", "train", "auto", "--data", str(folder), "--out", str(folder / "run")]
    command += ["--overwrite", "--set", "train.select_by=macro_f1", "--set", f"train.seed={seed}"]
    subprocess.run([*command, *SYSTEMS[system]], check=True, capture_output=True)
    run = Run.load(folder / "run")
    told = run.scored_rows()
    order = np.argsort(told.rows)
    masks = {
        "right": told.probabilities.argmax(-1) == told.truth,
        "rare": told.truth == run.preprocessing.classes.index("irony"),
    }
    return {"tested": len(order)} | {name: np.packbits(mask[order]).tobytes().hex() for name, mask in masks.items()}


def table() -> list[str]:
    """Recall of the rare class and macro-F1, with what is gained over neither weights nor focal loss, in Markdown."""
    lines = ["| trained | seeds | recall of the rare class | gained | macro-F1 | gained |", "|---|---:|---:|---:|---:|---:|"]
    samples = {name: samples_of(name) for name in SYSTEMS}
    for name, (recall, f1) in samples.items():
        cells = []
        for ours, plain in zip((recall, f1), samples[AGAINST[name]], strict=True):
            cells.append(mean_score(ours).bracketed("z.1f", times=100))
            cells.append("" if name == AGAINST[name] else difference(ours, plain).interval.bracketed("+.1f", times=100))
        lines.append(f"| {name} | {len(recall.scores)} | {' | '.join(cells)} |")
    return lines


def samples_of(system: str) -> tuple[Sample, Sample]:
    """Recall of the rare class and macro-F1 of each seed, and on resampled test rows, the same for every system."""
    lines = [line for line in lines_of(RESULTS) if line["system"] == system]
    right, rare = np.stack([bits(line) for line in lines]), bits({**lines[0], "right": lines[0]["rare"]})
    rng = np.random.default_rng(0)
    shares = []  # of right answers, (1 + B, S): among rare rows, among the others
    for group in (right[:, rare], right[:, ~rare]):
        counts = rng.multinomial(group.shape[1], np.full(group.shape[1], 1 / group.shape[1]), size=RESAMPLES)
        shares.append(np.vstack([group.mean(1), counts @ group.T / group.shape[1]]))
    recall, f1 = shares[0], macro_f1(*shares)
    return Sample(recall[0], recall[1:]), Sample(f1[0], f1[1:])


def macro_f1(recall: NDArray[np.float64], specificity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Macro-F1 where RARE of all rows are of the rare class, from the shares of right answers in both."""
    hits, kept = RARE * recall, (1 - RARE) * specificity
    told = hits + (1 - RARE) - kept  # the share of rows that are told to be rare
    scores: NDArray[np.float64] = (2 * hits / (RARE + told) + 2 * kept / (2 - RARE - told)) / 2
    return scores


if __name__ == "__main__":
    main()
