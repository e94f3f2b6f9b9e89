"""A run computed by torch: on a GPU where there is one, in fp32 or in bf16 where the hardware multiplies it."""

from rankwise.inference.torch_scorer import DropoutScorer, TorchScorer
from rankwise.model.skeleton import read_folded
from rankwise.run.consistency import checked
from rankwise.run.engines import SavedRun
from rankwise.system.device import Device


def scorer(run: SavedRun, precision: str) -> TorchScorer:
    """The run for plain passes: read without transformers and peft where that gives the same logits."""
    device = Device.for_predictions()
    with checked(run) as plan:
        folded = read_folded(run.folder, run.base(), plan, run.preprocessing.classes)
    classifier = folded or run.classifier()
    return TorchScorer(classifier.to(device.torch_device), device.resolve_precision(precision))


def dropout_scorer(run: SavedRun, precision: str) -> DropoutScorer:
    """The run with dropout on, on a classifier of its own."""
    device = Device.for_predictions()
    return DropoutScorer(run.classifier().to(device.torch_device), device.resolve_precision(precision))
