"""What each rung of `auto` gains where rows are few, and what training in pairs and the head's fit add; results/rungs.csv.

    python benchmarks/rungs.py --data ../shared/data --a-class 8 64 --seeds 0 1
    python benchmarks/rungs.py --table

Rows of the training files alone, duplicates left out: so many a class to train on, all of them, and 1,000 others to score; a
seed draws other rows. No test file is opened. `tfidf` and `frozen` are the first two rungs; adapters start from the head of
the second and make 100 updates. `+ fit` fits the head anew to what they give, `+ pairs` trains in pairs as well, `+ rate` at
rates in proportion to rows. `script` and `setfit` are peers of front_peers.py on the same rows (`--systems script setfit
--peer-python PYTHON`). What is in the CSV is not run again.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from math import isnan
from pathlib import Path

import few_rows
import front
import numpy as np
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

RESULTS = Path(__file__).parent / "results" / "rungs.csv"
SETS = ("tweet_emotion", "tweet_irony", "sst5", "ag_news")
FULL = ["train.full_rate_rows=null"]
FIT, PAIRS = [*FULL, "train.refit_head=true"], [*FULL, "train.refit_head=true", "train.contrast=1"]
SYSTEMS = {
    "tfidf": ("tfidf", []),
    "frozen": ("features", []),
    "top": ("top", FULL),
    "top + fit": ("top", FIT),
    "top + pairs + fit": ("top", PAIRS),
    "all": ("all", FULL),
    "all + fit": ("all", FIT),
    "all + pairs + fit": ("all", PAIRS),
    "all + pairs + fit + rate": ("all", PAIRS[1:]),
    "all + pairs + fit + rate, 300 updates": ("all", [*PAIRS[1:], "train.min_updates=300"]),
}
PEERS = ("script", "setfit")
COLUMNS = ("data", "rows_a_class", "seed", "system", "accuracy", "log_loss", "seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of folders with a train file")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=few_rows.SETS)
    parser.add_argument("--a-class", type=int, nargs="*", default=[8, 64])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=[*SYSTEMS, *PEERS])
    parser.add_argument("--peer-python", default=sys.executable, help="the interpreter that has the peers")
    add_options(parser)
    options = parser.parse_args()
    if not options.table:
        jobs = [
            {"data": str(options.data / name), "rows_a_class": count, "seed": seed, "system": system}
            for seed in options.seeds
            for count in options.a_class
            for name in options.sets
            for system in options.systems
        ]
        jobs = [job for job in jobs if missing(RESULTS, [few_rows.named(job)])]
        for job, found in finished(
            jobs, partial(measure, python=options.peer_python), processes=options.processes, minutes=options.minutes
        ):
            append(RESULTS, COLUMNS, {**few_rows.named(job), **found})
            print(*few_rows.named(job).values(), *found.values(), flush=True)
    print("\n".join(table()))


def measure(job: Job, *, python: str) -> dict[str, object]:
    """The scores of one training on all rows, on others."""
    if job["system"] in PEERS:
        return of_peer(job, python)
    from accelerate import Accelerator

    from rankwise import Recipe
    from rankwise.data.labelled import read_labelled
    from rankwise.data.tasks import SingleLabel
    from rankwise.inference.words import Words
    from rankwise.system.events import Events
    from rankwise.training.checkpoint import Checkpoints
    from rankwise.training.loop import fit
    from rankwise.training.validation import Validation
    from rankwise.workflows.assemble import assemble, training_device

    rung, changes = SYSTEMS[str(job["system"])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        few_rows.write_rows(
            Path(str(job["data"])), int(str(job["rows_a_class"])), int(str(job["seed"])), folder, scored=1_000
        )
        then = [
            "train.learning_rate=3e-4",
            "train.rates.head=3e-4",
            "train.full_rate_rows=192",
        ]  # auto's when this was measured
        last = [*then, "train.evaluate_every=end", "train.early_stop=null", "train.threads=1"]
        recipe = Recipe.load("auto", [f"data.source={folder}", f"train.seed={job['seed']}", *last])
        recipe = recipe.rung(rung).with_overrides(changes)  # type: ignore[arg-type]
        training = assemble(recipe, read_labelled(recipe.data).whole(), training_device())
        task, train, test = SingleLabel(training.data.classes), training.data.train, training.data.test
        if rung == "tfidf":
            started = time.monotonic()
            told = Words.fit(train.texts, train.labels, task.classes, cap=recipe.budget.parameters).probabilities(test.texts)
            seconds = time.monotonic() - started
        else:
            checkpoints = Checkpoints(folder / "checkpoints", keep=1, fingerprint="")
            fitted = fit(training, checkpoints=checkpoints, accelerator=Accelerator(cpu=True), events=Events())
            validation = Validation(training.classifier, training.padding, recipe.evaluate.batch_size, training.precision)
            told, seconds = task.probabilities(validation.logits(test.tokens)), fitted.seconds
        scores = task.quick_scores(told, test.labels)
    accuracy, log_loss = (f"{scores[key]:.4f}" for key in ("accuracy", "log_loss"))
    return {"accuracy": accuracy, "log_loss": log_loss, "seconds": round(seconds, 1)}


def of_peer(job: Job, python: str) -> dict[str, object]:
    """A peer's accuracy, and the seconds of its whole process."""
    with tempfile.TemporaryDirectory() as name:
        folder, seed = Path(name), int(str(job["seed"]))
        few_rows.write_rows(Path(str(job["data"])), int(str(job["rows_a_class"])), seed, folder, scored=1_000)
        started = time.monotonic()
        found = front.peer(str(job["system"]), folder, seed, python)
    return {"accuracy": f"{found['right'].mean():.4f}", "log_loss": "", "seconds": round(time.monotonic() - started, 1)}


def table() -> list[str]:
    """Accuracy by set and system, means over the seeds; points over frozen with an interval over pairs; mean log-loss."""
    found = {
        (row["rows_a_class"], row["system"], row["data"], row["seed"]): (
            100 * float(row["accuracy"]),
            float(row["log_loss"] or "nan"),
        )
        for row in lines_of(RESULTS)
    }
    lines = [f"| rows a class | system | {' | '.join(SETS)} | pairs | minus frozen | log-loss |"]
    lines.append("|---:|---|" + "---:|" * (len(SETS) + 3))
    rng = np.random.default_rng(0)
    for count, system in sorted({key[:2] for key in found}, key=lambda key: (int(key[0]), [*SYSTEMS, *PEERS].index(key[1]))):
        scores = {key[2:]: score for key, score in found.items() if key[:2] == (count, system)}
        by_set = [[accuracy for (name, _), (accuracy, _) in scores.items() if name == one] for one in SETS]
        cells = [f"{statistics.mean(accuracies):.1f}" if accuracies else "" for accuracies in by_set]
        frozen = {draw: found[count, "frozen", *draw][0] for draw in scores if (count, "frozen", *draw) in found}
        gains = [scores[draw][0] - accuracy for draw, accuracy in frozen.items()]
        low, high = np.quantile(rng.choice(gains, size=(5000, len(gains))).mean(1), (0.025, 0.975))
        gain = "" if system == "frozen" else f"{np.mean(gains):+.1f} [{low:+.1f}, {high:+.1f}]"
        loss = statistics.mean(loss for _, loss in scores.values())
        lines.append(
            f"| {count} | {system} | {' | '.join(cells)} | {len(gains)} | {gain} | {'' if isnan(loss) else f'{loss:.2f}'} |"
        )
    return lines


if __name__ == "__main__":
    main()
