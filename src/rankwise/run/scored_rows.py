"""What a run said of each test row, in a Parquet file, so that runs can be compared row by row: N rows, C classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet


@dataclass(frozen=True)
class ScoredRows:
    """What a run said of each test row, so that runs can be compared row by row: N rows, C classes."""

    rows: NDArray[np.int64]
    """(N,) numbers of the rows in the test file, as its source counts them."""
    truth: NDArray[np.int64]
    """(N,) class numbers, -1 for a class the run does not know."""
    probabilities: NDArray[np.float32]
    """(N, C)"""

    def write(self, path: Path, classes: Sequence[str]) -> None:
        width = self.probabilities.shape[1]
        flat = pa.array(np.ascontiguousarray(self.probabilities).reshape(-1))
        named = [classes[label] if label >= 0 else None for label in self.truth]
        columns = {
            "row": pa.array(self.rows),
            "label": pa.array(named, pa.string()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, width),
        }
        parquet.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path, classes: Sequence[str]) -> ScoredRows:
        table = parquet.read_table(path)
        number = {name: place for place, name in enumerate(classes)}
        truth = np.array([number.get(label, -1) for label in table["label"].to_pylist()], dtype=np.int64)
        flat = table["probabilities"].combine_chunks().flatten().to_numpy()
        return cls(table["row"].to_numpy(), truth, flat.reshape(len(table), -1))
