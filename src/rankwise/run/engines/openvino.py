"""A run in OpenVINO, which `rankwise export` has made and held against the run."""

from rankwise.inference.openvino_scorer import OpenVinoScorer, load_openvino
from rankwise.run.deployed import check_deployed
from rankwise.run.engines import SavedRun


def scorer(run: SavedRun, _: str) -> OpenVinoScorer:
    """The run's export. Raises RunError where there is none, or one of another run."""
    return load_openvino(check_deployed(run.folder, "openvino"), run.preprocessing.classes)
