"""Accuracy and log-loss against trained parameters: which way to adapt is best under each cap; a fit is a line of board.csv.

    python benchmarks/board.py --data ../shared/data --minutes 60
    python benchmarks/board.py --data ../shared/data --names tweet_emotion --caps 5000 25000 --seeds 0
    python benchmarks/board.py --table

Each way is `auto`'s rung `all` with another method, as large as the cap holds, on 2,000 rows of the training file: its head
starts fitted, epochs and schedule are `auto`'s. The way `auto` is the recipe as it is, which chooses its own way under the
cap. 1,000 other rows choose the epoch and the learning rate, by log-loss, and 2,000 more are scored, which leaves 257 of
tweet_emotion to train on; no test file is opened. The first seed tries every learning rate of a way, the others the one
that it chose; a way that is no larger under a larger cap is not fitted again. The CSV has which of those were told right, a
bit each, so that ways are compared row by row. What is in the CSV is not run again, so the same command goes on where it
stopped; --table prints what there is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from results_file import append
from resumable import Job, add_options, finished, lines_of, missing

from rankwise import Recipe

RESULTS = Path(__file__).parent / "results" / "board.csv"
NAMES = ("ag_news", "imdb", "tweet_emotion", "sst5")
CAPS = (2_000, 5_000, 10_000, 25_000, 50_000, 100_000, 300_000, 1_000_000)
ROWS, CHOOSING, SCORED = 2000, 1000, 2000
ALL, UPPER = "adapter.targets=all", "adapter.allocate={policy: last-k, k: half}"
WAYS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "head": (("adapter.method=head", "rungs=[features]"), (3e-4,)),
    "lora": ((ALL,), (3e-4, 1e-3, 3e-3)),
    "lora, upper half": ((ALL, UPPER), (3e-4, 1e-3, 3e-3)),
    "lora, query and value": (("adapter.targets=[query,value]",), (3e-4, 1e-3, 3e-3)),
    "lora, upper values": (("adapter.targets=[value]", "adapter.allocate={policy: last-k, k: 4}"), (3e-4, 1e-3, 3e-3)),
    "lora-fa": (("adapter.method=lora-fa", ALL), (1e-3, 3e-3, 1e-2)),
    "lora-xs": (("adapter.method=lora-xs", ALL), (1e-3, 3e-3, 1e-2)),
    "miss": (("adapter.method=miss", ALL), (3e-4, 1e-3, 3e-3)),
    "lokr": (("adapter.method=lokr", ALL), (1e-3, 3e-3, 1e-2)),
    "delora": (("adapter.method=delora", ALL), (1e-3, 3e-3, 1e-2)),
    "vera": (("adapter.method=vera", ALL), (3e-3, 1e-2, 3e-2)),
    "unilora": (("adapter.method=unilora", ALL, "adapter.rank=4"), (3e-3, 1e-2, 3e-2)),
    "fourierft": (("adapter.method=fourierft", ALL), (3e-3, 1e-2, 3e-2)),
    "ia3": (("adapter.method=ia3",), (3e-3, 1e-2, 3e-2)),
    "road": (("adapter.method=road", ALL), (1e-3, 3e-3, 1e-2)),
    "beft": (("adapter.method=beft",), (3e-3, 1e-2, 3e-2)),
    "ln-tuning": (("adapter.method=ln-tuning",), (1e-3, 3e-3, 1e-2)),
    "bias": (("adapter.method=bias",), (1e-3, 3e-3, 1e-2)),
    "full": (("adapter.method=full",), (3e-5, 1e-4)),
    "auto": ((), (1e-3,)),
}
COLUMNS = (
    *("data", "cap", "way", "rate", "seed", "trained_parameters", "choosing_accuracy", "choosing_log_loss"),
    *("accuracy", "log_loss", "seconds", "right"),
)
DRAWS = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder with a folder for each name, with a train file")
    parser.add_argument("--names", nargs="*", default=list(NAMES))
    parser.add_argument("--caps", type=int, nargs="*", default=list(CAPS))
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--rates", type=float, nargs="*", help="only these of a way's learning rates")
    add_options(parser)
    options = parser.parse_args()
    first, *others = options.seeds
    ends = time.monotonic() + 60 * (options.minutes or 1e6)
    for seeds in [] if options.table else [[first], others]:
        jobs: list[Job] = [
            {"data": name, "cap": cap, "way": way, "rate": rate, "seed": seed}
            for seed in seeds
            for name in options.names
            for cap in options.caps
            for way in options.ways
            for rate in (rates_of(way, options.rates) if seed == first else chosen_rate(name, cap, way, first))
        ]
        jobs = [{**job, "folder": str(options.data / str(job["data"]))} for job in missing(RESULTS, jobs)]
        for job, found in finished(jobs, measure, processes=options.processes, minutes=(ends - time.monotonic()) / 60):
            named = {key: value for key, value in job.items() if key != "folder"}
            append(RESULTS, COLUMNS, {**named, **found})
            print(*named.values(), *(found[key] for key in COLUMNS[5:-1]), flush=True)
    print("\n".join(table()))


def rates_of(way: str, only: Sequence[float] | None) -> list[float]:
    """The learning rates to try a way at: all of its own, or those of them named."""
    own = WAYS[way][1]
    return [rate for rate in own if not only or rate in only or len(own) == 1]


def chosen_rate(name: str, cap: int, way: str, seed: int) -> list[float]:
    """The learning rate that did best with this seed on the choosing rows; none where the way did not fit the cap."""
    of_job = {"data": name, "cap": str(cap), "way": way, "seed": str(seed)}
    rows = [row for row in lines_of(RESULTS) if row["accuracy"] and all(row[key] == value for key, value in of_job.items())]
    return [float(chosen_of(rows)[0]["rate"])] if rows else []


def measure(job: Job) -> dict[str, object]:
    """One fit; without numbers where the way does not fit the cap."""
    from rankwise import train  # late: the table needs no torch
    from rankwise.errors import PlanError

    folder, started, is_auto = Path(str(job["folder"])), time.monotonic(), job["way"] == "auto"
    own = [
        "rungs=[all]",
        f"train.learning_rate={job['rate']}",
        *("train.rates.head=3e-4", "train.full_rate_rows=null"),  # which were auto's when the first lines were made
        *WAYS[str(job["way"])][0],
    ]
    recipe = Recipe.load(
        "auto",
        [
            f"data.source={next(folder.glob('train.*'))}",
            *(f"data.split.{part}={count}" for part, count in {"test": SCORED, "validation": CHOOSING}.items()),
            f"data.rows={ROWS}",
            "data.windows=1",
            "data.split.seed=0",
            "evaluate.baselines=false",
            "evaluate.resamples=20",
            f"train.seed={job['seed']}",
            f"budget.parameters={job['cap']}",
            *([] if is_auto else own),
        ],
    )
    with tempfile.TemporaryDirectory() as scratch:
        try:
            recipe, parameters = (recipe, 0) if is_auto else _filling(recipe, folder)
        except PlanError:
            return dict.fromkeys(COLUMNS[5:], "")
        same = {**{key: str(job[key]) for key in ("data", "way", "rate", "seed")}, "trained_parameters": str(parameters)}
        for row in lines_of(RESULTS):
            if all(row[key] == value for key, value in same.items()):
                return {key: row[key] for key in COLUMNS[5:]}
        run = train(recipe, Path(scratch) / "run")
        scored, trained = run.scored_rows(), run.plan_facts.trainable_parameters
        test, choosing = run.scores.test, run.scores.validation
    right = scored.probabilities.argmax(axis=1) == scored.truth
    return {
        "trained_parameters": trained,
        "choosing_accuracy": round(choosing.accuracy, 4),
        "choosing_log_loss": round(choosing.log_loss, 4),
        "accuracy": round(test.accuracy.value, 4),
        "log_loss": round(test.log_loss.value, 4),
        "seconds": round(time.monotonic() - started),
        "right": np.packbits(right).tobytes().hex(),
    }


def _filling(recipe: Recipe, folder: Path) -> tuple[Recipe, int]:
    """The recipe with its way as large as its cap holds, and what that trains. Raises PlanError where nothing of it fits."""
    from rankwise.data.labelled import read_labelled
    from rankwise.encoders.finding import find
    from rankwise.errors import PlanError
    from rankwise.planning.ranks import Draft
    from rankwise.planning.under_cap import largest

    classes = len(read_labelled(recipe.data).classes)
    encoder = find(recipe.base, classes=classes).with_pooled_head("mean")
    found = largest(Draft(encoder, recipe.adapter, recipe.head, recipe.budget.parameters))
    if found is None:
        raise PlanError(f"{folder.name}: the way does not fit the cap")
    return recipe.model_copy(update={"adapter": found.adapter}), found.ledger.trainable_parameters


def table() -> list[str]:
    """Of each way, the rate that did best on the choosing rows, and what it scores; then the best ways against LoRA."""
    lines = [
        "| data | cap | way | rate | trained | seeds | accuracy | log-loss | minus LoRA | seconds |",
        "|---|---:|---|---:|---:|---:|---:|---:|---|---:|",
    ]
    groups: dict[tuple[str, int], dict[str, list[dict[str, str]]]] = {}
    for row in lines_of(RESULTS):
        if row["accuracy"]:
            groups.setdefault((row["data"], int(row["cap"])), {}).setdefault(row["way"], []).append(row)
    for (data, cap), ways in sorted(groups.items()):
        chosen = {way: chosen_of(rows) for way, rows in ways.items()}
        lora = next((chosen[way] for way in WAYS if way.startswith("lora") and way in chosen), [])
        for way in sorted(chosen, key=lambda way: statistics.mean(float(row["log_loss"]) for row in chosen[way])):
            rows = chosen[way]
            accuracy, log_loss, seconds = (
                statistics.mean(float(row[key]) for row in rows) for key in ("accuracy", "log_loss", "seconds")
            )
            lines.append(
                f"| {data} | {cap:,} | {way} | {rows[0]['rate']} | {int(rows[0]['trained_parameters']):,} | {len(rows)} "
                f"| {100 * accuracy:.1f} | {log_loss:.3f} | {'' if rows is lora else against(rows, lora)} | {seconds:.0f} |"
            )
    return lines


def chosen_of(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The fits at the learning rate whose log-loss on the choosing rows was lowest with the first seed, a seed each."""
    first = min(int(row["seed"]) for row in rows)
    best = min((row for row in rows if int(row["seed"]) == first), key=lambda row: float(row["choosing_log_loss"]))
    return [row for row in rows if row["rate"] == best["rate"]]


def against(rows: Sequence[dict[str, str]], others: Sequence[dict[str, str]]) -> str:
    """Points of accuracy over others' fits with the same seeds, and a 95 % interval by bootstrap over the scored rows."""
    by_seed = {row["seed"]: right_of(row) for row in others}
    pairs = [right_of(row).astype(float) - by_seed[row["seed"]] for row in rows if row["seed"] in by_seed]
    if not pairs:
        return ""
    gains = 100 * np.mean(pairs, axis=0)
    draws = np.random.default_rng(0).integers(len(gains), size=(DRAWS, len(gains)))
    low, high = np.quantile(gains[draws].mean(axis=1), [0.025, 0.975])
    return f"{gains.mean():+.1f} [{low:+.1f}, {high:+.1f}]"


def right_of(row: dict[str, str]) -> NDArray[np.uint8]:
    """Which of the scored rows were told right; every scored set has SCORED rows or fewer, the last bits then 0."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(row["right"]), np.uint8))


if __name__ == "__main__":
    main()
