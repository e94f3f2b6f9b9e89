"""The fast path beside what a user would write with Trainer + peft and `pipeline()`, alternating in one process.

    python benchmarks/speed.py --data ../shared/data/ag_news            # short: under 15 minutes on two cores
    python benchmarks/speed.py --data ../shared/data/ag_news --steps 120 --predict-rows 7600 --repeats 3

Each side trains or labels the same rows with the same batch size, updates and threads. Seconds are medians over the
repeats; ratios are of medians in this run. Utilisation is useful operations on real tokens (2 operations for each parameter
of the encoder's linear layers and token going forward, as much again for the gradient of what is adapted) over the fp32
product's speed measured in the same run, so bf16 can pass 1. Peak memory is of a process of its own. Writes
results/speed.csv and results/levers.csv.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from peers import pipeline_predict, quiet, trainer_peft
from results_file import write

from rankwise import Recipe, plan
from rankwise.cli.options import FAST
from rankwise.data.labelled import read_labelled
from rankwise.data.prepare import Prepared, Split
from rankwise.data.tokens import tokenize
from rankwise.inference.predict import TokenPredictor
from rankwise.inference.torch_scorer import TorchScorer
from rankwise.model.hidden_cache import HiddenStatesCache
from rankwise.system.cores import default_threads, has_bf16
from rankwise.system.device import Device
from rankwise.system.events import Events
from rankwise.system.memory import peak_resident_bytes
from rankwise.system.torch_speed import gflops
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.job import Job
from rankwise.training.loop import fit
from rankwise.workflows.assemble import Memo, assemble, training_device

RESULTS = Path(__file__).parent / "results"
TOP = ("adapter.allocate={policy: last-k, k: third}", "train.epochs=5")
LEVERS: dict[str, tuple[str, ...]] = {  # what each row of the lever table changes in the fast path
    "all on": (),
    "batches at random (train.speed.similar_lengths)": ("train.speed.similar_lengths=false",),
    "last layer for every token (train.speed.first_token)": ("train.speed.first_token=false",),
    "adapters beside the weights (train.speed.fold)": ("train.speed.fold=false",),
    "fp32 products (train.precision)": ("train.precision=fp32",),
    "dropout kept (train.encoder_dropout)": ("train.encoder_dropout=keep",),
    "dropout kept, usual masks (train.speed.random_words)": ("train.encoder_dropout=keep", "train.speed.random_words=false"),
}
SPEED_COLUMNS = (
    "work",
    "side",
    "rows",
    "updates",
    "threads",
    "repeats",
    "seconds",
    "rows_per_second",
    "ratio",
    "utilisation",
    "peak_gb",
    "processor",
)
LEVER_COLUMNS = ("lever", "rows", "threads", "repeats", "seconds", "gain", "processor")


@dataclass
class Work:
    """One piece of work and the seconds that each side took for it, repeat by repeat."""

    name: str
    rows: int
    updates: int
    operations: float
    """Useful ones, on real tokens."""
    sides: dict[str, Callable[[], float]]
    """Side → run it once; its seconds."""
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def run(self, repeats: int) -> None:
        for repeat in range(repeats):
            for side, once in self.sides.items():
                taken = once()
                self.seconds.setdefault(side, []).append(taken)
                print(f"  {self.name} · {side}: {taken:.1f} s ({repeat + 1} of {repeats})", flush=True)

    def median(self, side: str) -> float:
        return statistics.median(self.seconds[side])


class Bench:
    """Data, model and recipes that all sides share."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        common = ["base=minilm", f"data.source={options.data}", "data.classes=[]", "evaluate.baselines=false"]
        self.recipe = Recipe.load("rank4-adam", [*common, f"train.threads={torch.get_num_threads()}"])
        self.top = self.recipe.with_overrides(TOP)
        self.labelled = read_labelled(self.recipe.data)
        self.memo = Memo()
        job = self.job(self.recipe)
        self.tokenizer, self.padding, self.data = job.tokenizer, job.padding, job.data
        self.parameters = sum(site.d_in * site.d_out for site in job.plan.encoder.sites)

    def job(self, recipe: Recipe) -> Job:
        """A recipe's training as a run would assemble it, on the tokens that all sides share."""
        return assemble(recipe, self.labelled, training_device(), memo=self.memo)

    def cut(self, rows: int, validation: int) -> Prepared:
        """The first rows of training and validation."""
        return replace(self.data, train=first(self.data.train, rows), validation=first(self.data.validation, validation))

    def ours(self, recipe: Recipe, data: Prepared, cache: HiddenStatesCache | None = None) -> float:
        """Seconds of one training by rankwise, evaluation where the recipe has any."""
        job = replace(self.job(recipe), data=data)
        assert job.classifier.classes == data.classes, "loaded before the time counts"
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), keep=1, fingerprint="bench")
            accelerator = Accelerator(cpu=job.device.is_cpu)
            started = time.monotonic()
            fit(job, checkpoints=checkpoints, accelerator=accelerator, events=Events(), cache=cache)
            return time.monotonic() - started

    def peer(self, recipe: Recipe, data: Prepared, *, pad_to_max: bool, evaluated: bool = False) -> float:
        """Seconds of the same training by Trainer + peft."""
        train, validation = ((list(split.texts), split.labels) for split in (data.train, data.validation))
        return trainer_peft(
            recipe, data.classes, train, pad_to_max=pad_to_max, seed=0, validation=validation if evaluated else None
        ).seconds

    def tokens(self, split: Split) -> int:
        return int(split.tokens.offsets[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--steps", type=int, default=20, help="updates of 16 rows in the training work")
    parser.add_argument("--top-rows", type=int, default=128, help="rows of the top-third work; half as many are scored")
    parser.add_argument("--predict-rows", type=int, default=768)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--only", nargs="*", choices=("train", "top", "predict", "levers"), default=None)
    parser.add_argument("--peak", metavar="SIDE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    if options.peak:
        print(json.dumps({"peak_gb": peak_of(options)}))
        return
    bench = Bench(options)
    wanted = options.only or ("train", "top", "predict", "levers")
    speeds = [gflops(options.threads)]
    rows: list[dict[str, object]] = []
    for name, make in (("train", training_work), ("top", top_work), ("predict", predict_work)):
        if name in wanted:
            with tempfile.TemporaryDirectory() as folder:
                work = make(bench, Path(folder))
                work.run(options.repeats)
            speeds.append(gflops(options.threads))
            rows += lines_of(work, max(speeds), options)
    if rows:
        write(RESULTS / "speed.csv", SPEED_COLUMNS, [*others(rows), *rows])
        show(rows, SPEED_COLUMNS[:-1])
    if "levers" in wanted:
        levers = lever_lines(bench)
        write(RESULTS / "levers.csv", LEVER_COLUMNS, levers)
        show(levers, LEVER_COLUMNS[:-1])
    print(f"\nfp32 product: {max(speeds):.0f} GFLOP/s on {options.threads} thread(s)")


def training_work(bench: Bench, _: Path) -> Work:
    """rank4-adam, one epoch over the first rows, nothing scored but a handful at the end."""
    rows = 16 * bench.options.steps
    data = bench.cut(rows, 8)
    return Work(
        "rank4-adam",
        rows,
        bench.options.steps,
        4 * bench.parameters * bench.tokens(data.train),
        {
            "Trainer + peft, dynamic padding": lambda: bench.peer(bench.recipe, data, pad_to_max=False),
            "Trainer + peft, padded to 128": lambda: bench.peer(bench.recipe, data, pad_to_max=True),
            "rankwise, the recipe as it is": lambda: bench.ours(bench.recipe, data),
            "rankwise --fast": lambda: bench.ours(bench.recipe.with_overrides(FAST), data),
        },
    )


def top_work(bench: Bench, folder: Path) -> Work:
    """Adapters in the top third, five epochs with an evaluation after each; the cache is empty at every start."""
    rows = bench.options.top_rows
    data = bench.cut(rows, rows // 2)
    layers = plan(bench.top, classes=4).encoder.layers
    per_layer = bench.parameters / layers
    adapted = layers - plan(bench.top, classes=4).lowest_layer
    passes = 5 * (2 * (layers + adapted) * bench.tokens(data.train) + 2 * layers * bench.tokens(data.validation))

    def cached() -> float:
        with tempfile.TemporaryDirectory(dir=folder) as empty:
            cache = HiddenStatesCache(Path(empty), limit_bytes=10**10)
            return bench.ours(bench.top.with_overrides(FAST), data, cache)

    return Work(
        "top third, 5 epochs",
        5 * rows,
        5 * -(-rows // 16),
        per_layer * passes,
        {
            "Trainer + peft, dynamic padding": lambda: bench.peer(bench.top, data, pad_to_max=False, evaluated=True),
            "rankwise, the recipe as it is": lambda: bench.ours(bench.top, data),
            "rankwise --fast": cached,
        },
    )


def predict_work(bench: Bench, _: Path) -> Work:
    """Labels of raw test texts, tokenising included."""
    texts = list(bench.data.test.texts[: bench.options.predict_rows])
    trained = trainer_peft(
        bench.recipe,
        bench.data.classes,
        (list(bench.data.train.texts[:32]), bench.data.train.labels[:32]),
        pad_to_max=False,
        seed=0,
        stop_after=1,
    )
    classifier = bench.job(bench.recipe).classifier
    classifier.model.eval()

    def ours(precision: str) -> Callable[[], float]:
        predictor = TokenPredictor(TorchScorer(classifier, precision), bench.tokenizer, bench.data.preprocessing)
        predictor.predict(texts[:4])

        def run() -> float:
            started = time.monotonic()
            predictor.predict(texts)
            return time.monotonic() - started

        return run

    tokens = tokenize(bench.tokenizer, texts, max_length=128)
    return Work(
        "predict",
        len(texts),
        0,
        2 * bench.parameters * int(tokens.offsets[-1]),
        {
            "pipeline(), batch 1": lambda: pipeline_predict(trained, texts, batch_size=1)[1],
            "pipeline(), batch 32": lambda: pipeline_predict(trained, texts, batch_size=32)[1],
            "rankwise": ours("fp32"),
            "rankwise --engine fast": ours(Device.cpu().resolve_precision("auto")),
        },
    )


def lever_lines(bench: Bench) -> list[dict[str, object]]:
    """The fast path with one lever off at a time, alternating."""
    rows = 16 * bench.options.steps
    data = bench.cut(rows, 8)
    work = Work(
        "levers",
        rows,
        bench.options.steps,
        0,
        {
            name: (lambda changes=changes: bench.ours(bench.recipe.with_overrides([*FAST, *changes]), data))
            for name, changes in LEVERS.items()
        },
    )
    work.run(bench.options.repeats)
    return [
        {
            "lever": name,
            "rows": rows,
            "threads": bench.options.threads,
            "repeats": bench.options.repeats,
            "seconds": round(work.median(name), 2),
            "gain": round(work.median(name) / work.median("all on"), 2),
            "processor": processor(),
        }
        for name in work.sides
    ]


def lines_of(work: Work, peak_gflops: float, options: argparse.Namespace) -> list[dict[str, object]]:
    peers = [side for side in work.sides if not side.startswith("rankwise")]
    lines = []
    for side in work.sides:
        seconds = work.median(side)
        ratios = " / ".join(f"{work.median(peer) / seconds:.2f}" for peer in peers)
        lines.append(
            {
                "work": work.name,
                "side": side,
                "rows": work.rows,
                "updates": work.updates,
                "threads": options.threads,
                "repeats": options.repeats,
                "seconds": round(seconds, 2),
                "rows_per_second": round(work.rows / seconds, 1),
                "ratio": "" if side in peers else ratios,
                "utilisation": round(work.operations / seconds / 1e9 / peak_gflops, 2),
                "peak_gb": peak_in_own_process(work, side, options),
                "processor": processor(),
            }
        )
    return lines


def others(rows: list[dict[str, object]]) -> list[dict[str, str]]:
    """The rows already written, of work that was not run now."""
    path = RESULTS / "speed.csv"
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["work"] not in {new["work"] for new in rows}]


def peak_in_own_process(work: Work, side: str, options: argparse.Namespace) -> float | str:
    """Peak resident memory in GB of a fresh process that does this work once."""
    if work.name != "rank4-adam":
        return ""
    command = [sys.executable, __file__, "--data", options.data, "--steps", str(options.steps), "--peak", side]
    done = subprocess.run(
        [*command, "--threads", str(options.threads)], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    return float(json.loads(done.stdout.splitlines()[-1])["peak_gb"])


def peak_of(options: argparse.Namespace) -> float:
    bench = Bench(options)
    training_work(bench, Path()).sides[options.peak]()
    return round(peak_resident_bytes() / 1e9, 2)


def first(split: Split, rows: int) -> Split:
    """The first rows of a split."""
    rows = min(rows, len(split))
    ends = int(split.tokens.offsets[rows])
    tokens = replace(split.tokens, ids=np.asarray(split.tokens.ids[0:ends]), offsets=split.tokens.offsets[: rows + 1])
    return Split(texts=list(split.texts[:rows]), tokens=tokens, labels=split.labels[:rows], rows=split.rows[:rows])


def processor() -> str:
    """What the processor calls itself, and whether it multiplies bf16."""
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}{', bf16' if has_bf16() else ''}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8").splitlines() if path.exists() else []


def show(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> None:
    """A plain table."""
    rows, columns = list(rows), list(columns)
    widths = {column: max(len(column), *(len(str(row[column])) for row in rows)) for column in columns}
    print("\n" + "  ".join(f"{column:<{widths[column]}}" for column in columns))
    for row in rows:
        print("  ".join(f"{row[column]!s:<{widths[column]}}" for column in columns))


if __name__ == "__main__":
    main()
