"""Every architecture of transformers that classifies texts, tiny and random: what rankwise makes of it, step by step.

Writes results/architectures.json and, of all that is in it, docs/architectures.md: `python benchmarks/architectures.py`
(some minutes), `--onnx` exports too (half a minute each), `--only qwen3,bart` takes a few. Each one is planned from its
config.json, trained for three updates by LoRA on every linear layer under the head of its own class, saved, loaded again,
padded and merged, and once more under a pooled head.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.utils import logging as transformers_logging

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "helpers"))

from tiny_architectures import ARCHITECTURES, save_architecture  # noqa: E402

from rankwise.data.batches import Padding, collate  # noqa: E402
from rankwise.data.tokens import tokenize  # noqa: E402
from rankwise.encoders import architecture  # noqa: E402
from rankwise.encoders.base import Base, locate  # noqa: E402
from rankwise.encoders.encoder import Encoder  # noqa: E402
from rankwise.encoders.families import FAMILIES  # noqa: E402
from rankwise.encoders.finding import find  # noqa: E402
from rankwise.errors import Defect, RankwiseError  # noqa: E402
from rankwise.model import adapters, reading  # noqa: E402
from rankwise.model.classifier import Classifier, in_eval_mode, to_tensors  # noqa: E402
from rankwise.model.load import load_encoder, load_tokenizer, quiet  # noqa: E402
from rankwise.planning.plan import plan  # noqa: E402
from rankwise.recipe import Recipe  # noqa: E402

CLASSES = ("fruit", "metal", "river")
WORDS = [
    "apple",
    "pear",
    "plum",
    "cherry",
    "iron",
    "copper",
    "zinc",
    "tin",
    "danube",
    "rhine",
    "volga",
    "nile",
    "the",
    "a",
    "of",
    "and",
    "in",
    "near",
]
TEXTS = [
    "apple near the pear and a plum of the cherry in the plum",
    "iron and the zinc",
    "danube near the rhine and the volga",
]
UPDATES = 3
CLOSE = 2e-4  # of logits of a text alone and beside others, and of merged weights, relative and absolute
STEPS = ("plans", "trains", "reloads", "padding", "merges", "pooled", "ONNX")
RESULTS = ROOT / "benchmarks" / "results" / "architectures.json"
TABLE = ROOT / "docs" / "architectures.md"


@dataclass
class Row:
    """What became of one architecture."""

    name: str
    done: dict[str, str] = field(default_factory=dict)
    """Step → "yes", or why not."""
    reads: str = ""
    """Which token its head reads."""
    notes: list[str] = field(default_factory=list)
    """What takes no adapter, or learns nothing."""

    @property
    def whole(self) -> bool:
        """Whether every step but the export did what it should."""
        return all(said == "yes" for step, said in self.done.items() if step != "ONNX")

    def step(self, name: str, run: Callable[[], str | None]) -> bool:
        """Run a step; whether it did what it should. What it returns is why not."""
        try:
            with redirect_stderr(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                problem = run()
        except (
            RankwiseError,
            RuntimeError,
            ValueError,
            TypeError,
            AttributeError,
            KeyError,
            IndexError,
            AssertionError,
            ImportError,
        ) as error:
            said = (str(error).strip() or "without a word").splitlines()[0]
            problem = (
                said
                if isinstance(error, RankwiseError) and not isinstance(error, Defect)
                else f"{type(error).__name__}: {said}"
            )
            if "--trace" in sys.argv:
                traceback.print_exc(file=sys.stdout)
        self.done[name] = problem or "yes"
        return problem is None


class Trial:
    """One architecture, tiny, on its way."""

    def __init__(self, model_type: str, folder: Path) -> None:
        self.model_type, self.folder = model_type, folder
        self.base: Base
        self.stock: Encoder
        self.classifier: Classifier
        self.tokenizer: Any
        self.idle: list[str] = []

    def make(self) -> None:
        save_architecture(self.model_type, self.folder / "base", WORDS)

    def plan(self) -> str | None:
        self.base = locate(str(self.folder / "base"))
        self.stock = find(self.base.location, classes=len(CLASSES))
        live, _ = load_encoder(self.base, CLASSES, seed=0, config=self.stock.config)
        shapes = {name: tuple(weight.shape) for name, weight in live.named_parameters()}
        if differing := sorted(set(shapes.items()) ^ set(self.stock.tensors().items())):
            return f"{differing[0][0]} is described otherwise"
        self.tokenizer = load_tokenizer(self.base)
        self.tokenizer.padding_side = self.stock.traits.padding_side or self.tokenizer.padding_side
        self.build(head="stock")
        return None

    def build(self, *, head: str) -> None:
        method = "lora" if self.stock.sites else "bias"
        fixed = ["budget.parameters=null", f"adapter.method={method}", "adapter.targets=all", "adapter.rank=2"]
        fixed += [f"base={self.base.location}", "data.max_length=32", f"head.kind={head}"]
        planned = plan(Recipe(name="tiny").with_overrides(fixed), classes=len(CLASSES), encoder=self.stock)
        self.classifier = adapters.build(self.base, planned, CLASSES, seed=0)  # which holds plan and model against each other

    def pool(self) -> str | None:
        """The same under a pooled head: planned, trained and loaded again."""
        self.build(head="pooled")
        return self.train() or self.save()

    def train(self) -> str | None:
        model = self.classifier.model.train()
        trained = self.classifier.trainable()
        optimizer = torch.optim.AdamW(trained.values(), lr=1e-2)
        seen: set[str] = set()
        for _ in range(UPDATES):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self.classifier.logits(self.batch()), torch.tensor([0, 1, 2]))
            loss.backward()
            optimizer.step()
            seen |= {name for name, weight in trained.items() if weight.grad is not None and weight.grad.any()}
        model.eval()
        self.idle = sorted(trained.keys() - seen)
        return f"none of {len(trained)} trained tensors gets a gradient" if not seen else None

    def save(self) -> str | None:
        out = Path(tempfile.mkdtemp(dir=self.folder))
        adapters.save(self.classifier, out, base=self.base)
        again = adapters.load(out, self.base, self.classifier.plan, CLASSES)
        before, after = self.logits(self.classifier), self.logits(again)
        return None if torch.equal(before, after) else f"logits differ by {(before - after).abs().max():.2g} after reloading"

    def padding(self) -> str | None:
        alone = torch.cat([self.logits(self.classifier, [text]) for text in TEXTS])
        far = CLOSE * (1 + float(alone.abs().max()))
        off = {side: float((self.logits(self.classifier, TEXTS, side) - alone).abs().max()) for side in ("right", "left")}
        self.sides = tuple(side for side, by in off.items() if by <= far)
        wrong = off[self.tokenizer.padding_side]
        return None if wrong <= far else f"logits change with padding by {wrong:.2g}"

    def merge(self) -> str | None:
        merged = adapters.merged(self.classifier)
        before, after = self.logits(self.classifier), self.logits(Classifier(merged, self.classifier.plan, CLASSES))
        return (
            None
            if torch.allclose(before, after, rtol=CLOSE, atol=CLOSE)
            else f"logits differ by {(before - after).abs().max():.2g}"
        )

    def export(self) -> str | None:
        from rankwise.run.export.onnx import export, probe_batches

        export(self.classifier, probe_batches(self.tokenizer, 24), self.folder / "model.onnx")
        return None

    def batch(self, texts: list[str] = TEXTS, side: str | None = None) -> dict[str, torch.Tensor]:
        padding = Padding.of(self.tokenizer)
        padding = padding if side is None else Padding(padding.token, padding.segment, left=side == "left")
        return to_tensors(collate(tokenize(self.tokenizer, texts, max_length=32), range(len(texts)), padding))

    def logits(self, classifier: Classifier, texts: list[str] = TEXTS, side: str | None = None) -> torch.Tensor:
        with in_eval_mode(classifier.model):
            return classifier.logits(self.batch(texts, side))


def row_of(model_type: str, *, onnx: bool) -> Row:
    """What becomes of an architecture, step by step; a step that fails ends those which need it."""
    row = Row(model_type)
    with tempfile.TemporaryDirectory() as folder, quiet():
        trial = Trial(model_type, Path(folder))
        if not (row.step("builds", trial.make) and row.step("plans", trial.plan)):
            return row
        row.reads, row.notes = trial.stock.reads, list(trial.stock.notes)
        if row.step("trains", trial.train):
            if trial.idle:
                row.notes.append(f"{len(trial.idle)} trained tensors got no gradient of these texts, such as {trial.idle[0]}")
            row.step("reloads", trial.save)
            row.step("padding", trial.padding)
            row.step("merges", trial.merge)
            if onnx:
                row.step("ONNX", trial.export)
        if trial.stock.traits.pools:
            row.step("pooled", trial.pool)
    return row


def page(rows: list[Row]) -> str:
    """The page of all rows."""
    whole = sum(row.whole for row in rows)
    versions = ", ".join(f"{name} {version(name)}" for name in ("transformers", "peft", "torch", "onnxruntime"))
    lines = [
        "# Architectures",
        "",
        "Every architecture that transformers has a class for which classifies texts, tiny and random, as "
        f"`python benchmarks/architectures.py` found it ({versions}, on a CPU). {whole} of {len(rows)} pass every step but",
        "ONNX:",
        "",
        "- **plans**: every tensor that is described is the live model's, by name and shape; what is planned trains",
        f"- **trains**: {UPDATES} updates of LoRA on every linear layer, or of biases without any, under its class's head",
        "- **reloads**: what is saved gives the same logits to the bit",
        "- **padding**: a text's logits are the same alone and beside longer ones, on the side where rankwise pads",
        "- **merges**: weights with the adapters in them give the same logits",
        "- **pooled**: the same under a pooled head, which is the usual one; a dash where its last hidden states are not one",
        "  for each token",
        "- **ONNX**: the exported classifier gives torch's logits in shapes of many kinds; a dash where that was not tried",
        "",
        f"| architecture | reads | {' | '.join(STEPS)} |",
        f"|---|---|{'---|' * len(STEPS)}",
    ]
    for row in rows:
        own = " (own file)" if row.name in FAMILIES else ""
        marks = ("yes" if row.done.get(step) == "yes" else "no" if step in row.done else "-" for step in STEPS)
        lines.append(f"| {row.name}{own} | {row.reads} | {' | '.join(marks)} |")
    lines += ["", "## What does not, and why", ""]
    lines += [f"- **{row.name}**, {step}: {said}" for row in rows for step, said in row.done.items() if said != "yes"]
    lines += ["", "## What takes no adapter, or learns nothing", ""]
    lines += [f"- **{row.name}**: {note}" for row in rows for note in row.notes]
    return "\n".join(lines) + "\n"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--only", help="a few model types, with commas")
    words.add_argument("--trace", action="store_true", help="print where a step failed")
    words.add_argument("--onnx", action="store_true", help="export each, too")
    given = words.parse_args()
    transformers_logging.set_verbosity_error()
    architecture._read_apart = lambda config: reading.read(json.loads(config))  # in this process, which has loaded torch
    known = {row["name"]: Row(**row) for row in json.loads(RESULTS.read_text("utf-8"))} if RESULTS.is_file() else {}
    for model_type in given.only.split(",") if given.only else ARCHITECTURES:
        row = row_of(model_type, onnx=given.onnx)
        if not given.onnx and model_type in known and "ONNX" in known[model_type].done:
            row.done["ONNX"] = known[model_type].done["ONNX"]
        known[model_type] = row
        told = "; ".join(f"{step}: {said}" for step, said in row.done.items() if said != "yes")
        print(f"{row.name:22} {told or 'all'}", flush=True)
        rows = [known[name] for name in ARCHITECTURES if name in known]
        RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
    TABLE.write_text(page(rows), "utf-8")
    print(sum(row.whole for row in rows), "of", len(rows))


if __name__ == "__main__":
    main()
