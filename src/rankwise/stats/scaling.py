"""Logits → probabilities that are as often right as they say: divided by a temperature, shifted by a bias for each class.

Guo et al. (arXiv 1706.04599): temperature scaling is softmax(z / T), which changes how sure a classifier is and not what it
answers; with a bias, softmax(z / T + b), the classes' shares are set right too. Applying takes numpy alone, since serving
does; `stats.calibration` fits. Shapes: N rows, C classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scaling:
    """A temperature, and a bias for each class or none; as it stands, what changes nothing."""

    temperature: float = 1.0
    bias: tuple[float, ...] = ()
    """(C,), or empty for none."""

    def probabilities(self, logits: NDArray[np.floating[Any]]) -> Floats:
        """The softmax of scaled logits (N, C), in double precision; logarithms of probabilities do as logits."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        if self.bias:
            scaled = scaled + np.array(self.bias)
        exponents = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=-1, keepdims=True))
