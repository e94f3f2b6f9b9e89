"""How many updates few rows need, beside the frozen encoder; each run is a line of results/few_rows.csv.

    python benchmarks/few_rows.py --data ../shared/data --a-class 8 16 64 --updates 1 50 100 200 --seeds 0 1
    python benchmarks/few_rows.py --table

`auto` with `train.min_updates`, of which 1 leaves it at its 3 epochs. All rows are of the training files, duplicates left
out: so many a class to train on, a tenth of them (at least one a class) set aside by `auto` to choose by, and 500 others to
score; of go_emotions those with one label, of its 20 most frequent. No test file is opened. Scored are the chosen weights and
the last ones. `frozen` is a logistic regression on the mean of the frozen encoder's last hidden states, on all the rows. What
is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

RESULTS = Path(__file__).parent / "results" / "few_rows.csv"
SETS = ("go_emotions", "tweet_emotion", "tweet_irony", "sst5", "ag_news")
LABELS = 20  # of go_emotions, the most frequent
SCORED = 500
COLUMNS = (
    "data",
    "classes",
    "rows_a_class",
    "seed",
    "min_updates",
    "changes",
    "train_rows",
    "updates",
    "chosen_at",
    "accuracy",
    "log_loss",
    "last_accuracy",
    "last_log_loss",
    "frozen_accuracy",
    "training_seconds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of folders with a train file")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--a-class", type=int, nargs="*", default=[8, 16, 64])
    parser.add_argument("--updates", type=int, nargs="*", default=[1, 50, 100, 200])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key in every run")
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        jobs = [
            {
                "data": str(options.data / name),
                "rows_a_class": count,
                "seed": seed,
                "min_updates": updates,
                "changes": " ".join(options.set),
            }
            for seed in options.seeds
            for count in options.a_class
            for name in options.sets
            for updates in options.updates
        ]
        jobs = [job for job in jobs if missing(RESULTS, [named(job)])]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=options.minutes):
            append(RESULTS, COLUMNS, {**named(job), **found})
            print(*named(job).values(), *found.values(), flush=True)
    print("\n".join([*gains(), "", *table()]))


def named(job: Job) -> dict[str, object]:
    """A job as the CSV has it: the data by its name."""
    return {**job, "data": Path(str(job["data"])).name}


def measure(job: Job) -> dict[str, object]:
    """The scores of one training, on rows that are neither trained on nor chosen by."""
    from accelerate import Accelerator

    from rankwise import Recipe
    from rankwise.data.labelled import read_labelled
    from rankwise.data.tasks import SingleLabel
    from rankwise.system.events import Event, Events
    from rankwise.training.checkpoint import Checkpoints
    from rankwise.training.events import Evaluated
    from rankwise.training.loop import fit
    from rankwise.training.validation import Validation
    from rankwise.workflows.assemble import assemble, training_device

    with tempfile.TemporaryDirectory() as folder:
        classes = write_rows(Path(str(job["data"])), int(str(job["rows_a_class"])), int(str(job["seed"])), Path(folder))
        changes = [f"data.source={folder}", f"train.min_updates={job['min_updates']}", f"train.seed={job['seed']}"]
        recipe = Recipe.load("auto", [*changes, "train.threads=1", *str(job["changes"]).split()])
        training = assemble(recipe, read_labelled(recipe.data), training_device())
        validation = Validation(training.classifier, training.padding, recipe.evaluate.batch_size, training.precision)
        test = training.data.test
        scores: dict[int, dict[str, float]] = {}

        def hear(event: Event) -> None:
            if isinstance(event, Evaluated):
                task = SingleLabel(training.data.classes)
                scores[event.step] = task.quick_scores(task.probabilities(validation.logits(test.tokens)), test.labels)

        checkpoints = Checkpoints(Path(folder) / "checkpoints", keep=1, fingerprint="")
        fitted = fit(training, checkpoints=checkpoints, accelerator=Accelerator(cpu=True), events=Events(hear))
        frozen = frozen_accuracy(training.labelled, recipe.base)
    chosen, last = scores[fitted.best.step], scores[fitted.steps]
    return {
        "classes": classes,
        "train_rows": len(training.data.train),
        "updates": fitted.steps,
        "chosen_at": fitted.best.step,
        "accuracy": f"{chosen['accuracy']:.4f}",
        "log_loss": f"{chosen['log_loss']:.4f}",
        "last_accuracy": f"{last['accuracy']:.4f}",
        "last_log_loss": f"{last['log_loss']:.4f}",
        "frozen_accuracy": f"{frozen:.4f}",
        "training_seconds": round(fitted.seconds),
    }


def table() -> list[str]:
    """Means over the seeds, differences in points by seed, in Markdown."""
    lines = [
        "| data | classes | rows a class | `auto` with | updates | seeds | accuracy | minus 3 epochs | log-loss "
        "| last weights | frozen |",
        "|---|---:|---:|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[str, str, str], dict[tuple[int, str], dict[str, Mapping[str, str]]]] = {}
    for row in lines_of(RESULTS):
        of_data = groups.setdefault((row["data"], row["classes"], row["rows_a_class"]), {})
        of_data.setdefault((int(row["min_updates"]), row["changes"]), {})[row["seed"]] = row
    for (data, classes, rows), settings in sorted(groups.items(), key=lambda group: (int(group[0][2]), group[0][0])):
        plain = settings.get((1, ""), {})
        for (least, changes), by_seed in sorted(settings.items()):
            setting = " ".join(filter(None, [f"train.min_updates={least}" if least > 1 else "3 epochs", changes]))
            seeds = [seed for seed in by_seed if seed in plain and by_seed is not plain]
            points = (100 * (float(by_seed[seed]["accuracy"]) - float(plain[seed]["accuracy"])) for seed in seeds)
            accuracy, last, frozen = (
                f"{100 * _mean(by_seed, key):.1f}" for key in ("accuracy", "last_accuracy", "frozen_accuracy")
            )
            lines.append(
                f"| {data} | {classes} | {rows} | {setting} | {next(iter(by_seed.values()))['updates']} | {len(by_seed)} "
                f"| {accuracy} | {', '.join(f'{one:+.1f}' for one in points)} | {_mean(by_seed, 'log_loss'):.2f} | {last} "
                f"| {frozen} |"
            )
    return lines


def gains() -> list[str]:
    """Points ahead over all data and seeds, with 95 % intervals over these pairs, in Markdown."""
    lines = ["| rows a class | `auto` with | pairs | minus 3 epochs | minus frozen |", "|---:|---|---:|---:|---:|"]
    plain = {(row["data"], row["rows_a_class"], row["seed"]): row for row in lines_of(RESULTS) if row["min_updates"] == "1"}
    pairs: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for row in lines_of(RESULTS):
        before = plain.get((row["data"], row["rows_a_class"], row["seed"]), row)
        if before is not row and not row["changes"]:
            accuracy = float(row["accuracy"])
            ahead = (accuracy - float(before["accuracy"]), accuracy - float(row["frozen_accuracy"]))
            pairs.setdefault((int(row["rows_a_class"]), int(row["min_updates"])), []).append(ahead)
    rng = np.random.default_rng(0)
    for (rows, least), found in sorted(pairs.items()):
        drawn = rng.choice(100 * np.array(found), size=(5000, len(found))).mean(axis=1)  # (resamples, 2)
        ends = np.quantile(drawn, (0.025, 0.975), axis=0)  # (2, 2)
        cells = [
            f"{mean:+.1f} [{low:+.1f}, {high:+.1f}]"
            for mean, low, high in zip(100 * np.mean(found, axis=0), *ends, strict=True)
        ]
        setting, gain = (f"train.min_updates={least}", cells[0]) if least > 1 else ("3 epochs", "")
        lines.append(f"| {rows} | {setting} | {len(found)} | {gain} | {cells[1]} |")
    return lines


def _mean(by_seed: Mapping[str, Mapping[str, str]], key: str) -> float:
    return statistics.mean(float(row[key]) for row in by_seed.values())


def frozen_accuracy(labelled: Any, base: str) -> float:
    """The ten-line script's."""
    from sklearn.linear_model import LogisticRegression

    from rankwise.inference.features import mean_features

    known = [*labelled.train.texts, *labelled.validation.texts]
    labels = [*labelled.train.labels, *labelled.validation.labels]
    features = mean_features(known, base)
    head = LogisticRegression(max_iter=1000).fit(features, labels)
    right = head.predict(mean_features(labelled.test.texts, base)) == np.asarray(labelled.test.labels)
    return float(right.mean())


