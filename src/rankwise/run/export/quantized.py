"""An exported classifier → the same with its weights in 8 bits, by ONNX Runtime's own dynamic quantisation.

Each channel of a weight has a scale of its own, and activations get theirs as they come, so nothing is calibrated. Weights
use 7 of the 8 bits: processors without VNNI add pairs of products in 16 bits, which a full range overflows without a word,
and a file that is right on this machine would be wrong on another.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rankwise.errors import require
from rankwise.inference.onnx_scorer import QUANTIZED, SEAL_KEY, sealed


def quantize(exported: Path, path: Path) -> None:
    """Write the classifier of an exported file to `path` with its weights in 8 bits, some quarter of the size."""
    onnx, quantization = (require(module, extra="export") for module in ("onnx", "onnxruntime.quantization"))
    model = onnx.load(exported)
    _forget(model, SEAL_KEY)
    with _quiet():
        quantization.quantize_dynamic(
            model, path, per_channel=True, reduce_range=True, weight_type=quantization.QuantType.QInt8
        )


def seal(path: Path, cost: str) -> None:
    """Note in a quantised file what its 8 bits cost, in words, and seal it."""
    onnx = require("onnx", extra="export")
    model = onnx.load(path)
    for key in (QUANTIZED, SEAL_KEY):
        _forget(model, key)
    model.metadata_props.add(key=QUANTIZED, value=cost)
    path.write_bytes(sealed(model.SerializeToString()))


def _forget(model: object, key: str) -> None:
    entries = model.metadata_props  # type: ignore[attr-defined]
    for place in [place for place, entry in enumerate(entries) if entry.key == key][::-1]:
        del entries[place]


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises, through the root logger, to infer shapes first, which torch's exporter has done."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
