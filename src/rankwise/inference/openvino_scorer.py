"""An exported classifier computed by OpenVINO on the CPU. Needs the extra `openvino`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Batch
from rankwise.errors import ModelError, require
from rankwise.system.cores import default_threads


@dataclass(frozen=True)
class OpenVinoScorer:
    """A classifier in OpenVINO, which several threads may use at once: each pass has a request of its own."""

    model: Any = field(repr=False)
    """An openvino.CompiledModel."""
    classes: tuple[str, ...]
    path: Path

    @property
    def about(self) -> str:
        """Where the file is."""
        return f"OpenVINO, in fp32: {self.path}"

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits (B, C). Raises ModelError for inputs that the graph does not have."""
        try:
            found = self.model.create_infer_request().infer(dict(batch))
        except RuntimeError as error:
            raise ModelError(f"OpenVINO can't run this classifier: {str(error).strip().splitlines()[-1]}") from error
        return np.array(found[self.model.output(0)], dtype=np.float32)  # a copy, for the request's memory goes with it


def load_openvino(path: Path, classes: Sequence[str], *, threads: int | None = None) -> OpenVinoScorer:
    """The classifier in an exported file, in fp32 whatever else the processor multiplies.

    Raises MissingExtra without OpenVINO, ModelError for a file that it can't load.
    """
    openvino = require("openvino", extra="openvino")
    settings = {"INFERENCE_NUM_THREADS": threads or default_threads(), "INFERENCE_PRECISION_HINT": "f32"}
    settings |= {"PERFORMANCE_HINT": "LATENCY"}
    try:
        model = openvino.Core().compile_model(str(path), "CPU", settings)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise ModelError(f"{path}: OpenVINO can't load it ({reason}); make it again with rankwise export") from error
    return OpenVinoScorer(model, tuple(classes), path)