def write_rows(data: Path, a_class: int, seed: int, folder: Path, *, scored: int = SCORED) -> int:
    """train.csv with so many rows of each class and test.csv with `scored` others; returns the number of classes."""
    rows = list(dict.fromkeys(rows_of(data)))
    rows = [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]
    taken: Counter[str] = Counter()
    train, rest = [], []
    for text, label in rows:
        if taken[label] < a_class:
            taken[label] += 1
            train.append((text, label))
        else:
            rest.append((text, label))
    for name, part in (("train", train), ("test", rest[:scored])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([("text", "label"), *part])
    return len(taken)


def rows_of(data: Path) -> Iterator[tuple[str, str]]:
    """(text, label) of the training file, whose format each set has of its own."""
    if data.name == "go_emotions":
        names = (data / "labels.txt").read_text("utf-8").split()
        lines = [line.split("\t") for line in (data / "train.tsv").read_text("utf-8").splitlines()]
        single = [(text, names[int(label)]) for text, label, _ in lines if "," not in label]
        frequent = dict(Counter(label for _, label in single).most_common(LABELS))
        yield from (row for row in single if row[1] in frequent)
    elif data.name == "sst5":
        for line in (data / "train.txt").read_text("utf-8").splitlines():
            label, text = line.split(maxsplit=1)
            yield text, label.removeprefix("__label__")
    elif data.name == "imdb":
        from front import labelled

        yield from labelled(data, "train")
    else:
        with (data / "train.csv").open(newline="", encoding="utf-8") as file:
            yield from ((row["text"], row["label"]) for row in csv.DictReader(file))


if __name__ == "__main__":
    main()
