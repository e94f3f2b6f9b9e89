"""A run → a folder for another runtime, held against the run on rows that nothing was trained on.

Weights in 8 bits change answers, so they are handed over only where a paired test, that of `gate`, shows that they lose no
more than a margin: on the validation rows, whose tokens a run keeps, or on labelled rows of a file. In fp32 the logits
themselves are compared.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import cast

import numpy as np
from numpy.typing import NDArray

from rankwise.data.batches import collate
from rankwise.data.tokens import Tokens
from rankwise.errors import ModelError, ReloadMismatch, RunError, require
from rankwise.inference.onnx_scorer import OnnxScorer
from rankwise.inference.predict import TokenPredictor
from rankwise.inference.scorer import Scorer
from rankwise.recipe import DataSpec, SourceSpec
from rankwise.run.deployed import FILES, Deployed, Held
from rankwise.run.folder import Run
from rankwise.run.format import ScoredRows
from rankwise.run.manifest import MANIFEST
from rankwise.system.cores import default_threads
from rankwise.system.files import sha256
from rankwise.workflows.compare import Answers
from rankwise.workflows.gate import Answered, Gate, check_margin, gate
from rankwise.workflows.score_files import split_of_file

TIMED = 200  # texts, one at a time,
WARM = 5  # after so many that do not count
REPEATS = 15  # of the longest text
COMPARED = 64  # texts, of all lengths
TOLERANCE = 1e-3  # of a logit, between runtimes in fp32
KEPT = "the run's validation rows"


@dataclass(frozen=True)
class LabelledTokens:
    """Rows by which an export is held against its run."""

    tokens: Tokens
    labels: NDArray[np.int64]
    rows: NDArray[np.int64]
    described: str


def rows_kept(run: Run) -> LabelledTokens | None:
    """The validation rows whose tokens a run keeps; None where it keeps none."""
    tokens, scored = run.held_out_tokens(), run.held_out_rows()
    if tokens is None or scored is None:
        return None
    if len(tokens.window_counts) != len(scored.rows):
        raise RunError(f"{run.folder}: the tokens of its validation rows are of other rows; copy the folder again")
    return LabelledTokens(tokens, scored.truth, scored.rows, KEPT)


def rows_in(run: Run, source: SourceSpec, spec: DataSpec, numbering: Sequence[str] = ()) -> LabelledTokens:
    """Labelled rows of a source, such as `source_for` finds. Raises DataError."""
    table, split = split_of_file(run, source, spec, "onnx", numbering=numbering)
    return LabelledTokens(split.tokens, split.labels, split.rows, table.layout.describe())


@dataclass(frozen=True)
class Exported:
    """What `export` returns."""

    folder: Path | None
    """None where it was refused."""
    about: Deployed
    gate: Gate | None

    @property
    def exit_code(self) -> int:
        """As of `gate`: 0 handed over, 3 it loses more than the margin, 4 not enough rows to tell."""
        return 0 if self.gate is None else self.gate.exit_code


def export(
    run: Run, form: str, folder: Path | None = None, *, max_loss: float = 0.5, rows: LabelledTokens | None = None
) -> Exported:
    """Write a run in a format of `FILES` into a folder, or into one in the run's own, where its engine finds it.

    Weights in 8 bits are held against the run on `rows`, or else on its validation rows, and not written where they lose
    more than `max_loss` points, or where the rows are too few to tell. Raises RunError, ModelError, ReloadMismatch.
    """
    if form not in FILES:
        raise ModelError(f"format '{form}'; expected one of {', '.join(FILES)}")
    check_margin(max_loss)
    writing = require("rankwise.run.export.deployed", extra="export")
    target = folder or run.folder / form
    writing.check_new(target)
    run.check_encoder()
    fp32 = cast(TokenPredictor, run.predictor_on("onnx"))
    exported = cast(OnnxScorer, fp32.scorer).path
    kept = rows or rows_kept(run)
    with TemporaryDirectory(prefix="rankwise-") as name:
        files, scorer = _made(run, form, exported, Path(name))
        predictor, found = TokenPredictor(scorer, fp32.tokenizer, run.preprocessing), None
        if form == "onnx-int8":
            found = _held(run, predictor, fp32, kept, max_loss)
            _note_cost(files[FILES[form]], found)
        elif form != "onnx":
            _check_alike(run, predictor, fp32, kept)
        times = (None, None) if kept is None else _timed(kept.tokens, predictor, fp32)
        about = Deployed(
            form=form,
            source=sha256(run.folder / MANIFEST),
            classes=run.preprocessing.classes,
            max_length=run.preprocessing.max_length,
            windows=run.preprocessing.windows,
            bytes=sum(path.stat().st_size for path in files.values()),
            bytes_fp32=exported.stat().st_size,
            milliseconds=times[0],
            milliseconds_fp32=times[1],
            threads=default_threads(),
            longest_milliseconds=_longest(predictor),
            held=None if found is None else found[1],
        )
        refused = found is not None and found[0].exit_code
        if not refused:
            writing.write_deployed(run, about, files, target)
    return Exported(None if refused else target, about, None if found is None else found[0])


def _made(run: Run, form: str, exported: Path, scratch: Path) -> tuple[dict[str, Path], Scorer]:
    """The model's files by their names in the folder, and what computes them."""
    classes = run.preprocessing.classes
    loading = require("rankwise.inference.onnx_scorer", extra="onnx")
    if form == "onnx":
        return {FILES[form]: exported}, loading.load_onnx(exported, classes)
    if form == "onnx-int8":
        quantized = require("rankwise.run.export.quantized", extra="export")
        path = scratch / "model.onnx"
        quantized.quantize(exported, path)
        quantized.seal(path, "not held against fp32")
        return {FILES[form]: path}, loading.load_onnx(path, classes, in_8_bits=True)
    files = require("rankwise.run.export.deployed", extra="export").openvino_files(exported, scratch)
    reading = require("rankwise.inference.openvino_scorer", extra="openvino")
    return files, reading.load_openvino(scratch / FILES[form], classes)


