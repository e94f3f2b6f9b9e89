"""A classifier → one ONNX file, its adapters merged, held against torch's logits. Dropout is gone.

inference/onnx_scorer.py runs the file, and says what goes into its graph and comes out. Needs the extra `export`.
"""

import logging
import os
import uuid
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import starmap
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rankwise.data.batches import Batch, Padding, collate
from rankwise.data.pairs import pair_of
from rankwise.data.tokens import tokenize
from rankwise.errors import ModelError, ReloadMismatch, require
from rankwise.inference.onnx_scorer import DIFFERENCE, SOURCE, TOLERANCE, OnnxScorer, load_onnx, sealed
from rankwise.model import adapters
from rankwise.model.classifier import Classifier, in_eval_mode, to_tensors
from rankwise.model.forward import Forward
from rankwise.model.load import tokenizer_in
from rankwise.planning.operations import has_fast_path
from rankwise.planning.plan import Plan
from rankwise.run.engines import SavedRun
from rankwise.system.storage import sync

OPSET = 23  # the first with Attention: a smaller graph than 20's, and a few percent faster; a family may need another
PROBE_TEXTS = 16  # whose logits are compared on two engines
LARGEST_FILE = 2**31 - 1  # bytes in a protobuf message


def export_run(run: SavedRun, path: Path, *, source: str) -> float:
    """Write a run's classifier to `path`, as `export` does, held against torch's in shapes of many kinds."""
    return export(run.classifier(), probes_of(run), path, source=source)


def probes_of(run: SavedRun) -> list[Batch]:
    """Batches of many shapes for a run's classifier, as `probe_batches` makes them."""
    about = run.preprocessing
    return probe_batches(tokenizer_in(run.folder), about.max_length, pairs=about.reads_pairs)


def probe_batches(tokenizer: Any, max_length: int, *, pairs: bool = False) -> list[Batch]:
    """Batches of random words in many shapes: an example of 2 texts, then 1 to 4 texts of 0 words up to the max length.

    Of `pairs` each text is cut in two, so that its second half has the segment ids of a second text.
    """
    words = sorted(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens))
    rng = np.random.default_rng(0)
    counts = np.geomspace(1, max_length, PROBE_TEXTS).round().astype(int) - 1
    drawn = [rng.choice(words, size=count) for count in counts]
    halves = [(" ".join(chosen[: len(chosen) // 2]), " ".join(chosen[len(chosen) // 2 :])) for chosen in drawn]
    texts = list(starmap(pair_of, halves)) if pairs else list(map(" ".join, drawn))
    tokens = tokenize(tokenizer, texts, max_length=max_length)
    middle = len(texts) // 2
    shapes = [
        range(middle, middle + 2),
        range(1),
        *(range(start, min(start + 4, len(texts))) for start in range(1, len(texts), 4)),
    ]
    return [collate(tokens, list(rows), Padding.of(tokenizer)) for rows in shapes]


def export(classifier: Classifier, batches: Sequence[Batch], path: Path, *, source: str = "") -> float:
    """Write the classifier to `path`; the largest difference of its logits from torch's over `batches`.

    `source` is kept in the file, for telling whether an existing one is of the same classifier.

    The first batch is the example that the graph is traced with; the others must have other shapes, for a graph that
    holds on to the example's is caught by them only. The file appears whole or not at all, whatever else writes it.
    Raises ModelError for a model that can't be exported, ReloadMismatch beyond TOLERANCE.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, extra="export")
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
            _save(program, written)
            difference = _difference(load_onnx(written, classifier.classes), batches, reference)
        sync(written)
        os.replace(written, path)
    finally:
        written.unlink(missing_ok=True)
    return difference


class _Logits(nn.Module):
    """A transformers classifier that gives its logits only, on the fast path where it has one: a graph faster by a fifth."""

    def __init__(self, model: Any, plan: Plan) -> None:
        super().__init__()
        self.model = model
        self.float_mask = plan.encoder.traits.onnx_float_mask
        self.fast_path = Forward(model, plan.encoder) if has_fast_path(plan) else None
        if self.fast_path is not None:
            self.fast_path.freeze()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask.float() if self.float_mask else attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        return self.model(**inputs).logits if self.fast_path is None else self.fast_path.logits(inputs)  # (B, C)


def _check_exportable(classifier: Classifier) -> None:
    if unmergeable := classifier.method.unmergeable:
        raise ModelError(f"{unmergeable}, so it runs in torch only; type --engine torch (engine='torch')")
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
    """The logits (B, C) of transformers' own forward pass, for each batch."""
    with in_eval_mode(classifier.model):
        outputs = (classifier.model(**to_tensors(batch, classifier.device)) for batch in batches)
        return [output.logits.float().cpu().numpy() for output in outputs]


def _program(classifier: Classifier, example: Batch) -> Any:
    """The graph of the classifier with its adapters merged; the classifier stays as it is."""
    network = _Logits(adapters.merged(classifier), classifier.plan).eval()
    inputs = to_tensors(example)
    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    try:
        with _quiet(), torch.no_grad():
            network(**inputs)  # makes the fast path's weights, which the graph then holds as they are
            return torch.onnx.export(
                network,
                kwargs=inputs,
                dynamic_shapes=dict.fromkeys(example, free),
                output_names=["logits"],
                opset_version=classifier.plan.encoder.traits.onnx_opset or OPSET,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"{classifier.plan.encoder.name}: torch {torch.__version__} can't export this encoder to ONNX; "
            "type --engine torch (engine='torch')"
        ) from error


def _save(program: Any, path: Path) -> None:
    """Write a graph without the shapes of what lies within: the exporter notes those of weights, too, which tools that change
    a weight, as ONNX Runtime's quantization transposes some, then find contradicted. Readers infer what they need.
    """
    model = program.model_proto
    del model.graph.value_info[:]
    path.write_bytes(sealed(model.SerializeToString()))


def _difference(exported: OnnxScorer, batches: Sequence[Batch], reference: Sequence[NDArray[np.float32]]) -> float:
    """The largest difference of a logit from torch's. Raises ReloadMismatch beyond TOLERANCE."""
    pairs = zip(batches, reference, strict=True)
    difference = float(np.max([np.abs(exported.logits(batch) - expected).max() for batch, expected in pairs]))
    if not difference <= TOLERANCE:  # nor may it be NaN
        raise ReloadMismatch(
            f"the exported classifier's logits differ from torch's by up to {difference:.2e}, more than {TOLERANCE:.0e}; "
            "it was not kept; type --engine torch (engine='torch')"
        )
    return difference


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
