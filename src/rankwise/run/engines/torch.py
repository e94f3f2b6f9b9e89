"""A run computed by torch: on a GPU where there is one, in fp32 or in bf16 where the hardware multiplies it."""

from __future__ import annotations

from rankwise.errors import require
from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model.classifier import Classifier
from rankwise.model.skeleton import FoldedClassifier, read_folded
from rankwise.run.engines.saved import SavedRun
from rankwise.system.device import Device


def scorer(run: SavedRun) -> TorchScorer:
    """The run in fp32."""
    return TorchScorer(_folded(run))


def fast_scorer(run: SavedRun) -> TorchScorer:
    """The run in bf16, or in fp32 where the hardware lacks it."""
    return TorchScorer(_folded(run), Device.for_predictions().resolve_precision("auto"))


def dropout_scorer(run: SavedRun) -> DropoutScorer:
    """The run in fp32 with dropout on, on a classifier of its own."""
    return DropoutScorer(_classifier(run))


def fast_dropout_scorer(run: SavedRun) -> DropoutScorer:
    """The run in bf16, where the hardware has it, with dropout on, on a classifier of its own."""
    return DropoutScorer(_classifier(run), Device.for_predictions().resolve_precision("auto"))


def _folded(run: SavedRun) -> Classifier | FoldedClassifier:
    """The run for plain passes: read without transformers and peft where that gives the same logits."""
    base, plan = run.base(), run.plan()
    folded = read_folded(run.folder, base, plan, run.preprocessing.classes)
    return folded.to(Device.for_predictions().torch_device) if folded else _classifier(run)


def _classifier(run: SavedRun) -> Classifier:
    """The run with its adapters and its dropout, as peft has them."""
    adapters = require("rankwise.model.adapters", extra="train")
    device = Device.for_predictions().torch_device
    loaded: Classifier = adapters.load(run.folder, run.base(), run.plan(), run.preprocessing.classes)
    return loaded.to(device)
