"""The TF-IDF baseline beside scikit-learn's other ways to fit the same features: scores, seconds and memory.

    python benchmarks/baseline.py --data ../shared/data

Rows come from training files alone: 1,500 drawn by the seed are scored, of the others so many are trained on. `topics77`
and `topics150` are the sentences that follow AG News' headlines; their classes are the clusters (k-means) of the embedded
encoder's mean hidden states, so a class is what a sentence is about. Every side counts the words and word pairs itself, on
one thread. Appends to results/baseline.csv; what is there is not run again.
"""

from __future__ import annotations

import argparse
import csv
import re
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import Job, finished, lines_of, missing
from sklearn.cluster import KMeans
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier

from rankwise.inference.words import Words
from rankwise.planning.memory import BASELINE_FEW
from rankwise.planning.workload import Work, character_counts
from rankwise.system.memory import forget_peak, peak_resident_bytes, resident_bytes, return_freed_memory

RESULTS = Path(__file__).parent / "results" / "baseline.csv"
COLUMNS = ("data", "rows", "seed", "side", "train_rows", "classes", "tokens", "accuracy", "log_loss", "seconds", "megabytes")
HELD_OUT = 1500
FEW, MANY = range(3, 13), range(3, 6)  # seeds; sides were chosen on seeds 0 to 2
CELLS = (  # (data, rows, or rows a class)
    ("ag_news", "8 a class"),
    ("ag_news", "1000"),
    ("ag_news", "8000"),
    ("imdb", "2000"),
    ("sst5", "8 a class"),
    ("sst5", "7000"),
    ("go_emotions", "2 a class"),
    ("go_emotions", "8 a class"),
    ("go_emotions", "10000"),
    ("go_emotions", "34000"),
    ("topics77", "2 a class"),
    ("topics77", "8 a class"),
    ("topics77", "8000"),
    ("topics150", "2000"),
    ("topics150", "8000"),
)
OURS, BEFORE = "the baseline: `sag`, tol 1e-3, float32", "`lbfgs`"

