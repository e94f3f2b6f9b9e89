"""What computes the logits of whatever was taken from the queue at once: works of one run or of many.

Shapes: N texts of a work, C classes of its run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from rankwise.serving.catalogue import Served


@dataclass(frozen=True)
class Work:
    """Some texts for one run."""

    run: Served
    read: Any
    """What the run's predictor reads of them."""


class Engine(Protocol):
    """Computes works, one call at a time."""

    def logits(self, work: Sequence[Work]) -> list[NDArray[np.float32]]:
        """Logits (N, C) of each work, which do not depend on the others."""


class EachAlone:
    """Every work by its run's own predictor: to the bit what `Run.predict` gives of the same texts."""

    def logits(self, work: Sequence[Work]) -> list[NDArray[np.float32]]:
        return [one.run.predictor.logits(one.read) for one in work]
