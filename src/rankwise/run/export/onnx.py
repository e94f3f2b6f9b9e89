"""A classifier as one ONNX file, its adapters merged, held against torch's logits; and ONNX Runtime to run it.

The graph takes what the tokenizer gives, `input_ids`, `attention_mask` and, where it has any, `token_type_ids`, each
int64 (B, T), and gives `logits`, fp32 (B, C). B and T are free. Dropout is gone. Needs the extra `onnx`.
"""

from __future__ import annotations

import logging
import os
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankwise.errors import ModelError, ReloadMismatch, require
from rankwise.model.adapters import Classifier, merged
from rankwise.planning.plan import Plan

OPSET = 23  # the first with Attention: a smaller graph than 20's, and a few percent faster; a family may need another
TOLERANCE = 1e-4  # the largest difference of a logit from torch's
LARGEST_FILE = 2**31 - 1  # bytes in a protobuf message
DIFFERENCE = "rankwise.difference"  # in the file's metadata: the largest difference found when it was made,
SOURCE = "rankwise.source"  # and what it was made from, in the caller's words
NO_DROPOUT = "an exported classifier has no dropout; for mc_dropout, type --engine torch (engine='torch')"

Batch = Mapping[str, Tensor]
"""int64 (B, T) by input name."""


@dataclass(frozen=True)
class OnnxClassifier(Classifier):
    """An exported classifier in ONNX Runtime, on the CPU: it gives logits, and cannot train."""

    path: Path
    difference: float
    """The largest difference of a logit from torch's, found at export."""
    source: str
    """What `export` was told."""

    def logits(self, inputs: Batch, **_: Any) -> Tensor:
        """Logits (B, C) in fp32, the precision of the file. Raises ModelError for inputs that the graph does not have."""
        found: Tensor = self.model(inputs)
        return found  # (B, C)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")


def load_onnx(path: Path, plan: Plan, classes: Sequence[str], *, threads: int | None = None) -> OnnxClassifier:
    """The classifier that `export` wrote, on as many threads as torch uses when none are given.

    Raises MissingExtra without ONNX Runtime, ModelError for a file that it can't load or that isn't one of ours.
    """
    runtime = require("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised, so need no line of their own
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _errors("InvalidProtobuf", "InvalidGraph", "NoSuchFile", "NotImplemented", "Fail") as error:
        reason = _first_line(error)
        raise ModelError(f"{path}: ONNX Runtime can't load it ({reason}); delete it, and it is made again") from error
    known = session.get_modelmeta().custom_metadata_map
    if DIFFERENCE not in known:
        raise ModelError(f"{path}: this ONNX file was not made by rankwise; delete it, or give another path")
    return OnnxClassifier(_Session(session).eval(), plan, tuple(classes), path, float(known[DIFFERENCE]), known[SOURCE])


def export(classifier: Classifier, batches: Sequence[Batch], path: Path, *, source: str = "") -> float:
    """Write the classifier to `path`; the largest difference of its logits from torch's over `batches`.

    `source` is kept in the file, for telling whether an existing one is of the same classifier.

    The first batch is the example that the graph is traced with; the others must have other shapes, for a graph that
    holds on to the example's is caught by them only. The file appears whole or not at all, whatever else writes it.
    Raises ModelError for a model that can't be exported, ReloadMismatch beyond TOLERANCE.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, extra="onnx")
    _check_exportable(classifier)
    reference = _torch_logits(classifier, batches)
    program = _program(classifier, batches[0])
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.stem}-{uuid.uuid4().hex}.onnx")  # others may export the same
    try:
        difference = 0.0
        program.model.metadata_props[SOURCE] = source
        for _ in range(2):  # the second time with what comparing the first has found
            program.model.metadata_props[DIFFERENCE] = repr(difference)
            program.save(written, external_data=False)
            difference = _difference(load_onnx(written, classifier.plan, classifier.classes), batches, reference)
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)
    return difference


class _Session(nn.Module):
    """ONNX Runtime where a torch model is expected: inputs (B, T) → logits (B, C), in evaluation mode only."""

    def __init__(self, session: Any) -> None:
        super().__init__()
        self.session = session

    def train(self, mode: bool = True) -> Self:
        if mode:
            raise ModelError(NO_DROPOUT)
        return super().train(mode)

    def forward(self, inputs: Batch) -> Tensor:
        try:
            (found,) = self.session.run(["logits"], {name: tensor.numpy() for name, tensor in inputs.items()})
        except _errors("InvalidArgument", "RuntimeException", "NotImplemented", "Fail") as error:
            raise ModelError(f"ONNX Runtime can't run this classifier: {_first_line(error)}") from error
        return torch.from_numpy(found)  # (B, C)


class _Logits(nn.Module):
    """A transformers classifier that gives its logits only."""

    def __init__(self, model: Any, *, float_mask: bool) -> None:
        super().__init__()
        self.model = model
        self.float_mask = float_mask

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        mask = attention_mask.float() if self.float_mask else attention_mask
        segments = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: Tensor = self.model(input_ids=input_ids, attention_mask=mask, **segments).logits
        return logits  # (B, C)


def _check_exportable(classifier: Classifier) -> None:
    if classifier.plan.adapter.quantize != "none":
        raise ModelError(
            "this run keeps its encoder in 4 bits, which ONNX has no operators for; type --engine torch (engine='torch')"
        )
    size = sum(weight.numel() * 4 for weight in classifier.model.parameters())
    if size > LARGEST_FILE:
        raise ModelError(
            f"{classifier.plan.encoder.name}: {size:,} bytes of weights, and one ONNX file holds {LARGEST_FILE:,}; "
            "type --engine torch (engine='torch')"
        )


def _torch_logits(classifier: Classifier, batches: Sequence[Batch]) -> list[NDArray[np.float32]]:
    model = classifier.model.eval()
    with torch.inference_mode():
        return [
            model(**{name: tensor.to(classifier.device) for name, tensor in batch.items()}).logits.float().cpu().numpy()
            for batch in batches
        ]


def _program(classifier: Classifier, example: Batch) -> Any:
    """The graph of the classifier with its adapters merged; the classifier stays as it is."""
    model, family = merged(classifier), classifier.plan.encoder.traits
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet(), torch.no_grad():
            return torch.onnx.export(
                _Logits(model, float_mask=family.onnx_float_mask).eval(),
                kwargs=dict(example),
                dynamic_shapes=dict.fromkeys(example, free),
                output_names=["logits"],
                opset_version=family.onnx_opset or OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"{classifier.plan.encoder.name}: torch {torch.__version__} can't export this encoder to ONNX; "
            "type --engine torch (engine='torch')"
        ) from error


def _difference(exported: OnnxClassifier, batches: Sequence[Batch], reference: Sequence[NDArray[np.float32]]) -> float:
    pairs = zip(batches, reference, strict=True)
    found = float(np.max([np.abs(exported.logits(batch).numpy() - expected).max() for batch, expected in pairs]))
    if not found <= TOLERANCE:  # nor may it be NaN
        raise ReloadMismatch(
            f"the exported classifier's logits differ from torch's by up to {found:.2e}, more than {TOLERANCE:.0e}; "
            "it was not kept; type --engine torch (engine='torch')"
        )
    return found


def _errors(*names: str) -> tuple[type[Exception], ...]:
    """ONNX Runtime's own exceptions, which have no common base."""
    state = require("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    return tuple(getattr(state, name) for name in names)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports on torchvision, constants and its own deprecated calls; none is the user's doing."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