def _held(
    run: Run, predictor: TokenPredictor, fp32: TokenPredictor, kept: LabelledTokens | None, margin: float
) -> tuple[Gate, Held]:
    """The gate that 8 bits must pass. Raises RunError where there are no rows."""
    if kept is None:
        raise RunError(
            f"{run.folder} keeps no validation rows by which 8 bits could be held against it; give labelled rows that it was "
            "not trained on: --data FILE"
        )
    scored = [_scored(run, one, kept) for one in (predictor, fp32)]
    new, old = (Answers(run, one) for one in scored)
    found = gate(Answered(new, old, kept.described), margin=margin, promises=False)
    decided = [run.task.decide(one.probabilities.astype(np.float64)) for one in scored]
    changed = decided[0] != decided[1]
    count = int((changed if changed.ndim == 1 else changed.any(axis=1)).sum())
    return found, Held(
        rows=found.rows, data=found.data, margin=margin, difference=found.difference, score=found.score, changed=count
    )


def _scored(run: Run, predictor: TokenPredictor, kept: LabelledTokens) -> ScoredRows:
    values = predictor.logits(kept.tokens, batch_size=run.recipe.evaluate.batch_size)
    return ScoredRows(kept.rows, kept.labels, run.task.probabilities(values).astype(np.float32))


def _note_cost(path: Path, found: tuple[Gate, Held]) -> None:
    """Write into the quantised file what its 8 bits cost, in words."""
    gate, held = found
    cost = f"{held.difference.bracketed('+.2f', times=100)} points of {gate.score_name} on {held.rows:,} rows"
    require("rankwise.run.export.quantized", extra="export").seal(path, cost)


def _check_alike(run: Run, predictor: TokenPredictor, fp32: TokenPredictor, kept: LabelledTokens | None) -> None:
    """Raises ReloadMismatch where another runtime's logits are not those of ONNX Runtime."""
    if kept is None:
        batches = require("rankwise.run.export.onnx", extra="export").probes_of(run)
    else:
        rows = np.argsort(kept.tokens.lengths)
        rows = rows[np.linspace(0, len(rows) - 1, min(COMPARED, len(rows))).astype(int)]
        several = [list(map(int, rows[start : start + 4])) for start in range(0, len(rows), 4)]
        batches = [collate(kept.tokens, one, fp32.padding) for one in several]
    pairs = [[np.asarray(one.scorer.logits(batch)) for one in (predictor, fp32)] for batch in batches]
    apart = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
    if not apart <= TOLERANCE:
        raise ReloadMismatch(f"{run.folder}: its logits differ by up to {apart:.1e} on this runtime; nothing was written")


def _timed(tokens: Tokens, *predictors: TokenPredictor) -> tuple[float, ...]:
    """Median milliseconds of each for a window at a time, in turns."""
    rows = np.linspace(0, len(tokens) - 1, min(TIMED, len(tokens))).astype(int)
    batches = [collate(tokens, [int(row)], predictors[0].padding) for row in rows]
    spent: list[list[float]] = [[] for _ in predictors]
    for batch in (*batches[:WARM], *batches):
        for predictor, seconds in zip(predictors, spent, strict=True):
            begun = time.perf_counter()
            np.asarray(predictor.scorer.logits(batch))
            seconds.append(time.perf_counter() - begun)
    return tuple(round(1000 * median(seconds[len(batches[:WARM]) :]), 3) for seconds in spent)


def _longest(predictor: TokenPredictor) -> float:
    """Median milliseconds of a text, or a pair, of as many tokens as are read, from its characters to its logits."""
    about = predictor.preprocessing
    text = " ".join(["a"] * about.max_length * (about.windows or 1))
    texts = [(text, text) if about.reads_pairs else text]
    spent = []
    for _ in range(WARM + REPEATS):
        begun = time.perf_counter()
        predictor.logits(predictor.read(texts))
        spent.append(time.perf_counter() - begun)
    return round(1000 * median(spent[WARM:]), 3)