Rows = tuple[list[str], NDArray[np.int64]]
Side = Callable[[list[str], NDArray[np.int64], list[str], int], NDArray[np.float64]]
"""Training texts, their class numbers, texts to score, how many classes → those texts' probabilities (N, C)."""
Lines = list[Mapping[str, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of ag_news, imdb, sst5 and go_emotions")
    options = parser.parse_args()
    jobs = [
        {"data": data, "rows": rows, "seed": seed}
        for data, rows in CELLS
        for seed in (FEW if rows.endswith("a class") else MANY)
    ]
    jobs = [{**job, "folder": str(options.data)} for job in missing(RESULTS, jobs)]
    for _, sides in finished(jobs, measure):
        for found in sides:
            append(RESULTS, COLUMNS, found)
            print(*(found[column] for column in COLUMNS), flush=True)


def measure(job: Job) -> list[dict[str, object]]:
    """Every side's line on one draw of rows."""
    data, rows, seed = str(job["data"]), str(job["rows"]), int(str(job["seed"]))
    texts, labels = rows_of(Path(str(job["folder"])), data)
    shuffled = np.random.default_rng(seed).permutation(len(texts))
    test, train = shuffled[:HELD_OUT], shuffled[HELD_OUT:]
    if rows.endswith("a class"):
        most = int(rows.removesuffix(" a class"))
        train = np.concatenate([train[labels[train] == number][:most] for number in range(labels.max() + 1)])
    else:
        train = train[: int(rows)]
    fitted_on, tested = [texts[row] for row in train], [texts[row] for row in test]
    work = Work.of_characters(character_counts(fitted_on), (len(train), 0, 0), max_length=10**6)
    classes = int(labels.max()) + 1
    lines: list[dict[str, object]] = []
    for side, probabilities_of in SIDES.items():
        return_freed_memory()
        forget_peak()
        held, started = resident_bytes() or 0, time.process_time()
        probabilities = probabilities_of(fitted_on, labels[train], tested, classes)
        seconds, peak = time.process_time() - started, peak_resident_bytes() or 0
        of_truth = probabilities[np.arange(len(test)), labels[test]]
        scores = {
            "accuracy": round(float((probabilities.argmax(-1) == labels[test]).mean()), 4),
            "log_loss": round(float(-np.log(np.maximum(of_truth, 1e-12)).mean()), 4),
        }
        sizes = {"train_rows": len(train), "classes": classes, "tokens": round(work.train_tokens)}
        costs = {"seconds": round(seconds, 3), "megabytes": round((peak - held) / 1e6)}
        lines.append({"data": data, "rows": rows, "seed": seed, "side": side, **sizes, **scores, **costs})
    return lines


def ours(texts: list[str], labels: NDArray[np.int64], tested: list[str], classes: int) -> NDArray[np.float64]:
    return Words.fit(texts, labels, [str(number) for number in range(classes)]).probabilities(tested)


def fitted_by(model: Callable[[int], Any]) -> Side:
    """The same features in float64, in the model that `model` makes for so many rows."""

    def probabilities_of(texts: list[str], labels: NDArray[np.int64], tested: list[str], classes: int) -> NDArray[np.float64]:
        vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2 if len(texts) > BASELINE_FEW else 1)
        features = vectorizer.fit_transform(texts)
        with warnings.catch_warnings(action="ignore"):  # of too few iterations
            fitted = model(len(texts)).fit(features, labels)
        probabilities = np.zeros((len(tested), classes))
        probabilities[:, fitted.classes_] = fitted.predict_proba(vectorizer.transform(tested))
        return probabilities

    return probabilities_of


def logistic(**settings: Any) -> Any:
    return LogisticRegression(**{"C": 10.0, "max_iter": 1000, "random_state": 0, **settings})


def averaged_sgd(rows: int) -> Any:
    return SGDClassifier(loss="log_loss", alpha=1 / (10.0 * rows), average=True, max_iter=20, tol=None, random_state=0)


SIDES: Mapping[str, Side] = {
    BEFORE: fitted_by(lambda _: logistic()),
    OURS: ours,
    "`sag`, tol 1e-3": fitted_by(lambda _: logistic(solver="sag", tol=1e-3)),
    "`saga`, tol 1e-2": fitted_by(lambda _: logistic(solver="saga", tol=1e-2)),
    "`lbfgs`, tol 1e-3": fitted_by(lambda _: logistic(tol=1e-3)),
    "`liblinear`, a class against the rest": fitted_by(
        lambda _: OneVsRestClassifier(logistic(solver="liblinear", dual=True))
    ),
    "SGD averaged over 20 epochs, a class against the rest": fitted_by(averaged_sgd),
}


# ---------------------------------------------------------------------------------------------------------------- rows


@cache
def rows_of(folder: Path, data: str) -> Rows:
    """A set's training texts with their class numbers."""
    if data.startswith("topics"):
        return topics(folder, int(data.removeprefix("topics")))
    read = {"ag_news": news, "imdb": reviews, "sst5": sentences, "go_emotions": comments}[data]
    texts, names = read(folder / data)
    return list(texts), np.unique(names, return_inverse=True)[1]


def news(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    with (folder / "train.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def reviews(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / "train.parquet").to_pydict()
    return table["text"], table["label"]


def sentences(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    rows = [line.split(None, 1) for line in (folder / "train.txt").read_text("utf-8").splitlines()]
    return [text for _, text in rows], [name for name, _ in rows]


def comments(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    """Those with one label."""
    with (folder / "train.tsv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if "," not in row[1]]
    return [row[0] for row in rows], [row[1] for row in rows]


def topics(folder: Path, classes: int) -> Rows:
    """The first sentence after each headline, and the cluster that its mean hidden state is in."""
    from rankwise.inference.features import mean_features

    bodies = (text.split(" . ", 1)[-1].strip() for text in news(folder / "ag_news")[0])
    texts = sorted({re.split(r"(?<=[a-z][.!?]) ", body, maxsplit=1)[0] for body in bodies})
    features = mean_features(texts, "minilm")
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return texts, KMeans(classes, n_init=1, random_state=0).fit_predict(features).astype(np.int64)


# --------------------------------------------------------------------------------------------------------------- tables


def table() -> str:
    """The baseline and what it was fitted by before, by cell: means over the seeds and differences with their deviation."""
    names = ["data", "rows", "classes", "accuracy before", "now", "log-loss before", "now", "seconds before", "now"]
    names += ["times as fast", "memory before", "now"]
    lines = [f"| {' | '.join(names)} |", "|---|---|" + "---:|" * (len(names) - 2)]
    for (data, rows), sides in by_cell().items():
        before, now = sides[BEFORE], sides[OURS]
        ratio = statistics.median(ratios(before, now))
        seconds, memory = (
            [statistics.median(float(line[column]) for line in side) for side in (before, now)]
            for column in ("seconds", "megabytes")
        )
        cells = [
            data,
            rows,
            before[0]["classes"],
            f"{100 * mean(before, 'accuracy'):.1f}",
            spread(before, now, "accuracy", scale=100, digits=2),
            f"{mean(before, 'log_loss'):.3f}",
            spread(before, now, "log_loss", scale=1, digits=3),
            f"{seconds[0]:.2f}",
            f"{seconds[1]:.2f}",
            f"{ratio:.1f}",
            f"{memory[0]:.0f} MB",
            f"{memory[1]:.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sides_table() -> str:
    """Every side against the one before, over all cells."""
    lines = [f"| side | accuracy minus {BEFORE}, points | log-loss minus it | times as fast |", "|---|---|---|---|"]
    cells = by_cell().values()
    for side in list(SIDES)[1:]:
        accuracy, log_loss = (
            [scale * (mean(cell[side], column) - mean(cell[BEFORE], column)) for cell in cells]
            for column, scale in (("accuracy", 100), ("log_loss", 1))
        )
        faster = [statistics.median(ratios(cell[BEFORE], cell[side])) for cell in cells]
        lines.append(
            f"| {side} | {statistics.mean(accuracy):+.2f} ({min(accuracy):+.2f} to {max(accuracy):+.2f}) "
            f"| {statistics.mean(log_loss):+.3f} ({min(log_loss):+.3f} to {max(log_loss):+.3f}) "
            f"| {min(faster):.1f} to {max(faster):.1f} |"
        )
    return "\n".join(lines) + "\n"


def by_cell() -> dict[tuple[str, str], dict[str, Lines]]:
    """The CSV's lines by (data, rows) and side, those of a side in the order of the seeds."""
    cells: dict[tuple[str, str], dict[str, Lines]] = {}
    for line in sorted(lines_of(RESULTS), key=lambda line: (CELLS.index((line["data"], line["rows"])), int(line["seed"]))):
        cells.setdefault((line["data"], line["rows"]), {}).setdefault(line["side"], []).append(line)
    return cells


def mean(lines: Lines, column: str) -> float:
    return statistics.mean(float(line[column]) for line in lines)


def ratios(before: Lines, now: Lines) -> list[float]:
    return [float(old["seconds"]) / float(new["seconds"]) for old, new in zip(before, now, strict=True)]


def spread(before: Lines, now: Lines, column: str, *, scale: float, digits: int) -> str:
    """The mean difference ± its standard deviation over the seeds."""
    found = [scale * (float(new[column]) - float(old[column])) for old, new in zip(before, now, strict=True)]
    return f"{statistics.mean(found):+.{digits}f} ± {statistics.stdev(found):.{digits}f}"


if __name__ == "__main__":
    main()
