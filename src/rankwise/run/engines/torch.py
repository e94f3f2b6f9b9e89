"""A run computed by torch: on a GPU where there is one, in fp32 or in bf16 where the hardware multiplies it."""

from __future__ import annotations

from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model import adapters
from rankwise.model.classifier import Classifier
from rankwise.run.engines.saved import SavedRun
from rankwise.system.device import Device


def scorer(run: SavedRun) -> TorchScorer:
    """The run in fp32."""
    return TorchScorer(_classifier(run))


def fast_scorer(run: SavedRun) -> TorchScorer:
    """The run in bf16, or in fp32 where the hardware lacks it."""
    return TorchScorer(_classifier(run), Device.for_predictions().resolve_precision("auto"))


def dropout_scorer(run: SavedRun) -> DropoutScorer:
    """The run in fp32 with dropout on, on a classifier of its own."""
    return DropoutScorer(_classifier(run))


def fast_dropout_scorer(run: SavedRun) -> DropoutScorer:
    """The run in bf16, where the hardware has it, with dropout on, on a classifier of its own."""
    return DropoutScorer(_classifier(run), Device.for_predictions().resolve_precision("auto"))


def _classifier(run: SavedRun) -> Classifier:
    device = Device.for_predictions().torch_device
    return adapters.load(run.folder, run.base(), run.plan(), run.preprocessing.classes).to(device)
