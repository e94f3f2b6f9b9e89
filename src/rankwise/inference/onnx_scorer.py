"""An exported classifier computed by ONNX Runtime on the CPU; run/export/onnx.py writes the file. Needs the extra `onnx`.

The graph takes what the tokenizer gives, `input_ids`, `attention_mask` and, where it has any, `token_type_ids`, each
int64 (B, T), and gives `logits`, fp32 (B, C). B and T are free.

A file ends in its seal, an entry of its metadata that holds the sha256 of all before it: whoever copies the file takes the
digest along, and every other reader of ONNX sees one more entry.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import Batch
from rankwise.errors import ModelError, require
from rankwise.system.cores import default_threads

TOLERANCE = 1e-4  # the largest difference of a logit from torch's that an export may have
DIFFERENCE = "rankwise.difference"  # in the file's metadata: the largest difference found when it was made,
SOURCE = "rankwise.source"  # what it was made from, in the caller's words,
QUANTIZED = "rankwise.quantized"  # and, of weights in 8 bits, what they cost, in words
DIGITS = 64  # of a sha256
SEAL_KEY = "rankwise.sha256"
_ENTRY = (
    b"\x0a\x0f" + SEAL_KEY.encode() + b"\x12" + bytes([DIGITS])
)  # a protobuf message: field 1 is the key, field 2 the value
SEAL = b"\x72" + bytes([len(_ENTRY) + DIGITS]) + _ENTRY  # field 14 of the model, metadata_props; the digest comes after it
PIECE = 1 << 24  # bytes hashed at once
SPIN = "1000"  # microseconds that a thread waits awake: more than lies between two operators, and then the core is others'


@dataclass(frozen=True)
class OnnxScorer:
    """An ONNX file in ONNX Runtime, whose sessions several threads may use at once."""

    session: Any = field(repr=False)
    """An onnxruntime.InferenceSession."""
    classes: tuple[str, ...]
    path: Path
    difference: float
    """The largest difference of a logit from torch's, found at export."""
    source: str
    """What the file was made from, as `export` was told."""
    quantized: str = ""
    """What weights in 8 bits cost, in words; empty where they are as trained."""
    one_by_one: bool = False
    """Whether each text is computed alone, without padding."""
    note: str = ""
    """What a person should know of the file."""

    @property
    def about(self) -> str:
        """How close the file comes to torch, where it is, and what else there is to know of it."""
        where = f"{self.path}{self.note and f' ({self.note})'}"
        if self.quantized:
            return f"ONNX Runtime, weights in 8 bits: {self.quantized}; {where}"
        return f"ONNX Runtime: logits within {self.difference:.0e} of torch's (tolerance {TOLERANCE:.0e}); {where}"

    def logits(self, batch: Batch) -> NDArray[np.float32]:
        """Logits (B, C) in fp32, the precision of the file. Raises ModelError for inputs that the graph does not have.

        One by one, a text's logits do not depend on its batch.
        """
        parts = _one_by_one(batch) if self.one_by_one else [batch]
        return np.concatenate([self._computed(part) for part in parts])

    def _computed(self, batch: Batch) -> NDArray[np.float32]:
        try:
            (values,) = self.session.run(["logits"], dict(batch))
        except _errors("InvalidArgument", "RuntimeException", "NotImplemented", "Fail") as error:
            raise ModelError(f"ONNX Runtime can't run this classifier: {_first_line(error)}") from error
        logits = np.asarray(values, dtype=np.float32)  # (B, C)
        if logits.shape[-1] != len(self.classes):
            raise ModelError(f"{self.path}: logits of {logits.shape[-1]} classes, not {len(self.classes)}; delete it")
        return logits


def load_onnx(path: Path, classes: Sequence[str], *, threads: int | None = None, in_8_bits: bool = False) -> OnnxScorer:
    """The classifier in an exported file, on as many threads as the process may use when none are given.

    Products of weights in 8 bits are fused with their scales. Activations have one scale a batch, by which a text's answer
    would depend on what else is asked, so each text is computed alone, which takes no longer in ONNX Runtime 1.31. Products
    of fp32 are left as they are: SkipLayerNormalization and BiasGelu take longer than what they stand for, 10 to 15 % of a
    pass in that version with AVX2.

    Raises MissingExtra without ONNX Runtime, ModelError for a file that it can't load, or that is not as `sealed` made it.
    """
    runtime = require("onnxruntime", extra="onnx")
    if not is_whole(path):
        raise ModelError(
            f"{path}: not what rankwise exported (its sha256 differs, or it has none); copy it again, or delete it and it is "
            "made again, where torch is"
        )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or default_threads()
    options.inter_op_num_threads = 1
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if in_8_bits else levels.ORT_ENABLE_BASIC
    options.add_session_config_entry("session.intra_op.spin_duration_us", SPIN)
    options.log_severity_level = 4  # errors are raised, so need no line of their own
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _errors("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NotImplemented", "Fail") as error:
        reason = _first_line(error)
        raise ModelError(f"{path}: ONNX Runtime can't load it ({reason}); delete it, and it is made again") from error
    known = session.get_modelmeta().custom_metadata_map
    cost = known.get(QUANTIZED, "")
    return OnnxScorer(session, tuple(classes), path, float(known[DIFFERENCE]), known[SOURCE], cost, in_8_bits)


def _one_by_one(batch: Batch) -> Iterator[Batch]:
    """The inputs (1, T) of each row, without its padding."""
    for row, mask in enumerate(batch["attention_mask"] == 1):
        yield {name: values[row : row + 1, mask] for name, values in batch.items()}


def sealed(graph: bytes) -> bytes:
    """An ONNX file's bytes with their digest at the end."""
    return graph + SEAL + hashlib.sha256(graph).hexdigest().encode()


def is_whole(path: Path) -> bool:
    """Whether a file, which must be there, is to the byte what `sealed` gave."""
    left, total = path.stat().st_size - len(SEAL) - DIGITS, hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(PIECE, left))):
            total.update(piece)
            left -= len(piece)
        return file.read() == SEAL + total.hexdigest().encode()


def _errors(*names: str) -> tuple[type[Exception], ...]:
    """ONNX Runtime's own exceptions, which have no common base."""
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    return tuple(getattr(state, name) for name in names)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
