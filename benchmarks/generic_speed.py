"""Encoders without a fast path of their own beside Trainer + peft: the same updates, alternating in one process.

    OMP_NUM_THREADS=1 python benchmarks/generic_speed.py --data ../shared/data/ag_news ../shared/data/tweet_emotion

Random encoders of 12 layers, 384 wide (ModernBERT, EuroBERT and a small Qwen3), LoRA of rank 8 on every linear layer, fp32 on
both sides, from the same weights. Trainer runs as it does when nothing is said (dynamic padding, rows at random), and once
more on rankwise's own batches: there both make the same updates, and the largest difference of two losses is told. Ratios are
of medians, of the process's CPU seconds and of wall seconds. `frozen_products` is the share of rankwise's CPU time, by
torch's profiler, in the products with frozen weights, which both sides must make. Writes results/generic_speed.csv.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from peers import Trained, quiet, trainer_peft
from results_file import write
from speed import first, processor, show
from transformers import AutoConfig, AutoModel, AutoTokenizer

from rankwise import Recipe
from rankwise.data.labelled import read_labelled
from rankwise.data.prepare import Prepared
from rankwise.encoders.base import locate
from rankwise.system.events import Events, Listener
from rankwise.training.checkpoint import Checkpoints
from rankwise.training.events import UpdateLogged, UpdateMade
from rankwise.training.job import Job
from rankwise.training.loop import fit, update_batches
from rankwise.workflows.assemble import Memo, assemble, training_device

RESULTS = Path(__file__).parent / "results" / "generic_speed.csv"
SIZES = {"num_hidden_layers": 12, "hidden_size": 384, "num_attention_heads": 6, "max_position_embeddings": 512}
ENCODERS: dict[str, dict[str, Any]] = {
    "modernbert": {"intermediate_size": 1152},
    "modernbert, base's proportions": {"intermediate_size": 576},
    "eurobert": {"intermediate_size": 1536},
    "qwen3": {"intermediate_size": 1152, "num_key_value_heads": 2, "head_dim": 64},
}
"""What is said of each beside its sizes; the first word is transformers' model type."""
RECIPE = (
    "adapter={method: lora, targets: all, rank: 8, alpha: 16, dropout: 0.0, bias: none}",
    "data.classes=[]",
    "evaluate.baselines=false",
    "train.learning_rate=1e-4",
)
TRAINER, IN_ORDER, OURS = "Trainer + peft", "Trainer + peft, rankwise's batches", "rankwise"
COLUMNS = (
    "encoder",
    "data",
    "tokens",
    "rows",
    "updates",
    "threads",
    "repeats",
    "side",
    "cpu_seconds",
    "wall_seconds",
    "times_cpu",
    "times_wall",
    "loss_difference",
    "frozen_products",
    "processor",
)


@dataclass(frozen=True)
class Took:
    cpu: float
    wall: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True, type=Path, help="folders with a train file")
    parser.add_argument("--encoders", nargs="*", choices=ENCODERS, default=list(ENCODERS))
    parser.add_argument("--updates", type=int, default=30, help="of 16 rows")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    quiet()
    rows: list[dict[str, object]] = []
    for name in options.encoders:
        with tempfile.TemporaryDirectory() as folder:
            save_random(name, Path(folder))
            for data in options.data:
                rows += Pair(name, Path(folder), data, options).lines()
                show(rows, COLUMNS[:-1])
                write(RESULTS, COLUMNS, rows)


