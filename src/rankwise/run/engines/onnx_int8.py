"""A run in ONNX Runtime with its weights in 8 bits, which `rankwise export` has made and held against the run."""

from rankwise.inference.onnx_scorer import OnnxScorer, load_onnx
from rankwise.run.deployed import check_deployed
from rankwise.run.engines import SavedRun


def scorer(run: SavedRun, _: str) -> OnnxScorer:
    """The run's export. Raises RunError where there is none, or one of another run."""
    return load_onnx(check_deployed(run.folder, "onnx-int8"), run.preprocessing.classes, in_8_bits=True)
