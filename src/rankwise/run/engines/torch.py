"""A run computed by torch: on a GPU where there is one, in fp32 or in bf16 where the hardware multiplies it."""

from rankwise.errors import require
from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model.classifier import Classifier
from rankwise.model.skeleton import read_folded
from rankwise.run.engines import SavedRun
from rankwise.system.device import Device


def scorer(run: SavedRun, precision: str) -> TorchScorer:
    """The run for plain passes: read without transformers and peft where that gives the same logits."""
    device = Device.for_predictions()
    folded = read_folded(run.folder, run.base(), run.plan(), run.preprocessing.classes)
    classifier = folded.to(device.torch_device) if folded else _with_adapters(run, device)
    return TorchScorer(classifier, device.resolve_precision(precision))


def dropout_scorer(run: SavedRun, precision: str) -> DropoutScorer:
    """The run with dropout on, on a classifier of its own."""
    device = Device.for_predictions()
    return DropoutScorer(_with_adapters(run, device), device.resolve_precision(precision))


def _with_adapters(run: SavedRun, device: Device) -> Classifier:
    """The run with its adapters and its dropout, as peft has them."""
    adapters = require("rankwise.model.adapters", extra="train")
    loaded: Classifier = adapters.load(run.folder, run.base(), run.plan(), run.preprocessing.classes)
    return loaded.to(device.torch_device)