def save_random(name: str, folder: Path) -> None:
    """A random encoder with the embedded encoder's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(locate("minilm").location)
    ids = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": tokenizer.cls_token_id}
    ids |= {"cls_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    ids |= {"sep_token_id": tokenizer.sep_token_id}
    model_type = name.partition(",")[0]
    config = AutoConfig.for_model(model_type, vocab_size=len(tokenizer), **SIZES, **ids, **ENCODERS[name])
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


class Pair:
    """One encoder and one data set, and what each side took for the same rows."""

    def __init__(self, name: str, folder: Path, data: Path, options: argparse.Namespace) -> None:
        self.name, self.source, self.options = name, data, options
        changes = [f"base={folder}", f"data.source={data}", f"train.threads={options.threads}", *RECIPE]
        self.recipe = Recipe.load("rank4-adam", changes)
        self.labelled, self.memo = read_labelled(self.recipe.data), Memo()
        whole = self.job().data
        train = first(whole.train, 16 * options.updates)
        self.data = replace(whole, train=train, validation=first(whole.validation, 8))
        self.order = [row for batch in update_batches(train, self.recipe.train, epoch=0) for row in batch]

    def lines(self) -> list[dict[str, object]]:
        """A row of results for each side."""
        sides: Mapping[str, Callable[[], Took]] = {TRAINER: self.theirs, IN_ORDER: partial(self.theirs, in_order=True)}
        sides = {**sides, OURS: self.ours}
        took: dict[str, list[Took]] = {side: [] for side in sides}
        difference, share = self.loss_difference(), self.frozen_products()
        for repeat in range(self.options.repeats):
            for side, once in sides.items():
                took[side].append(once())
                last = took[side][-1]
                told = f"{last.cpu:.1f} CPU s, {last.wall:.1f} s ({repeat + 1} of {self.options.repeats})"
                print(f"  {self.name} · {self.source.name} · {side}: {told}", flush=True)
        cpu = {side: statistics.median(one.cpu for one in all_) for side, all_ in took.items()}
        wall = {side: statistics.median(one.wall for one in all_) for side, all_ in took.items()}
        return [
            {
                "encoder": self.name,
                "data": self.source.name,
                "tokens": round(float(self.data.train.tokens.lengths.mean()), 1),
                "rows": len(self.data.train),
                "updates": self.options.updates,
                "threads": self.options.threads,
                "repeats": self.options.repeats,
                "side": side,
                "cpu_seconds": round(cpu[side], 2),
                "wall_seconds": round(wall[side], 2),
                "times_cpu": "" if side == OURS else round(cpu[side] / cpu[OURS], 2),
                "times_wall": "" if side == OURS else round(wall[side] / wall[OURS], 2),
                "loss_difference": f"{difference:.1e}" if side == IN_ORDER else "",
                "frozen_products": round(share, 2) if side == OURS else "",
                "processor": processor(),
            }
            for side in sides
        ]

    def job(self, data: Prepared | None = None) -> Job:
        job = assemble(self.recipe, self.labelled, training_device(), memo=self.memo)
        return job if data is None else replace(job, data=data)

    def ours(self, *listeners: Listener, recipe: Recipe | None = None) -> Took:
        """A training by rankwise up to its last update: Trainer scores nothing afterwards."""
        job = self.job(self.data)
        job = job if recipe is None else replace(job, recipe=recipe)
        assert job.classifier.classes == self.data.classes, "loaded before the time counts"
        with tempfile.TemporaryDirectory() as folder:
            checkpoints = Checkpoints(Path(folder), keep=1, fingerprint="bench")
            accelerator = Accelerator(cpu=job.device.is_cpu)
            took: list[Took] = []

            def note(event: object) -> None:
                if isinstance(event, UpdateMade):
                    took.append(Took(time.process_time() - cpu, time.monotonic() - wall))

            wall, cpu = time.monotonic(), time.process_time()
            fit(job, checkpoints=checkpoints, accelerator=accelerator, events=Events(note, *listeners))
            return took[-1]

    def peer(self, *, in_order: bool, every_loss: bool = False) -> Trained:
        texts, labels = list(self.data.train.texts), self.data.train.labels
        order = self.order if in_order else range(len(texts))
        start = {name: weight.detach() for name, weight in self.job(self.data).classifier.trainable().items()}
        rows = [texts[row] for row in order], [labels[row] for row in order]
        how: dict[str, Any] = {"pad_to_max": False, "seed": 0, "in_order": in_order, "every_loss": every_loss}
        return trainer_peft(self.recipe, self.data.classes, rows, start=start, **how)

    def theirs(self, *, in_order: bool = False) -> Took:
        trained = self.peer(in_order=in_order)
        return Took(trained.cpu_seconds, trained.seconds)

    def frozen_products(self) -> float:
        """The share of the CPU time of rankwise's updates that products with frozen weights take."""
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], record_shapes=True) as profiler:
            self.ours()
        matrices = {frozenset((site.d_in, site.d_out)) for site in self.job().plan.sites}
        events = profiler.key_averages(group_by_input_shape=True)
        products = [event for event in events if event.key == "aten::mm" and frozenset(event.input_shapes[1]) in matrices]
        return sum(event.self_cpu_time_total for event in products) / sum(event.self_cpu_time_total for event in events)

    def loss_difference(self) -> float:
        """The largest difference of an update's loss, on the same batches from the same weights."""
        found: list[float] = []

        def note(event: object) -> None:
            if isinstance(event, UpdateLogged):
                found.append(event.loss)

        self.ours(note, recipe=self.recipe.with_overrides(["train.log_every=1"]))
        expected = self.peer(in_order=True, every_loss=True).losses
        return max(abs(one - other) for one, other in zip(found, expected, strict=True))


if __name__ == "__main__":
    main()
